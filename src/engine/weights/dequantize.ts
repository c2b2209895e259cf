/**
 * Stored tensor bytes to float32, bit for bit as ggml's reference (`dequantize_row_*` in ggml-quants.c) gives them.
 * In each block `d` and `m` (float16) scale and shift the quants. Products are exact in float64, so each value is
 * rounded once, when it is stored.
 * Knows nothing of files.
 */
import type { TensorType } from '../model.ts';
import { blocks } from './storage.ts';

let halves: Float32Array | undefined;

/** The float32 value of each of the 65,536 float16 bit patterns. */
export function halfValues(): Float32Array {
  if (!halves) {
    halves = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) {
      const exponent = (bits >> 10) & 31;
      const fraction = bits & 1023;
      const sign = bits & 0x8000 ? -1 : 1;
      if (exponent === 31) halves[bits] = fraction ? NaN : sign * Infinity;
      else if (exponent === 0) halves[bits] = sign * fraction * 2 ** -24;
      else halves[bits] = sign * (1024 + fraction) * 2 ** (exponent - 25);
    }
  }
  return halves;
}

/**
 * @param raw whole blocks of `type`, little-endian
 * @returns the values in the same order
 */
export function dequantize(type: TensorType, raw: Uint8Array): Float32Array {
  const { values, bytes } = blocks[type];
  if (raw.length % bytes !== 0) throw new RangeError(`${raw.length} bytes are no whole number of ${type} blocks`);
  const out = new Float32Array((raw.length / bytes) * values);
  decoders[type](raw, out);
  return out;
}

/** Fills `out` from as many blocks of `raw` as it takes. */
type Decoder = (raw: Uint8Array, out: Float32Array) => void;

