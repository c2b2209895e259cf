/**
 * A small assembler for WebAssembly kernels over vectors of four float32: expressions are byte sequences, put together by
 * functions named after the instructions (https://webassembly.github.io/spec/core, "Index of Instructions").
 * A module has one memory and one function; only what the project's kernels need is here.
 */

export type Code = readonly number[];

export interface Memory {
  readonly buffer: ArrayBuffer;
  /** Adds pages of 64 KiB; views of `buffer` made before are void then. */
  grow(pages: number): number;
}

/** TypeScript declares these for browsers only. */
const { Memory, Module, Instance } = (globalThis as unknown as { WebAssembly: Host }).WebAssembly;
interface Host {
  readonly Memory: new (size: { initial: number }) => Memory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: { readonly run: Kernel } };
}
type Kernel = (...values: number[]) => void;

export function createMemory(): Memory {
  return new Memory({ initial: 1 });
}

/** Value types. */
export const I32 = 0x7f;
export const F32 = 0x7d;
export const V128 = 0x7b;

export const get = (local: number): Code => [0x20, ...unsigned(local)];
export const set = (local: number, value: Code): Code => [...value, 0x21, ...unsigned(local)];
export const integer = (value: number): Code => [0x41, ...signed(value)];
export const plus = (a: Code, b: Code): Code => [...a, ...b, 0x6a];
/** `body` once, and again for as long as a < b. */
export const repeatWhileLess = (a: Code, b: Code, ...body: readonly Code[]): Code => [
  ...[0x03, 0x40, ...body.flat()],
  ...[...a, ...b, 0x49, 0x0d, 0, 0x0b],
];

const vector = (operation: number, ...operands: readonly Code[]): Code => [
  ...operands.flat(),
  0xfd,
  ...unsigned(operation),
];
const MEMORY_ARGUMENT = [2, 0]; // aligned by 2^2 bytes, at offset 0
export const load = (address: Code): Code => [...vector(0, address), ...MEMORY_ARGUMENT];
export const store = (address: Code, value: Code): Code => [...vector(11, address, value), ...MEMORY_ARGUMENT];
/** All lanes from a float32. */
export const splat = (x: Code): Code => vector(19, x);
export const floats = (value: number): Code => [
  ...vector(12),
  ...new Uint8Array(new Float32Array(4).fill(value).buffer),
];
export const integers = (value: number): Code => [
  ...vector(12),
  ...new Uint8Array(new Int32Array(4).fill(value).buffer),
];
export const add = (a: Code, b: Code): Code => vector(228, a, b);
export const sub = (a: Code, b: Code): Code => vector(229, a, b);
export const mul = (a: Code, b: Code): Code => vector(230, a, b);
export const max = (a: Code, b: Code): Code => vector(233, a, b);
export const nearest = (a: Code): Code => vector(106, a);
export const toIntegers = (a: Code): Code => vector(248, a);
export const addIntegers = (a: Code, b: Code): Code => vector(174, a, b);
export const shiftLeft = (a: Code, bits: number): Code => vector(171, a, integer(bits));
export const addDoubles = (a: Code, b: Code): Code => vector(240, a, b);
/** Two float64: the sums of lanes 0 and 2, and of 1 and 3. */
export const pairSums = (a: Code): Code => {
  const upperHalf = [...vector(13, a, a), ...Array.from({ length: 16 }, (_, byte) => (byte + 8) % 16)];
  return addDoubles(vector(95, a), vector(95, upperHalf));
};

/** Makes the function; `locals` follow the parameters in numbering. */
export function compile(
  memory: Memory,
  parameters: readonly number[],
  locals: readonly number[],
  ...body: readonly Code[]
): Kernel {
  const name = (text: string): Code => [text.length, ...new TextEncoder().encode(text)];
  const list = (content: Code): Code => [...unsigned(content.length), ...content];
  const code = [...unsigned(locals.length), ...locals.flatMap((type) => [1, type]), ...body.flat(), 0x0b];
  const module = Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic number, version
    ...[1, ...list([1, 0x60, parameters.length, ...parameters, 0])], // types
    ...[2, ...list([1, ...name('host'), ...name('memory'), 2, 0, 0])], // imports
    ...[3, ...list([1, 0])], // functions
    ...[7, ...list([1, ...name('run'), 0, 0])], // exports
    ...[10, ...list([1, ...list(code)])], // code
  ]);
  return new Instance(new Module(module), { host: { memory } }).exports.run;
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}
