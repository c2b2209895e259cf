/** Token embedding and its gradient. */
import type { Value } from '../../onnx/graph.ts';
import { gather, reshape, scatterAddRows, toInt64, zeros } from '../../onnx/operators.ts';
import { sizesOf, type Tape } from '../tape.ts';

/** Rows of `table` [vocabulary, width] at `ids` int32 [tokens]: [tokens, width]. The gradient adds rows where ids repeat. */
export function embedding(tape: Tape, table: Value, ids: Value): Value {
  return tape.record(gather(tape.graph, table, ids), [table], (dy, dTable) => {
    dTable.accumulate((sum) => addRows(tape, sum ?? zeros(tape.graph, sizesOf(table)), ids, dy));
  });
}

/** `table` [vocabulary, width] with `rows` [tokens, width] added at `ids` int32 [tokens]. No gradient rule. */
export function addRows(tape: Tape, table: Value, ids: Value, rows: Value): Value {
  const [tokens] = sizesOf(ids);
  const indices = reshape(tape.graph, toInt64(tape.graph, ids), [tokens!, 1], [tokens!, 1]);
  return scatterAddRows(tape.graph, table, indices, rows);
}
