/**
 * The rollouts of a group as rows of a table: side by side a row is a line of the snippet with a cell for each rollout; one
 * below the other each rollout has a head and a row for each of its lines. Pure; knows nothing of what draws.
 */
import { codeLines, type Piece } from '../codeLines.ts';
import { pythonStretches } from '../python.ts';
import type { Groups, Rollout } from './messages.ts';

/** A line of code under its latent, in one rollout. */
export interface RolloutCell {
  /** Place of the rollout in its group. */
  readonly column: number;
  /** Rows of the code: more than one where the line is continued. */
  readonly code: readonly (readonly Piece[])[];
  /** As it stands above the code, indented like it; null: it did not think. */
  readonly latent: string | null;
  /** Why the latent is none; '' where it is fine. */
  readonly error: string;
  /** P(think); null where no latent may go. */
  readonly think: number | null;
  /** In nats: with the latents, without any, and what they gained. */
  readonly reward: number;
  readonly without: number;
  readonly gain: number;
}

/** `line` from 1; null: the row is a rollout's head, and its cell says no more than whose. */
export interface RolloutRow {
  readonly line: number | null;
  readonly cells: readonly (RolloutCell | null)[];
  readonly head: number | null;
  /** Rows of text that it takes. */
  readonly height: number;
}

export function rolloutRows(rollouts: readonly Rollout[], stacked: boolean): RolloutRow[] {
  const coloured = new Map<string, readonly (readonly (readonly Piece[])[])[]>();
  const columns = rollouts.map((rollout, column) => cellsOf(rollout, column, coloured));
  if (stacked) {
    return columns.flatMap((cells, column) => [
      { line: null, cells: [], head: column, height: 2 },
      ...cells.map((cell, i) => rowOf(i, [cell])),
    ]);
  }
  const lines = Math.max(0, ...columns.map(({ length }) => length));
  return Array.from({ length: lines }, (_, i) =>
    rowOf(
      i,
      columns.map((cells) => cells[i] ?? null),
    ),
  );
}

function rowOf(place: number, cells: readonly (RolloutCell | null)[]): RolloutRow {
  const rows = (of: (cell: RolloutCell) => number): number => Math.max(...cells.map((cell) => (cell ? of(cell) : 0)));
  return {
    line: place + 1,
    cells,
    head: null,
    height:
      rows(latentRows) +
      Math.max(
        1,
        rows(({ code }) => code.length),
      ),
  };
}

/** Rows above the code. */
export function latentRows({ latent, error }: RolloutCell): number {
  return latent !== null || error !== '' ? 1 : 0;
}

/** @param coloured lines of texts that were coloured before: rollouts of a group have the same code */
function cellsOf(
  { lines }: Rollout,
  column: number,
  coloured: Map<string, readonly (readonly (readonly Piece[])[])[]>,
): RolloutCell[] {
  const codes = lines.map(({ code }) => code.replace(/\r?\n$/, ''));
  const text = codes.join('\n');
  const code = coloured.get(text) ?? colouredLines(codes, text);
  coloured.set(text, code);
  return lines.map(({ latent, thinkProbability, reward, without, error }, i) => ({
    column,
    code: code[i]!,
    latent: latent === null ? null : indented(latent, codes[i]!),
    error: error ?? '',
    think: thinkProbability,
    reward,
    without,
    gain: reward - without,
  }));
}

function colouredLines(codes: readonly string[], text: string): (readonly (readonly Piece[])[])[] {
  const rows = codeLines(text, pythonStretches(text)).map(({ pieces }) => pieces);
  let from = 0;
  return codes.map((code) => {
    const count = code.split('\n').length;
    from += count;
    return rows.slice(from - count, from);
  });
}

/** On one row, and indented as the code below it where it is not by itself. */
function indented(latent: string, code: string): string {
  const text = latent.trimEnd().replaceAll(/\r?\n/g, ' ↵ ');
  return /^\s/.test(text) ? text : `${/^[ \t]*/.exec(code)![0]}${text}`;
}

/** `4 rollouts`: how many were told of a group. */
export function rolloutWords({ sizes }: Groups, group: number): string {
  return sizes[group] === 1 ? '1 rollout' : `${sizes[group]!} rollouts`;
}

/** `0.80`, `−1.25`: two digits, and no minus before a zero. */
export function nats(value: number): string {
  const text = Math.abs(value).toFixed(2);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/** The same with its sign: `+0.80`, `−1.25`, `0.00`. */
export function signed(value: number): string {
  return Number(value.toFixed(2)) > 0 ? `+${nats(value)}` : nats(value);
}
