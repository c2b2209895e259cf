/** The gated unit of the MLP (SwiGLU; Shazeer, arXiv 2002.05202) and its gradient. */
import type { Value } from '../../onnx/graph.ts';
import { add, mul, sigmoid, sub } from '../../onnx/operators.ts';
import type { Tape } from '../tape.ts';

/**
 * silu(gate) * up, elementwise. Of what it computes nothing is kept for the backward pass but its inputs.
 *
 * With s = sigmoid(gate) and a = gate s: d silu / d gate = s + a (1 - s) = s + a - a s.
 */
export function siluGate(tape: Tape, gate: Value, up: Value): Value {
  const { graph } = tape;
  const s = sigmoid(graph, gate);
  tape.forget(s, (dy) => sigmoid(graph, tape.after(gate, dy)));
  const a = mul(graph, gate, s);
  tape.forget(a, (dy) => mul(graph, gate, tape.recall(s, dy)));
  const y = tape.forget(mul(graph, a, up), (dy) => mul(graph, tape.recall(a, dy), up));
  return tape.record(y, [gate, up], (dy, dGate, dUp) => {
    dUp.add(() => mul(graph, dy, tape.recall(a, dy)));
    dGate.add(() => {
      const [sig, silu] = [tape.recall(s, dy), tape.recall(a, dy)];
      const derivative = add(graph, sig, sub(graph, silu, mul(graph, silu, sig)));
      return mul(graph, mul(graph, dy, up), derivative);
    });
  });
}
