/**
 * The rows that a model is trained on, from a token store: snippets in a seeded order, new in each epoch, packed into rows of
 * one length. Where it stands is three numbers; from them it goes on exactly, without reading what went before.
 * Knows nothing of models.
 */
import { UserError } from '../../errors.ts';
import { layOutRow, type PackedRow, packRows } from './packing.ts';
import { permutation } from './permutation.ts';
import type { TokenSide } from './tokenStore.ts';

export interface RowOptions {
  /** Tokens in a row. */
  readonly rowLength: number;
  readonly seed: number;
  /** Put behind each snippet, where the tokenizer has one, so that the model learns to end. */
  readonly endTokenId: number | null;
  readonly paddingTokenId: number;
  /** Snippets packed together; more waste less and mix better. */
  readonly windowSnippets?: number;
}

/** The next row: of which pass over the data, of which window of snippets, and which row of the window. From 0. */
export interface RowPosition {
  readonly epoch: number;
  readonly window: number;
  readonly row: number;
}

export interface TrainingRow extends PackedRow {
  /** Snippets in the row by their number in the store. */
  readonly snippets: readonly number[];
  readonly epoch: number;
}

/** An epoch's size. */
export interface EpochSize {
  readonly rows: number;
  /** Tokens that are no padding. */
  readonly used: number;
  /** Share of the tokens that is padding. */
  readonly waste: number;
}

/** Rows as numbers of snippets. */
interface PackedWindow {
  readonly epoch: number;
  readonly window: number;
  readonly rows: readonly (readonly number[])[];
}

export class TrainingRows {
  readonly #side: TokenSide;
  readonly #options: Required<RowOptions>;
  readonly #windows: number;
  #position: RowPosition;
  /** The window that the position is in, or was in last. */
  #packed: PackedWindow | undefined;

  /** @throws UserError when there are no snippets, or one is longer than a row */
  constructor(side: TokenSide, options: RowOptions, position: RowPosition = { epoch: 0, window: 0, row: 0 }) {
    this.#side = side;
    this.#options = { windowSnippets: 1024, ...options };
    this.#windows = Math.ceil(side.snippets / this.#options.windowSnippets);
    if (side.snippets === 0) {
      throw new UserError(
        'This side of the corpus has no snippets. Use more files, or hold out another share of them.',
      );
    }
    const longest = side.longest + this.#endTokens;
    if (longest > options.rowLength) {
      throw new UserError(
        `The corpus has a snippet of ${longest} tokens, and rows hold ${options.rowLength}. ` +
          'Make rows longer, or prepare the corpus with shorter snippets.',
      );
    }
    if (!(position.epoch >= 0 && position.window >= 0 && position.window < this.#windows)) {
      throw new RangeError(`no window ${position.window} among ${this.#windows}`);
    }
    this.#position = position;
    const { rows } = this.#window(position);
    if (!(position.row >= 0 && position.row < rows.length)) {
      throw new RangeError(`no row ${position.row} among ${rows.length}`);
    }
  }

  /** Of the row that comes next; save it, and give it to the constructor to go on from there. */
  get position(): RowPosition {
    return this.#position;
  }

  /** The next row; without end, epoch after epoch. @throws UserError when the store can no longer be read */
  async next(): Promise<TrainingRow> {
    const { epoch } = this.#position;
    const { rows } = this.#window(this.#position);
    const snippets = rows[this.#position.row]!;
    const { rowLength, endTokenId, paddingTokenId } = this.#options;
    const tokens = await Promise.all(
      snippets.map(async (snippet) => {
        const ids = await this.#side.read(snippet);
        return endTokenId === null ? ids : Uint32Array.of(...ids, endTokenId);
      }),
    );
    this.#position = this.#after(this.#position, rows.length);
    return { ...layOutRow(tokens, rowLength, paddingTokenId), snippets, epoch };
  }

  /** Packs an epoch without reading its tokens. Takes about a second for a million snippets. */
  epochSize(epoch = 0): EpochSize {
    let rows = 0;
    for (let window = 0; window < this.#windows; window++) rows += this.#pack(epoch, window).length;
    const used = this.#side.tokens + this.#side.snippets * this.#endTokens;
    return { rows, used, waste: 1 - used / (rows * this.#options.rowLength) };
  }

  get #endTokens(): number {
    return this.#options.endTokenId === null ? 0 : 1;
  }

  #after({ epoch, window, row }: RowPosition, rows: number): RowPosition {
    if (row + 1 < rows) return { epoch, window, row: row + 1 };
    if (window + 1 < this.#windows) return { epoch, window: window + 1, row: 0 };
    return { epoch: epoch + 1, window: 0, row: 0 };
  }

  #window({ epoch, window }: RowPosition): PackedWindow {
    if (this.#packed?.epoch !== epoch || this.#packed.window !== window) {
      this.#packed = { epoch, window, rows: this.#pack(epoch, window) };
    }
    return this.#packed;
  }

  /** A window's rows in a seeded order of their own: packing puts long snippets first. */
  #pack(epoch: number, window: number): number[][] {
    const { seed, rowLength, windowSnippets } = this.#options;
    const { snippets, lengths } = this.#side;
    const order = permutation(snippets, seed, epoch);
    const first = window * windowSnippets;
    const members = Array.from({ length: Math.min(windowSnippets, snippets - first) }, (_, at) => order(first + at));
    const packed = packRows(
      members.map((snippet) => lengths[snippet]! + this.#endTokens),
      rowLength,
    );
    const place = permutation(packed.length, seed, epoch, 'rows', window);
    return packed.map((_, row) => packed[place(row)]!.map((member) => members[member]!));
  }
}
