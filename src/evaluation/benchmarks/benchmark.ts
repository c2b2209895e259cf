/**
 * What a benchmark is to the rest of the program, and how its file is loaded: rows are validated, put into one form, and
 * the file's hashes kept. Each benchmark is one definition in a file beside this one.
 * Knows nothing of where a file comes from, of prompts or of running programs.
 */
import * as v from 'valibot';
import { UserError } from '../../errors.ts';
import { JsonLinesReader } from '../jsonl.ts';
import type { BenchmarkId, Problem } from '../types.ts';

/** One benchmark: the shape of its rows, and how a row becomes a problem. */
export interface BenchmarkDefinition {
  readonly id: BenchmarkId;
  readonly title: string;
  /** Problems in the complete file. */
  readonly size: number;
  /** Named parts by the number in the task's id. Every benchmark has `test`, what a model is scored on, and `all`. */
  readonly selections: Readonly<Record<string, (number: number) => boolean>>;
  /** @throws RowError that says which field is wrong */
  toProblem(row: unknown): Problem;
}

/** A data set in memory. */
export interface Benchmark {
  readonly definition: BenchmarkDefinition;
  readonly path: string;
  /** In the file's order. */
  readonly problems: readonly Problem[];
  /** SHA-256 of the file as stored, and of its unpacked content (the same for a file and its gzip form). Hexadecimal. */
  readonly fileSha256: string;
  readonly contentSha256: string;
}

/** A row that is not what the benchmark's file should hold; the loader adds file and line. */
export class RowError extends Error {
  override readonly name = 'RowError';
}

/** Makes a row's validator out of its schema. The message names the task (where the row says it) and every bad field. */
export function rowParser<Output>(schema: v.GenericSchema<unknown, Output>): (row: unknown) => Output {
  return (row) => {
    const result = v.safeParse(schema, row);
    if (result.success) return result.output;
    const complaints = result.issues.map((issue) => {
      const field = v.getDotPath(issue);
      if (field === null) return `a row must be an object, this one is ${issue.received}`;
      return issue.received === 'undefined'
        ? `the field "${field}" is missing`
        : `the field "${field}" must be ${issue.expected ?? 'otherwise'}, it is ${shorten(issue.received)}`;
    });
    throw new RowError(complaints.join('; '));
  };
}

/**
 * Loads a benchmark's file, plain or gzip.
 * @throws UserError naming file, line, task and field: not there, cut, a row without a field, a task twice, no rows.
 */
export async function loadBenchmarkFile(definition: BenchmarkDefinition, path: string): Promise<Benchmark> {
  const reader = new JsonLinesReader(path);
  const problems: Problem[] = [];
  const lineOfTask = new Map<string, number>();
  for await (const { line, value } of reader) {
    let problem;
    try {
      problem = definition.toProblem(value);
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      throw new UserError(
        `${path}, line ${line}${taskOf(value)}: ${error.message}. Is this the ${definition.title} data set?`,
      );
    }
    const earlier = lineOfTask.get(problem.taskId);
    if (earlier !== undefined) {
      throw new UserError(
        `${path}, line ${line}: the task ${problem.taskId} is already on line ${earlier}. Remove one of them.`,
      );
    }
    lineOfTask.set(problem.taskId, line);
    problems.push(problem);
  }
  if (problems.length === 0) throw new UserError(`${path}: no rows. Is this the ${definition.title} data set?`);
  const { fileSha256, contentSha256 } = reader.end;
  return { definition, path, problems, fileSha256, contentSha256 };
}

/**
 * The problems of a named selection, in the file's order.
 * @throws UserError for a name the benchmark does not have
 */
export function selectProblems(benchmark: Benchmark, selection = 'test'): readonly Problem[] {
  const { selections, title } = benchmark.definition;
  const holds = Object.hasOwn(selections, selection) ? selections[selection] : undefined;
  if (holds === undefined) {
    throw new UserError(`${title} has no selection "${selection}". There are: ${Object.keys(selections).join(', ')}.`);
  }
  return benchmark.problems.filter((problem) => holds(Number(problem.taskId.split('/')[1])));
}

function taskOf(row: unknown): string {
  const parsed = v.safeParse(v.object({ task_id: v.union([v.string(), v.number()]) }), row);
  return parsed.success ? ` (task ${shorten(String(parsed.output.task_id))})` : '';
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
