/**
 * Chooses the next token from logits, and tells how probable it was. Plain arithmetic on one row of logits.
 * Order of the filters: temperature, top-k, top-p, min-p, as in transformers.
 */
import type { Random } from '../random.ts';
import type { SamplingSettings } from './types.ts';

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
  const top = likeliest(logits, ALTERNATIVES);
  const largest = logits[top[0]!]!;
  const { logSum, entropy } = logSumExp(logits, largest);
  const rank = (id: number): Ranked => ({ id, logProbability: logits[id]! - logSum });
  const id = settings.temperature === 0 ? top[0]! : draw(logits, largest, settings, random);
  return { ...rank(id), entropy, top: top.map(rank) };
}

/** log p(token) under a row of logits. */
export function logProbabilityOf(logits: Float32Array, token: number): number {
  const largest = logits[likeliest(logits, 1)[0]!]!;
  return logits[token]! - logSumExp(logits, largest).logSum;
}

/** Ids of the `count` largest, largest first. */
function likeliest(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  let threshold = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (logit <= threshold) continue;
    let position = ids.length;
    while (position > 0 && logits[ids[position - 1]!]! < logit) position--;
    ids.splice(position, 0, id);
    if (ids.length > count) ids.pop();
    if (ids.length === count) threshold = logits[ids[count - 1]!]!;
  }
  return ids;
}

/** ln sum exp(x), and the entropy ln Z - sum p (x - largest) of the softmax. */
function logSumExp(logits: Float32Array, largest: number): { logSum: number; entropy: number } {
  let sum = 0;
  let weighted = 0;
  // This loop runs over the vocabulary for every token of every sequence.
  // eslint-disable-next-line @typescript-eslint/prefer-for-of -- iterating takes three times as long
  for (let id = 0; id < logits.length; id++) {
    const difference = logits[id]! - largest;
    if (difference < NEGLIGIBLE) continue;
    const weight = exp(difference);
    sum += weight;
    weighted += weight * difference;
  }
  return { logSum: largest + Math.log(sum), entropy: Math.log(sum) - weighted / sum };
}

function draw(logits: Float32Array, largest: number, settings: SamplingSettings, random: Random): number {
  const { temperature, topP, topK, minP } = settings;
  const uniform = random.uniform();
  if (scratch.length < logits.length) scratch = new Float64Array(logits.length);
  const weights = scratch;
  let total = 0;
  for (let id = 0; id < logits.length; id++) {
    const exponent = (logits[id]! - largest) / temperature;
    const weight = exponent < NEGLIGIBLE ? 0 : exp(exponent);
    weights[id] = weight;
    total += weight;
  }
  if (topP >= 1 && topK === 0 && minP === 0) {
    const target = uniform * total;
    let mass = 0;
    let last = 0;
    for (let id = 0; id < logits.length; id++) {
      if (weights[id] === 0) continue;
      last = id;
      mass += weights[id]!;
      if (mass > target) break;
    }
    return last;
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

/** Weights of the row being drawn from; kept, because a new array for every token costs as much as filling it. */
let scratch = new Float64Array(0);

/** Below e^-40 of the likeliest: a whole vocabulary of such tokens weighs less than float64's last digit. */
const NEGLIGIBLE = -40;
const STEPS_A_NAT = 64;
/** e^(-i / 64). */
const POWERS = Float64Array.from({ length: -NEGLIGIBLE * STEPS_A_NAT + 1 }, (_, i) => Math.exp(-i / STEPS_A_NAT));

/**
 * e^x for x in [-40, 0], relative error below 3e-9: a table and a cubic, since Math.exp over the vocabulary would take a
 * tenth of a decoding step (docs/log.md).
 */
function exp(x: number): number {
  const steps = x * -STEPS_A_NAT;
  const whole = steps | 0;
  const rest = (whole - steps) / STEPS_A_NAT;
  return POWERS[whole]! * (1 + rest * (1 + rest * (1 / 2 + rest / 6)));
}
