/**
 * Two evaluations of the same problems, compared problem by problem. Reads files of results; runs nothing.
 */
import { UserError } from '../errors.ts';
import { comparePaired, type Comparison, type Estimate, estimatePassAtK, type ProblemCount } from './passAtK.ts';
import { readResults, sampleKey } from './sampleFiles.ts';

/** Outcomes by task; samples with a harness error are left out. */
export type Counts = ReadonlyMap<string, ProblemCount>;

export interface ComparedResults {
  /** pass@1 of each on the problems that both have. */
  readonly a: Estimate;
  readonly b: Estimate;
  readonly comparison: Comparison;
  /** Problems that both have, and those that one has alone. */
  readonly problems: number;
  readonly onlyOne: number;
}

/** Reads a results file. Where a sample comes twice the later row holds. @throws UserError naming file and line */
export async function readCounts(path: string): Promise<Counts> {
  const verdicts = new Map<string, { readonly taskId: string; readonly passed: boolean }>();
  for await (const { scored } of readResults(path)) {
    const { taskId, sample, verdict } = scored;
    if (verdict !== 'harness error') verdicts.set(sampleKey(taskId, sample), { taskId, passed: verdict === 'passed' });
  }
  const counts = new Map<string, ProblemCount>();
  for (const { taskId, passed } of verdicts.values()) {
    const { samples, correct } = counts.get(taskId) ?? { samples: 0, correct: 0 };
    counts.set(taskId, { samples: samples + 1, correct: correct + Number(passed) });
  }
  return counts;
}

/** @throws UserError when they have no problem in common */
export function compareResults(a: Counts, b: Counts): ComparedResults {
  const both = [...a.keys()].filter((taskId) => b.has(taskId));
  if (both.length === 0) {
    throw new UserError(
      'The two have no problem in common, so there is nothing to compare. Name two runs of one benchmark.',
    );
  }
  const [ofA, ofB] = [a, b].map((counts) => both.map((taskId) => counts.get(taskId)!)) as [
    ProblemCount[],
    ProblemCount[],
  ];
  const rates = (counts: readonly ProblemCount[]): number[] => counts.map(({ samples, correct }) => correct / samples);
  return {
    a: estimatePassAtK(ofA, 1)!,
    b: estimatePassAtK(ofB, 1)!,
    comparison: comparePaired(rates(ofA), rates(ofB)),
    problems: both.length,
    onlyOne: a.size + b.size - 2 * both.length,
  };
}
