/** RMSNorm (Zhang and Sennrich, arXiv 1910.07467) and its gradient. */
import type { Value } from '../../onnx/graph.ts';
import { mul, reduceSum, rmsNorm as rmsNormNode, rmsScale, sub } from '../../onnx/operators.ts';
import { sizesOf, type Tape } from '../tape.ts';

/**
 * w * x / sqrt(mean(x^2) + epsilon) over the last axis; x [tokens, width], w [width].
 *
 * With r = 1 / sqrt(mean(x^2) + epsilon), n = x r and g = dy w:
 * dx = r (g - n mean(g n)), dw = sum over tokens of dy n.
 */
export function rmsNorm(tape: Tape, x: Value, weight: Value, epsilon: number): Value {
  const { graph } = tape;
  const normed = (from: Value): Value => rmsNormNode(graph, from, weight, epsilon);
  const y = tape.forget(normed(x), (dy) => normed(tape.after(x, dy)));
  return tape.record(y, [x, weight], (dy, dx, dw) => {
    const width = sizesOf(x).at(-1)!;
    const scale = rmsScale(graph, x, width, epsilon); // the node's own is not written on WebGPU (onnxruntime 1.30)
    const unit = mul(graph, x, scale);
    dw.add(() => reduceSum(graph, mul(graph, dy, unit), [0], { keep: false }));
    dx.add(() => {
      const g = mul(graph, dy, weight);
      const total = reduceSum(graph, mul(graph, g, unit), [-1], { keep: true });
      const mean = mul(graph, total, graph.constant('float32', 1 / width));
      return mul(graph, scale, sub(graph, g, mul(graph, unit, mean)));
    });
  });
}
