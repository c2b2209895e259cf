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

/**
 * The mean losses of a batch on tokens of code and on those of latents, apart; null where there are none.
 * @param rows those of the batch, with what is a latent
 * @param tokenLosses of the batch's targets
 */
export function partedLosses(
  { length, weights }: Batch,
  rows: readonly { readonly latents?: Uint8Array }[],
  tokenLosses: Float32Array,
): { readonly codeLoss: number | null; readonly latentLoss: number | null } {
  const sums = [0, 0];
  const counts = [0, 0];
  rows.forEach(({ latents }, row) => {
    for (let i = 0; i + 1 < length; i++) {
      const at = row * length + i;
      if (weights[at] === 0) continue;
      const part = latents?.[i + 1] ?? 0;
      sums[part]! += tokenLosses[at]!;
      counts[part]!++;
    }
  });
  const [codeLoss, latentLoss] = sums.map((sum, part) => (counts[part] === 0 ? null : sum / counts[part]!));
  return { codeLoss: codeLoss!, latentLoss: latentLoss! };
}
