import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UserError } from '../../src/errors.ts';
import { selectProblems } from '../../src/evaluation/benchmarks/benchmark.ts';
import { benchmarkId, loadBenchmark } from '../../src/evaluation/benchmarks/index.ts';
import type { BenchmarkId } from '../../src/evaluation/types.ts';
import { benchmarkFile } from './benchmarkData.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midtrain-benchmarks-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function load(id: BenchmarkId, rows: readonly unknown[]) {
  const path = join(folder, 'rows.jsonl');
  await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return loadBenchmark(id, path);
}
async function userError(id: BenchmarkId, rows: readonly unknown[]): Promise<string> {
  const error: unknown = await load(id, rows).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}

const humanEvalRow = {
  task_id: 'HumanEval/0',
  prompt: 'def f(x):\n    """Doc."""\n',
  entry_point: 'f',
  canonical_solution: '    return x\n',
  test: 'def check(candidate):\n    assert candidate(1) == 1\n',
};
const mbppRow = {
  task_id: 11,
  text: 'Write a function.',
  code: 'def g(x):\r\n  return x',
  test_setup_code: '',
  test_list: ['assert g(1) == 1'],
  challenge_test_list: [],
};

describe('rows', () => {
  it('become problems', async () => {
    const { problems } = await load('humaneval', [humanEvalRow]);
    expect(problems).toEqual([
      {
        taskId: 'HumanEval/0',
        benchmark: 'humaneval',
        prompt: humanEvalRow.prompt,
        entryPoint: 'f',
        canonicalSolution: humanEvalRow.canonical_solution,
        testSetup: '',
        tests: [humanEvalRow.test],
      },
    ]);
    expect((await load('mbpp', [mbppRow])).problems[0]).toMatchObject({ taskId: 'Mbpp/11', entryPoint: 'g' });
  });

  it('without a field are refused with file, line, task and field', async () => {
    for (const field of Object.keys(humanEvalRow)) {
      const row: Record<string, unknown> = { ...humanEvalRow, task_id: 'HumanEval/1' };
      Reflect.deleteProperty(row, field);
      const message = await userError('humaneval', [humanEvalRow, row]);
      expect(message).toContain('rows.jsonl, line 2');
      expect(message).toContain(`the field "${field}" is missing`);
      if (field !== 'task_id') expect(message).toContain('HumanEval/1');
    }
    for (const field of ['task_id', 'text', 'code', 'test_setup_code', 'test_list']) {
      const row: Record<string, unknown> = { ...mbppRow };
      Reflect.deleteProperty(row, field);
      expect(await userError('mbpp', [row])).toContain(`the field "${field}" is missing`);
    }
  });

  it('of the wrong kind are refused in one sentence', async () => {
    expect(await userError('humaneval', [{ ...humanEvalRow, test: 5 }])).toContain('"test" must be string, it is 5');
    expect(await userError('humaneval', [[1]])).toMatch(/line 1/);
    expect(await userError('humaneval', ['text'])).toContain('a row must be an object');
    expect(await userError('humaneval', [null])).toContain('a row must be an object');
    expect(await userError('mbpp', [{ ...mbppRow, test_list: [1] }])).toContain('"test_list.0"');
    expect(await userError('mbpp', [{ ...mbppRow, test_list: ['assert h(1)'] }])).toContain(
      'no function of the field "code"',
    );
    expect(await userError('humaneval', [{ ...humanEvalRow, entry_point: 'f); evil(' }])).toContain('"entry_point"');
    expect(await userError('mbpp', [humanEvalRow])).toContain('Is this the MBPP data set?');
  });

  it('twice, or none at all, are refused', async () => {
    expect(await userError('humaneval', [humanEvalRow, humanEvalRow])).toContain('already on line 1');
    expect(await userError('humaneval', [])).toContain('no rows');
  });
});

describe('ids', () => {
  it('are found whatever their case, or the benchmarks are listed', () => {
    expect(benchmarkId('HumanEval')).toBe('humaneval');
    expect(() => benchmarkId('constructor')).toThrow(/There are: humaneval, mbpp/);
  });
});

const humanEvalFile = benchmarkFile('HumanEval.jsonl.gz');
const mbppFile = benchmarkFile('mbpp.jsonl.gz');
const mbppPlusFile = benchmarkFile('MbppPlus-v0.2.0.jsonl.gz');

describe.skipIf(humanEvalFile === undefined)('the HumanEval file', () => {
  it('holds 164 problems, and plain and gzip agree on the content hash', async () => {
    const benchmark = await loadBenchmark('humaneval', humanEvalFile!);
    expect(benchmark.problems).toHaveLength(164);
    expect(selectProblems(benchmark)).toHaveLength(164);
    expect(benchmark.fileSha256).toBe('b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef');
    const plain = join(folder, 'HumanEval.jsonl');
    await writeFile(plain, gunzipSync(await readFile(humanEvalFile!)));
    const unpacked = await loadBenchmark('humaneval', plain);
    expect(unpacked.contentSha256).toBe(benchmark.contentSha256);
    expect(unpacked.fileSha256).toBe(benchmark.contentSha256);
    expect(unpacked.problems).toEqual(benchmark.problems);
    for (const { prompt, entryPoint } of benchmark.problems)
      expect(prompt).toMatch(new RegExp(`^def ${entryPoint}\\(`, 'm'));
  });
});

describe.skipIf(mbppFile === undefined)('the MBPP file', () => {
  it("holds 974 problems in the paper's parts", async () => {
    const benchmark = await loadBenchmark('mbpp', mbppFile!);
    expect(benchmark.problems).toHaveLength(974);
    const parts = { test: 500, prompt: 10, validation: 90, train: 374, all: 974 };
    for (const [name, size] of Object.entries(parts)) expect(selectProblems(benchmark, name), name).toHaveLength(size);
    expect(selectProblems(benchmark)[0]!.taskId).toBe('Mbpp/11');
    expect(() => selectProblems(benchmark, 'toString')).toThrow(/There are: test, prompt/);
  });

  it('names the function under test in every problem', async () => {
    const { problems } = await loadBenchmark('mbpp', mbppFile!);
    for (const { taskId, entryPoint, canonicalSolution, tests } of problems) {
      expect(canonicalSolution, taskId).toMatch(new RegExp(`^def ${entryPoint}\\b`, 'm'));
      for (const test of tests) expect(test, taskId).toMatch(new RegExp(`\\b${entryPoint} *\\(`));
    }
  });

  it.skipIf(mbppPlusFile === undefined)(
    "agrees with MBPP+ about the function's name, but for the 14 that MBPP+ renamed",
    async () => {
      const { problems } = await loadBenchmark('mbpp', mbppFile!);
      const names = new Map(problems.map(({ taskId, entryPoint }) => [taskId, entryPoint]));
      const rows = gunzipSync(await readFile(mbppPlusFile!))
        .toString('utf8')
        .trimEnd()
        .split('\n');
      let renamed = 0;
      for (const row of rows) {
        // Not JSON.parse: some inputs are -Infinity, which Python writes and JSON does not know.
        const [task, entry] = ['task_id', 'entry_point'].map(
          (field) => new RegExp(`"${field}": "([^"]+)"`).exec(row)![1]!,
        );
        if (names.get(task!) !== entry) renamed += 1;
      }
      expect(rows).toHaveLength(378);
      expect(renamed).toBe(14);
    },
  );
});
