/**
 * What runs over a whole row of logits for every token, in WebAssembly: in JavaScript it took a tenth of a decoding step
 * (docs/log.md). One row is held at a time; knows nothing of sampling.
 */
import {
  addI32,
  doWhileBelow,
  f32x4,
  f64x2,
  get,
  i32,
  i32x4,
  load,
  set,
  store,
  wasmModule,
  type Code,
  type WasmFunction,
} from '../runtime/webAssembly.ts';

/** Logits in a block of `maxima`; rows are padded to whole blocks. */
const BLOCK = 64;
const BYTES = 4 * BLOCK;
/** Where the row lies; before it two results, after it the weights, then the maxima. */
const ROW = 64;
const PAGE = 65_536;

const memory = new WebAssembly.Memory({ initial: 1 });
const kernels = compileKernels();
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
  kernels.maxima(ROW, ROW + 4 * padded, ROW + 8 * padded);
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
  kernels.exponentials(ROW, ROW + 4 * padded, 4 * padded, largest, scale);
  const results = new Float64Array(memory.buffer, 0, 4);
  return {
    weights: new Float32Array(memory.buffer, ROW + 4 * padded, length),
    sum: results[0]! + results[1]!,
    weighted: results[2]! + results[3]!,
  };
}

interface Kernels {
  /** From `at` to `end`, a vector of maxima a block: lane i of logits i, i + 4, i + 8 … */
  maxima(at: number, end: number, maxima: number): void;
  /** Weights `distance` bytes after the logits, and their sums at 0 and 16 as pairs of float64. */
  exponentials(at: number, end: number, distance: number, largest: number, scale: number): void;
}

function compileKernels(): Kernels {
  const module = new WebAssembly.Module(wasmModule([maximaKernel(), exponentialsKernel()], null));
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;
}

function advance(pointer: number, bytes: number): Code {
  return set(pointer, addI32(get(pointer), i32(bytes)));
}

function maximaKernel(): WasmFunction {
  const [at, end, to] = [0, 1, 2] as const;
  let largest = load(get(at));
  for (let offset = 16; offset < BYTES; offset += 16) {
    largest = f32x4.max(largest, load(addI32(get(at), i32(offset))));
  }
  return {
    name: 'maxima',
    parameters: ['i32', 'i32', 'i32'],
    locals: [],
    result: null,
    body: doWhileBelow(at, end, [...store(get(to), largest), ...advance(to, 16), ...advance(at, BYTES)]),
  };
}

function exponentialsKernel(): WasmFunction {
  const [at, end, distance, largest, scale, exponent, twos, rest, weight, product, sum, weighted] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
  ] as const;
  const { add, sub, mul, max, constant, splat } = f32x4;
  // e^x = 2^n e^r with n = round(x / ln 2); ln 2 in two parts, the polynomial is Cephes' expf.
  let polynomial = constant(1.98756915e-4);
  for (const coefficient of [
    1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1,
  ]) {
    polynomial = add(mul(polynomial, get(rest)), constant(coefficient));
  }
  const power = i32x4.shiftLeft(i32x4.add(f32x4.toI32(get(twos)), i32x4.constant(127)), 23);
  const { promoteLow } = f64x2;
  /** Sums of lanes 0 and 2, and of 1 and 3. */
  const pairSums = (value: Code): Code => f64x2.add(promoteLow(value), promoteLow(f32x4.upperHalf(value)));
  const body = [
    ...set(exponent, max(mul(sub(load(get(at)), splat(get(largest))), splat(get(scale))), constant(-80))),
    ...set(twos, f32x4.nearest(mul(get(exponent), constant(Math.LOG2E)))),
    ...set(
      rest,
      sub(sub(get(exponent), mul(get(twos), constant(0.693359375))), mul(get(twos), constant(-2.1219444e-4))),
    ),
    ...set(weight, mul(polynomial, power)),
    ...store(addI32(get(at), get(distance)), get(weight)),
    ...set(product, mul(get(weight), get(exponent))),
    ...set(sum, f64x2.add(get(sum), pairSums(get(weight)))),
    ...set(weighted, f64x2.add(get(weighted), pairSums(get(product)))),
    ...advance(at, 16),
  ];
  return {
    name: 'exponentials',
    parameters: ['i32', 'i32', 'i32', 'f32', 'f32'],
    locals: ['v128', 'v128', 'v128', 'v128', 'v128', 'v128', 'v128'],
    result: null,
    body: [...doWhileBelow(at, end, body), ...store(i32(0), get(sum)), ...store(i32(16), get(weighted))],
  };
}
