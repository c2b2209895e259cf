/**
 * What a corpus would hold, as plain data, before anything is written: counts, tokens, what is left out and why, examples.
 * Reads a first part of the data, or all of it. Knows nothing of screens.
 */
import { seededRandom } from '../../engine/random.ts';
import { type CorpusOptions, CorpusReader, type CorpusReport, type CorpusSnippet } from './corpus.ts';

export interface PreviewOptions extends CorpusOptions {
  /** Stop after this many documents; all of them unless told. */
  readonly maxDocuments?: number;
  /** Stop after this many seconds; never unless told. */
  readonly maxSeconds?: number;
  /** Snippets to show; 5 unless told. */
  readonly examples?: number;
}

export interface PreviewExample {
  /** Document and line. */
  readonly where: string;
  readonly text: string;
  readonly tokens: number;
  readonly heldOut: boolean;
}

export interface CorpusPreview extends CorpusReport {
  /** False when it stopped before the data's end. */
  readonly complete: boolean;
  readonly seconds: number;
  /** Tokens of a snippet; null when there are none. */
  readonly tokensOfSnippet: { readonly least: number; readonly median: number; readonly most: number } | null;
  /** Drawn evenly from all that was read (reservoir sampling, Vitter 1985, algorithm R), the same for the same seed. */
  readonly examples: readonly PreviewExample[];
}

/** @throws UserError as `CorpusReader` does */
export async function previewCorpus(options: PreviewOptions): Promise<CorpusPreview> {
  const { maxDocuments = Infinity, maxSeconds = Infinity, examples: wanted = 5, seed = 0 } = options;
  const started = performance.now();
  const secondsPassed = (): number => (performance.now() - started) / 1000;
  let complete = true;
  const documents: CorpusOptions['documents'] = async function* (drops) {
    let read = 0;
    for await (const document of options.documents(drops)) {
      if (read === maxDocuments || (read > 0 && secondsPassed() >= maxSeconds)) {
        complete = false;
        return;
      }
      read += 1;
      yield document;
    }
  };

  const reader = new CorpusReader({ ...options, documents });
  const random = seededRandom(seed);
  const examples: PreviewExample[] = [];
  /** How many snippets have so many tokens: bounded, unlike a list of them. */
  const lengths: number[] = [];
  let seen = 0;
  for await (const snippet of reader) {
    const { length } = snippet.tokens;
    lengths[length] = (lengths[length] ?? 0) + 1;
    const place = seen < wanted ? seen : random.below(seen + 1);
    if (place < wanted) examples[place] = exampleOf(snippet);
    seen += 1;
  }
  return { ...reader.report(), complete, seconds: secondsPassed(), tokensOfSnippet: spread(lengths, seen), examples };
}

function exampleOf({ document, line, text, tokens, heldOut }: CorpusSnippet): PreviewExample {
  return { where: `${document}:${line}`, text, tokens: tokens.length, heldOut };
}

function spread(lengths: readonly (number | undefined)[], count: number): CorpusPreview['tokensOfSnippet'] {
  if (count === 0) return null;
  let least = 0;
  while (lengths[least] === undefined) least += 1;
  let median = least;
  for (let upTo = lengths[median]!; 2 * upTo < count;) upTo += lengths[++median] ?? 0;
  return { least, median, most: lengths.length - 1 };
}
