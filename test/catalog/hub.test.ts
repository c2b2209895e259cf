import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  cachedHubModel,
  chooseFiles,
  fetchHubModel,
  formatHubId,
  isSafePath,
  parseHubId,
  planHubDownload,
} from '../../src/catalog/hub.ts';
import type { HubFile, HubId, HubOptions } from '../../src/catalog/hub.ts';
import { listModels, resolveModel } from '../../src/catalog/models.ts';
import { describePlan, type DownloadPlan } from '../../src/catalog/plan.ts';
import { UserError } from '../../src/errors.ts';
import { HubServer } from './hubServer.ts';

const commit = 'a'.repeat(40);
const weights = randomBytes(300_000);
const id = (text: string): HubId => parseHubId(text)!;

let hub: HubServer;
let home: string;
let options: HubOptions;

beforeEach(async () => {
  hub = await HubServer.start();
  home = await mkdtemp(join(tmpdir(), 'midtrain-hub-'));
  options = { endpoint: hub.endpoint, firstDelay: 5, token: '' };
  hub.repositories.set('tiny/model', {
    commit,
    cardData: { license: 'apache-2.0' },
    files: new Map([
      ['config.json', Buffer.from('{"model_type":"llama"}')],
      ['tokenizer.json', Buffer.from('{}')],
      ['README.md', Buffer.from('# tiny')],
      ['pytorch_model.bin', randomBytes(20_000)],
      ['model.safetensors', weights],
      ['onnx/model.onnx', randomBytes(20_000)],
    ]),
  });
  hub.repositories.set('tiny/ggufs', {
    commit,
    tags: ['gguf', 'license:mit'],
    files: new Map([
      ['a.Q4_0.gguf', weights],
      ['deep/b.Q8_0.gguf', Buffer.concat([weights, weights])],
    ]),
  });
});

afterEach(async () => {
  await hub.stop();
  await rm(home, { recursive: true, force: true });
});

async function fetchTiny(): Promise<string> {
  return fetchHubModel(await planHubDownload(id('tiny/model'), home, options), home, options);
}

describe('the plan', () => {
  it('says what, from where, how large and under which licence before a file is fetched', async () => {
    const plan = await planHubDownload(id('tiny/model'), home, options);
    expect(plan.files.map(({ path }) => path)).toEqual(['config.json', 'tokenizer.json', 'model.safetensors']);
    expect(plan).toMatchObject({ commit, licence: 'apache-2.0', main: null, bytes: 300_024, totalBytes: 300_024 });
    expect(describePlan(plan)).toMatch(
      /^tiny\/model \(commit aaaaaaa, 3 files\): 300 kB from http.*\/tiny\/model, licence apache-2.0, kept in /,
    );
    expect(hub.requests.every(({ path }) => path.startsWith('/api/'))).toBe(true);
    expect(hub.requests.filter(({ path }) => path.includes('/tree/'))).toHaveLength(2); // two pages
  });

  it('reads the licence from the tags and takes the GGUF that is named', async () => {
    const plan = await planHubDownload(id('tiny/ggufs@main:deep/b.Q8_0.gguf'), home, options);
    expect(plan).toMatchObject({ licence: 'mit', main: 'deep/b.Q8_0.gguf', bytes: 600_000 });
  });

  it.each([
    ['tiny/none', /has no model tiny\/none.*Check the name/],
    ['tiny/model@v9', /no model tiny\/model@v9.*and the revision/],
    ['tiny/ggufs', /several GGUF files; name one: tiny\/ggufs:a\.Q4_0\.gguf \(300 kB\), tiny\/ggufs:deep/],
    ['tiny/ggufs:c.gguf', /has no c\.gguf\. It has: tiny\/ggufs:a/],
    ['tiny/model:c.gguf', /no GGUF at all/],
  ])('refuses %s in one clear sentence', async (spec, message) => {
    await expect(planHubDownload(id(spec), home, options)).rejects.toThrow(message);
    await expect(planHubDownload(id(spec), home, options)).rejects.toThrow(UserError);
  });

  it('explains a gated model, with and without a token, and fetches it with the right one', async () => {
    hub.faults.token = 'hf_right';
    await expect(fetchTiny()).rejects.toThrow(/private or gated.*set HF_TOKEN/);
    options = { ...options, token: 'hf_wrong' };
    await expect(fetchTiny()).rejects.toThrow(/check that the token in HF_TOKEN may read it/);
    options = { ...options, token: 'hf_right' };
    await fetchTiny();
    const atCdn = hub.requests.filter(({ host }) => host === 'cdn');
    expect(atCdn.length).toBeGreaterThan(0);
    expect(atCdn.every(({ authorization }) => authorization === null)).toBe(true); // the token stays with the hub
  });

  it('explains a network that asks for a login, and a hub that is not there', async () => {
    hub.faults.portal = true;
    await expect(fetchTiny()).rejects.toThrow(/not what a model hub says/);
    options = { ...options, endpoint: 'http://127.0.0.1:9', attempts: 2 };
    await expect(fetchTiny()).rejects.toThrow(/No answer from 127\.0\.0\.1:9.*Check the connection/);
  });

  it('follows no listing to another host', async () => {
    hub.faults.nextPage = `${hub.cdn}/elsewhere`;
    await expect(fetchTiny()).rejects.toThrow(/sends on to another host, localhost:\d+: not followed/);
    expect(hub.requests.some(({ host }) => host === 'cdn')).toBe(false);
  });

  it('refuses an answer without a commit', async () => {
    hub.repositories.set('tiny/model', { ...hub.repositories.get('tiny/model')!, commit: '../..' });
    await expect(fetchTiny()).rejects.toThrow(/not what a model hub says/);
  });

  it('refuses a file name that would leave the folder', async () => {
    hub.repositories.set('tiny/evil', { commit, files: new Map([['../../evil.gguf', weights]]) });
    await expect(planHubDownload(id('tiny/evil'), home, options)).rejects.toThrow(/not safe to write/);
  });
});

