/**
 * Cuts a text into lines of pieces, of which each has one colour and belongs to one token at most. Pure; knows nothing of
 * browsers or of how pieces are drawn.
 */
import type { Stretch } from './python.ts';

export interface Piece {
  readonly text: string;
  /** Class of its colour; '' for none. */
  readonly kind: string;
  /** Place of its token; null where it belongs to none. */
  readonly token: number | null;
}

export interface CodeLine {
  readonly pieces: readonly Piece[];
  /** Token that holds the end of this line; null: none, or the text ends here. */
  readonly endToken: number | null;
}

/**
 * @param stretches colours, as offsets in `text`
 * @param tokens texts of the tokens from the text's beginning on; they may end before it does or go on behind it
 */
export function codeLines(text: string, stretches: readonly Stretch[], tokens: readonly string[] = []): CodeLine[] {
  const lines: CodeLine[] = [];
  let pieces: Piece[] = [];
  let stretch = 0;
  let token = 0;
  let tokenEnd = tokens[0]?.length ?? 0;
  for (let at = 0; at < text.length;) {
    while (token < tokens.length && tokenEnd <= at) {
      token += 1;
      tokenEnd += tokens[token]?.length ?? 0;
    }
    while (stretch < stretches.length && stretches[stretch]!.to <= at) stretch += 1;
    const inToken = token < tokens.length ? token : null;
    if (text[at] === '\n') {
      lines.push({ pieces, endToken: inToken });
      pieces = [];
      at += 1;
      continue;
    }
    const colour = stretches[stretch];
    const coloured = colour !== undefined && colour.from <= at;
    const newline = text.indexOf('\n', at);
    const end = Math.min(
      newline < 0 ? text.length : newline,
      inToken === null ? text.length : tokenEnd,
      colour === undefined ? text.length : coloured ? colour.to : colour.from,
    );
    pieces.push({ text: text.slice(at, end), kind: coloured ? colour.kind : '', token: inToken });
    at = end;
  }
  lines.push({ pieces, endToken: null });
  return lines;
}

/** Neighbouring pieces of the same token together. */
export function tokenRuns(pieces: readonly Piece[]): Piece[][] {
  const runs: Piece[][] = [];
  for (const piece of pieces) {
    const last = runs.at(-1);
    if (last?.[0]?.token === piece.token) last.push(piece);
    else runs.push([piece]);
  }
  return runs;
}
