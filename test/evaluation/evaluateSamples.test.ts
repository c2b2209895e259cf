import { mkdtemp, readFile, rm, truncate, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluateSamples, type EvaluateOptions, type Evaluated } from '../../src/evaluation/evaluateSamples.ts';
import type { SampleRow } from '../../src/evaluation/sampleFiles.ts';
import type { ExecutionResult, Executor, Problem, Program, Verdict } from '../../src/evaluation/types.ts';

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midtrain-evaluate-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
const newPath = () => join(folder, `${(files += 1)}_results.jsonl`);

const problem: Problem = {
  taskId: 'HumanEval/0',
  benchmark: 'humaneval',
  prompt: 'def f():\n',
  entryPoint: 'f',
  canonicalSolution: '',
  testSetup: '',
  tests: ['def check(c): c()'],
};
const samplesOf = (completions: readonly string[]): SampleRow[] =>
  completions.map((completion, sample) => ({
    taskId: problem.taskId,
    sample,
    completion,
    row: { task_id: problem.taskId, completion },
  }));

/** Answers with the verdict that the completion names, later samples sooner; counts what is under way. */
class FakeExecutor implements Executor {
  readonly interpreter = 'fake';
  readonly strict = false;
  readonly layers = [];
  readonly ran: Program[] = [];
  running = 0;
  most = 0;
  verdict = (program: Program): Verdict => program.candidate.slice(problem.prompt.length).trim() as Verdict;

