/**
 * A seeded order of the numbers 0 … size - 1 that needs no memory: a place in it can be asked for at once, so a shuffled
 * pass over a corpus of any size is resumed from one number.
 *
 * A Feistel network over the next even power of two, walked again until it lands in range (Black and Rogaway 2002,
 * "Ciphers with arbitrary finite domains"). Not for anything secret.
 */
import { mixSeed, seededRandom } from '../../engine/random.ts';

const ROUNDS = 6;

/** @param size from 0 to 2^32 @returns the number at a place, 0 <= place < size */
export function permutation(size: number, ...seed: readonly (string | number)[]): (place: number) => number {
  let half = 1;
  while (4 ** half < size) half += 1;
  const mask = 2 ** half - 1;
  const random = seededRandom(mixSeed('permutation', ...seed));
  const keys = Array.from({ length: ROUNDS }, () => random.below(2 ** 32));
  const encipher = (value: number): number => {
    let left = Math.floor(value / (mask + 1));
    let right = value & mask;
    for (const key of keys) {
      let mix = Math.imul(right ^ key, 0x85eb_ca6b);
      mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2_ae35);
      [left, right] = [right, left ^ ((mix ^ (mix >>> 16)) & mask)];
    }
    return left * (mask + 1) + right;
  };
  return (place) => {
    if (!(place >= 0 && place < size)) throw new RangeError(`no place ${place} among ${size}`);
    let value = encipher(place);
    while (value >= size) value = encipher(value);
    return value;
  };
}
