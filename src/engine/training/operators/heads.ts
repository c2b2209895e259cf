/** Between tokens and attention heads: moves values only, so each is the other's gradient. */
import type { Value } from '../../onnx/graph.ts';
import { reshape, transpose } from '../../onnx/operators.ts';
import { sizesOf, type Tape } from '../tape.ts';

/** [rows * length, heads * headSize] to [rows, heads, length, headSize]. */
export function splitHeads(tape: Tape, x: Value, rows: number, headSize: number): Value {
  return tape.record(split(tape, x, rows, headSize), [x], (dy, dx) => {
    dx.add(() => merge(tape, dy));
  });
}

/** [rows, heads, length, headSize] to [rows * length, heads * headSize]. */
export function mergeHeads(tape: Tape, x: Value): Value {
  const [rows, , , headSize] = sizesOf(x);
  return tape.record(merge(tape, x), [x], (dy, dx) => {
    dx.add(() => split(tape, dy, rows!, headSize!));
  });
}

function split({ graph }: Tape, x: Value, rows: number, headSize: number): Value {
  const [tokens, width] = sizesOf(x);
  const shape = [rows, tokens! / rows, width! / headSize, headSize];
  return transpose(graph, reshape(graph, x, shape, shape), [0, 2, 1, 3]);
}

function merge({ graph }: Tape, x: Value): Value {
  const [rows, heads, length, headSize] = sizesOf(x);
  const shape = [rows! * length!, heads! * headSize!];
  return reshape(graph, transpose(graph, x, [0, 2, 1, 3]), shape, shape);
}
