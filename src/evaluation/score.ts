/**
 * From judged samples to a score: verdict counts, pass@k with its interval, and whether the score is final.
 * Pure; knows nothing of files, models or executors.
 */
import { type BootstrapSettings, estimatePassAtK, type Estimate, type ProblemCount } from './passAtK.ts';
import type { Verdict } from './types.ts';

export const SCORED_KS = [1, 10, 100] as const;

export interface PassAtK extends Estimate {
  readonly k: number;
}

export interface Score {
  readonly verdicts: Readonly<Record<Verdict, number>>;
  /** For each k of 1, 10, 100 of which every judged problem has enough samples. Empty where nothing was judged. */
  readonly passAtK: readonly PassAtK[];
  /** Problems with at least one sample that passed. */
  readonly solved: number;
  /** Problems with at least one judged sample; those asked for; those of the whole benchmark. */
  readonly problems: number;
  readonly problemsAsked: number;
  readonly problemsOfBenchmark: number;
  /** Samples judged, harness errors left out. */
  readonly samples: number;
  /** No harness error, and every problem asked for has all its samples judged. */
  readonly final: boolean;
  /** Why it is not final, in plain words; '' where it is. */
  readonly whyNotFinal: string;
}

export interface ScoreInput {
  /** Ids of the tasks that were to be judged. */
  readonly asked: readonly string[];
  /** Samples that were to be judged of each; 1 unless told. */
  readonly samplesAsked?: number;
  readonly problemsOfBenchmark: number;
  /** One for each sample; of tasks outside `asked` they are left out. */
  readonly results: Iterable<{ readonly taskId: string; readonly verdict: Verdict }>;
  readonly bootstrap?: BootstrapSettings;
}

/** Adds results up. A harness error is no failure: its sample does not count, and the score is not final. */
export function score(input: ScoreInput): Score {
  const { asked, samplesAsked = 1, problemsOfBenchmark } = input;
  const verdicts: Record<Verdict, number> = {
    passed: 0,
    failed: 0,
    'timed out': 0,
    crashed: 0,
    'out of memory': 0,
    'harness error': 0,
  };
  const counts = new Map(asked.map((taskId) => [taskId, { samples: 0, correct: 0 }]));
  for (const { taskId, verdict } of input.results) {
    const tally = counts.get(taskId);
    if (tally === undefined) continue;
    verdicts[verdict] += 1;
    if (verdict === 'harness error') continue;
    tally.samples += 1;
    if (verdict === 'passed') tally.correct += 1;
  }
  const judged: ProblemCount[] = [...counts.values()].filter(({ samples }) => samples > 0);
  const passAtK = SCORED_KS.flatMap((k) => {
    const estimate = estimatePassAtK(judged, k, input.bootstrap);
    return estimate === null ? [] : [{ k, ...estimate }];
  });

  const unfinished = [...counts.values()].filter(({ samples }) => samples < samplesAsked).length;
  const errors = verdicts['harness error'];
  const whyNotFinal = [
    ...(errors > 0 ? [`${count(errors, 'sample')} met a harness error`] : []),
    ...(unfinished > 0 ? [`${count(unfinished, 'problem')} of ${asked.length} not fully judged`] : []),
  ].join('; ');
  return {
    verdicts,
    passAtK,
    solved: judged.filter(({ correct }) => correct > 0).length,
    problems: judged.length,
    problemsAsked: asked.length,
    problemsOfBenchmark,
    samples: judged.reduce((sum, { samples }) => sum + samples, 0),
    final: whyNotFinal === '',
    whyNotFinal,
  };
}

/**
 * The score in lines for people, the first one `pass@1 = 4.3 % (95 % interval 2.1 to 8.6 %), 7 of 164 problems`. A part of a
 * benchmark is labelled: `…, 7 of 64 problems (partial: 64 of 164)`.
 */
export function formatScore(scored: Score): string {
  const { passAtK, problems, problemsOfBenchmark, solved, whyNotFinal } = scored;
  const partial = problems < problemsOfBenchmark ? ` (partial: ${problems} of ${problemsOfBenchmark})` : '';
  const lines = passAtK.map(({ k, value, low, high }) => {
    const figure = `pass@${k} = ${percent(value)} % (95 % interval ${percent(low)} to ${percent(high)} %)`;
    return k === 1 ? `${figure}, ${solved} of ${problems} problems${partial}` : figure;
  });
  if (lines.length === 0) lines.push(`no score: nothing was judged of ${count(problemsOfBenchmark, 'problem')}`);
  if (whyNotFinal !== '') lines.push(`not final: ${whyNotFinal}`);
  return lines.join('\n');
}

/** `passed 7, failed 150, timed out 7`: the verdicts there were. */
export function formatVerdicts(verdicts: Score['verdicts']): string {
  return Object.entries(verdicts)
    .filter(([, number]) => number > 0)
    .map(([verdict, number]) => `${verdict} ${number}`)
    .join(', ');
}

function percent(fraction: number): string {
  return (100 * fraction).toFixed(1);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
