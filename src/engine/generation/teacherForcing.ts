/**
 * Which positions of a chunk want logits when tokens are scored, and how their rows are handed out: the same for every
 * form of the decoder. Knows nothing of graphs or devices.
 */
import type { Decoder } from './decoder.ts';

/** The two callbacks that a decoder's chunks take for `Decoder.score` from position `from` on. */
export function scoring(
  from: number,
  vocabulary: number,
  visit: Parameters<Decoder['score']>[2],
): { rowsOf: (count: number, end: number) => number[]; onLogits: (rows: Float32Array) => void } {
  let position = from;
  return {
    rowsOf: (count, end) => Array.from({ length: count }, (_, i) => i).filter((i) => end - count + i >= from),
    onLogits: (rows) => {
      for (let at = 0; at < rows.length; at += vocabulary) visit(position++, rows.subarray(at, at + vocabulary));
    },
  };
}
