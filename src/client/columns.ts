/**
 * Rows of numbers kept in columns, so that a million of them take some hundred megabytes. Rows rise by their first column:
 * one that is not above the last was done again, and what follows it is void. Knows nothing of what the numbers are.
 */
export class Columns<Name extends string> {
  readonly names: readonly Name[];
  #data: Record<Name, Float64Array>;
  #count = 0;

  /** @param names the first is what the rows rise by */
  constructor(names: readonly Name[]) {
    this.names = names;
    this.#data = this.#empty(1024);
  }

  get count(): number {
    return this.#count;
  }

  /** A view of a column; it is void after the next `put`. */
  column(name: Name): Float64Array {
    return this.#data[name].subarray(0, this.#count);
  }

  /** NaN where there is no such row. */
  at(name: Name, row: number): number {
    return row < this.#count ? (this.#data[name][row] ?? NaN) : NaN;
  }

  /** Of the last row; NaN without one. */
  last(name: Name): number {
    return this.at(name, this.#count - 1);
  }

  /** Puts a row behind all that are below it: nearly always at the end. @returns its place */
  put(values: Readonly<Record<Name, number>>): number {
    const [key] = this.names;
    let row = this.#count;
    while (row > 0 && this.#data[key!][row - 1]! >= values[key!]) row -= 1;
    if (row === this.#data[key!].length) {
      const grown = this.#empty(2 * row);
      for (const name of this.names) grown[name].set(this.#data[name]);
      this.#data = grown;
    }
    for (const name of this.names) this.#data[name][row] = values[name];
    this.#count = row + 1;
    return row;
  }

  clear(): void {
    this.#count = 0;
  }

  #empty(length: number): Record<Name, Float64Array> {
    return Object.fromEntries(this.names.map((name) => [name, new Float64Array(length)])) as Record<Name, Float64Array>;
  }
}

/** Columns as those who do not fill them have them. */
export type Rows<Name extends string> = Omit<Columns<Name>, 'put' | 'clear'>;
