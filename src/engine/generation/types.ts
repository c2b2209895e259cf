/**
 * What one asks of a generator and what comes back. Plain data: no ONNX, no tokenizer.
 */

/** How the next token is chosen. `temperature` 0 is greedy; then the other three do nothing. */
export interface SamplingSettings {
  readonly temperature: number;
  /** Nucleus: smallest set whose probability reaches this; 1 is off. */
  readonly topP: number;
  /** Only the k likeliest; 0 is off. */
  readonly topK: number;
  /** Only tokens with at least this share of the likeliest one's probability; 0 is off. */
  readonly minP: number;
}

export interface GenerationRequest extends SamplingSettings {
  /** Chosen by the caller; comes back with each completion. */
  readonly id: string;
  /** Token ids, BOS included where the model wants one. */
  readonly prompt: readonly number[];
  /** Indices of the samples wanted (a resumed run asks only for those it lacks). Each has its own seed, `seed` and the index mixed. */
  readonly samples: readonly number[];
  readonly maxTokens: number;
  readonly seed: number;
  /** Generation ends before the first of these; found across token borders. */
  readonly stop: readonly string[];
}

export interface TokenAlternative {
  readonly id: number;
  readonly text: string;
  /** Natural logarithm of the model's probability at temperature 1. */
  readonly logProbability: number;
}

export interface GeneratedToken extends TokenAlternative {
  /** Entropy of the whole distribution at temperature 1, in nats. */
  readonly entropy: number;
  /** The five likeliest, likeliest first. */
  readonly top: readonly TokenAlternative[];
}

export type FinishReason = 'stop' | 'eos' | 'length' | 'context' | 'cancelled';

export interface Completion {
  readonly id: string;
  readonly sample: number;
  /** Text before the stop string or the end token. */
  readonly text: string;
  /** Every token that was sampled, those of the stop string too. */
  readonly tokens: readonly GeneratedToken[];
  readonly finish: FinishReason;
}
