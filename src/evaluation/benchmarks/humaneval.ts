/**
 * HumanEval (Chen et al. 2021, MIT licence): 164 function heads with docstrings, each with a `check(candidate)`.
 * Reads `HumanEval.jsonl` as openai/human-eval ships it; further fields are ignored.
 */
import * as v from 'valibot';
import { type BenchmarkDefinition, rowParser } from './benchmark.ts';

const parseRow = rowParser(
  v.object({
    task_id: v.pipe(v.string(), v.regex(/^HumanEval\/\d+$/)),
    prompt: v.pipe(v.string(), v.nonEmpty()),
    entry_point: v.pipe(v.string(), v.regex(/^[A-Za-z_]\w*$/)),
    canonical_solution: v.string(),
    test: v.pipe(v.string(), v.nonEmpty()),
  }),
);

export const humaneval: BenchmarkDefinition = {
  id: 'humaneval',
  title: 'HumanEval',
  size: 164,
  selections: { test: () => true, all: () => true },
  toProblem(value) {
    const row = parseRow(value);
    return {
      taskId: row.task_id,
      benchmark: 'humaneval',
      prompt: row.prompt,
      entryPoint: row.entry_point,
      canonicalSolution: row.canonical_solution,
      testSetup: '',
      tests: [row.test],
    };
  },
};
