/** Rotary position embedding (Su et al., arXiv 2104.09864), halves rotated as in Hugging Face's models, and its gradient. */
import type { Value } from '../../onnx/graph.ts';
import { rotary as rotaryNode } from '../../onnx/operators.ts';
import { sizesOf, type Tape } from '../tape.ts';

/** What rotates each token: the same for all layers. */
export interface Rotation {
  /** int64 [rows, length]: rows of the tables. */
  readonly positions: Value;
  /** [positions, headSize / 2]. */
  readonly cos: Value;
  readonly sin: Value;
  /** -sin, which rotates back; null where no gradient is asked for. */
  readonly minusSin: Value | null;
}

/** x [rows, heads, length, headSize]. A rotation's transpose is the rotation by the opposite angle. */
export function rotary(tape: Tape, x: Value, { positions, cos, sin, minusSin }: Rotation): Value {
  const heads = sizesOf(x)[1]!;
  return tape.record(rotaryNode(tape.graph, x, positions, cos, sin, heads), [x], (dy, dx) => {
    dx.add(() => rotaryNode(tape.graph, dy, positions, cos, minusSin!, heads));
  });
}
