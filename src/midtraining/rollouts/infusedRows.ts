/**
 * The rows of the M-step: snippets in a seeded order, stripped of their comments and infused with latents, packed into rows
 * of one length. Where it stands is three numbers, as in data/trainingRows.ts; from them and the same source of latents it
 * goes on exactly. Knows nothing of where latents come from.
 */
import type { Parser } from 'web-tree-sitter';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import { layOutRow, type PackedRow, packRows } from '../data/packing.ts';
import { permutation } from '../data/permutation.ts';
import type { TokenSide } from '../data/tokenStore.ts';
import type { RowOptions, RowPosition } from '../data/trainingRows.ts';
import type { LatentSource } from './latentSources.ts';
import { infusedTokens, snippetTokens } from './snippetTokens.ts';

/** Snippets that get their latents together. */
const WINDOW = 32;

export interface InfusedRow extends PackedRow {
  /** 1 for each token of a latent, with its newline and indentation; else 0. */
  readonly latents: Uint8Array;
}

interface Sequence {
  readonly ids: readonly number[];
  readonly latents: readonly boolean[];
}

export class InfusedRows {
  readonly #side: TokenSide;
  readonly #options: RowOptions;
  readonly #parser: Parser;
  readonly #tokenizer: Tokenizer;
  readonly #windows: number;
  #position: RowPosition;
  #rows: readonly (readonly Sequence[])[] | null = null;

  constructor(
    side: TokenSide,
    options: RowOptions,
    parser: Parser,
    tokenizer: Tokenizer,
    position: RowPosition = { epoch: 0, window: 0, row: 0 },
  ) {
    this.#side = side;
    this.#options = options;
    this.#parser = parser;
    this.#tokenizer = tokenizer;
    this.#windows = Math.ceil(side.snippets / WINDOW);
    this.#position = position;
  }

  /** Of the row that comes next. */
  get position(): RowPosition {
    return this.#position;
  }

  /** Lets go of what is left of a window: the source's latents are others from now on. */
  renew(): void {
    this.#rows = null;
    if (this.#position.row > 0) this.#position = this.#after(this.#position);
  }

  async next(source: LatentSource): Promise<InfusedRow> {
    const rows = (this.#rows ??= await this.#infuse(source));
    const sequences = rows[this.#position.row]!;
    const { row } = this.#position;
    if (row + 1 < rows.length) this.#position = { ...this.#position, row: row + 1 };
    else {
      this.#position = this.#after(this.#position);
      this.#rows = null;
    }
    const { rowLength, paddingTokenId } = this.#options;
    const packed = layOutRow(
      sequences.map(({ ids }) => ids),
      rowLength,
      paddingTokenId,
    );
    const latents = new Uint8Array(rowLength);
    latents.set(sequences.flatMap((sequence) => sequence.latents.map(Number)));
    return { ...packed, latents };
  }

  #after({ epoch, window }: RowPosition): RowPosition {
    return window + 1 < this.#windows ? { epoch, window: window + 1, row: 0 } : { epoch: epoch + 1, window: 0, row: 0 };
  }

  async #infuse(source: LatentSource): Promise<Sequence[][]> {
    const { epoch, window } = this.#position;
    const { seed, rowLength, endTokenId } = this.#options;
    const order = permutation(this.#side.snippets, seed, epoch);
    const count = Math.min(WINDOW, this.#side.snippets - window * WINDOW);
    const texts = await Promise.all(
      Array.from({ length: count }, async (_, at) => {
        const number = order(window * WINDOW + at);
        return { number, text: this.#tokenizer.decode([...(await this.#side.read(number))]) };
      }),
    );
    const latents = await source.latentsOf(texts, epoch);
    const sequences = texts.map(({ text }, i): Sequence => {
      const snippet = snippetTokens(this.#parser, this.#tokenizer, text);
      const sequence = (written: (string | null)[]): Sequence => {
        const { ids, latentOf } = infusedTokens(this.#tokenizer, snippet, written);
        const from = snippet.prompt.length; // as in next-token prediction
        const end = endTokenId === null ? [] : [endTokenId];
        return {
          ids: [...ids.slice(from), ...end],
          latents: [...latentOf.slice(from).map((line) => line >= 0), ...end.map(() => false)],
        };
      };
      const written = [...latents[i]!];
      let infused = sequence(written);
      // The last ones go first where there is no room for all.
      for (let line = written.length - 1; infused.ids.length > rowLength && line >= 0; line--) {
        if (written[line] === null) continue;
        written[line] = null;
        infused = sequence(written);
      }
      return infused;
    });
    const packed = packRows(
      sequences.map(({ ids }) => ids.length),
      rowLength,
    );
    const place = permutation(packed.length, seed, epoch, 'infused rows', window);
    return packed.map((_, row) => packed[place(row)]!.map((member) => sequences[member]!));
  }
}
