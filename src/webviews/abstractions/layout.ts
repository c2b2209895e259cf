/**
 * A reading laid out for drawing: its code in rows, with the latents as rows of their own above what they govern, and the
 * segments as bands. Offsets are UTF-16 code units of the code. Pure; knows nothing of browsers or pixels.
 */
import { codeLines, type Piece } from '../codeLines.ts';
import { pythonStretches, type Stretch } from '../python.ts';
import type { LatentReading, LineReading, Reading } from './messages.ts';

/** A run of lines that one latent governs. */
export interface Segment {
  /** Null: the lines before the first latent. */
  readonly latent: LatentReading | null;
  /** Its first line and the one behind its last: places in `reading.lines`. */
  readonly from: number;
  readonly to: number;
}

/** What is drawn in one row of the screen. */
export interface Row {
  /** A row of a latent, as it would stand in the code; null: a row of the code. */
  readonly latent: string | null;
  /** Row of the code, from 0; of a latent, the one it stands above. */
  readonly codeRow: number;
  /** Place of the line it belongs to; null: blank rows and comments between lines. */
  readonly line: number | null;
  /** Its first row of code: there its figures are drawn. */
  readonly isFirstOfLine: boolean;
  /** Place of its segment; null before the first line. */
  readonly segment: number | null;
  /** The segment begins with it. */
  readonly isBoundary: boolean;
}

/** A row of the code without its newline, and where that ends. */
export interface CodeRow {
  readonly from: number;
  readonly to: number;
  readonly end: number;
}

export interface Layout {
  readonly reading: Reading;
  readonly codeRows: readonly CodeRow[];
  readonly rows: readonly Row[];
  readonly segments: readonly Segment[];
  /** Place of the segment of each line. */
  readonly segmentOf: readonly number[];
  /** For each row of the code its place in `rows`. */
  readonly placeOf: readonly number[];
  /** Syntax colours of the whole code. */
  readonly stretches: readonly Stretch[];
  /** Of the widest row, in widths of a digit. */
  readonly columns: number;
}

/** As wide as VS Code's own. */
export const TAB = 4;

export function layoutOf(reading: Reading): Layout {
  const { code, lines } = reading;
  const codeRows = rowsOf(code);
  const segments = segmentsOf(lines);
  const segmentOf = segments.flatMap(({ from, to }, i) => new Array<number>(to - from).fill(i));
  const rows: Row[] = [];
  const placeOf: number[] = [];
  let line = -1; // the one that began last
  codeRows.forEach(({ from }, codeRow) => {
    if (lines[line + 1]?.row === codeRow) {
      line += 1;
      const { latent, from: start } = lines[line]!;
      const segment = segmentOf[line]!;
      const isBoundary = segments[segment]!.from === line;
      const indent = /^[ \t\f]*/.exec(code.slice(start, start + 1000))![0];
      latent?.text.split('\n').forEach((text, i) => {
        rows.push({
          latent: indent + text,
          codeRow,
          line,
          isFirstOfLine: false,
          segment,
          isBoundary: isBoundary && i === 0,
        });
      });
      placeOf.push(rows.length);
      rows.push({
        latent: null,
        codeRow,
        line,
        isFirstOfLine: true,
        segment,
        isBoundary: isBoundary && latent === null,
      });
      return;
    }
    const last = lines[line];
    const isInside = last !== undefined && codeRow < last.row + last.rows && from < last.to;
    placeOf.push(rows.length);
    rows.push({
      latent: null,
      codeRow,
      line: isInside ? line : null,
      isFirstOfLine: false,
      segment: segmentOf[line] ?? null,
      isBoundary: false,
    });
  });
  const widths = rows.map(({ latent, codeRow }) => columnsOf(latent ?? textOf(code, codeRows[codeRow]!)));
  const columns = widths.reduce((most, width) => Math.max(most, width), 0);
  return { reading, codeRows, rows, segments, segmentOf, placeOf, stretches: pythonStretches(code), columns };
}

/** Rows as an editor counts them: they end with LF, CR LF or CR, and the last one may be empty. */
function rowsOf(code: string): CodeRow[] {
  const rows: CodeRow[] = [];
  let from = 0;
  for (const { index, 0: newline } of code.matchAll(/\r\n|\n|\r/g)) {
    rows.push({ from, to: index, end: index + newline.length });
    from = index + newline.length;
  }
  rows.push({ from, to: code.length, end: code.length });
  return rows;
}

function segmentsOf(lines: readonly LineReading[]): Segment[] {
  const starts = lines.flatMap(({ latent }, i) => (latent !== null || i === 0 ? [i] : []));
  return starts.map((from, i) => ({ latent: lines[from]!.latent, from, to: starts[i + 1] ?? lines.length }));
}

export function textOf(code: string, { from, to }: Pick<CodeRow, 'from' | 'to'>): string {
  return code.slice(from, to);
}

/** What East Asian scripts and pictures take two columns for. */
const WIDE =
  /\p{Extended_Pictographic}|[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]/u;