describe('fetching', () => {
  it('brings exactly the files, with progress that never falls, and is then here without the network', async () => {
    const seen: number[] = [];
    const plan = await planHubDownload(id('tiny/model'), home, options);
    const folder = await fetchHubModel(plan, home, { ...options, onProgress: (bytes) => seen.push(bytes) });
    expect((await readdir(folder)).sort()).toEqual([
      'config.json',
      'midtrain.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    expect((await readFile(join(folder, 'model.safetensors'))).equals(weights)).toBe(true);
    expect(seen.at(-1)).toBe(300_024);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    await hub.stop();
    const found = { path: folder, commit, licence: 'apache-2.0', bytes: 300_024 };
    expect(await cachedHubModel(id('tiny/model'), home)).toEqual(found);
    expect(await cachedHubModel(id(`tiny/model@${commit}`), home)).toEqual(found);
    expect(await resolveModel('tiny/model', { home })).toMatchObject({ kind: 'folder', label: 'tiny/model', ...found });
    expect(await listModels(home)).toMatchObject([{ spec: `tiny/model@${commit}`, path: folder, bytes: 300_024 }]);
    hub = await HubServer.start();
  });

  it('keeps several GGUFs of a repository apart', async () => {
    const consent = (): Promise<boolean> => Promise.resolve(true);
    const a = await resolveModel('tiny/ggufs:a.Q4_0.gguf', { ...options, home, consent });
    const b = await resolveModel('tiny/ggufs:deep/b.Q8_0.gguf', { ...options, home, consent });
    expect([a.bytes, b.bytes, a.kind, b.kind]).toEqual([300_000, 600_000, 'gguf', 'gguf']);
    const before = hub.requests.length;
    expect(await resolveModel('tiny/ggufs:a.Q4_0.gguf', { ...options, home })).toEqual(a);
    expect(hub.requests).toHaveLength(before);
    expect((await listModels(home)).map(({ spec }) => spec)).toEqual([
      `tiny/ggufs@${commit}:a.Q4_0.gguf`,
      `tiny/ggufs@${commit}:deep/b.Q8_0.gguf`,
    ]);
  });

  it('fetches nothing without consent, and shows the plan', async () => {
    let asked: DownloadPlan | undefined;
    const consent = (plan: DownloadPlan): Promise<boolean> => {
      asked = plan;
      return Promise.resolve(false);
    };
    await expect(resolveModel('tiny/model', { ...options, home, consent })).rejects.toThrow(/as you chose/);
    await expect(resolveModel('tiny/model', { ...options, home })).rejects.toThrow(/300 kB from .*licence apache-2\.0/);
    expect(asked).toMatchObject({ bytes: 300_024, licence: 'apache-2.0' });
    expect(hub.requests.some(({ path }) => path.includes('/resolve/'))).toBe(false);
  });

  it('takes an answer of 429 or 503 as a request to wait', async () => {
    hub.faults.refuse = { status: 429, times: 2, retryAfter: '0' };
    await fetchTiny();
    hub.faults.refuse = { status: 503, times: 9 };
    await expect(planHubDownload(id('tiny/ggufs:a.Q4_0.gguf'), home, options)).rejects.toThrow(/answered 503.*later/);
  });

  it('fetches again what was cut on the disk', async () => {
    const folder = await fetchTiny();
    await truncate(join(folder, 'model.safetensors'), 10);
    expect(await cachedHubModel(id('tiny/model'), home)).toBeNull();
    await fetchTiny();
    expect((await stat(join(folder, 'model.safetensors'))).size).toBe(300_000);
  });

  it('does not believe a listing that lies about sizes', async () => {
    hub.faults.lie = 5;
    await expect(fetchTiny()).rejects.toThrow(/has \d+ bytes where \d+ were announced, twice/);
  });
});

describe('names', () => {
  it.each([
    ['owner/name', { owner: 'owner', name: 'name', revision: null, file: null }],
    ['o/n@refs/pr/1', { owner: 'o', name: 'n', revision: 'refs/pr/1', file: null }],
    ['o/n.5@v1:dir/x.gguf', { owner: 'o', name: 'n.5', revision: 'v1', file: 'dir/x.gguf' }],
  ])('reads %s', (text, expected) => {
    expect(parseHubId(text)).toEqual(expected);
  });

  it.each(['name', '/abs/path', './a/b', '../b', 'a/b/c', 'a/..', 'C:/x/y', 'a/b@', 'a/b:', 'a b/c', ''])(
    'leaves %s alone',
    (text) => {
      expect(parseHubId(text)).toBeNull();
    },
  );

  it('writes what it has read', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const read = parseHubId(text);
        return read === null || formatHubId(read) === text;
      }),
    );
    const part = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_]{0,8}$/);
    fc.assert(
      fc.property(part, part, fc.option(part), fc.option(part), (owner, name, revision, file) => {
        const written = { owner, name, revision, file };
        expect(parseHubId(formatHubId(written))).toEqual(written);
      }),
    );
  });

  it('lets no path out of its folder', () => {
    const part = fc.oneof(fc.constantFrom('..', '.', '', 'a', 'b.json', 'nul', 'c:', '\\', '~'), fc.string());
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const path = parts.join('/');
        if (!isSafePath(path)) return;
        expect(join('/root/x', path).startsWith('/root/x/')).toBe(true);
        expect(path).not.toMatch(/\\|:|\0/);
      }),
    );
    expect(['a.json', 'dir/b.gguf', '.gitattributes', 'a b.txt'].every(isSafePath)).toBe(true);
    expect(['../a', 'a/../b', '/a', 'a//b', './a', 'a\\b', 'C:a', 'NUL', 'com1.txt', 'a.', 'a/'].some(isSafePath)).toBe(
      false,
    );
  });
});

