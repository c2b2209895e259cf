/**
 * Which side of the held-out split a file is on. Each file's side depends on the seed and its own key alone, so it stays
 * when other files come or go.
 */
import { mixSeed, seededRandom } from '../../engine/random.ts';

/** @param fraction share of the files that is held out, 0 to 1 */
export function isHeldOut(splitKey: string, seed: number, fraction: number): boolean {
  return seededRandom(mixSeed('held out', seed, splitKey)).uniform() < fraction;
}
