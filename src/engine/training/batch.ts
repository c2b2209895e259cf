/**
 * Rows of tokens for training: sequences packed into rows of one length, each its own segment with its own positions.
 * Knows nothing of text or of where sequences come from.
 */

import { type PolicyTerms, slicePolicy } from './policy.ts';

export interface Sequence {
  readonly ids: ArrayLike<number>;
  /** Weight of each token's loss *as a target*; the first token is no target. All 1 where it is absent. */
  readonly weights?: ArrayLike<number>;
}

/** `rows` rows of `length` tokens, row-major. */
export interface Batch {
  readonly rows: number;
  readonly length: number;
  readonly ids: Int32Array;
  /** The token after each; 0 where none is to be predicted. */
  readonly targets: Int32Array;
  /** Weight of each target's loss, 0 where there is none. */
  readonly weights: Float32Array;
  /** Tokens of a row attend only to those with the same number. */
  readonly segments: Int32Array;
  /** From 0 in each segment. */
  readonly positions: Int32Array;
  /** What the model chose, for trainers of a policy. */
  readonly policy?: PolicyTerms;
}

/** An empty batch: one segment of padding, no targets. */
export function emptyBatch(rows: number, length: number): Batch {
  const size = rows * length;
  return {
    rows,
    length,
    ids: new Int32Array(size),
    targets: new Int32Array(size),
    weights: new Float32Array(size),
    segments: new Int32Array(size),
    positions: Int32Array.from({ length: size }, (_, i) => i % length),
  };
}

/**
 * Where sequences of these lengths go in rows of one length: each into the first row that has room, in their order.
 * @returns of each the place of its first token, row-major
 * @throws RangeError when a sequence is longer than a row
 */
export function placesOf(lengths: readonly number[], length: number): number[] {
  const used: number[] = [];
  return lengths.map((tokens) => {
    if (tokens > length) throw new RangeError(`A sequence of ${tokens} tokens does not fit a row of ${length}.`);
    let row = used.findIndex((taken) => taken + tokens <= length);
    if (row < 0) row = used.push(0) - 1;
    const start = row * length + used[row]!;
    used[row]! += tokens;
    return start;
  });
}

/**
 * Packs sequences into rows (`placesOf`). What is over at a row's end is padding, a segment of its own. A sequence does not
 * see its neighbours, so packing changes no loss.
 * @throws RangeError when a sequence is longer than a row
 */
export function packRows(sequences: readonly Sequence[], length: number): Batch {
  const places = placesOf(
    sequences.map(({ ids }) => ids.length),
    length,
  );
  const rows = places.reduce((most, place) => Math.max(most, Math.floor(place / length) + 1), 0);
  const batch = emptyBatch(rows, length);
  sequences.forEach(({ ids, weights }, segment) => {
    for (let i = 0; i < ids.length; i++) {
      const at = places[segment]! + i;
      batch.ids[at] = ids[i]!;
      batch.segments[at] = segment + 1;
      batch.positions[at] = i;
      if (i + 1 === ids.length) continue;
      batch.targets[at] = ids[i + 1]!;
      batch.weights[at] = weights?.[i + 1] ?? 1;
    }
  });
  return batch;
}

/** `count` rows from `first` on; rows beyond the end are empty. */
export function rowsOf(batch: Batch, first: number, count: number): Batch {
  const { length } = batch;
  const result = emptyBatch(count, length);
  for (const key of ['ids', 'targets', 'weights', 'segments', 'positions'] as const) {
    result[key].set(batch[key].subarray(first * length, (first + count) * length));
  }
  const { policy } = batch;
  if (policy === undefined) return result;
  return { ...result, policy: slicePolicy(policy, first * length, count * length, count * length) };
}
