/**
 * Rollouts as a batch for the trainer of q: the choices of each (think or act, tokens of a latent, its end) with their
 * advantages. The decision has one advantage, all of the latent's text another.
 * Knows nothing of rewards.
 */
import { type Batch, packRows, placesOf } from '../../engine/training/batch.ts';
import { type ChoiceTerms, emptyChoices } from '../../engine/training/policy.ts';
import type { GroupAdvantages } from './advantages.ts';
import type { ActionSets, Choice, Rollout, SetChoice } from './rollout.ts';

/** A rollout with its advantages, [lines] each. */
export interface JudgedRollout {
  readonly rollout: Rollout;
  readonly decisions: ArrayLike<number>;
  readonly latents: ArrayLike<number>;
}

/** Advantages of a group, by its rollouts. */
export function judged(rollouts: readonly Rollout[], { decisions, latents }: GroupAdvantages): JudgedRollout[] {
  return rollouts.map((rollout, g) => ({ rollout, decisions: decisions[g]!, latents: latents[g]! }));
}

/**
 * Rows of `length` tokens in which no token is a target but what was chosen. References are the behaviours until
 * `withReferences`.
 * @param vocabulary of the model, which may be larger than the tokenizer's
 * @throws RangeError when a rollout is longer than a row
 */
export function policyBatch(
  rollouts: readonly JudgedRollout[],
  sets: ActionSets,
  length: number,
  vocabulary: number,
): Batch {
  const sequences = rollouts.map(({ rollout: { ids } }) => ({ ids, weights: new Float32Array(ids.length) }));
  const batch = packRows(sequences, length);
  const places = placesOf(
    sequences.map(({ ids }) => ids.length),
    length,
  );
  const size = batch.rows * length;
  const tokens = emptyChoices(size);
  const ofSets = emptyChoices(size);
  const setIds = new Int32Array(size);
  const names = ['']; // the first one is all tokens
  const put = (terms: ChoiceTerms, at: number, advantage: number, logProbability: number): void => {
    terms.active[at] = 1;
    terms.advantages[at] = advantage;
    terms.behaviours[at] = logProbability;
    terms.references[at] = logProbability;
  };
  const putSet = (at: number, choice: SetChoice, advantage: number): void => {
    if (!names.includes(choice.set)) names.push(choice.set);
    setIds[at] = names.indexOf(choice.set);
    put(ofSets, at, advantage, choice.logProbability);
  };
  rollouts.forEach(({ rollout, decisions, latents }, i) => {
    const before = (choice: Choice): number => places[i]! + choice.position - 1; // which predicts it
    rollout.lines.forEach(({ decision, latent }, t) => {
      if (decision !== null) putSet(before(decision), decision, decisions[t]!);
      latent?.tokens.forEach((token, k) => {
        // Of the first one only which token it is, given that the model thinks.
        const given = k === 0 ? decision!.logProbability : 0;
        put(tokens, before(token), latents[t]!, token.logProbability - given);
      });
      if (latent !== null && latent.end !== null) putSet(before(latent.end), latent.end, latents[t]!);
    });
  });
  const masks = new Float32Array(names.length * vocabulary).fill(1, 0, vocabulary);
  names.slice(1).forEach((name, i) => {
    sets.mask(name, masks.subarray((i + 1) * vocabulary, (i + 2) * vocabulary));
  });
  return { ...batch, policy: { tokens, sets: ofSets, setIds, masks } };
}

/** log-probabilities of the choices by another model, from what its trainer says of the batch. */
export interface ChoiceLosses {
  readonly tokenLosses: Float32Array;
  readonly setLosses: Float32Array | null;
}

/** The batch with what this model says of its choices as their references. */
export function withReferences(batch: Batch, { tokenLosses, setLosses }: ChoiceLosses): Batch {
  const { tokens, sets, ...rest } = batch.policy!;
  return {
    ...batch,
    policy: {
      ...rest,
      tokens: { ...tokens, references: tokenLosses.map((loss, i) => setLosses![i]! - loss) },
      sets: { ...sets, references: setLosses!.map((loss) => -loss) },
    },
  };
}

export interface ChoiceFigures {
  /** Choices, and means over them: of KL(q || reference) (the estimate exp(d) - d - 1), of -log q, and the share that was clipped. */
  readonly choices: number;
  readonly kl: number;
  readonly entropy: number;
  readonly clipped: number;
}

/** What became of the choices, from what q said of them in its step. @param clip epsilon */
export function choiceFigures(
  { policy }: Batch,
  { tokenLosses, setLosses }: ChoiceLosses,
  clip: number,
): ChoiceFigures {
  const sum = { choices: 0, kl: 0, entropy: 0, clipped: 0 };
  const add = (terms: ChoiceTerms, i: number, logProbability: number): void => {
    if (terms.active[i] === 0) return;
    const difference = terms.references[i]! - logProbability;
    const ratio = Math.exp(logProbability - terms.behaviours[i]!);
    const advantage = terms.advantages[i]!;
    sum.choices++;
    sum.kl += Math.exp(difference) - difference - 1;
    sum.entropy -= logProbability;
    if ((advantage > 0 && ratio > 1 + clip) || (advantage < 0 && ratio < 1 - clip)) sum.clipped++;
  };
  const { tokens, sets } = policy!;
  for (let i = 0; i < tokens.active.length; i++) {
    add(tokens, i, setLosses![i]! - tokenLosses[i]!);
    add(sets, i, -setLosses![i]!);
  }
  const mean = (value: number): number => value / Math.max(1, sum.choices);
  return { choices: sum.choices, kl: mean(sum.kl), entropy: mean(sum.entropy), clipped: mean(sum.clipped) };
}
