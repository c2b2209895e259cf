/**
 * Takes 4-bit blocks of a GGUF file over into MatMulNBits as they are: no value changes.
 * A block of 32 is x = d (q - 8) in Q4_0 and x = d q + m in Q4_1 (ggml-common.h: block_q4_0, block_q4_1).
 */
import type { TensorType } from '../model.ts';
import { halfValues } from '../weights/dequantize.ts';

/** Values in a block. */
export const FOUR_BIT_BLOCK = 32;

export interface FourBitBlocks {
  /** [rows, width / 32, 16]: element 2i in the low half of byte i. Zero point 8. */
  readonly data: Uint8Array;
  /** d of each block. */
  readonly scales: Float32Array;
  /** m + 8 d of each block: what the zero point 8 leaves out, to be multiplied with the sum of the block's inputs. 0 for Q4_0. */
  readonly offsets: Float32Array;
}

export function isFourBit(type: TensorType): type is 'Q4_0' | 'Q4_1' {
  return type === 'Q4_0' || type === 'Q4_1';
}

/** @param raw whole blocks, as `TensorSource.readRaw` gives them. */
export function repackFourBit(type: 'Q4_0' | 'Q4_1', raw: Uint8Array): FourBitBlocks {
  const half = halfValues();
  const header = type === 'Q4_0' ? 2 : 4;
  const size = header + 16;
  const count = raw.length / size;
  const data = new Uint8Array(count * 16);
  const scales = new Float32Array(count);
  const offsets = new Float32Array(count);
  for (let block = 0; block < count; block++) {
    const at = block * size;
    const d = half[raw[at]! | (raw[at + 1]! << 8)]!;
    scales[block] = d;
    if (type === 'Q4_1') offsets[block] = half[raw[at + 2]! | (raw[at + 3]! << 8)]! + 8 * d;
    // ggml keeps element j in the low half of byte j and element j + 16 in its high half.
    for (let i = 0; i < 8; i++) {
      const even = raw[at + header + 2 * i]!;
      const odd = raw[at + header + 2 * i + 1]!;
      data[block * 16 + i] = (even & 15) | ((odd & 15) << 4);
      data[block * 16 + 8 + i] = (even >> 4) | (odd & 0xf0);
    }
  }
  return { data, scales, offsets };
}
