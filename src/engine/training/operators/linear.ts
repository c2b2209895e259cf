/**
 * Linear layers: y = x W^T with W [out, in], as in PyTorch, plus the low-rank update of LoRA.
 */
import type { Value } from '../../onnx/graph.ts';
import type { Tape } from '../tape.ts';
import { plusProduct, product } from './product.ts';

/**
 * x [tokens, in] times the transpose of `weight` [out, in]: [tokens, out].
 * dx = dy W, dW = dy^T x.
 */
export function linear(tape: Tape, x: Value, weight: Value): Value {
  const y = product(tape, x, weight, { transposeB: true });
  return tape.record(y, [x, weight], (dy, dx, dw) => {
    dx.accumulate((sum) => plusProduct(tape, sum, dy, weight));
    dw.accumulate((sum) => plusProduct(tape, sum, dy, tape.recall(x, dy), { transposeA: true }));
  });
}

/**
 * y + scale * (x A^T) B^T, the update of LoRA (Hu et al., arXiv 2106.09685, equation 3; `scale` is alpha / rank).
 * @param y [tokens, out]; x [tokens, in]; a [rank, in]; b [out, rank]
 */
export function plusLowRank(tape: Tape, y: Value, x: Value, a: Value, b: Value, scale: number): Value {
  const narrow = linear(tape, x, a);
  const sum = plusProduct(tape, y, narrow, b, { transposeB: true, alpha: scale });
  return tape.record(sum, [y, narrow, b], (dy, dBase, dNarrow, dB) => {
    dBase.add(() => dy);
    dNarrow.accumulate((before) => plusProduct(tape, before, dy, b, { alpha: scale }));
    dB.accumulate((before) => plusProduct(tape, before, dy, narrow, { transposeA: true, alpha: scale }));
  });
}
