/**
 * MBPP (Austin et al. 2021, CC-BY-4.0): 974 sentences, each with a reference program and assert statements.
 * Reads `mbpp.jsonl` as google-research ships it; further fields are ignored. The challenge tests are not part of the score.
 */
import * as v from 'valibot';
import { type BenchmarkDefinition, RowError, rowParser } from './benchmark.ts';

const parseRow = rowParser(
  v.object({
    task_id: v.pipe(v.number(), v.integer(), v.minValue(0)),
    text: v.pipe(v.string(), v.nonEmpty()),
    code: v.pipe(v.string(), v.nonEmpty()),
    test_setup_code: v.string(),
    test_list: v.pipe(v.array(v.string()), v.minLength(1)),
  }),
);

/** The paper's split: 1-10 for prompts, 11-510 for scores, the rest for validation and training. */
export const mbpp: BenchmarkDefinition = {
  id: 'mbpp',
  title: 'MBPP',
  size: 974,
  selections: {
    test: (number) => number >= 11 && number <= 510,
    prompt: (number) => number >= 1 && number <= 10,
    validation: (number) => number >= 511 && number <= 600,
    train: (number) => number >= 601 && number <= 974,
    all: () => true,
  },
  toProblem(value) {
    const row = parseRow(value);
    return {
      taskId: `Mbpp/${row.task_id}`,
      benchmark: 'mbpp',
      prompt: row.text,
      entryPoint: entryPointOf(row.code, row.test_list),
      canonicalSolution: row.code,
      testSetup: row.test_setup_code,
      tests: row.test_list,
    };
  },
};

/**
 * The function under test, which MBPP does not name: the first thing called in the tests that the reference program defines
 * at its top level. A test may wrap the call (`assert set(f(x)) == …`), and a program may define helpers that no test calls.
 */
function entryPointOf(code: string, tests: readonly string[]): string {
  const defined = new Set(
    Array.from(code.matchAll(/^(?:async +)?(?:def|class) +([A-Za-z_]\w*)/gm), (match) => match[1]!),
  );
  for (const test of tests) {
    for (const [, name] of test.matchAll(/([A-Za-z_]\w*) *\(/g)) if (defined.has(name!)) return name!;
  }
  throw new RowError('no function of the field "code" is called in the field "test_list"');
}
