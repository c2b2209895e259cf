/**
 * Matrix products with transposed factors, in the form that the device has: FusedMatMul and Gemm where they exist, else
 * Transpose and MatMul. No gradient rules: `linear.ts` and `attention.ts` have those.
 */
import type { Value } from '../../onnx/graph.ts';
import { add, fusedMatMul, gemm, matMul, mul, transpose } from '../../onnx/operators.ts';
import type { Tape } from '../tape.ts';

export interface ProductOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
}

/** alpha * a b, batched over leading dimensions; a transposed factor has its last two dimensions swapped. */
export function product(tape: Tape, a: Value, b: Value, options: ProductOptions = {}): Value {
  const { transposeA = false, transposeB = false, alpha = 1 } = options;
  const { graph } = tape;
  if (!transposeA && !transposeB && alpha === 1) return matMul(graph, a, b);
  if (tape.fusedMatMul) return fusedMatMul(graph, a, b, options);
  const result = matMul(graph, transposeA ? swapped(tape, a) : a, transposeB ? swapped(tape, b) : b);
  return alpha === 1 ? result : mul(graph, result, graph.constant('float32', alpha));
}

/** sum + alpha * a b of matrices; `sum` null is nothing. */
export function plusProduct(tape: Tape, sum: Value | null, a: Value, b: Value, options: ProductOptions = {}): Value {
  if (sum === null) return product(tape, a, b, options);
  if (tape.fusedMatMul) return gemm(tape.graph, a, b, sum, options);
  return add(tape.graph, sum, product(tape, a, b, options));
}

function swapped(tape: Tape, x: Value): Value {
  const axes = x.shape.map((_, axis) => axis);
  return transpose(tape.graph, x, [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
}