const decoders: Readonly<Record<TensorType, Decoder>> = {
  F32: (raw, out) => {
    new Uint8Array(out.buffer).set(raw);
  },
  F16: (raw, out) => {
    const half = halfValues();
    for (let i = 0, at = 0; i < out.length; i++, at += 2) out[i] = half[raw[at]! | (raw[at + 1]! << 8)]!;
  },
  BF16: (raw, out) => {
    const bits = new Uint32Array(out.buffer);
    for (let i = 0, at = 0; i < bits.length; i++, at += 2) bits[i] = (raw[at]! << 16) | (raw[at + 1]! << 24);
  },
  // d, 32 signed quants
  Q8_0: (raw, out) => {
    const half = halfValues();
    for (let at = 0, to = 0; to < out.length; at += 34, to += 32) {
      const d = half[raw[at]! | (raw[at + 1]! << 8)]!;
      for (let i = 0; i < 32; i++) out[to + i] = d * ((raw[at + 2 + i]! << 24) >> 24);
    }
  },
  // d, 16 bytes; low nibbles are values 0 to 15, high ones 16 to 31
  Q4_0: (raw, out) => {
    const half = halfValues();
    for (let at = 0, to = 0; to < out.length; at += 18, to += 32) {
      const d = half[raw[at]! | (raw[at + 1]! << 8)]!;
      for (let i = 0; i < 16; i++) {
        const pair = raw[at + 2 + i]!;
        out[to + i] = d * ((pair & 15) - 8);
        out[to + 16 + i] = d * ((pair >> 4) - 8);
      }
    }
  },
  // d, m, 16 bytes as above
  Q4_1: (raw, out) => {
    const half = halfValues();
    for (let at = 0, to = 0; to < out.length; at += 20, to += 32) {
      const d = half[raw[at]! | (raw[at + 1]! << 8)]!;
      const m = half[raw[at + 2]! | (raw[at + 3]! << 8)]!;
      for (let i = 0; i < 16; i++) {
        const pair = raw[at + 4 + i]!;
        out[to + i] = d * (pair & 15) + m;
        out[to + 16 + i] = d * (pair >> 4) + m;
      }
    }
  },
  // d, the 32 fifth bits, 16 bytes of nibbles
  Q5_0: (raw, out) => {
    const half = halfValues();
    for (let at = 0, to = 0; to < out.length; at += 22, to += 32) {
      const d = half[raw[at]! | (raw[at + 1]! << 8)]!;
      const fifth = raw[at + 2]! | (raw[at + 3]! << 8) | (raw[at + 4]! << 16) | (raw[at + 5]! << 24);
      for (let i = 0; i < 16; i++) {
        const pair = raw[at + 6 + i]!;
        out[to + i] = d * (((pair & 15) | (((fifth >> i) & 1) << 4)) - 16);
        out[to + 16 + i] = d * (((pair >> 4) | (((fifth >> (i + 16)) & 1) << 4)) - 16);
      }
    }
  },
  // d, m, the 32 fifth bits, 16 bytes of nibbles
  Q5_1: (raw, out) => {
    const half = halfValues();
    for (let at = 0, to = 0; to < out.length; at += 24, to += 32) {
      const d = half[raw[at]! | (raw[at + 1]! << 8)]!;
      const m = half[raw[at + 2]! | (raw[at + 3]! << 8)]!;
      const fifth = raw[at + 4]! | (raw[at + 5]! << 8) | (raw[at + 6]! << 16) | (raw[at + 7]! << 24);
      for (let i = 0; i < 16; i++) {
        const pair = raw[at + 8 + i]!;
        out[to + i] = d * ((pair & 15) | (((fifth >> i) & 1) << 4)) + m;
        out[to + 16 + i] = d * ((pair >> 4) | (((fifth >> (i + 16)) & 1) << 4)) + m;
      }
    }
  },
  // d, m, 8 pairs of 6-bit scales and shifts in 12 bytes, 128 bytes: 4 times 32 low nibbles, then their high ones
  Q4_K: (raw, out) => {
    const half = halfValues();
    for (let at = 0, to = 0; to < out.length; at += 144, to += 256) {
      const d = half[raw[at]! | (raw[at + 1]! << 8)]!;
      const m = half[raw[at + 2]! | (raw[at + 3]! << 8)]!;
      for (let group = 0; group < 8; group++) {
        const scale = d * scaleK(raw, at + 4, group);
        const shift = m * shiftK(raw, at + 4, group);
        const from = at + 16 + (group >> 1) * 32;
        const bits = (group & 1) * 4;
        for (let i = 0; i < 32; i++) out[to + group * 32 + i] = scale * ((raw[from + i]! >> bits) & 15) - shift;
      }
    }
  },
  // as Q4_K, with 32 bytes before the nibbles whose bit g is the fifth bit in group g
  Q5_K: (raw, out) => {
    const half = halfValues();
    for (let at = 0, to = 0; to < out.length; at += 176, to += 256) {
      const d = half[raw[at]! | (raw[at + 1]! << 8)]!;
      const m = half[raw[at + 2]! | (raw[at + 3]! << 8)]!;
      for (let group = 0; group < 8; group++) {
        const scale = d * scaleK(raw, at + 4, group);
        const shift = m * shiftK(raw, at + 4, group);
        const from = at + 48 + (group >> 1) * 32;
        const bits = (group & 1) * 4;
        for (let i = 0; i < 32; i++) {
          const quant = ((raw[from + i]! >> bits) & 15) | (((raw[at + 16 + i]! >> group) & 1) << 4);
          out[to + group * 32 + i] = scale * quant - shift;
        }
      }
    }
  },
  // 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales (16 values each), d
  Q6_K: (raw, out) => {
    const half = halfValues();
    for (let at = 0, to = 0; to < out.length; at += 210, to += 256) {
      const d = half[raw[at + 208]! | (raw[at + 209]! << 8)]!;
      for (let part = 0; part < 16; part++) {
        // In each half of the block, groups of 32 (two parts): the first two take the low nibbles of 64 bytes, the
        // others their high ones; all four take a bit pair each of 32 bytes.
        const scale = d * ((raw[at + 192 + part]! << 24) >> 24);
        const nibbles = at + (part >> 3) * 64 + (part & 3) * 16;
        const nibbleBits = part & 4;
        const pairs = at + 128 + (part >> 3) * 32 + (part & 1) * 16;
        const pairBits = part & 6;
        for (let i = 0; i < 16; i++) {
          const low = (raw[nibbles + i]! >> nibbleBits) & 15;
          const high = (raw[pairs + i]! >> pairBits) & 3;
          out[to + part * 16 + i] = scale * ((low | (high << 4)) - 32);
        }
      }
    }
  },
};

/** The 6-bit scale of `group` from the 12 packed bytes at `at` (`get_scale_min_k4`). */
function scaleK(raw: Uint8Array, at: number, group: number): number {
  if (group < 4) return raw[at + group]! & 63;
  return (raw[at + group + 4]! & 15) | ((raw[at + group - 4]! >> 6) << 4);
}

/** The 6-bit shift of `group` from the 12 packed bytes at `at`. */
function shiftK(raw: Uint8Array, at: number, group: number): number {
  if (group < 4) return raw[at + group + 4]! & 63;
  return (raw[at + group + 4]! >> 4) | ((raw[at + group]! >> 6) << 4);
}
