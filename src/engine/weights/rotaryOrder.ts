/**
 * The two orders of the rows of Llama's q and k: Hugging Face has the rotary halves one after the other, llama.cpp's
 * conversion (`permute` in conversion/llama.py) has them interleaved. Within a head, row (half h, i) of the one is row
 * 2 i + h of the other. Rows are whole blocks, so this moves quantised bytes as they are.
 * Knows nothing of files or names.
 */

/** Hugging Face's order from the interleaved one. */
export function rotaryHalves(raw: Uint8Array, heads: number, headSize: number): Uint8Array {
  return reordered(raw, heads, headSize, (half, i) => [2 * i + half, half * (headSize / 2) + i]);
}

/** The interleaved order from Hugging Face's. */
export function rotaryPairs(raw: Uint8Array, heads: number, headSize: number): Uint8Array {
  return reordered(raw, heads, headSize, (half, i) => [half * (headSize / 2) + i, 2 * i + half]);
}

function reordered(
  raw: Uint8Array,
  heads: number,
  headSize: number,
  move: (half: number, i: number) => [from: number, to: number],
): Uint8Array {
  const rowBytes = raw.length / (heads * headSize);
  const out = new Uint8Array(raw.length);
  for (let head = 0; head < heads; head++) {
    for (let half = 0; half < 2; half++) {
      for (let i = 0; i < headSize / 2; i++) {
        const [from, to] = move(half, i).map((row) => (head * headSize + row) * rowBytes) as [number, number];
        out.set(raw.subarray(from, from + rowBytes), to);
      }
    }
  }
  return out;
}
