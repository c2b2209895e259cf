/**
 * From documents to the snippets of a corpus: filtered, cut, deduplicated, decontaminated, and each on its side of the
 * held-out split; with an account of all that was left out. A stream: what is kept in memory grows with the number of
 * snippets (up to a kilobyte each, for finding duplicates), not with their texts.
 * Knows nothing of where documents come from or of what is done with the snippets.
 */
import type { Parser } from 'web-tree-sitter';
import { UserError } from '../../errors.ts';
import type { Problem } from '../../evaluation/types.ts';
import { type Contamination, Decontaminator } from './decontamination.ts';
import { type DropCount, DropLog, type SourceDocument } from './document.ts';
import { unwanted } from './documentFilter.ts';
import { ExactDuplicates, withoutLayout } from './exactDuplicates.ts';
import { isHeldOut } from './heldOutSplit.ts';
import { NearDuplicates } from './nearDuplicates.ts';
import { pythonParser } from './pythonGrammar.ts';
import {
  cutSnippets,
  DEFAULT_LIMITS,
  type Encode,
  type Snippet,
  type SnippetKind,
  type SnippetLimits,
} from './snippets.ts';

export interface CorpusOptions {
  /** Starts reading the documents; `readSources` for real ones. */
  readonly documents: (drops: DropLog) => AsyncIterable<SourceDocument>;
  readonly encode: Encode;
  readonly limits?: SnippetLimits;
  /** Of the held-out split. */
  readonly seed?: number;
  /** Share of the files held out; 0.05 unless told. */
  readonly heldOutFraction?: number;
  /** Problems that must not be trained on. */
  readonly benchmarks?: readonly Problem[];
  /** Jaccard similarity from which a snippet is a near duplicate; 0.7 unless told, null for no such check. */
  readonly nearDuplicateThreshold?: number | null;
  /** Looked at before each document; its reason is thrown. */
  readonly signal?: AbortSignal;
}

export interface CorpusSnippet extends Snippet {
  /** The document's name. */
  readonly document: string;
  readonly heldOut: boolean;
}

/** A part of a benchmark found in the data. */
export interface ContaminatedSnippet extends Contamination {
  /** Document and line of the snippet that was left out. */
  readonly where: string;
}

export interface SideCount {
  readonly snippets: number;
  readonly tokens: number;
}

/** What has become of the documents so far, as plain data. */
export interface CorpusReport {
  /** Documents that could be read. */
  readonly documents: number;
  /** UTF-16 code units of them. */
  readonly characters: number;
  readonly train: SideCount;
  readonly heldOut: SideCount;
  readonly kinds: Readonly<Record<SnippetKind, number>>;
  readonly dropped: readonly DropCount[];
  /** Every hit: a snippet may overlap with several problems. */
  readonly contaminated: readonly ContaminatedSnippet[];
}

/** Reads a corpus once: `for await (const snippet of reader)`; `report()` at any time. */
export class CorpusReader implements AsyncIterable<CorpusSnippet> {
  readonly #options: CorpusOptions;
  readonly #drops = new DropLog();
  readonly #contaminated: ContaminatedSnippet[] = [];
  readonly #kinds: Record<SnippetKind, number> = { function: 0, class: 0, module: 0 };
  readonly #train = { snippets: 0, tokens: 0 };
  readonly #heldOut = { snippets: 0, tokens: 0 };
  readonly #files = new ExactDuplicates();
  readonly #exact = new ExactDuplicates();
  readonly #near: NearDuplicates | null;
  readonly #decontaminator: Decontaminator;
  #documents = 0;
  #characters = 0;

  constructor(options: CorpusOptions) {
    this.#options = options;
    const { nearDuplicateThreshold: threshold = 0.7 } = options;
    this.#near = threshold === null ? null : new NearDuplicates(threshold);
    this.#decontaminator = new Decontaminator(options.benchmarks ?? []);
  }

  /** @throws UserError from the sources, or when all that there was has been left out */
  async *[Symbol.asyncIterator](): AsyncGenerator<CorpusSnippet, void, undefined> {
    const { documents, seed = 0, heldOutFraction = 0.05 } = this.#options;
    const parser = await pythonParser();
    try {
      for await (const document of documents(this.#drops)) {
        this.#options.signal?.throwIfAborted();
        this.#documents += 1;
        this.#characters += document.text.length;
        const heldOut = isHeldOut(document.splitKey, seed, heldOutFraction);
        for (const snippet of this.#snippetsOf(document, parser)) {
          const side = heldOut ? this.#heldOut : this.#train;
          side.snippets += 1;
          side.tokens += snippet.tokens.length;
          this.#kinds[snippet.kind] += 1;
          yield { ...snippet, document: document.name, heldOut };
        }
      }
    } finally {
      parser.delete();
    }
    if (this.#train.snippets + this.#heldOut.snippets === 0) throw nothingLeft(this.report());
  }

  report(): CorpusReport {
    return {
      documents: this.#documents,
      characters: this.#characters,
      train: { ...this.#train },
      heldOut: { ...this.#heldOut },
      kinds: { ...this.#kinds },
      dropped: this.#drops.counts(),
      contaminated: [...this.#contaminated],
    };
  }

  *#snippetsOf(document: SourceDocument, parser: Parser): Generator<Snippet> {
    const { name, text } = document;
    const reason = unwanted(document);
    if (reason !== undefined) {
      this.#drops.add({ ...reason, where: name });
      return;
    }
    if (!this.#files.add(text)) {
      this.#drops.add({ reason: 'duplicateFile', where: name });
      return;
    }
    const cut = cutSnippets(parser, text, this.#options.encode, this.#options.limits ?? DEFAULT_LIMITS);
    if (cut === null) {
      this.#drops.add({ reason: 'syntax', where: name });
      return;
    }
    for (const { line, ...drop } of cut.leftOut) this.#drops.add({ ...drop, where: `${name}:${line}` });
    for (const snippet of cut.snippets) if (this.#isWanted(snippet, `${name}:${snippet.line}`)) yield snippet;
  }

  /** Duplicates are judged by the code alone: pieces of one class share a head, functions of one file their imports. */
  #isWanted({ code, text }: Snippet, where: string): boolean {
    if (!this.#exact.add(withoutLayout(code))) {
      this.#drops.add({ reason: 'duplicate', where });
      return false;
    }
    const found = this.#decontaminator.find(text);
    if (found.length > 0) {
      for (const hit of found) this.#contaminated.push({ ...hit, where });
      this.#drops.add({ reason: 'contaminated', where, detail: found.map(({ taskId }) => taskId).join(', ') });
      return false;
    }
    if (this.#near !== null && this.#near.add(code) !== null) {
      this.#drops.add({ reason: 'nearDuplicate', where });
      return false;
    }
    return true;
  }
}

function nothingLeft({ documents, dropped }: CorpusReport): UserError {
  const reasons = dropped.map(({ count, meaning, examples }) => `${count} x ${meaning} (${examples[0]!.where})`);
  return new UserError(
    documents === 0 && reasons.length === 0
      ? 'The data hold no documents. Name a folder with Python files, or a JSONL file with a field "text".'
      : `No snippet of Python is left of ${documents} documents. Left out: ${reasons.join('; ') || 'nothing; they are empty'}. ` +
          'Choose other data, or change the limits of a snippet.',
  );
}
