/**
 * A snippet of code as tokens, and where among them a latent may be written: the tokens of the code stay the same with and
 * without latents, so that their log-probabilities can be compared one by one.
 *
 * A tokenizer has no token for "think here", and newline and indentation often share one, which may leave the last space to
 * the word behind it. So a line's place is the last border of tokens at or before its code where the code goes on as it
 * does and a comment could go on as well. `rest` is what both still lack there: `"\n   " | " return"` and `"\n   " | " # …"`
 * part before the last space. A latent is inserted at the place: rest, comment, newline, indentation without rest.
 * Knows nothing of how latents come about.
 */
import type { Parser } from 'web-tree-sitter';
import { UserError } from '../../errors.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import type { CodeLine } from '../abstractions/codeLines.ts';
import { type Latent, newlineAt, parseLatents } from '../abstractions/latents.ts';

/** Where a latent of a line goes. */
export interface LinePlace {
  /** Index of the token before which it is inserted; 1 at least, since something must predict it. */
  readonly at: number;
  /** What stands between there and `#`. */
  readonly rest: string;
  /** Newline and indentation between the comment and the code, without `rest`. */
  readonly tail: string;
  /** What the code goes on with there: `rest`, and so much of the line that it settles how the tokens fall. */
  readonly follow: string;
}

export interface TokenizedLine {
  /** The tokens of the line, as an action: from `from` to before `to`, the newline and most of the next indentation among them. */
  readonly from: number;
  readonly to: number;
  /** Null where no latent may go: before the first token, or where the tokenizer has no border. */
  readonly place: LinePlace | null;
}

export interface SnippetTokens {
  /** The code, without latents. */
  readonly code: string;
  /** Its lines, and what they are in tokens. */
  readonly codeLines: readonly CodeLine[];
  readonly lines: readonly TokenizedLine[];
  /** What precedes the code: BOS where the model wants one. */
  readonly prompt: readonly number[];
  /** The tokens of the code. */
  readonly ids: readonly number[];
}

/** A part of a text in tokens: code, or the latent of a line. */
export interface TextPart {
  readonly ids: readonly number[];
  /** Index of the line whose latent it is; null: code. */
  readonly latentOf: number | null;
}

/** Characters of a line that settle how the tokens before them fall. */
const SETTLES = 16;
/** Neither BOS nor special tokens that someone spelt out in the code. */
const PLAIN = { addSpecialTokens: false, parseSpecial: false } as const;

/**
 * The tokens of a snippet; latents that it has are left out.
 * @throws UserError when the tokenizer does not keep the text as it is
 */
export function snippetTokens(parser: Parser, tokenizer: Tokenizer, text: string): SnippetTokens {
  const { code, lines: codeLines } = parseLatents(parser, text);
  const prompt = tokenizer.encode('');
  const ids = tokenizer.encode(code, PLAIN);
  const borders = bordersOf(tokenizer, ids, code);
  const offsets = byteOffsets(code);
  const indexAt = new Map(borders.map((offset, index) => [offset, index]));

  let index = 0;
  const starts = codeLines.map((line, i) => {
    const codeStart = line.start + line.indent.length;
    const place = placeOf(tokenizer, code, line, codeLines[i - 1], offsets, indexAt);
    // Without a place the line begins with the token that its code begins in.
    while (index + 1 < borders.length && borders[index + 1]! <= offsets(codeStart)) index++;
    const at = place?.at ?? index;
    return { at: i === 0 && place === null ? 0 : at, place: at + prompt.length > 0 ? place : null };
  });
  const lines = starts.map(({ at, place }, i) => ({
    from: i === 0 ? 0 : at,
    to: starts[i + 1]?.at ?? ids.length,
    place,
  }));
  return { code, codeLines, lines, prompt, ids };
}

/** The token ids of the code with latents: its own tokens, with those of the latents between. In order, prompt not among them. */
export function infusedParts(
  tokenizer: Tokenizer,
  { lines, ids }: SnippetTokens,
  latents: readonly (Latent | null)[],
): TextPart[] {
  const parts: TextPart[] = [];
  let done = 0;
  lines.forEach(({ place }, line) => {
    const latent = latents[line] ?? null;
    if (latent === null || place === null) return;
    if (place.at > done) parts.push({ ids: ids.slice(done, place.at), latentOf: null });
    done = place.at;
    parts.push({ ids: latentIds(tokenizer, place, latent), latentOf: line });
  });
  parts.push({ ids: ids.slice(done), latentOf: null });
  return parts;
}

/** The tokens of a latent at its place, with the newline and indentation behind it. */
export function latentIds(tokenizer: Tokenizer, place: LinePlace, latent: Latent): number[] {
  return encodeBetween(tokenizer, '', latentText(place, latent), place.follow);
}

