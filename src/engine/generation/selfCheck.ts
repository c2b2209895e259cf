/**
 * Whether a decoder computes what the CPU's does, on the very model that is loaded, and how fast it decodes.
 * Knows nothing of devices.
 */
import type { Precision } from '../graphs/weights.ts';
import type { Decoder } from './decoder.ts';

/**
 * Largest difference of two logits, as a part of the logits' range, that rounding explains. `int8`: the CPU quantises
 * activations too, another device need not.
 */
export const TOLERANCE: Readonly<Record<Precision, number>> = { fp32: 1e-3, fp16: 2e-2, int8: 8e-2, int4: 8e-2 };

/** Long enough for the kernels that devices use for long runs (see `deviceDecoder.ts`). */
const PROMPT_TOKENS = 40;
/** Sequences decoded together. */
const BATCH = 8;
/** Steps that are compared (they warm up too), and steps that are timed. */
const COMPARED_STEPS = 2;
const TIMED_STEPS = 4;

export interface Trial {
  /** After the prompt [vocabulary], then of each compared step [batch, vocabulary]. */
  readonly logits: readonly Float32Array[];
  /** Of all sequences together. */
  readonly tokensPerSecond: number;
}

/** A prompt that means nothing, within vocabulary and context. */
export function checkPrompt({ config, contextLength }: Pick<Decoder, 'config' | 'contextLength'>): number[] {
  const length = Math.max(1, Math.min(PROMPT_TOKENS, contextLength - COMPARED_STEPS - TIMED_STEPS));
  return Array.from({ length }, (_, i) => (i * 7919 + 11) % config.vocabularySize);
}

/** Prompt, load and decode steps with given tokens. The decoder's cache is overwritten. */
export async function runTrial(decoder: Decoder): Promise<Trial> {
  const prompt = checkPrompt(decoder);
  const { vocabularySize } = decoder.config;
  const batch = Math.min(BATCH, decoder.places);
  const prefix = await decoder.prefill(prompt);
  const logits = [prefix.logits];
  decoder.cache.reserve(prompt.length + 1, 0);
  for (let place = 0; place < batch; place++) decoder.cache.load(place, prefix);
  prefix.release?.();
  let length = prompt.length;
  const step = async (): Promise<Float32Array> => {
    const tokens = Array.from({ length: batch }, (_, place) => (length * 31 + place * 17) % vocabularySize);
    const lengths = tokens.map(() => length);
    length++;
    return decoder.step(tokens, lengths);
  };
  for (let i = 0; i < COMPARED_STEPS; i++) logits.push((await step()).slice());
  const start = performance.now();
  for (let i = 0; i < TIMED_STEPS; i++) await step();
  const seconds = (performance.now() - start) / 1000;
  return { logits, tokensPerSecond: (TIMED_STEPS * batch) / seconds };
}

/** Largest difference as a part of the range of `expected`; NaN where either has one. */
export function logitDifference(expected: Float32Array, actual: Float32Array): number {
  let [least, greatest, difference] = [Infinity, -Infinity, 0];
  for (let i = 0; i < expected.length; i++) {
    const value = expected[i]!;
    const off = Math.abs(value - actual[i]!);
    if (Number.isNaN(off)) return NaN;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
    difference = Math.max(difference, off);
  }
  return difference / (greatest - least);
}
