/**
 * The starter benchmark: 150 functions of several small steps in HumanEval's form, held out from the starter corpus. It
 * comes with the program; midtraining/starter says how it is made.
 */
import type { BenchmarkDefinition } from './benchmark.ts';
import { humanEvalRows } from './humaneval.ts';

export const starter: BenchmarkDefinition = {
  id: 'starter',
  title: 'Starter',
  size: 150,
  selections: { test: () => true, all: () => true },
  toProblem: humanEvalRows('starter', /^Starter\/\d+$/),
};
