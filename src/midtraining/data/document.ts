/**
 * What sources give, and the account of what was left out of a corpus and why.
 * Knows nothing of where texts come from or what is done with them.
 */

/** One text of a source: a file, or a row of a JSONL file. Line ends are `\n`. */
export interface SourceDocument {
  /** For a person: a path in its folder with `/` between names, or `data.jsonl:12`. */
  readonly name: string;
  /** What decides its side of the held-out split: the same for the same file however many others there are. */
  readonly splitKey: string;
  readonly text: string;
}

/** Why something was left out: whole files first, then snippets of files. */
export const DROP_REASONS = {
  unreadable: 'could not be read',
  link: 'a symbolic link or no regular file',
  notText: 'not UTF-8 text',
  tooLarge: 'larger than a megabyte',
  secret: 'holds what looks like a secret, or is named so',
  generated: 'says that it is generated, or looks so',
  minified: 'minified or data: lines too long, or few letters',
  duplicateFile: 'the same as an earlier file',
  syntax: 'not Python that parses',
  tooShort: 'a snippet too short',
  tooLong: 'a snippet too long',
  duplicate: 'a snippet the same as an earlier one but for white space',
  nearDuplicate: 'a snippet nearly the same as an earlier one',
  contaminated: 'a snippet that overlaps with a benchmark',
} as const;
export type DropReason = keyof typeof DROP_REASONS;

/** One thing left out. */
export interface Drop {
  readonly reason: DropReason;
  /** A document's name, with `:LINE` for a snippet. */
  readonly where: string;
  /** More, where there is more to say. */
  readonly detail?: string;
}

/** A reason's row of the account. */
export interface DropCount {
  readonly reason: DropReason;
  readonly meaning: string;
  readonly count: number;
  /** The first few. */
  readonly examples: readonly Drop[];
}

/** Counts what is left out, by reason, and keeps the first few of each. */
export class DropLog {
  readonly #examplesKept: number;
  readonly #drops = new Map<DropReason, { count: number; examples: Drop[] }>();

  constructor(examplesKept = 5) {
    this.#examplesKept = examplesKept;
  }

  add(drop: Drop): void {
    const { reason } = drop;
    let entry = this.#drops.get(reason);
    if (entry === undefined) this.#drops.set(reason, (entry = { count: 0, examples: [] }));
    entry.count += 1;
    if (entry.examples.length < this.#examplesKept) entry.examples.push(drop);
  }

  count(reason: DropReason): number {
    return this.#drops.get(reason)?.count ?? 0;
  }

  /** In the order of `DROP_REASONS`, without those that never came up. */
  counts(): DropCount[] {
    return (Object.keys(DROP_REASONS) as DropReason[]).flatMap((reason) => {
      const entry = this.#drops.get(reason);
      return entry === undefined ? [] : [{ reason, meaning: DROP_REASONS[reason], ...entry }];
    });
  }
}
