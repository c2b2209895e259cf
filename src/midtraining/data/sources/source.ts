/**
 * The kinds of data there are, and how each is read. Adding one is a line here and a file beside this one.
 */
import { starterCorpus } from '../../starter/corpus.ts';
import type { StarterComments } from '../../starter/functions.ts';
import type { DropLog, SourceDocument } from '../document.ts';
import { readFolder } from './folder.ts';
import { readJsonl } from './jsonl.ts';
import { readWorkspace } from './workspace.ts';

/** Where texts come from. `path` is absolute, or relative to the process's folder. */
export type Source =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'jsonl'; readonly path: string }
  | { readonly kind: 'workspace'; readonly path: string }
  /** Generated: needs no files. Its functions are much alike: to be read with `nearDuplicateThreshold: null`. */
  | {
      readonly kind: 'starter';
      readonly functions: number;
      readonly seed: number;
      readonly comments?: StarterComments;
    };

/**
 * The documents of several sources, one after another, one at a time in memory. What cannot be used is told to `drops`.
 * @throws UserError where a source is not there, is broken, or has no Python
 */
export async function* readSources(sources: readonly Source[], drops: DropLog): AsyncGenerator<SourceDocument> {
  for (const source of sources) yield* readSource(source, drops);
}

function readSource(source: Source, drops: DropLog): AsyncGenerator<SourceDocument> {
  switch (source.kind) {
    case 'folder':
      return readFolder(source.path, drops);
    case 'jsonl':
      return readJsonl(source.path, drops);
    case 'workspace':
      return readWorkspace(source.path, drops);
    case 'starter':
      return starterCorpus(source.functions, source.seed, source.comments);
  }
}
