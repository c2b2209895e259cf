/**
 * Action abstractions in Python code: latents, written as comments right above the line where they come into force, and the
 * segments they govern. Reads them out of code, writes them into it, takes them away.
 * Knows nothing of models or of where latents come from.
 */
import type { Parser } from 'web-tree-sitter';
import { UserError } from '../../errors.ts';
import { type CodeLine, codeLines, type CommentRow } from './codeLines.ts';

/** A comment that explains: `# …`, several rows joined by `\n`. */
export type Latent = string;

export interface AbstractedCode {
  /** The text without its latents: strip(text). */
  readonly code: string;
  /** The lines of `code`. */
  readonly lines: readonly CodeLine[];
  /** For each line the latent that comes into force there; null: the one before stays in force. */
  readonly latents: readonly (Latent | null)[];
  /** For each line the row of the given text in which it begins, from 0. */
  readonly rows: readonly number[];
  /** The grammar found an error in the text. */
  readonly hasError: boolean;
}

/** A run of lines governed by one latent (an option). */
export interface Segment {
  /** Null: the lines before the first latent. */
  readonly latent: Latent | null;
  /** Its first line, and the one behind its last: indices into `lines`. */
  readonly from: number;
  readonly to: number;
  /** Lines in it. */
  readonly tau: number;
}

/**
 * True of a comment that can be a latent: each of its rows has a letter or a digit, and none is read by a program: no
 * shebang, no declaration of the encoding (PEP 263), no type comment (PEP 484), no switch of a formatter or checker.
 */
export function isLatent(comment: string): boolean {
  return comment.split('\n').every(isLatentRow);
}

function isLatentRow(row: string): boolean {
  return /^#[^\r\0]*[\p{L}\p{N}]/u.test(row) && !/[\r\0]/.test(row) && !FOR_PROGRAMS.test(row);
}

const FOR_PROGRAMS =
  /^#(?:!|\s*%%|.*coding[:=][ \t]*[-\w.]|\s*(?:type|mypy|pyright|pyre|ruff|flake8|pylint|fmt|isort|yapf|autopep8|black|pragma|cython|distutils|noqa|nosec)\s*:|\s*(?:noqa|nosec)\b)/;

/**
 * Reads the latents of a text. A latent is one or more rows of comment right above a line of code, indented as it is.
 * Any other comment (behind code, inside a statement, above a blank row, at the end of a block) is part of the code.
 * Works on any text, in time linear in its length.
 */
export function parseLatents(parser: Parser, text: string): AbstractedCode {
  const { lines, comments, hasError } = codeLines(parser, text);
  const commentAt = new Map(comments.map((comment) => [comment.row, comment]));
  const code: string[] = [];
  const latents: (Latent | null)[] = [];
  const moved: CodeLine[] = [];
  let kept = 0; // up to here the text is in `code`, or left out
  let removed = { rows: 0, units: 0 };
  for (const line of lines) {
    const run: CommentRow[] = [];
    for (let row = line.row - 1; ; row--) {
      const comment = commentAt.get(row);
      if (comment?.indent !== line.indent || !isLatentRow(comment.text)) break;
      run.unshift(comment);
    }
    latents.push(run.length === 0 ? null : run.map((comment) => comment.text).join('\n'));
    if (run.length > 0) {
      const [from, to] = [run[0]!.start, run.at(-1)!.end];
      code.push(text.slice(kept, from));
      kept = to;
      removed = { rows: removed.rows + run.length, units: removed.units + to - from };
    }
    const { row, start, end } = line;
    moved.push({ ...line, row: row - removed.rows, start: start - removed.units, end: end - removed.units });
  }
  code.push(text.slice(kept));
  return { code: code.join(''), lines: moved, latents, rows: lines.map(({ row }) => row), hasError };
}

/** The text without its latents. */
export function stripLatents(parser: Parser, text: string): string {
  return parseLatents(parser, text).code;
}

/**
 * Writes latents above the lines they govern, indented as these are; those that were there are taken away.
 * `parseLatents` of the result gives the same code and latents.
 * @param latents one for each line of code, null for none
 * @throws UserError when there are not as many as lines, when one is no comment that explains, or when errors in the code
 *   hide where its lines begin.
 */
export function infuseLatents(parser: Parser, text: string, latents: readonly (Latent | null)[]): string {
  const { code, lines, hasError } = parseLatents(parser, text);
  if (latents.length !== lines.length) {
    throw new UserError(
      `There are ${latents.length} latents for ${lines.length} lines of code. Give one for each line.`,
    );
  }
  const infused = writeLatents(code, lines, latents);
  if (hasError && !comesBack(parseLatents(parser, infused), code, latents)) {
    throw new UserError(
      'The code has syntax errors, and with latents in it cannot be told where its lines begin. Mend the errors first.',
    );
  }
  return infused;
}

/** The same for code without latents whose lines are known, as for many rollouts of one snippet. Not checked against errors. */
export function writeLatents(code: string, lines: readonly CodeLine[], latents: readonly (Latent | null)[]): string {
  const parts: string[] = [];
  let written = 0;
  lines.forEach((line, i) => {
    const latent = latents[i] ?? null;
    if (latent === null) return;
    if (!isLatent(latent)) {
      throw new UserError(
        `${JSON.stringify(latent)} cannot be a latent. One is a comment, as in "# sort by length", that no program reads.`,
      );
    }
    const newline = newlineAt(code, line);
    parts.push(code.slice(written, line.start));
    written = line.start;
    for (const row of latent.split('\n')) parts.push(line.indent, row, newline);
  });
  parts.push(code.slice(written));
  return parts.join('');
}

/** The newline that a row above the line ends with: as the line's own row does, or the row before it. */
export function newlineAt(code: string, { start, end }: CodeLine): string {
  const own = /\r\n|\n|\r/.exec(code.slice(start, end))?.[0];
  return own ?? /(?:\r\n|\n|\r)$/.exec(code.slice(Math.max(0, start - 2), start))?.[0] ?? '\n';
}

function comesBack(parsed: AbstractedCode, code: string, latents: readonly (Latent | null)[]): boolean {
  return parsed.code === code && parsed.latents.every((latent, i) => latent === latents[i]);
}

/** The segments, in order; together they are all lines. */
export function segmentsOf(latents: readonly (Latent | null)[]): Segment[] {
  const starts = latents.flatMap((latent, i) => (latent !== null || i === 0 ? [i] : []));
  return starts.map((from, i) => {
    const to = starts[i + 1] ?? latents.length;
    return { latent: latents[from]!, from, to, tau: to - from };
  });
}
