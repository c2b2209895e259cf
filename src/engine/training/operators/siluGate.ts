/** The gated unit of the MLP (SwiGLU; Shazeer, arXiv 2002.05202) and its gradient. */
import type { Value } from '../../onnx/graph.ts';
import { add, mul, sigmoid, sub } from '../../onnx/operators.ts';
import type { Tape } from '../tape.ts';

/**
 * silu(gate) * up, elementwise.
 *
 * With s = sigmoid(gate) and a = gate s: d silu / d gate = s + a (1 - s) = s + a - a s.
 */
export function siluGate(tape: Tape, gate: Value, up: Value): Value {
  const { graph } = tape;
  const s = sigmoid(graph, gate);
  const a = mul(graph, gate, s);
  return tape.record(mul(graph, a, up), [gate, up], (dy, dGate, dUp) => {
    dUp.add(() => mul(graph, dy, a));
    dGate.add(() => {
      const slope = add(graph, s, sub(graph, a, mul(graph, a, s)));
      return mul(graph, mul(graph, dy, up), slope);
    });
  });
}