  async run(program: Program, signal?: AbortSignal): Promise<ExecutionResult> {
    this.ran.push(program);
    this.running += 1;
    this.most = Math.max(this.most, this.running);
    try {
      await sleep(20 - 2 * Math.min(this.ran.length, 9), undefined, { signal });
    } catch (error) {
      throw signal?.aborted === true ? signal.reason : error;
    } finally {
      this.running -= 1;
    }
    const verdict = this.verdict(program);
    if (verdict === ('broken' as Verdict)) throw new Error('the executor broke');
    return {
      id: program.id,
      verdict,
      detail: 'why',
      traceback: '',
      output: '',
      wallSeconds: 1,
      cpuSeconds: 1,
      retried: false,
    };
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

const optionsOf = (
  executor: Executor,
  samples: EvaluateOptions['samples'],
  more: Partial<EvaluateOptions> = {},
): EvaluateOptions => ({
  problems: [problem],
  samples,
  executor,
  limits: { timeLimit: 3, memoryLimit: 1 },
  concurrency: 3,
  inOrder: true,
  ...more,
});
async function all(options: EvaluateOptions): Promise<Evaluated[]> {
  const results = [];
  for await (const result of evaluateSamples(options)) results.push(result);
  return results;
}
const rowsOf = async (path: string) =>
  (await readFile(path, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('evaluateSamples', () => {
  it('judges all, so many at a time, and leaves the file in the order of the samples', async () => {
    const verdicts = ['passed', 'failed', 'timed out', 'crashed', 'out of memory', 'passed', 'failed'];
    const executor = new FakeExecutor();
    const resultsPath = newPath();
    const results = await all(optionsOf(executor, samplesOf(verdicts), { resultsPath }));
    expect(results).toHaveLength(7);
    expect(executor.most).toBe(3);
    const rows = await rowsOf(resultsPath);
    expect(rows.map(({ verdict }) => verdict)).toEqual(verdicts);
    expect(rows.map(({ sample }) => sample)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(rows[0]).toMatchObject({ task_id: 'HumanEval/0', completion: 'passed', result: 'passed', passed: true });
    expect(rows[1]).toMatchObject({ result: 'failed: why', passed: false });
    expect(executor.ran[0]).toMatchObject({
      candidate: 'def f():\npassed',
      check: 'def check(c): c()\ncheck(f)',
      timeLimit: 3,
    });
  });

  it('takes samples from a generator that waits', async () => {
    async function* slowly() {
      for (const sample of samplesOf(['passed', 'failed', 'passed'])) {
        await sleep(5);
        yield sample;
      }
    }
    expect(await all(optionsOf(new FakeExecutor(), slowly()))).toHaveLength(3);
    expect(await all(optionsOf(new FakeExecutor(), []))).toEqual([]);
  });

  it('stops at once with the reason, and goes on later without judging anything twice', async () => {
    const completions = Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? 'passed' : 'failed'));
    const resultsPath = newPath();
    const controller = new AbortController();
    const first = new FakeExecutor();
    const seen: Evaluated[] = [];
    const run = async () => {
      for await (const result of evaluateSamples(
        optionsOf(first, samplesOf(completions), { resultsPath, signal: controller.signal }),
      )) {
        seen.push(result);
        if (seen.length === 4) controller.abort(new Error('Ctrl-C'));
      }
    };
    await expect(run()).rejects.toThrow('Ctrl-C');
    expect(first.running).toBe(0);
    const done = (await rowsOf(resultsPath)).length;
    expect(done).toBeGreaterThanOrEqual(4);
    expect(done).toBeLessThan(12);

    // A kill in the middle of a row costs that row only.
    await truncate(resultsPath, (await stat(resultsPath)).size - 5);
    const second = new FakeExecutor();
    const results = await all(optionsOf(second, samplesOf(completions), { resultsPath }));
    expect(results).toHaveLength(12);
    expect(results.filter(({ resumed }) => resumed)).toHaveLength(done - 1);
    expect(second.ran).toHaveLength(12 - (done - 1));
    expect((await rowsOf(resultsPath)).map(({ verdict }) => verdict)).toEqual(completions);
    const third = new FakeExecutor();
    expect((await all(optionsOf(third, samplesOf(completions), { resultsPath }))).every(({ resumed }) => resumed)).toBe(
      true,
    );
    expect(third.ran).toEqual([]);
  });

  it('judges again what changed and what met a harness error', async () => {
    const resultsPath = newPath();
    await all(
      optionsOf(new FakeExecutor(), samplesOf(['passed', 'harness error', 'failed', 'passed']), { resultsPath }),
    );
    const again = new FakeExecutor();
    again.verdict = () => 'failed';
    await all(optionsOf(again, samplesOf(['passed', 'harness error', 'failed', 'crashed']), { resultsPath }));
    expect(again.ran.map(({ id }) => id).sort()).toEqual(['HumanEval/0#1', 'HumanEval/0#3']);
    expect((await rowsOf(resultsPath)).map(({ verdict }) => verdict)).toEqual(['passed', 'failed', 'failed', 'failed']);
    const otherLimits = new FakeExecutor();
    await all(optionsOf(otherLimits, samplesOf(['passed']), { resultsPath, limits: { timeLimit: 9, memoryLimit: 1 } }));
    expect(otherLimits.ran).toHaveLength(1);
  });

  it('passes on what the executor throws, after stopping the rest', async () => {
    const executor = new FakeExecutor();
    await expect(
      all(optionsOf(executor, samplesOf(['passed', 'broken', 'passed', 'passed', 'passed']))),
    ).rejects.toThrow('the executor broke');
    expect(executor.running).toBe(0);
  });

  it('stops the work when its results are no longer wanted, or was never to begin', async () => {
    const executor = new FakeExecutor();
    for await (const result of evaluateSamples(optionsOf(executor, samplesOf(Array(20).fill('passed') as string[])))) {
      expect(result.scored.verdict).toBe('passed');
      break;
    }
    expect(executor.running).toBe(0);
    expect(executor.ran.length).toBeLessThan(8);
    await expect(
      all(optionsOf(executor, samplesOf(['passed']), { signal: AbortSignal.abort(new Error('before')) })),
    ).rejects.toThrow('before');
  });

  it('does not wait for a source that hangs when it is stopped', async () => {
    async function* hanging(): AsyncGenerator<SampleRow> {
      yield* samplesOf(['passed']);
      await new Promise(() => undefined);
    }
    const signal = AbortSignal.timeout(100);
    await expect(all(optionsOf(new FakeExecutor(), hanging(), { signal }))).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });
});
