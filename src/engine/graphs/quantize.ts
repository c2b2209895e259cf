/**
 * Block quantisation in the layout of ONNX Runtime's MatMulNBits and GatherBlockQuantized
 * (`docs/ContribOperators.md`): unsigned integers with zero point 2^(bits - 1), one float32 scale a block.
 * Knows nothing of files or graphs.
 */

export interface BlockQuantized {
  /** [rows, width / blockSize, blockSize * bits / 8]. */
  readonly data: Uint8Array;
  /** [rows * width / blockSize]. */
  readonly scales: Float32Array;
}

/**
 * Symmetric 8-bit blocks: scale = largest magnitude / 127, so the error of a weight is at most half a scale.
 * @param values row-major; their number is a multiple of `blockSize` and of `rotation`.
 * @param rotation values in a group that is rotated before, see `rotate`; 1 leaves them as they are.
 */
export function quantizeTo8Bits(values: Float32Array, blockSize: number, rotation = 1): BlockQuantized {
  const data = new Uint8Array(values.length);
  const scales = new Float32Array(values.length / blockSize);
  const group = new Float32Array(Math.max(blockSize, rotation));
  for (let start = 0; start < values.length; start += group.length) {
    for (let i = 0; i < group.length; i++) group[i] = values[start + i]!; // a small copy: faster than subarray and set
    rotate(group, rotation);
    for (let from = 0; from < group.length; from += blockSize) {
      let largest = 0;
      for (let i = from; i < from + blockSize; i++) largest = Math.max(largest, Math.abs(group[i]!));
      const scale = Math.fround(largest / 127);
      const inverse = scale > 0 ? 1 / scale : 0;
      scales[(start + from) / blockSize] = scale;
      for (let i = from; i < from + blockSize; i++) data[start + i] = Math.round(group[i]! * inverse) + 128;
    }
  }
  return { data, scales };
}

/** A matrix as signed 8-bit integers with a scale for each column. */
export interface ColumnQuantized {
  /** [rows, columns]. */
  readonly data: Int8Array;
  /** [columns]. */
  readonly scales: Float32Array;
}

/** Symmetric: a column's scale is its largest magnitude / 127. @param values row-major [rows, columns] */
export function quantizeColumns(values: Float32Array, columns: number): ColumnQuantized {
  const data = new Int8Array(values.length);
  const scales = new Float32Array(columns);
  for (let start = 0; start < values.length; start += columns) {
    for (let i = 0; i < columns; i++) scales[i] = Math.max(scales[i]!, Math.abs(values[start + i]!));
  }
  for (let i = 0; i < columns; i++) scales[i] = scales[i]! / 127;
  const inverses = scales.map((scale) => (scale > 0 ? 1 / scale : 0));
  for (let start = 0; start < values.length; start += columns) {
    for (let i = 0; i < columns; i++) data[start + i] = Math.round(values[start + i]! * inverses[i]!);
  }
  return { data, scales };
}

/**
 * Multiplies each group of `size` values, a power of two, with the orthonormal Hadamard matrix, in place. Done to the inputs
 * of a linear layer and to its weights alike it changes no result, and it spreads an outlier over its group: 8-bit blocks
 * then lose half as much (docs/log.md). The matrix is symmetric and its own inverse.
 * @param stride distance between the values of a group: a row's length turns columns of a matrix.
 */
export function rotate(values: Float32Array, size: number, stride = 1): void {
  if (size === 1) return;
  const factor = 1 / Math.sqrt(size);
  for (let half = stride; half < size * stride; half *= 2) {
    for (let pair = 0; pair < values.length; pair += 2 * half) {
      for (let i = pair; i < pair + half; i++) {
        const a = values[i]!;
        const b = values[i + half]!;
        values[i] = a + b;
        values[i + half] = a - b;
      }
    }
  }
  for (let i = 0; i < values.length; i++) values[i] = values[i]! * factor;
}

/** The matrix that `rotate` multiplies with, [size, size]. */
export function rotationMatrix(size: number): Float32Array {
  const matrix = new Float32Array(size * size);
  for (let i = 0; i < size; i++) matrix[i * size + i] = 1;
  rotate(matrix, size);
  return matrix;
}

/** Largest of 128, 64, 32 and 16 that divides `width`, or null. Large blocks are faster: see `docs/log.md`. */
export function blockSizeFor(width: number, preferred: number): number | null {
  for (let size = preferred; size >= 16; size /= 2) if (width % size === 0) return size;
  return null;
}
