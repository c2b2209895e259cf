/**
 * A small emitter of WebAssembly modules: functions over one imported memory, with the few instructions that the optimizer's
 * loops need (128-bit SIMD among them). Instructions are byte sequences that nest like expressions:
 * `f32x4.add(load(get(0)), load(get(1)))`. Knows nothing of optimizers.
 * Source: WebAssembly Core Specification 2.0, chapter 5 (binary format).
 */

/** Encoded instructions, which leave one value on the stack or none. */
export type Code = readonly number[];

const TYPES = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
export type WasmType = keyof typeof TYPES;

export interface WasmFunction {
  readonly name: string;
  readonly parameters: readonly WasmType[];
  /** Locals beyond the parameters, numbered after them. */
  readonly locals: readonly WasmType[];
  readonly result: WasmType | null;
  readonly body: Code;
}

/** Local `index` (parameters first). */
export const get = (index: number): Code => [0x20, ...unsigned(index)];
export const set = (index: number, value: Code): Code => [...value, 0x21, ...unsigned(index)];
export const i32 = (value: number): Code => [0x41, ...signed(value)];
export const addI32 = (a: Code, b: Code): Code => [...a, ...b, 0x6a];

/** Runs `body` while `pointer < end` (unsigned), at least once. */
export const doWhileBelow = (pointer: number, end: number, body: Code): Code => [
  ...[0x03, 0x40, ...body], // loop
  ...[...get(pointer), ...get(end), 0x49], // i32.lt_u
  ...[0x0d, 0x00, 0x0b], // br_if 0, end
];

/** Sixteen bytes at an address that is a multiple of 16. */
export const load = (address: Code): Code => [...address, ...simd(0x00), 0x04, 0x00];
export const store = (address: Code, value: Code): Code => [...address, ...value, ...simd(0x0b), 0x04, 0x00];

const binary =
  (opcode: number) =>
  (a: Code, b: Code): Code => [...a, ...b, ...simd(opcode)];

export const f32x4 = {
  splat: (value: Code): Code => [...value, ...simd(0x13)],
  sqrt: (value: Code): Code => [...value, ...simd(0xe3)],
  add: binary(0xe4),
  sub: binary(0xe5),
  mul: binary(0xe6),
  div: binary(0xe7),
  /** Lanes 2 and 3 in the place of 0 and 1. */
  upperHalf: (value: Code): Code => [
    ...value,
    ...value,
    ...simd(0x0d),
    ...[8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15],
  ],
};

export const f64x2 = {
  add: binary(0xf0),
  mul: binary(0xf2),
  /** Lanes 0 and 1 of a f32x4. */
  promoteLow: (value: Code): Code => [...value, ...simd(0x5f)],
  lane: (value: Code, lane: 0 | 1): Code => [...value, ...simd(0x21), lane],
};

export const addF64 = (a: Code, b: Code): Code => [...a, ...b, 0xa0];

/**
 * A module that imports its memory as `env.memory` and exports `functions`.
 * @param pages 64 KiB each: the imported memory must have that many exactly
 */
export function wasmModule(functions: readonly WasmFunction[], pages: number): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters, result }) => [
    0x60,
    ...list(parameters.map((type) => [TYPES[type]])),
    ...list(result === null ? [] : [[TYPES[result]]]),
  ]);
  const bodies = functions.map(({ locals, body }) => {
    const code = [...list(locals.map((type) => [1, TYPES[type]])), ...body, 0x0b];
    return [...unsigned(code.length), ...code];
  });
  const memory = [...text('env'), ...text('memory'), 0x02, 0x01, ...unsigned(pages), ...unsigned(pages)];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version
    ...section(1, list(types)),
    ...section(2, list([memory])),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(7, list(functions.map(({ name }, i) => [...text(name), 0x00, ...unsigned(i)]))),
    ...section(10, list(bodies)),
  ]);
}

function section(id: number, content: Code): Code {
  return [id, ...unsigned(content.length), ...content];
}

function list(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()];
}

function text(value: string): Code {
  const bytes = new TextEncoder().encode(value);
  return [...unsigned(bytes.length), ...bytes];
}

function simd(opcode: number): Code {
  return [0xfd, ...unsigned(opcode)];
}

/** LEB128. */
function unsigned(value: number): Code {
  const bytes: number[] = [];
  for (let rest = value >>> 0; ;) {
    const low = rest & 0x7f;
    rest >>>= 7;
    if (rest === 0) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function signed(value: number): Code {
  const bytes: number[] = [];
  for (let rest = value | 0; ;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}