describe('which files make a model', () => {
  const file = (path: string): HubFile => ({ path, bytes: 1, checksum: { algorithm: 'sha256', digest: '' } });
  const choose = (...paths: string[]): string[] =>
    chooseFiles(
      id('o/n'),
      paths.map((path) => file(path)),
    ).files.map(({ path }) => path);

  it('takes the shards of the index and not the same weights again', () => {
    const shards = [
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ];
    expect(
      choose('config.json', 'tokenizer.json', 'consolidated.safetensors', 'x/model.safetensors', ...shards),
    ).toEqual(['config.json', 'tokenizer.json', ...shards]);
  });

  it('takes all parts of a split GGUF, whichever is named', async () => {
    const parts = ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf'];
    expect(choose(...parts, 'README.md')).toEqual(parts);
    hub.repositories.set('tiny/split', {
      commit,
      files: new Map([...parts, 'other.gguf'].map((path) => [path, weights])),
    });
    await expect(planHubDownload(id('tiny/split'), home, options)).rejects.toThrow(
      /name one: tiny\/split:m-00001-of-00002\.gguf \(600 kB\), tiny\/split:other\.gguf \(300 kB\)/,
    );
    const consent = (): Promise<boolean> => Promise.resolve(true);
    const model = await resolveModel(`tiny/split:${parts[1]!}`, { ...options, home, consent });
    expect(model).toMatchObject({
      kind: 'gguf',
      bytes: 600_000,
      path: expect.stringMatching(/00001-of-00002\.gguf$/) as string,
    });
    expect(await resolveModel(`tiny/split:${parts[0]!}`, { home })).toMatchObject({ bytes: 600_000, path: model.path });
    expect(await resolveModel('tiny/split', { home })).toMatchObject({ path: model.path });
    expect(await listModels(home)).toMatchObject([{ bytes: 600_000, path: model.path }]);
  });

  it('says what is missing', () => {
    expect(() => choose('model.safetensors', 'config.json')).toThrow(/lacks tokenizer\.json/);
    expect(() => choose('pytorch_model.bin')).toThrow(/no weights that can be read here/);
    expect(() => choose('m-00001-of-00002.gguf')).toThrow(/split into 2 parts, and 1 of them are there/);
  });
});
