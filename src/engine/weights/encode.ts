/**
 * Float32 values to stored bytes, the inverse of dequantize.ts: rounded to nearest, ties to even; Q8_0 as ggml's reference
 * (`quantize_row_q8_0_ref` in ggml-quants.c) rounds.
 * Knows nothing of files.
 */
import { UserError } from '../../errors.ts';
import type { TensorType } from '../model.ts';
import { blocks } from './storage.ts';

/** Types that can be written. */
export type WrittenType = Extract<TensorType, 'F32' | 'F16' | 'BF16' | 'Q8_0'>;

const LARGEST_HALF = 65504;

/**
 * @param values whole blocks of `type`; with F32 the result shares their memory
 * @param name of the tensor, for messages
 * @throws UserError when a value is too large for float16
 */
export function encode(type: WrittenType, values: Float32Array, name: string): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  switch (type) {
    case 'F32':
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case 'F16': {
      const out = new Uint16Array(values.length);
      for (let i = 0; i < out.length; i++) {
        const half = halfOf(bits[i]!);
        if ((half & 0x7fff) === 0x7c00 && Number.isFinite(values[i])) throw tooLarge(values[i]!, name);
        out[i] = half;
      }
      return new Uint8Array(out.buffer);
    }
    case 'BF16': {
      const out = new Uint16Array(values.length);
      for (let i = 0; i < out.length; i++) {
        const value = bits[i]!;
        const isNaN = (value & 0x7fffffff) > 0x7f800000;
        out[i] = isNaN ? (value >>> 16) | 0x40 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
      }
      return new Uint8Array(out.buffer);
    }
    case 'Q8_0':
      return encodeQ8(values, name);
  }
}

function encodeQ8(values: Float32Array, name: string): Uint8Array {
  const { values: size, bytes } = blocks.Q8_0;
  const out = new Uint8Array((values.length / size) * bytes);
  for (let from = 0, at = 0; from < values.length; from += size, at += bytes) {
    let largest = 0;
    for (let i = from; i < from + size; i++) largest = Math.max(largest, Math.abs(values[i]!));
    const scale = Math.fround(largest / 127);
    if (!(scale <= LARGEST_HALF)) throw tooLarge(largest, name);
    const inverse = scale > 0 ? Math.fround(1 / scale) : 0;
    const half = halfOf(bitsOf(scale));
    out[at] = half & 255;
    out[at + 1] = half >> 8;
    for (let i = 0; i < size; i++) {
      const level = Math.fround(values[from + i]! * inverse);
      out[at + 2 + i] = Math.sign(level) * Math.floor(Math.abs(level) + 0.5); // halves away from zero, as C's roundf
    }
  }
  return out;
}

/** Bits of the float16 nearest to the float32 of these bits. */
function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const shifted = magnitude - 0x38000000; // exponent bias 127 to 15
    return sign | ((shifted + 0xfff + ((shifted >>> 13) & 1)) >>> 13); // may carry into infinity, rightly
  }
  if (magnitude < 0x33000000) return sign; // below half of the smallest
  const shift = 126 - (magnitude >>> 23);
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const half = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (half + (rest > tie || (rest === tie && (half & 1) === 1) ? 1 : 0));
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

function bitsOf(value: number): number {
  scratch[0] = value;
  return scratchBits[0]!;
}

function tooLarge(value: number, name: string): UserError {
  return new UserError(
    `${name} has a weight of ${value}, which float16 cannot hold (at most ${LARGEST_HALF}). Choose a format in float32 or bfloat16.`,
  );
}
