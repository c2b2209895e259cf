/**
 * What runs over a whole row of logits for every token, in WebAssembly: in JavaScript it took a tenth of a decoding step
 * (docs/log.md). One row is held at a time; knows nothing of sampling.
 */
import * as wasm from '../runtime/webAssembly.ts';

const { get, set, plus, integer, load, store, floats, add, sub, mul, max } = wasm;

/** Logits in a block of `maxima`; rows are padded to whole blocks. */
const BLOCK = 64;
const BYTES = 4 * BLOCK;
/** Where the row lies; before it two results, after it the weights, then the maxima. */
const ROW = 64;
const PAGE = 65_536;

const memory = wasm.createMemory();
let length = 0;
let padded = 0;

/** Takes a row over; the functions below are about it. */
export function holdRow(logits: Float32Array): void {
  length = logits.length;
  padded = Math.ceil(length / BLOCK) * BLOCK;
  const missing = ROW + 8 * padded + 16 * (padded / BLOCK) - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  const row = new Float32Array(memory.buffer, ROW, padded);
  row.set(logits);
  row.fill(-Infinity, length);
}

/** Ids of the `count` largest, largest first; of equal ones the lower id first. */
export function likeliest(count: number): number[] {
  findMaxima(ROW, ROW + 4 * padded, ROW + 8 * padded);
  const maxima = new Float32Array(memory.buffer, ROW + 8 * padded, (4 * padded) / BLOCK);
  const row = new Float32Array(memory.buffer, ROW, length);
  const found = new Largest(count);
  for (let lane = 0; lane < maxima.length; lane++) found.offer(lane, maxima[lane]!);
  const floor = found.threshold; // so many logits are at least as large
  const ids = new Largest(count);
  for (let block = 0; block < maxima.length / 4; block++) {
    const at = 4 * block;
    if (maxima[at]! < floor && maxima[at + 1]! < floor && maxima[at + 2]! < floor && maxima[at + 3]! < floor) continue;
    const end = Math.min((block + 1) * BLOCK, length);
    for (let id = block * BLOCK; id < end; id++) ids.offer(id, row[id]!);
  }
  return ids.ids;
}

/** The `count` largest of what is offered, largest first; of equal ones the earlier. */
class Largest {
  readonly ids: number[] = [];
  readonly #values: number[] = [];
  readonly #count: number;
  /** What a value must exceed to be taken. */
  threshold = -Infinity;

  constructor(count: number) {
    this.#count = count;
  }

  offer(id: number, value: number): void {
    if (value <= this.threshold) return;
    let position = this.ids.length;
    while (position > 0 && this.#values[position - 1]! < value) position--;
    this.ids.splice(position, 0, id);
    this.#values.splice(position, 0, value);
    if (this.ids.length > this.#count) {
      this.ids.pop();
      this.#values.pop();
    }
    if (this.ids.length === this.#count) this.threshold = this.#values[this.#count - 1]!;
  }
}

export interface Exponentials {
  /** e^(scale (logit - largest)) to 3e-7 of itself, but e^-80 at least. Valid until the next call. */
  readonly weights: Float32Array;
  readonly sum: number;
  /** Sum of weight times exponent. */
  readonly weighted: number;
}

/** @param largest the row's largest logit. */
export function exponentials(largest: number, scale: number): Exponentials {
  findExponentials(ROW, ROW + 4 * padded, 4 * padded, largest, scale);
  const results = new Float64Array(memory.buffer, 0, 4);
  return {
    weights: new Float32Array(memory.buffer, ROW + 4 * padded, length),
    sum: results[0]! + results[1]!,
    weighted: results[2]! + results[3]!,
  };
}

/** From `at` to `end`, a vector of maxima a block: lane i of logits i, i + 4, i + 8 … */
const findMaxima = ((): ((at: number, end: number, maxima: number) => void) => {
  const [at, end, to] = [0, 1, 2];
  let largest = load(get(at));
  for (let offset = 16; offset < BYTES; offset += 16) largest = max(largest, load(plus(get(at), integer(offset))));
  return wasm.compile(
    memory,
    [wasm.I32, wasm.I32, wasm.I32],
    [],
    wasm.repeatWhileLess(
      get(at),
      get(end),
      store(get(to), largest),
      set(to, plus(get(to), integer(16))),
      set(at, plus(get(at), integer(BYTES))),
    ),
  );
})();

/** Weights `distance` bytes after the logits, and their sums at 0 and 16 as pairs of float64. */
const findExponentials = ((): ((at: number, end: number, distance: number, largest: number, scale: number) => void) => {
  const [at, end, distance, largest, scale, exponent, twos, rest, weight, product, sum, weighted] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
  ] as const;
  // e^x = 2^n e^r with n = round(x / ln 2); ln 2 in two parts, the polynomial is Cephes' expf.
  let polynomial = floats(1.98756915e-4);
  for (const coefficient of [
    1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1,
  ]) {
    polynomial = add(mul(polynomial, get(rest)), floats(coefficient));
  }
  const power = wasm.shiftLeft(wasm.addIntegers(wasm.toIntegers(get(twos)), wasm.integers(127)), 23);
  const { I32, F32, V128 } = wasm;
  return wasm.compile(
    memory,
    [I32, I32, I32, F32, F32],
    [V128, V128, V128, V128, V128, V128, V128],
    wasm.repeatWhileLess(
      get(at),
      get(end),
      set(exponent, max(mul(sub(load(get(at)), wasm.splat(get(largest))), wasm.splat(get(scale))), floats(-80))),
      set(twos, wasm.nearest(mul(get(exponent), floats(Math.LOG2E)))),
      set(rest, sub(sub(get(exponent), mul(get(twos), floats(0.693359375))), mul(get(twos), floats(-2.1219444e-4)))),
      set(weight, mul(polynomial, power)),
      store(plus(get(at), get(distance)), get(weight)),
      set(product, mul(get(weight), get(exponent))),
      set(sum, wasm.addDoubles(get(sum), wasm.pairSums(get(weight)))),
      set(weighted, wasm.addDoubles(get(weighted), wasm.pairSums(get(product)))),
      set(at, plus(get(at), integer(16))),
    ),
    store(integer(0), get(sum)),
    store(integer(16), get(weighted)),
  );
})();