/** The code with latents as one sequence, and what each of its tokens is. */
export interface InfusedTokens {
  /** Prompt, code and latents. */
  readonly ids: readonly number[];
  /** Of each token: an index into the code's tokens; -1 in prompt and latents. */
  readonly codeOf: readonly number[];
  /** Of each token: the line whose latent it is of; -1 elsewhere. */
  readonly latentOf: readonly number[];
}

/** @param latents one for each line of the code; those of lines that have no place are left out */
export function infusedTokens(
  tokenizer: Tokenizer,
  snippet: SnippetTokens,
  latents: readonly (Latent | null)[],
): InfusedTokens {
  const ids = [...snippet.prompt];
  const codeOf = ids.map(() => -1);
  const latentOf = ids.map(() => -1);
  let code = 0;
  for (const part of infusedParts(tokenizer, snippet, latents)) {
    for (const id of part.ids) {
      ids.push(id);
      codeOf.push(part.latentOf === null ? code++ : -1);
      latentOf.push(part.latentOf ?? -1);
    }
  }
  return { ids, codeOf, latentOf };
}

/** What a latent adds at its place. Of several rows, each is a comment of its own. */
function latentText({ rest, tail }: LinePlace, latent: Latent): string {
  return rest + latent.split('\n').join(tail + rest) + tail;
}

/** The tokens of `text` as they stand in one text between two others; as they are by themselves where no borders are there. */
export function encodeBetween(tokenizer: Tokenizer, before: string, text: string, after: string): number[] {
  const whole = before + text + after;
  const ids = tokenizer.encode(whole, PLAIN);
  const borders = bordersOf(tokenizer, ids, whole);
  const from = borders.indexOf(Buffer.byteLength(before));
  const to = borders.indexOf(Buffer.byteLength(before + text));
  return from < 0 || to < 0 ? tokenizer.encode(text, PLAIN) : ids.slice(from, to);
}

function placeOf(
  tokenizer: Tokenizer,
  code: string,
  line: CodeLine,
  before: CodeLine | undefined,
  offsets: (unit: number) => number,
  indexAt: ReadonlyMap<number, number>,
): LinePlace | null {
  const codeStart = line.start + line.indent.length;
  // As much of the text before as settles how the tokens fall here.
  const from = before === undefined ? 0 : before.start;
  const context = code.slice(from, codeStart);
  const commented = `${context}#`;
  const borders = bordersOf(tokenizer, tokenizer.encode(commented, PLAIN), commented);
  const newline = newlineAt(code, line) + line.indent;
  for (let i = borders.length - 1; i >= 0; i--) {
    const at = indexAt.get(offsets(from) + borders[i]!);
    const restBytes = Buffer.byteLength(context) - borders[i]!;
    if (at === undefined || restBytes < 0) continue;
    const rest = context.slice(context.length - restBytes); // white space: as many bytes as characters
    if (!/^\s*$/.test(rest) || !newline.endsWith(rest)) return null;
    const follow = rest + code.slice(codeStart, Math.min(line.end, codeStart + SETTLES));
    return { at, rest, tail: newline.slice(0, newline.length - rest.length), follow };
  }
  return null;
}

/** Where each token begins in the text, in bytes of UTF-8, and where the last one ends. @throws UserError when they are not the text */
export function bordersOf(tokenizer: Tokenizer, ids: readonly number[], text: string): number[] {
  const borders = [0];
  for (const id of ids) borders.push(borders.at(-1)! + tokenizer.tokenBytes(id).length);
  const surplus = borders.at(-1)! - Buffer.byteLength(text);
  if (surplus === 0) return borders;
  // The space that a SentencePiece tokenizer puts in front.
  if (surplus === 1 && tokenizer.decode(ids) === text) return borders.map((border) => Math.max(0, border - 1));
  throw new UserError(
    "The model's tokenizer does not give a text back as it was, so lines of code cannot be told apart in its tokens. Choose another model.",
  );
}

/** The offset in UTF-8 of an offset in UTF-16; asked in any order. */
function byteOffsets(text: string): (unit: number) => number {
  const bytes = Buffer.byteLength(text);
  if (bytes === text.length) return (unit) => unit;
  const table = new Uint32Array(text.length + 1);
  let sum = 0;
  for (let unit = 0; unit < text.length; unit++) {
    table[unit] = sum;
    const point = text.codePointAt(unit)!;
    sum += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (point >= 0x10000) table[++unit] = sum;
  }
  table[text.length] = sum;
  return (unit) => table[unit]!;
}
