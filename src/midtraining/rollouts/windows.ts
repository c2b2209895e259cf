/**
 * How a text that is longer than a model's context is read: in windows, each of whole lines, the outermost where it can be
 * cut there, led by as much of the text before it as fits. A window is a snippet whose prompt is that context, so whatever
 * works on snippets works on windows, and its tokens are those of the whole text.
 *
 * A window takes at least a quarter of the context in new tokens (where no line is longer), so reading n tokens feeds at most
 * some 4 n, whatever n is. Knows nothing of what is done with a window.
 */
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import type { Latent } from '../abstractions/latents.ts';
import { infusedParts, latentIds, type SnippetTokens } from './snippetTokens.ts';

/** Of the tokens of the code: what is read, from `from` to before `to`, and where the context before it begins. */
export interface Window {
  readonly contextFrom: number;
  readonly from: number;
  readonly to: number;
}

export class Windows {
  readonly #tokenizer: Tokenizer;
  readonly #snippet: SnippetTokens;
  /** Tokens of code and latents that fit beside the prompt. */
  readonly #capacity: number;
  /** Tokens that are kept free for latents still to be written. */
  readonly #reserve: number;
  /** For each line the token at which it begins, or where its latent goes. */
  readonly #starts: readonly number[];
  readonly #latents: (Latent | null)[];
  /** Tokens of these latents. */
  readonly #sizes: number[];

  /** @param latents those known, one for each line */
  constructor(
    tokenizer: Tokenizer,
    snippet: SnippetTokens,
    contextLength: number,
    reserve: number,
    latents: readonly (Latent | null)[],
  ) {
    this.#tokenizer = tokenizer;
    this.#snippet = snippet;
    this.#capacity = contextLength - snippet.prompt.length;
    this.#reserve = reserve;
    this.#starts = snippet.lines.map(({ place, from }) => place?.at ?? from);
    this.#latents = snippet.lines.map(() => null);
    this.#sizes = snippet.lines.map(() => 0);
    latents.forEach((latent, line) => {
      this.setLatent(line, latent);
    });
  }

  /** The latents as they are fed: those that have a place, and leave room for code. */
  get latents(): readonly (Latent | null)[] {
    return this.#latents;
  }

  /** A latent that would fill a quarter of the context is left out. */
  setLatent(line: number, latent: Latent | null): void {
    const { place } = this.#snippet.lines[line]!;
    const size = latent === null || place === null ? 0 : latentIds(this.#tokenizer, place, latent).length;
    const fits = size > 0 && size <= this.#capacity / 4;
    this.#latents[line] = fits ? latent : null;
    this.#sizes[line] = fits ? size : 0;
  }

  /** The window that begins at this token. */
  at(from: number): Window {
    const { ids, codeLines } = this.#snippet;
    const free = this.#capacity - this.#reserve;
    const room = from === 0 ? free : Math.floor(free / 2);
    const first = this.#lineAt(from);
    let best: { to: number; rank: number } | null = null;
    let cost = 0;
    for (let line = first, start = from; ; line++) {
      const to = this.#starts[line] ?? ids.length;
      cost += to - start + (line > first ? this.#sizes[line - 1]! : 0);
      if (cost > room) break;
      if (line >= this.#starts.length) return this.#led(from, ids.length);
      start = to;
      if (to <= from) continue;
      const { indent, statement } = codeLines[line]!;
      const rank = 2 * indent.length + (statement ? 0 : 1);
      // In the second half of the room the outermost line, else the last one that fits.
      if (best === null || cost <= room / 2 || rank <= best.rank)
        best = { to, rank: cost <= room / 2 ? Infinity : rank };
    }
    // A line longer than that is read in pieces.
    const latent = this.#starts[first] === from ? this.#sizes[first]! : 0;
    return this.#led(from, best?.to ?? Math.min(from + Math.max(1, room - latent), ids.length));
  }

  /** The same with less context, where the latents in it or in the window have become longer. */
  fitted({ contextFrom, from, to }: Window): Window {
    const room = this.#capacity - this.#cost(from, to);
    return { contextFrom: Math.max(contextFrom, this.#contextFrom(from, room)), from, to };
  }

  /** Its code with what precedes it as the prompt. @param infused with latents in the context */
  snippet({ contextFrom, from, to }: Window, infused: boolean): SnippetTokens {
    const context = this.#part(contextFrom, from, []);
    const latents = infused ? this.latentsIn({ from: contextFrom, to: from }) : [];
    const before = infusedParts(this.#tokenizer, context, latents).flatMap(({ ids }) => ids);
    return this.#part(from, to, [...this.#snippet.prompt, ...before]);
  }

  /** Lines whose latent belongs to these tokens: from the first to before the second. */
  linesIn({ from, to }: Pick<Window, 'from' | 'to'>): [first: number, end: number] {
    return [this.#lineAt(from), this.#lineAt(to)];
  }

  latentsIn(tokens: Pick<Window, 'from' | 'to'>): (Latent | null)[] {
    return this.#latents.slice(...this.linesIn(tokens));
  }

  /** The first line that begins at this token or behind it. */
  #lineAt(token: number): number {
    let [low, high] = [0, this.#starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! < token) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #cost(from: number, to: number): number {
    const [first, end] = this.linesIn({ from, to });
    return this.#sizes.slice(first, end).reduce((sum, size) => sum + size, to - from);
  }

  #led(from: number, to: number): Window {
    const room = this.#capacity - this.#reserve - this.#cost(from, to);
    return { contextFrom: this.#contextFrom(from, room), from, to };
  }

  /** Where the context begins: at a line, unless whole lines use less than half of the room. */
  #contextFrom(from: number, room: number): number {
    let [at, used, line] = [from, 0, this.#lineAt(from) - 1];
    for (; line >= 0; line--) {
      const start = this.#starts[line]!;
      const more = at - start + this.#sizes[line]!;
      if (used + more > room) break;
      [at, used] = [start, used + more];
    }
    if (used > room / 2) return at;
    // Of the line before that, no latent: that goes where the line begins.
    return Math.max(at - Math.max(0, room - used), (this.#starts[line] ?? -1) + 1);
  }

  #part(from: number, to: number, prompt: readonly number[]): SnippetTokens {
    const { code, codeLines, lines, ids } = this.#snippet;
    const [first, end] = this.linesIn({ from, to });
    return {
      code,
      codeLines: codeLines.slice(first, end),
      lines: lines.slice(first, end).map((line) => ({
        from: Math.max(0, line.from - from),
        to: Math.min(line.to, to) - from,
        place: line.place === null ? null : { ...line.place, at: line.place.at - from },
      })),
      prompt,
      ids: ids.slice(from, to),
    };
  }
}
