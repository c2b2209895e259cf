/**
 * A small seeded generator of random numbers: the same seed gives the same tokens and the same intervals on every machine.
 * Not for anything secret.
 */

export interface Random {
  /** An integer from 0 to `bound` - 1; `bound` from 1 to 2^32. */
  below(bound: number): number;
  /** From 0 (included) to 1 (excluded), with 53 random bits. */
  uniform(): number;
}

/** A seed made of several parts, so that streams of different parts are unrelated. FNV-1a over their text. */
export function mixSeed(...parts: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(parts.join('\0'))) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * xoshiro128** 1.1 (Blackman and Vigna, 2018), its state filled from `seed` by splitmix32.
 * `seed` is taken modulo 2^32.
 */
export function seededRandom(seed: number): Random {
  let mix = seed >>> 0;
  const next32 = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let [s0, s1, s2, s3] = [next32(), next32(), next32(), next32()];
  const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));
  const draw = (): number => {
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    const t = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= t;
    s3 = rotate(s3, 11);
    return result;
  };
  return {
    uniform: () => ((draw() >>> 5) * 0x400_0000 + (draw() >>> 6)) / 0x20_0000_0000_0000,
    below(bound) {
      // The high bits scaled: the bias is below bound / 2^32, nothing beside a bootstrap's own noise.
      return Math.floor((draw() / 0x1_0000_0000) * bound);
    },
  };
}
