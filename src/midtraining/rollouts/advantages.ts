/**
 * From what pi says of the lines to the advantages that q is trained by: rewards, returns over a horizon, baselines among
 * the rollouts of a snippet. Pure functions of numbers; t is a line of the snippet, g one of its G rollouts.
 */
import { UserError } from '../../errors.ts';

/** What became of a rollout's lines, in nats. */
export interface RolloutOutcome {
  /** log pi(a_t | s_t, z_t) for each line t. */
  readonly logProbabilities: ArrayLike<number>;
  /** Did it think at line t? */
  readonly thinks: readonly boolean[];
  /** Is the latent of line t a format error? */
  readonly errors: readonly boolean[];
}

export interface RewardSettings {
  /** c: paid for each thought, in nats. 0 or more. */
  readonly thinkPenalty: number;
  /** Paid for each format error besides. 0 or more. */
  readonly formatPenalty: number;
}

/**
 * r_t = log pi(a_t | s_t, z_t) - c 1[think at t] - f 1[format error at t].
 * As c grows without bound thinking never pays: what is left is next-token prediction.
 * @throws UserError when a penalty is no number from 0 on, or a log-probability is no number
 */
export function rewardsOf(
  { logProbabilities, thinks, errors }: RolloutOutcome,
  { thinkPenalty, formatPenalty }: RewardSettings,
): Float64Array {
  for (const [name, penalty] of [
    ['think penalty', thinkPenalty],
    ['format penalty', formatPenalty],
  ] as const) {
    if (!(penalty >= 0 && penalty < Infinity)) {
      throw new UserError(`The ${name} is ${penalty}. Give 0 or more; to never think, use the method ntp.`);
    }
  }
  return Float64Array.from(logProbabilities, (logProbability, t) => {
    if (!Number.isFinite(logProbability)) {
      throw new UserError(
        `The model gives line ${t + 1} the log-probability ${logProbability}. Its weights are broken; go back to an earlier checkpoint.`,
      );
    }
    return logProbability - (thinks[t] === true ? thinkPenalty : 0) - (errors[t] === true ? formatPenalty : 0);
  });
}

/**
 * R_t = sum of r_k for k from t to min(t + H, T) - 1. H = Infinity: to the end of the snippet (RA3), which makes latents
 * consistent in time. H = 1: R_t = r_t, each latent is judged by its own line (BRiTE).
 * @param horizon H, a whole number from 1 on, or Infinity
 */
export function returnsOf(rewards: ArrayLike<number>, horizon: number): Float64Array {
  if (!(horizon >= 1 && (Number.isInteger(horizon) || horizon === Infinity))) {
    throw new UserError(
      `The horizon of returns is ${horizon} lines. Give 1 or more, or Infinity for the whole snippet.`,
    );
  }
  const returns = new Float64Array(rewards.length);
  if (horizon === Infinity) {
    let sum = 0;
    for (let t = rewards.length - 1; t >= 0; t--) returns[t] = sum += rewards[t]!;
    return returns;
  }
  // Each sum by itself, since a running one would carry the rounding of all rewards before.
  for (let t = 0; t < rewards.length; t++) {
    for (let k = t; k < Math.min(t + horizon, rewards.length); k++) returns[t]! += rewards[k]!;
  }
  return returns;
}

/**
 * `mean`: b = mean of R over the group (GRPO). `leaveOneOut`: b_g = mean over the others, which does not depend on what is
 * judged (RLOO); G / (G - 1) times the advantage of `mean`.
 */
export type Baseline = 'mean' | 'leaveOneOut';

export interface AdvantageSettings {
  readonly baseline: Baseline;
  /** Divide by the standard deviation of the group (with G in the denominator), as GRPO does. */
  readonly normalise: boolean;
}

export interface GroupAdvantages {
  /** A^d_{g,t} of the decision: R_{g,t} - b over all G rollouts at line t. [G][T] */
  readonly decisions: readonly Float64Array[];
  /** A^z_{g,t} of the latent's text: R_{g,t} - b over those rollouts that think at line t; 0 where this one does not. [G][T] */
  readonly latents: readonly Float64Array[];
  /** Lines at which all G returns are equal, so that nothing is learned there. */
  readonly linesWithoutSpread: number;
  /** True where that holds of every line: the group teaches nothing. */
  readonly withoutSpread: boolean;
}

/**
 * Advantages of one snippet's rollouts. The decision and the latent's text have baselines of their own: a thought is judged
 * beside the other thoughts at its line, not beside not thinking.
 * @param returns [G][T], one row a rollout
 * @param thinks [G][T]
 */
export function groupAdvantages(
  returns: readonly ArrayLike<number>[],
  thinks: readonly (readonly boolean[])[],
  settings: AdvantageSettings,
): GroupAdvantages {
  const lines = returns[0]?.length ?? 0;
  const decisions = returns.map(() => new Float64Array(lines));
  const latents = returns.map(() => new Float64Array(lines));
  let linesWithoutSpread = 0;
  for (let t = 0; t < lines; t++) {
    const all = returns.map((row) => row[t]!);
    if (all.every((value) => value === all[0])) linesWithoutSpread++;
    advantages(all, settings).forEach((value, g) => (decisions[g]![t] = value));
    const thinkers = returns.flatMap((_, g) => (thinks[g]![t] === true ? [g] : []));
    advantages(
      thinkers.map((g) => all[g]!),
      settings,
    ).forEach((value, i) => (latents[thinkers[i]!]![t] = value));
  }
  return { decisions, latents, linesWithoutSpread, withoutSpread: linesWithoutSpread === lines };
}

/** A_g = R_g - b_g, over the standard deviation where wanted; all 0 where the values are equal, or there is just one. */
function advantages(values: readonly number[], { baseline, normalise }: AdvantageSettings): number[] {
  const count = values.length;
  if (values.every((value) => value === values[0])) return values.map(() => 0);
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count);
  const scale = (baseline === 'leaveOneOut' ? count / (count - 1) : 1) / (normalise ? deviation : 1);
  return values.map((value) => (value - mean) * scale);
}
