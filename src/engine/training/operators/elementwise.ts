/**
 * Sums and products with NumPy's broadcasting, and their gradients: what was broadcast is summed.
 */
import type { Value } from '../../onnx/graph.ts';
import { add as addNode, mul as mulNode, reduceSum } from '../../onnx/operators.ts';
import type { Tape } from '../tape.ts';

export function add(tape: Tape, a: Value, b: Value): Value {
  return tape.record(addNode(tape.graph, a, b), [a, b], (dy, da, db) => {
    da.add(() => sumTo(tape, dy, a));
    db.add(() => sumTo(tape, dy, b));
  });
}

export function mul(tape: Tape, a: Value, b: Value): Value {
  const { graph } = tape;
  return tape.record(mulNode(graph, a, b), [a, b], (dy, da, db) => {
    da.add(() => sumTo(tape, mulNode(graph, dy, b), a));
    db.add(() => sumTo(tape, mulNode(graph, dy, a), b));
  });
}

/** Sums of `x` over the dimensions in which `target` was broadcast to it: has the shape of `target`. */
function sumTo(tape: Tape, x: Value, target: Value): Value {
  const extra = x.shape.length - target.shape.length;
  const leading = Array.from({ length: extra }, (_, axis) => axis);
  const summed = leading.length > 0 ? reduceSum(tape.graph, x, leading, { keep: false }) : x;
  const ones = target.shape.flatMap((size, axis) => (size === 1 && summed.shape[axis] !== 1 ? [axis] : []));
  return ones.length > 0 ? reduceSum(tape.graph, summed, ones, { keep: true }) : summed;
}
