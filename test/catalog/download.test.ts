import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainWriteError } from '../../src/catalog/disk.ts';
import { download, type DownloadRequest } from '../../src/catalog/download.ts';
import { retryDelay } from '../../src/catalog/http.ts';
import { withLock } from '../../src/catalog/lock.ts';
import { formatBytes } from '../../src/catalog/plan.ts';
import { UserError } from '../../src/errors.ts';
import { HubServer } from './hubServer.ts';

const commit = 'b'.repeat(40);
const content = randomBytes(400_000);
const digest = createHash('sha256').update(content).digest('hex');

let hub: HubServer;
let request: DownloadRequest;
const quick = { firstDelay: 2 };

beforeEach(async () => {
  hub = await HubServer.start();
  hub.repositories.set('o/n', { commit, files: new Map([['w.gguf', content]]) });
  const path = join(await mkdtemp(join(tmpdir(), 'midtrain-download-')), 'sub', 'w.gguf');
  const url = `${hub.endpoint}/o/n/resolve/${commit}/w.gguf`;
  request = { url, path, size: content.length, checksum: { algorithm: 'sha256', digest } };
});

afterEach(async () => {
  await hub.stop();
  await rm(dirname(dirname(request.path)), { recursive: true, force: true });
});

/** Names left beside the file. */
const left = async (): Promise<string[]> => (await readdir(dirname(request.path))).sort();
const ranges = (): (string | null)[] => hub.requests.filter(({ host }) => host === 'cdn').map(({ range }) => range);

async function expectWhole(): Promise<void> {
  expect((await readFile(request.path)).equals(content)).toBe(true);
  expect(await left()).toEqual(['w.gguf']);
}

