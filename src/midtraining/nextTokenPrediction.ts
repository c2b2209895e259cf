/**
 * Next-token prediction: in a row of snippets each token but a snippet's first is a target, all with the same weight.
 * Knows nothing of models or of where rows come from.
 */
import { type Batch, emptyBatch } from '../engine/training/batch.ts';
import type { PackedRow } from './data/packing.ts';

/** @param length tokens of each row */
export function nextTokenBatch(rows: readonly PackedRow[], length: number): Batch {
  const batch = emptyBatch(rows.length, length);
  rows.forEach(({ ids, segments, positions, used }, row) => {
    const start = row * length;
    batch.ids.set(ids, start);
    batch.segments.set(segments, start);
    batch.positions.set(positions, start);
    for (let i = 0; i + 1 < used; i++) {
      if (segments[i] !== segments[i + 1]) continue;
      batch.targets[start + i] = ids[i + 1]!;
      batch.weights[start + i] = 1;
    }
  });
  return batch;
}