/** Columns that a text takes in a font of one width; about, where a letter is drawn of several signs. */
export function columnsOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let columns = 0;
  for (const letter of text) {
    if (letter === '\t') columns += TAB - (columns % TAB);
    else if (!/\p{Mark}|\u200D/u.test(letter)) columns += WIDE.test(letter) ? 2 : 1;
  }
  return columns;
}

/** A stretch of the code that was looked for. */
export interface Match {
  readonly from: number;
  readonly to: number;
}

/** Where the words are in the code and, as places in `rows`, in latents; whatever case they have. */
export function search(
  { reading, rows }: Layout,
  words: string,
): { readonly inCode: readonly Match[]; readonly latentRows: readonly number[] } {
  if (words === '') return { inCode: [], latentRows: [] };
  const pattern = new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'giu');
  const inCode = [...reading.code.matchAll(pattern)].map(({ index, 0: { length } }) => ({
    from: index,
    to: index + length,
  }));
  const latentRows = rows.flatMap(({ latent }, i) => (latent !== null && latent.search(pattern) >= 0 ? [i] : []));
  return { inCode, latentRows };
}

/** Class of what was looked for. */
export const FOUND = 'found';

export interface RowPieces {
  /** Tokens are places in `reading.tokens`. */
  readonly pieces: readonly Piece[];
  /** Token that holds the end of the row; null: none. */
  readonly endToken: number | null;
}

/** A row of the code in pieces: one colour, one token, found or not. */
export function piecesOf({ reading, stretches }: Layout, row: CodeRow, matches: readonly Match[]): RowPieces {
  const { code, tokens } = reading;
  const { from, to, end } = row;
  const first = firstBehind(tokens, from);
  const texts: string[] = [];
  let at = from;
  let last = first;
  for (; last < tokens.length && tokens[last]!.from < to; last += 1) {
    const until = Math.min(to, Math.max(at, wholeAt(code, tokens[last]!.to)));
    texts.push(code.slice(at, until));
    at = until;
  }
  const shown = withMatches(within(stretches, from, to), within(matches, from, to));
  const [line] = codeLines(code.slice(from, to), shown, texts);
  const pieces = line!.pieces.map((piece) => ({ ...piece, token: piece.token === null ? null : piece.token + first }));
  const holder = to < end ? lastBefore(tokens, to) : -1;
  return { pieces, endToken: holder >= 0 && tokens[holder]!.to > to ? holder : null };
}

/** Place of the first of them that ends behind `at`. */
function firstBehind(stretches: readonly Match[], at: number): number {
  return bisect(stretches.length, (i) => stretches[i]!.to > at);
}

/** Place of the last of them that begins at `at` or before; -1: none. */
function lastBefore(stretches: readonly Match[], at: number): number {
  return bisect(stretches.length, (i) => stretches[i]!.from > at) - 1;
}

/** The first place for which `holds`, which holds for all behind it. */
function bisect(length: number, holds: (place: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** A token may end amid a letter of two units; the letter is drawn whole. */
function wholeAt(code: string, at: number): number {
  const isAmid = /^[\uDC00-\uDFFF]/.test(code.charAt(at)) && /[\uD800-\uDBFF]$/.test(code.charAt(at - 1));
  return isAmid ? at + 1 : at;
}

/** Those of ordered stretches that are in the row, cut to it and counted from its beginning. */
function within<Kind extends Match>(stretches: readonly Kind[], from: number, to: number): Kind[] {
  const cut: Kind[] = [];
  for (let i = firstBehind(stretches, from); i < stretches.length && stretches[i]!.from < to; i += 1) {
    const stretch = stretches[i]!;
    cut.push({ ...stretch, from: Math.max(from, stretch.from) - from, to: Math.min(to, stretch.to) - from });
  }
  return cut;
}

/** Colours with what was found marked in them. Both are in order and overlap nothing of their own. */
export function withMatches(stretches: readonly Stretch[], matches: readonly Match[]): Stretch[] {
  if (matches.length === 0) return [...stretches];
  const ends = [...stretches, ...matches].flatMap(({ from, to }) => [from, to]);
  const cuts = [...new Set(ends)].sort((a, b) => a - b);
  return cuts.slice(0, -1).flatMap((from, i) => {
    const to = cuts[i + 1]!;
    const covers = (one: Match): boolean => one.from <= from && to <= one.to;
    const kinds = [stretches.find(covers)?.kind, matches.some(covers) ? FOUND : undefined];
    const kind = kinds.filter((each) => each !== undefined).join(' ');
    return kind === '' ? [] : [{ from, to, kind }];
  });
}

/** Place of the token at an offset; null: none holds it. */
export function tokenAt({ tokens }: Reading, at: number): number | null {
  const place = lastBefore(tokens, at);
  return place >= 0 && tokens[place]!.to > at ? place : null;
}

/** Place of the line at an offset, or of the one before it; null before the first. */
export function lineAt({ lines }: Reading, at: number): number | null {
  const place = lastBefore(lines, at);
  return place < 0 ? null : place;
}

/** Place in `rows` where a line begins: its latent, or its first row of code. */
export function startOf({ reading, rows, placeOf }: Layout, line: number): number {
  let place = placeOf[reading.lines[line]!.row] ?? 0;
  while (rows[place - 1]?.latent !== null && rows[place - 1]?.line === line) place -= 1;
  return place;
}