describe('download', () => {
  it('follows the redirect, checks and leaves nothing but the file; does nothing the second time', async () => {
    await download(request, quick);
    await expectWhole();
    await download(request, quick);
    expect(ranges()).toHaveLength(1);
  });

  it('goes on where a connection broke, again and again', async () => {
    hub.faults.cut = { after: 100_000, times: 3 };
    await download(request, quick);
    await expectWhole();
    expect(ranges()).toHaveLength(4);
    expect(
      ranges()
        .slice(1)
        .every((range) => /^bytes=[1-9]\d*-$/.test(range ?? '')),
    ).toBe(true);
  });

  it('gives up after so many tries without a byte, keeps what it has and goes on at the next call', async () => {
    hub.faults.cut = { after: 100_000, times: 1 };
    const first = download(request, { ...quick, attempts: 1 });
    await expect(first).rejects.toThrow(/connection broke 1 times.*are kept: run the same command again/);
    expect(await left()).toEqual([`w.gguf.${digest.slice(0, 12)}.part`]);
    await download(request, quick);
    await expectWhole();
    expect(ranges()[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('starts over with a server that knows no ranges', async () => {
    hub.faults.cut = { after: 300_000, times: 1 };
    hub.faults.noRange = true;
    await download(request, quick);
    await expectWhole();
  });

  it('goes on after a server that fell silent', async () => {
    hub.faults.stall = { after: 200_000, times: 1 };
    await download(request, { ...quick, stallTime: 150 });
    await expectWhole();
  });

  it('refuses bytes with a wrong hash, keeps nothing of them, and mends a damaged part by itself', async () => {
    hub.faults.corrupt = { times: 2 };
    const wrong = download(request, quick);
    await expect(wrong).rejects.toThrow(
      /the sha256 hash of what came is [0-9a-f]{64}, not [0-9a-f]{64}, twice\. Nothing was kept/,
    );
    expect(await left()).toEqual([]);
    await writeFile(`${request.path}.${digest.slice(0, 12)}.part`, Buffer.alloc(1000, 7));
    await download(request, quick);
    await expectWhole();
    expect(ranges().slice(-2)).toEqual(['bytes=1000-', null]);
  });

  it('checks git blobs too', async () => {
    const blob = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
    request = { ...request, checksum: { algorithm: 'git-blob', digest: blob } };
    await download(request, quick);
    await expectWhole();
  });

  it('stops reading a file that is larger than announced', async () => {
    await expect(download({ ...request, size: 1000 }, quick)).rejects.toThrow(/larger than the 1000 bytes announced/);
    expect(await left()).toEqual([]);
  });

  it('checks the space first', async () => {
    const none = download(request, { ...quick, free: () => Promise.resolve(1000) });
    await expect(none).rejects.toThrow(/Not enough space in .*: 67\.5 MB needed, 1\.00 kB free.*MIDTRAIN_HOME/);
    expect(hub.requests).toEqual([]);
  });

  it.skipIf(process.platform !== 'linux')('says what a full disk means', async () => {
    await mkdir(dirname(request.path));
    await symlink('/dev/full', `${request.path}.${digest.slice(0, 12)}.part`);
    await expect(download(request, quick)).rejects.toThrow(
      /cannot be written: no space is left on the disk.*run the same command again/,
    );
  });

  it.each([
    [404, /answered 404 Not Found\. It is not there/],
    [403, /answered 403 Forbidden\. It is not for everyone/],
    [429, /answered 429 Too Many Requests\. Too many requests: wait/],
    [502, /answered 502 Bad Gateway\. The server is in trouble/],
  ])('explains a %i', async (status, message) => {
    hub.faults.refuse = { status, times: 99 };
    const refused = download(request, { ...quick, attempts: 2 });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toBeInstanceOf(UserError);
  });

  it('stops when told to, keeps what came, and goes on later', async () => {
    hub.faults.slow = 20;
    const controller = new AbortController();
    const onProgress = (bytes: number): void => {
      if (bytes > 60_000) controller.abort(new Error('enough'));
    };
    await expect(download(request, { ...quick, signal: controller.signal, onProgress })).rejects.toThrow('enough');
    expect(await left()).toEqual([`w.gguf.${digest.slice(0, 12)}.part`]);
    delete hub.faults.slow;
    await download(request, quick);
    await expectWhole();
    expect(ranges()[1]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('lets two at once share the work', async () => {
    hub.faults.slow = 1;
    await Promise.all([download(request, quick), download(request, quick)]);
    await expectWhole();
    expect(ranges()).toHaveLength(1);
  });
});

describe('around it', () => {
  it('explains a full disk and a folder that may not be written', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    expect(explainWriteError(full, '/x/y')).toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(
        /\/x\/y cannot be written: no space is left on the disk.*is kept.*MIDTRAIN_HOME/,
      ) as string,
    });
    const denied = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    expect(explainWriteError(denied, '/x/y')).toBeInstanceOf(UserError);
    const other = new Error('other');
    expect(explainWriteError(other, '/x/y')).toBe(other);
  });

  it('waits as long as it is asked to, within bounds', () => {
    expect([1, 2, 3, 10].map((attempt) => retryDelay(attempt, 500, null))).toEqual([500, 1000, 2000, 30_000]);
    expect(retryDelay(1, 500, '7')).toBe(7000);
    expect(retryDelay(1, 500, '0')).toBe(500);
    expect(retryDelay(1, 500, '99999')).toBe(30_000);
    expect(retryDelay(1, 500, 'Thu, 01 Jan 1970 00:00:10 GMT', 5000)).toBe(5000);
    expect(retryDelay(1, 500, 'soon')).toBe(500);
  });

  it('counts no lock of a process that is gone', async () => {
    const path = join(dirname(dirname(request.path)), 'x');
    await writeFile(`${path}.lock`, '999999999');
    expect(await withLock(path, undefined, () => Promise.resolve(1))).toBe(1);
    const waiting = new AbortController();
    await writeFile(`${path}.lock`, String(process.ppid));
    setTimeout(() => {
      waiting.abort(new Error('stop waiting'));
    }, 50);
    await expect(withLock(path, waiting.signal, () => Promise.resolve(1))).rejects.toThrow('stop waiting');
  });

  it('writes sizes as people do', () => {
    expect([0, 999, 1000, 52_282, 92_871_040, 999_499_999, 999_600_000, 2 ** 60].map(formatBytes)).toEqual([
      '0 bytes',
      '999 bytes',
      '1.00 kB',
      '52.3 kB',
      '92.9 MB',
      '999 MB',
      '1.00 GB',
      '1153 PB',
    ]);
  });
});
