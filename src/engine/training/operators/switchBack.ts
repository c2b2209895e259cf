/**
 * Linear layers of full training whose products for output and input gradient run in 8 bits, the weight's gradient in
 * float32 (SwitchBack; Wortsman et al., arXiv 2304.13013). Rows of the weight have scales of their own.
 */
import type { Value } from '../../onnx/graph.ts';
import { matMulInteger, mul, quantizeRows, quantizeSignedRows, reshape, transpose } from '../../onnx/operators.ts';
import { sizesOf, type Tape } from '../tape.ts';
import { plusProduct } from './product.ts';

/** x [tokens, in] times the transpose of `weight` [out, in]: [tokens, out]. */
export function switchBackLinear(tape: Tape, x: Value, weight: Value): Value {
  const { graph } = tape;
  const [out, width] = sizesOf(weight) as [number, number];
  const { quantized, scales } = quantizeSignedRows(graph, weight);
  const { quantized: rows, scale } = quantizeRows(graph, x);
  const y = mul(graph, matMulInteger(graph, rows, transpose(graph, quantized, [1, 0]), scales), scale);
  return tape.record(y, [x, weight], (dy, dx, dw) => {
    dx.add(() => {
      // The scales of W's rows go into dy, so that W need not be quantised by its columns too.
      const scaled = mul(graph, dy, reshape(graph, scales, [1, out], [1, out]));
      const { quantized: rowsOfGradient, scale: own } = quantizeRows(graph, scaled);
      const ones = graph.constant('float32', Array<number>(width).fill(1));
      return mul(graph, matMulInteger(graph, rowsOfGradient, quantized, ones), own);
    });
    dw.accumulate((sum) => plusProduct(tape, sum, dy, tape.recall(x, dy), { transposeA: true }));
  });
}
