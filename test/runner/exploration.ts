/**
 * Events of a made-up RA3 training, as a runner would tell them: q learns to think where it pays, the model's losses fall.
 * For tests of what reads and shows them.
 */
import type { EStepEvent, EventBody, RolloutEvent } from '../../src/runner/events.ts';

/** From -0.5 to 0.5, the same for the same numbers. */
function jitter(n: number, seed: number): number {
  const noise = Math.sin(12.9898 * (n + 31 * seed)) * 43758.5453;
  return noise - Math.floor(noise) - 0.5;
}

/** @param update of how many, from 1 */
export function eStepOf(update: number, updates: number, more: Partial<EStepEvent> = {}, seed = 0): EStepEvent {
  const done = update / updates;
  const noise = (n: number): number => jitter(update + 1000 * n, seed);
  const never = -62 + 9 * noise(1); // of the snippets at hand
  const thinkRate = 0.1 + 0.28 * done + 0.03 * noise(2);
  const without = never - 2 + 7.5 * (1 - Math.exp(-3 * done)) + 1.2 * noise(3);
  const penalty = 0.05 * 14 * thinkRate;
  const held = -60 + 6 * (1 - Math.exp(-3 * done)) - 2;
  return {
    ...{ type: 'e-step', update, step: 0, round: 1 },
    ...{ returnWithout: without, returnWith: without - penalty - 0.3 * (1 - done), returnNever: never },
    ...{ penalty, thinkPenalty: 0.05, thinkRate },
    formatErrors: 0.3 * (1 - done) ** 2 + 0.01,
    groupsWithoutSpread: Math.max(0, 0.1 + 0.1 * noise(4)),
    clipped: Math.max(0, 0.04 + 0.04 * noise(5)),
    latentTokens: 9 - 3 * done + noise(6),
    distinctLatents: Math.round(120 - 60 * done + 8 * noise(7)),
    kl: 0.002 + 0.06 * done + 0.004 * noise(8),
    entropy: 1.4 - 0.6 * done + 0.05 * noise(9),
    ...{ staleness: Math.max(0, 0.8 + 0.5 * noise(10)), rollouts: 128, rolloutsPerSecond: 42 + 6 * noise(11) },
    ...{ learningRate: 6e-5, gradientNorm: 0.9 + 0.5 * noise(12) },
    ...(update % 5 === 0
      ? { heldOut: { returnWithout: held + 0.6, returnWith: held, returnNever: -60, thinkRate: thinkRate - 0.01 } }
      : {}),
    ...more,
  };
}

const PROGRAM: readonly (readonly [code: string, latent: string | null])[] = [
  ['def running_total(values):', null],
  ['    """ Sums up to each value. """', null],
  ['    totals = []', '    # where the sums go'],
  ['    total = 0', null],
  ['    for value in values:', '    # add each value'],
  ['        total += value', null],
  ['        totals.append(\n            total\n        )', '        # keep the sum <b>so far</b> 合計 🧮'],
  ['    return totals', null],
];

/** A group of rollouts of one snippet: each thinks on other lines. @param lines of the snippet; the program again and again */
export function groupOf(update: number, snippet: number, size: number, lines = PROGRAM.length): RolloutEvent[] {
  return Array.from({ length: size }, (_, index) => {
    const told = Array.from({ length: lines }, (_line, n): RolloutEvent['lines'][number] => {
      const [code, latent] = PROGRAM[n % PROGRAM.length]!;
      const noise = jitter(97 * update + 13 * n + index, snippet);
      const thinks = latent !== null && jitter(n + 7 * index, update) > -0.2;
      const error = thinks && index === 1 && n === 4 ? 'It does not end within 24 tokens.' : null;
      const without = -2.5 + 2 * noise;
      return {
        code,
        latent: thinks ? latent : null,
        thinkProbability: n === 1 ? null : Math.min(1, Math.max(0, 0.3 + noise + (thinks ? 0.4 : -0.2))),
        reward: without + (thinks ? 0.8 + 2 * noise : 0.1 * noise) - (error === null ? 0 : 1),
        without,
        error,
      };
    });
    const sum = (of: 'reward' | 'without'): number => told.reduce((total, line) => total + line[of], 0);
    return {
      ...{ type: 'rollout', update, snippet, index, lines: told },
      returnWith: sum('reward'),
      returnNever: sum('without'),
    };
  });
}

export interface Exploration {
  readonly rounds: number;
  readonly eUpdates: number;
  readonly mSteps: number;
  /** Rollouts of a group; two groups are told for every fifth update. */
  readonly groupSize?: number;
  readonly seed?: number;
}

/** Rounds of E- and M-step, without the launch before them and the end behind them. */
export function explored({ rounds, eUpdates, mSteps, groupSize = 4, seed = 0 }: Exploration): EventBody[] {
  const events: EventBody[] = [];
  const steps = rounds * mSteps;
  for (let round = 1; round <= rounds; round += 1) {
    events.push({ type: 'phase', phase: 'explore' });
    for (let n = 1; n <= eUpdates; n += 1) {
      const update = (round - 1) * eUpdates + n;
      const told =
        update % 5 === 0 ? [groupOf(update, 3 * update, groupSize), groupOf(update, 3 * update + 1, groupSize)] : [];
      events.push(...told.flat(), eStepOf(update, rounds * eUpdates, { round, step: (round - 1) * mSteps }, seed));
    }
    events.push({ type: 'phase', phase: 'train' });
    for (let n = 1; n <= mSteps; n += 1) {
      const step = (round - 1) * mSteps + n;
      const loss = 1.2 + 2.4 * Math.exp((-4 * step) / steps) + 0.3 * jitter(step, seed);
      events.push({
        ...{ type: 'metric', step, steps, loss, codeLoss: loss - 0.15, latentLoss: loss + 0.7 - (0.4 * step) / steps },
        ...{ learningRate: 1e-3 * (1 - (0.9 * step) / steps), gradientNorm: 0.8 + 0.4 * jitter(step, seed + 1) },
        ...{ heldOutLoss: n === mSteps ? loss + 0.1 : null, tokens: 1024 * step, tokensPerSecond: 900 },
        memory: 1.2e9,
      });
    }
  }
  return events;
}
