/**
 * A reading laid over the file that was read: which rows are of which line, segment and token. What precedes an edit was read
 * without knowing of what follows, so it stays true; the rest goes. Rows and columns are counted from 0, as an editor does.
 * Knows nothing of VS Code.
 */
import { segmentsOf } from '../midtraining/abstractions/latents.ts';
import type { CodeReading, LatentReading, LineReading, TokenReading } from '../midtraining/abstractions/reading.ts';
import type { ReadAnswer } from '../runner/readerProtocol.ts';

/** Rows of a segment in the file, those of its latent among them where it stands in the file. */
export interface FileSegment {
  readonly latent: LatentReading | null;
  /** Its first line, and the one behind its last. */
  readonly from: number;
  readonly to: number;
  readonly firstRow: number;
  /** The row in which its first line begins. */
  readonly codeRow: number;
  readonly endRow: number;
  /** Nats over those of its lines that there are. */
  readonly gain: number;
}

export class FileReading {
  readonly reading: CodeReading;
  /** For each line the row in which it begins. */
  readonly #rows: readonly number[];
  /** For each row of the code, where it begins. */
  readonly #rowStarts: readonly number[];
  #count: number;

  constructor({ reading, rows }: ReadAnswer) {
    this.reading = reading;
    this.#rows = rows;
    this.#rowStarts = [
      0,
      ...[...reading.code.matchAll(/\r\n|\n|\r/g)].map(({ index, 0: { length } }) => index + length),
    ];
    this.#count = rows.length;
  }

  /** Lines that are as they were read. */
  get lines(): readonly LineReading[] {
    return this.reading.lines.slice(0, this.#count);
  }

  /** Something has changed from this row on. @returns whether lines went */
  cut(row: number): boolean {
    const before = this.#count;
    while (this.#count > 0 && this.#endRow(this.#count - 1) > row) this.#count--;
    return this.#count < before;
  }

  /** The row in which a line begins. */
  rowOf(line: number): number {
    return this.#rows[line]!;
  }

  /** Rows of comment that are the line's latent in the file. */
  latentRows(line: number): number {
    const removed = (i: number): number => (i < 0 ? 0 : this.#rows[i]! - this.reading.lines[i]!.row);
    return removed(line) - removed(line - 1);
  }

  segments(): FileSegment[] {
    const { lines } = this;
    const startOf = (line: number): number => this.rowOf(line) - this.latentRows(line);
    return segmentsOf(lines.map(({ latent }) => latent?.text ?? null)).map(({ from, to }) => ({
      latent: lines[from]!.latent,
      from,
      to,
      firstRow: startOf(from),
      codeRow: this.rowOf(from),
      endRow: to < lines.length ? startOf(to) : this.#endRow(to - 1),
      gain: lines.slice(from, to).reduce((sum, line) => sum + line.logProbability - line.without, 0),
    }));
  }

  /** The line that this row is of; its latent's rows are. Null: none. */
  lineAt(row: number): number | null {
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#endRow(middle) <= row) low = middle + 1;
      else high = middle;
    }
    return low < this.#count && this.rowOf(low) - this.latentRows(low) <= row ? low : null;
  }

  /** The token that stands there in the code. */
  tokenAt(row: number, column: number): TokenReading | null {
    const line = this.lineAt(row);
    if (line === null || row < this.rowOf(line)) return null;
    const read = this.reading.lines[line]!;
    const start = this.#rowStarts[read.row + row - this.rowOf(line)]!;
    // A line's first tokens may be those of the line before, and newline and indentation are one.
    const tokens = this.reading.tokens.slice(Math.max(0, read.firstToken - 1), read.endToken + 1);
    return tokens.find(({ from, to }) => from <= start + column && start + column < to) ?? null;
  }

  /** The row behind its last. */
  #endRow(line: number): number {
    return this.rowOf(line) + this.reading.lines[line]!.rows;
  }
}
