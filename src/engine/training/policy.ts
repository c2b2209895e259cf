/**
 * What a policy gradient is made of: at some positions of a batch the model chose something, with an advantage. A choice is
 * the token that follows, or that it is one of a set; where both are there, the set was chosen first and the token is one
 * of it, so that its probability is p(token) / p(set).
 * Knows nothing of where advantages come from.
 */

/** One value a position, row-major [rows * length]. Logarithms are natural. */
export interface ChoiceTerms {
  /** 1 where something was chosen, else 0. */
  readonly active: Float32Array;
  readonly advantages: Float32Array;
  /** log-probability of what was chosen: by the policy that chose it, and by the one that the KL is taken to. */
  readonly behaviours: Float32Array;
  readonly references: Float32Array;
}

export interface PolicyTerms {
  /** The position's target is the token. */
  readonly tokens: ChoiceTerms;
  readonly sets: ChoiceTerms;
  /** Of each position, an index into `masks`; 0 where no set was chosen. */
  readonly setIds: Int32Array;
  /** [sets, vocabulary]: 1 for each token of the set, else 0. The first one is all tokens. */
  readonly masks: Float32Array;
}

export interface PolicySettings {
  /** epsilon of PPO's clipped surrogate (Schulman et al., arXiv 1707.06347, eq. 7). */
  readonly clip: number;
  /** Weight of the KL to the reference, as GRPO estimates it (Shao et al., arXiv 2402.03300, eq. 4). */
  readonly kl: number;
  /** Weight of a bonus for entropy, estimated by what was chosen. */
  readonly entropy: number;
}

export const CHOICE_TERMS = [
  'active',
  'advantages',
  'behaviours',
  'references',
] as const satisfies (keyof ChoiceTerms)[];

/** Nothing was chosen. @param size positions */
export function noPolicy(size: number, vocabulary: number): PolicyTerms {
  return {
    tokens: emptyChoices(size),
    sets: emptyChoices(size),
    setIds: new Int32Array(size),
    masks: new Float32Array(vocabulary).fill(1),
  };
}

export function emptyChoices(size: number): ChoiceTerms {
  return {
    active: new Float32Array(size),
    advantages: new Float32Array(size),
    behaviours: new Float32Array(size),
    references: new Float32Array(size),
  };
}

/** `count` positions from `first` on, put into `size`; what is beyond the end is inactive. */
export function slicePolicy(policy: PolicyTerms, first: number, count: number, size: number): PolicyTerms {
  const cut = (terms: ChoiceTerms): ChoiceTerms => {
    const result = emptyChoices(size);
    for (const term of CHOICE_TERMS) result[term].set(terms[term].subarray(first, first + count));
    return result;
  };
  const setIds = new Int32Array(size);
  setIds.set(policy.setIds.subarray(first, first + count));
  return { tokens: cut(policy.tokens), sets: cut(policy.sets), setIds, masks: policy.masks };
}
