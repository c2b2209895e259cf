/**
 * What a decoder does, whatever device it runs on: prompts in chunks, then one token or several for each
 * sequence of a batch, and teacher forcing. Knows nothing of sampling, text or stop rules.
 */
import { UserError } from '../../errors.ts';
import type { Precision } from '../graphs/weights.ts';
import type { ModelConfig } from '../model.ts';

export interface DecoderOptions {
  readonly precision: Precision;
  /** Sequences decoded together at most. */
  readonly places: number;
  /** Threads of the CPU provider; 0: as many as the runtime thinks best. */
  readonly threads: number;
  /** Prompt and completion together, in tokens; at most the model's own context. */
  readonly contextLength: number;
}

/** Keys and values of one prompt, computed once for all its samples. Used only with the decoder that made it. */
export interface Prefix {
  /** Tokens in it. */
  readonly length: number;
  /** Logits after the last token, [vocabulary]. */
  readonly logits: Float32Array;
  /** Frees what it holds on a device, once what was loaded from it is in place. Nothing to free on the CPU. */
  release?(): void;
}

/** The key-value cache of a batch: each place holds one sequence. */
export interface DecoderCache {
  /** Makes room for `length` positions, keeping the first `used`; may give room back when much less is needed. */
  reserve(length: number, used: number): void;
  /** Puts a prompt's keys and values into a place. */
  load(place: number, prefix: Prefix): void;
  /** Copies the first `length` positions of a place to another. */
  move(from: number, to: number, length: number): void;
}

export interface Decoder {
  readonly config: ModelConfig;
  /** Prompt and completion together, in tokens. */
  readonly contextLength: number;
  readonly places: number;
  /** Bytes of the weights as held. */
  readonly weightBytes: number;
  readonly cache: DecoderCache;

  /**
   * Keys, values and last logits of a prompt.
   * @throws UserError when the prompt is longer than the context; the signal's reason when aborted.
   */
  prefill(tokens: readonly number[], signal?: AbortSignal): Promise<Prefix>;

  /**
   * Teacher forcing: calls `visit` with the logits [vocabulary] after token i for each i from `from` to the last but one,
   * in order; they predict token i + 1. The array is only valid during the call.
   */
  score(
    tokens: readonly number[],
    from: number,
    visit: (position: number, logits: Float32Array) => void,
    signal?: AbortSignal,
  ): Promise<void>;

  /**
   * One token for each of the first `tokens.length` places: appends it to the cache and gives the logits after it.
   * @param lengths positions in the cache of each place before this step.
   * @returns [places, vocabulary]; valid until the next call.
   */
  step(tokens: readonly number[], lengths: readonly number[]): Promise<Float32Array>;

  /**
   * Several tokens for each of the first `chunks.length` places, or none: appends them to the cache and gives the logits
   * after each chunk that is not empty. A place's logits do not depend on the other chunks; they may differ in the last
   * bits from those after the same tokens one by one.
   * @param lengths positions in the cache of each place before it.
   * @returns [chunks that are not empty, vocabulary]; valid until the next call.
   * @throws UserError when a place's sequence would become longer than the context.
   */
  extend(chunks: readonly (readonly number[])[], lengths: readonly number[]): Promise<Float32Array>;

  close(): Promise<void>;
}

/** @throws UserError when so many tokens do not fit the context */
export function checkLength(tokens: number, contextLength: number): void {
  if (tokens <= contextLength) return;
  throw new UserError(
    `The prompt has ${tokens} tokens, the model's context only ${contextLength}. Shorten the prompt, or choose a model with a longer context.`,
  );
}
