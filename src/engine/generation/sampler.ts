/**
 * Chooses the next token from logits, and tells how probable it was. Plain arithmetic on one row of logits.
 * Order of the filters: temperature, top-k, top-p, min-p, as in transformers.
 */
import type { Random } from '../random.ts';
import { exponentials, holdRow, likeliest } from './logitRow.ts';
import type { SamplingSettings } from './types.ts';

/** The weight of what is too improbable to tell from nothing (`Exponentials.weights`). */
const SMALLEST = Math.exp(-80);
/** Shown beside each token. */
const ALTERNATIVES = 5;

/** A token and the natural logarithm of its probability at temperature 1. */
export interface Ranked {
  readonly id: number;
  readonly logProbability: number;
}

export interface Choice extends Ranked {
  /** Of the distribution at temperature 1, in nats. */
  readonly entropy: number;
  /** The five likeliest, likeliest first; of equal ones the lower id first. */
  readonly top: readonly Ranked[];
}

/** @param logits [vocabulary]; not changed. */
export function chooseToken(logits: Float32Array, settings: SamplingSettings, random: Random): Choice {
  holdRow(logits);
  const top = likeliest(ALTERNATIVES);
  const largest = logits[top[0]!]!;
  const { sum, weighted } = exponentials(largest, 1);
  const logSum = largest + Math.log(sum);
  const rank = (id: number): Ranked => ({ id, logProbability: logits[id]! - logSum });
  const id = settings.temperature === 0 ? top[0]! : draw(logits, top[0]!, settings, random);
  return { ...rank(id), entropy: Math.log(sum) - weighted / sum, top: top.map(rank) };
}

/** log p(token) under a row of logits divided by the temperature, which is above 0. */
export function logProbabilityOf(logits: Float32Array, token: number, temperature = 1): number {
  holdRow(logits);
  const largest = logits[likeliest(1)[0]!]!;
  return (logits[token]! - largest) / temperature - Math.log(exponentials(largest, 1 / temperature).sum);
}

/** The natural logarithms of the probability that the next token is of a set, and that it is not. */
export interface SetMass {
  readonly inside: number;
  readonly outside: number;
}

/** How probable a set of tokens is under a row of logits divided by the temperature, which is above 0. Both are finite. */
export function massOf(logits: Float32Array, set: Iterable<number>, temperature = 1): SetMass {
  holdRow(logits);
  const { weights, sum } = exponentials(logits[likeliest(1)[0]!]!, 1 / temperature);
  let inside = 0;
  for (const id of set) inside += weights[id]!;
  const log = (mass: number): number => Math.log(Math.max(mass, SMALLEST) / sum);
  return { inside: log(inside), outside: log(sum - inside) };
}

/** From the row held, whose likeliest token is `best`. */
function draw(logits: Float32Array, best: number, settings: SamplingSettings, random: Random): number {
  const { temperature, topP, topK, minP } = settings;
  const uniform = random.uniform();
  const { weights, sum } = exponentials(logits[best]!, 1 / temperature);
  let total = sum;
  if (topP >= 1 && topK === 0 && minP === 0) {
    const target = uniform * total;
    let mass = 0;
    for (let id = 0; id < logits.length; id++) if ((mass += weights[id]!) > target) return id;
    return best; // rounding left the target at the very end
  }

  // Sorting a whole vocabulary is slow: take the likeliest tokens, and more of them only where the filters reach further.
  for (const floor of [1e-3, 1e-7, 0]) {
    const ids: number[] = [];
    for (let id = 0; id < logits.length; id++) if (weights[id]! > floor) ids.push(id);
    ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
    if (floor > 0 && (topK > 0 ? ids.length < topK : topP >= 1 && minP <= floor)) continue;
    if (topK > 0) {
      ids.length = Math.min(ids.length, topK);
      total = 0;
      for (const id of ids) total += weights[id]!;
    }
    if (topP < 1) {
      let mass = 0;
      let kept = 0;
      while (kept < ids.length && mass < topP * total) mass += weights[ids[kept++]!]!;
      if (floor > 0 && mass < topP * total) continue;
      ids.length = Math.max(kept, 1);
    }
    while (ids.length > 1 && weights[ids.at(-1)!]! < minP) ids.pop();
    let target = 0;
    for (const id of ids) target += weights[id]!;
    target *= uniform;
    for (const id of ids) if ((target -= weights[id]!) < 0) return id;
    return ids.at(-1)!; // rounding left the target at the very end
  }
  throw new Error('unreachable: the last floor always returns');
}
