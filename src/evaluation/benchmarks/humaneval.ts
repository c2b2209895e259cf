/**
 * HumanEval (Chen et al. 2021, MIT licence): 164 function heads with docstrings, each with a `check(candidate)`.
 * Reads `HumanEval.jsonl` as openai/human-eval ships it; further fields are ignored.
 */
import * as v from 'valibot';
import type { BenchmarkId, Problem } from '../types.ts';
import { type BenchmarkDefinition, rowParser } from './benchmark.ts';

/** Reads rows of HumanEval's form. @param taskId what their tasks are called */
export function humanEvalRows(benchmark: BenchmarkId, taskId: RegExp): (row: unknown) => Problem {
  const parseRow = rowParser(
    v.object({
      task_id: v.pipe(v.string(), v.regex(taskId)),
      prompt: v.pipe(v.string(), v.nonEmpty()),
      entry_point: v.pipe(v.string(), v.regex(/^[A-Za-z_]\w*$/)),
      canonical_solution: v.string(),
      test: v.pipe(v.string(), v.nonEmpty()),
    }),
  );
  return (value) => {
    const row = parseRow(value);
    return {
      taskId: row.task_id,
      benchmark,
      prompt: row.prompt,
      entryPoint: row.entry_point,
      canonicalSolution: row.canonical_solution,
      testSetup: '',
      tests: [row.test],
    };
  };
}

export const humaneval: BenchmarkDefinition = {
  id: 'humaneval',
  title: 'HumanEval',
  size: 164,
  selections: { test: () => true, all: () => true },
  toProblem: humanEvalRows('humaneval', /^HumanEval\/\d+$/),
};
