/**
 * Linear layers whose products run in 8 bits: both factors are quantised, symmetrically, the inputs row by row as they come
 * and the matrix column by column. One scale for a whole tensor of inputs would be a little faster, but a row would then
 * depend on its batch mates, and the outliers of a language model would take its precision (docs/log.md).
 */
import { blockSizeFor, quantizeColumns, rotate, rotationMatrix } from '../../graphs/quantize.ts';
import type { Graph, Value } from '../../onnx/graph.ts';
import { matMul, matMulInteger, mul, quantizeRows, reshape } from '../../onnx/operators.ts';
import { sizesOf, type Tape } from '../tape.ts';

/** The right factor of a product. */
export interface Int8Matrix {
  /** int8 [in, out]. */
  readonly data: Value;
  /** [out]: the value of 1 in each column. */
  readonly scales: Value;
  /** [size, size], orthogonal: groups of the inputs were multiplied with it, as the matrix was; null: they were not. */
  readonly rotation: Value | null;
}

/** A weight W [out, in]: its transpose for the layer, itself for the gradient, each quantised by its own columns. */
export interface Int8Weight {
  readonly forward: Int8Matrix;
  /** Null where no gradient is asked for. */
  readonly backward: Int8Matrix | null;
}

/** Inputs that are rotated together, at most (see `rotate` of graphs/quantize.ts). */
const ROTATION = 64;

/**
 * Puts W [out, in] into the graph. The inputs of the layer are rotated, which spreads their outliers; gradients have few, and
 * are not.
 */
export function int8Weight(
  graph: Graph,
  name: string,
  values: Float32Array,
  [out, width]: readonly [number, number],
  gradient: boolean,
): Int8Weight {
  const matrix = (label: string, elements: Float32Array, columns: number, rotation: Value | null): Int8Matrix => {
    const { data, scales } = quantizeColumns(elements, columns);
    const shape = [(out * width) / columns, columns];
    return {
      data: graph.initializer(`${name}|${label}`, 'int8', shape, bytesOf(data)),
      scales: graph.initializer(`${name}|${label}_scales`, 'float32', [columns], bytesOf(scales)),
      rotation,
    };
  };
  const backward = gradient ? matrix('backward', values, width, null) : null;
  const size = blockSizeFor(width, ROTATION) ?? 1;
  rotate(values, size);
  return { forward: matrix('forward', transposed(values, width), out, rotationOf(graph, size)), backward };
}

function rotationOf(graph: Graph, size: number): Value | null {
  if (size === 1) return null;
  const flat = graph.constant('float32', [...rotationMatrix(size)]);
  return reshape(graph, flat, [size, size], [size, size]);
}

function transposed(values: Float32Array, columns: number): Float32Array {
  const rows = values.length / columns;
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!;
  }
  return result;
}

function bytesOf(array: Float32Array | Int8Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/**
 * x [tokens, in] times the transpose of W: [tokens, out]. The gradient dx = dy W takes rounding as if it were not there
 * (straight-through; Bengio et al., arXiv 1308.3432). W itself has none.
 */
export function int8Linear(tape: Tape, x: Value, { forward, backward }: Int8Weight): Value {
  return tape.record(int8Product(tape.graph, x, forward), [x], (dy, dx) => {
    dx.add(() => int8Product(tape.graph, dy, backward!));
  });
}

/** x [tokens, in] times `matrix`. No gradient rule. Layers with the same input share its quantisation: ONNX Runtime merges equal nodes. */
export function int8Product(graph: Graph, x: Value, { data, scales, rotation }: Int8Matrix): Value {
  const { quantized, scale } = quantizeRows(graph, rotation === null ? x : rotated(graph, x, rotation));
  return mul(graph, matMulInteger(graph, quantized, data, scales), scale);
}

function rotated(graph: Graph, x: Value, rotation: Value): Value {
  const [tokens, width] = sizesOf(x) as [number, number];
  const [size] = sizesOf(rotation) as [number, number];
  const groups = [(tokens * width) / size, size];
  return reshape(graph, matMul(graph, reshape(graph, x, groups, groups), rotation), [tokens, width], x.shape);
}
