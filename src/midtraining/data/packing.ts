/**
 * Puts snippets of different lengths into rows of one length: best-fit decreasing (Johnson 1973), as Krell et al. 2021
 * ("Efficient sequence packing without cross-contamination") do for training. Knows nothing of tokens' meaning.
 */

/**
 * Which snippets share a row: their indices, in the order in which they come in the row. Each index is in one row; the same
 * lengths give the same rows.
 *
 * @param lengths tokens of each snippet, 1 to `rowLength`
 * @throws RangeError for a snippet longer than a row
 */
export function packRows(lengths: readonly number[], rowLength: number): number[][] {
  const longestFirst = lengths.map((_, index) => index).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const rows: number[][] = [];
  /** Rows by the tokens that are still free in them. */
  const byRoom: number[][] = Array.from({ length: rowLength + 1 }, () => []);
  for (const index of longestFirst) {
    const length = lengths[index]!;
    if (!(length >= 1 && length <= rowLength)) {
      throw new RangeError(`a snippet of ${length} tokens does not fit into a row of ${rowLength}`);
    }
    let room = length;
    while (room < rowLength && byRoom[room]!.length === 0) room += 1;
    const row = byRoom[room]!.pop() ?? rows.push([]) - 1;
    rows[row]!.push(index);
    byRoom[room - length]!.push(row);
  }
  return rows;
}

/** A row of a batch. */
export interface PackedRow {
  /** Token ids; behind the last snippet the padding id. */
  readonly ids: Int32Array;
  /** Which of the row's snippets a token belongs to, from 1; 0 is padding. Tokens see their own snippet only. */
  readonly segments: Int32Array;
  /** A token's place in its snippet, from 0; 0 in the padding. */
  readonly positions: Int32Array;
  /** Tokens that are no padding. */
  readonly used: number;
}

/** Lays snippets out in one row. @throws RangeError when they do not fit */
export function layOutRow(snippets: readonly ArrayLike<number>[], rowLength: number, paddingId: number): PackedRow {
  const ids = new Int32Array(rowLength).fill(paddingId);
  const segments = new Int32Array(rowLength);
  const positions = new Int32Array(rowLength);
  let used = 0;
  snippets.forEach((snippet, segment) => {
    if (used + snippet.length > rowLength) throw new RangeError(`the snippets do not fit into a row of ${rowLength}`);
    ids.set(snippet, used);
    for (let position = 0; position < snippet.length; position++) {
      segments[used + position] = segment + 1;
      positions[used + position] = position;
    }
    used += snippet.length;
  });
  return { ids, segments, positions, used };
}
