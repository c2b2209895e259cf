/**
 * The E-step of RA3: what became of rollouts of q, as pi judges them, and one update of q by it. With a horizon of one line
 * it is BRiTE's. pi is not touched.
 * Knows nothing of runs, of rounds or of where rollouts are made.
 */
import { UserError } from '../../errors.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import type { StepResult, Trainer } from '../../engine/training/trainer.ts';
import type { Latent } from '../abstractions/latents.ts';
import { type AdvantageSettings, groupAdvantages, returnsOf, type RewardSettings, rewardsOf } from './advantages.ts';
import {
  choiceFigures,
  type ChoiceFigures,
  judged,
  type JudgedRollout,
  policyBatch,
  withReferences,
} from './policyBatch.ts';
import { scoreLines } from './rewards.ts';
import type { NumberedSnippet, RolledSnippet } from './rolledSnippets.ts';
import { type ActionSets, type Rollout, soundLatentsOf } from './rollout.ts';

/** A rollout as pi sees it. [lines] each. */
export interface Outcome {
  readonly rollout: Rollout;
  /** What pi was given: those with a format error are left out. */
  readonly latents: readonly (Latent | null)[];
  readonly thinks: readonly boolean[];
  readonly errors: readonly boolean[];
  /** log pi(a_t | s_t, z_t), and less penalties. */
  readonly logProbabilities: Float64Array;
  readonly rewards: Float64Array;
}

export interface JudgedSnippet extends NumberedSnippet {
  /** log pi(a_t | s_t) of never thinking: next-token prediction. [lines] */
  readonly never: Float64Array;
  readonly outcomes: readonly Outcome[];
}

/**
 * Rewards, all snippets in one pass of pi.
 * @throws UserError when penalties make no sense or pi gives no numbers
 */
export async function judge(
  pi: Trainer,
  tokenizer: Tokenizer,
  rolled: readonly RolledSnippet[],
  settings: RewardSettings,
): Promise<JudgedSnippet[]> {
  const readings = rolled.map(({ snippet, rollouts }) => ({
    snippet,
    read: rollouts.map((rollout) => ({
      latents: soundLatentsOf(rollout),
      thinks: rollout.lines.map(({ latent }) => latent !== null),
      errors: rollout.lines.map(({ latent }) => latent !== null && latent.error !== null),
    })),
  }));
  const scores = await scoreLines(
    pi,
    tokenizer,
    readings.flatMap(({ snippet, read }) => [
      { snippet, latents: snippet.lines.map(() => null) },
      ...read.map(({ latents }) => ({ snippet, latents })),
    ]),
  );
  let at = 0;
  return rolled.map(({ number, snippet, rollouts }, i) => {
    const never = scores[at++]!;
    const outcomes = rollouts.map((rollout, g): Outcome => {
      const read = readings[i]!.read[g]!;
      const logProbabilities = scores[at++]!;
      return { rollout, ...read, logProbabilities, rewards: rewardsOf({ logProbabilities, ...read }, settings) };
    });
    return { number, snippet, never, outcomes };
  });
}

/** Means over rollouts of whole snippets, in nats; shares from 0 to 1. */
export interface RolloutFigures {
  readonly rollouts: number;
  readonly returnWithout: number;
  readonly returnWith: number;
  readonly returnNever: number;
  readonly penalty: number;
  readonly thinkRate: number;
  readonly formatErrors: number;
  readonly latentTokens: number | null;
  readonly distinctLatents: number;
}

export function rolloutFigures(snippets: readonly JudgedSnippet[]): RolloutFigures {
  const total = { rollouts: 0, without: 0, with: 0, never: 0, lines: 0, thinks: 0, errors: 0, tokens: 0 };
  const texts = new Set<Latent>();
  for (const { never, outcomes } of snippets) {
    for (const { rollout, latents, thinks, errors, logProbabilities, rewards } of outcomes) {
      total.rollouts++;
      total.without += sum(logProbabilities);
      total.with += sum(rewards);
      total.never += sum(never);
      total.lines += thinks.length;
      total.thinks += thinks.filter(Boolean).length;
      total.errors += errors.filter(Boolean).length;
      for (const { latent } of rollout.lines) total.tokens += latent?.tokens.length ?? 0;
      for (const latent of latents) if (latent !== null) texts.add(latent);
    }
  }
  const { rollouts, lines, thinks } = total;
  return {
    rollouts,
    returnWithout: total.without / rollouts,
    returnWith: total.with / rollouts,
    returnNever: total.never / rollouts,
    penalty: (total.without - total.with) / rollouts,
    thinkRate: thinks / Math.max(1, lines),
    formatErrors: total.errors / Math.max(1, thinks),
    latentTokens: thinks === 0 ? null : total.tokens / thinks,
    distinctLatents: texts.size,
  };
}

export interface CreditSettings extends AdvantageSettings {
  /** Lines that a return reaches over; Infinity: to the end (RA3). 1: its own line (BRiTE). */
  readonly horizon: number;
}

/** Advantages of all rollouts, and the share of the groups that teach nothing since all their returns are equal. */
export function credit(
  snippets: readonly JudgedSnippet[],
  { horizon, ...settings }: CreditSettings,
): { readonly rollouts: JudgedRollout[]; readonly groupsWithoutSpread: number } {
  let without = 0;
  const rollouts = snippets.flatMap(({ outcomes }) => {
    const returns = outcomes.map(({ rewards }) => returnsOf(rewards, horizon));
    const group = groupAdvantages(
      returns,
      outcomes.map(({ thinks }) => thinks),
      settings,
    );
    if (group.withoutSpread) without++;
    return judged(
      outcomes.map(({ rollout }) => rollout),
      group,
    );
  });
  return { rollouts, groupsWithoutSpread: without / Math.max(1, snippets.length) };
}

/** q, what its KL is taken to, and the sets of tokens that it chooses among. */
export interface Learner {
  readonly q: Trainer;
  /** The model that q began as; null: no KL. */
  readonly base: Trainer | null;
  readonly sets: ActionSets;
}

/**
 * One step of q.
 * @returns null where there is nothing to learn: no rollout chose anything
 * @throws UserError when it gives no numbers; q is as it was then
 */
export async function updateQ(
  { q, base, sets }: Learner,
  rollouts: readonly JudgedRollout[],
): Promise<(ChoiceFigures & Pick<StepResult, 'learningRate' | 'gradientNorm'>) | null> {
  const { length, policy } = q.options;
  let batch = policyBatch(rollouts, sets, length, q.config.vocabularySize);
  const { tokens, sets: chosen } = batch.policy!;
  if (!tokens.active.includes(1) && !chosen.active.includes(1)) return null;
  if (base !== null) batch = withReferences(batch, await base.evaluate(batch));
  const result = await q.step(batch);
  if (!result.updated) {
    throw new UserError(
      `The E-step diverges: its gradients are no numbers any more at a learning rate of ${result.learningRate}. ` +
        'Lower abstractions.learningRate in the config and start again.',
    );
  }
  const { learningRate, gradientNorm } = result;
  return { ...choiceFigures(batch, result, policy!.clip), learningRate, gradientNorm };
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
