/**
 * Continuous batching: a fixed number of places, each holding one row. A place that a finished row leaves is taken at once
 * by the next; a prompt is prefilled once for all its rows, longest prompts first.
 *
 * A row says itself what it is fed: one token it has drawn, or a run of given ones, as long as it likes. Runs go in chunks,
 * and have precedence: once every row wants a single token, all of them step together.
 *
 * A row depends on its prompt and on itself alone, not on what shares its batch: rows of a run do not influence each other
 * (tested to the bit on the CPU), and how a row is cut into runs follows from what it gave. Knows nothing of sampling, text
 * or stop rules.
 */
import { UserError } from '../../errors.ts';
import type { Decoder, Prefix } from './decoder.ts';

export interface Row {
  /**
   * What the row is fed next: one or more tokens, or null when it is done. What it gives before null is all fed.
   * @param logits [vocabulary] after all its tokens so far, its prompt's first; valid during the call only.
   */
  next(logits: Float32Array): readonly number[] | null;
}

/** Rows that begin with the same prompt. */
export interface RowGroup<R extends Row> {
  /** Token ids, one at least. */
  readonly prompt: readonly number[];
  /** Rows wanted. */
  readonly count: number;
  /** Begins a row. @param index from 0 to `count` - 1, in order */
  begin(index: number): R;
}

/** Work done since the beginning. */
export interface BatchProgress {
  readonly phase: 'prefill' | 'decode';
  readonly promptTokens: number;
  /** Tokens fed in runs of several. */
  readonly forcedTokens: number;
  /** Times that a row was asked for what comes next: tokens drawn. */
  readonly generatedTokens: number;
  /** Wall seconds in each phase. */
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
  /** Rows in places now. */
  readonly active: number;
}

export interface BatchOptions {
  readonly onProgress?: (progress: BatchProgress) => void;
  /** Aborting ends it: rows under way come out as they are. */
  readonly signal?: AbortSignal;
  /** Awaited before each prompt and each step: what holds it, holds the work. It should settle when `signal` is aborted. */
  readonly gate?: () => Promise<void>;
}

interface Place<R extends Row> {
  readonly row: R;
  /** Positions in the cache. */
  length: number;
  /** To be fed next; null: the row is done. */
  pending: readonly number[] | null;
}

/**
 * Runs all rows of all groups and yields them as they finish.
 * @throws UserError when a row gives more tokens than the context has room for
 */
export async function* runRows<R extends Row>(
  decoder: Decoder,
  groups: readonly RowGroup<R>[],
  { onProgress, signal, gate }: BatchOptions = {},
): AsyncGenerator<R, void, undefined> {
  const waiting = groups
    .filter(({ count }) => count > 0)
    .sort((a, b) => a.prompt.length - b.prompt.length) // taken from the end
    .map((group) => ({ group, begun: 0, prefix: null as Prefix | null }));
  let places: Place<R>[] = [];
  const work = { promptTokens: 0, forcedTokens: 0, generatedTokens: 0, prefillSeconds: 0, decodeSeconds: 0 };
  const report = (phase: BatchProgress['phase']): void => onProgress?.({ ...work, phase, active: places.length });

  const ask = (place: Place<R>, logits: Float32Array): void => {
    work.generatedTokens++;
    place.pending = place.row.next(logits);
    const length = place.length + (place.pending?.length ?? 0);
    if (length > decoder.contextLength) {
      throw new UserError(
        `A text has come to ${length} tokens and the context is ${decoder.contextLength}. ` +
          'Shorten it, or choose a model with a longer context.',
      );
    }
  };

  for (;;) {
    await gate?.();
    while (places.length < decoder.places && waiting.length > 0 && !aborted(signal)) {
      const next = waiting.at(-1)!;
      const { group } = next;
      if (next.prefix === null) {
        await gate?.();
        if (aborted(signal)) break;
        const start = performance.now();
        report('prefill');
        try {
          next.prefix = await decoder.prefill(group.prompt, signal);
        } catch (error) {
          if (aborted(signal)) break;
          throw error;
        }
        work.promptTokens += group.prompt.length;
        work.prefillSeconds += (performance.now() - start) / 1000;
      }
      const place: Place<R> = { row: group.begin(next.begun++), length: group.prompt.length, pending: null };
      if (next.begun === group.count) waiting.pop();
      ask(place, next.prefix.logits);
      if (place.pending !== null) {
        const used = Math.max(0, ...places.map(({ length }) => length));
        decoder.cache.reserve(Math.max(used, next.prefix.length) + 1, used);
        decoder.cache.load(places.length, next.prefix);
        places.push(place);
      }
      if (next.begun === group.count) next.prefix.release?.();
      if (place.pending === null) yield place.row;
    }
    if (aborted(signal)) {
      waiting.at(-1)?.prefix?.release?.();
      for (const { row } of places) yield row;
      return;
    }
    if (places.length === 0) return;

    const start = performance.now();
    const lengths = places.map(({ length }) => length);
    const fed = places.filter(({ pending }) => pending!.length > 1);
    let logits: Float32Array;
    if (fed.length > 0) {
      const chunks = places.map(({ pending }) => (pending!.length > 1 ? pending! : []));
      logits = await decoder.extend(chunks, lengths);
      for (const { pending } of fed) work.forcedTokens += pending!.length;
    } else {
      fed.push(...places);
      logits = await decoder.step(
        places.map(({ pending }) => pending![0]!),
        lengths,
      );
    }
    const vocabulary = decoder.config.vocabularySize;
    fed.forEach((place, i) => {
      place.length += place.pending!.length;
      ask(place, logits.subarray(i * vocabulary, (i + 1) * vocabulary));
    });
    const finished = places.filter(({ pending }) => pending === null);
    if (finished.length > 0) places = closeGaps(decoder, places);
    work.decodeSeconds += (performance.now() - start) / 1000;
    report('decode');
    for (const { row } of finished) yield row;
  }
}

/** The places without those whose rows are done, the last ones moved into the gaps. */
function closeGaps<R extends Row>(decoder: Decoder, places: readonly Place<R>[]): Place<R>[] {
  const kept = [...places];
  // Last places first, so that what moves into a gap is a row that goes on.
  for (let place = kept.length - 1; place >= 0; place--) {
    if (kept[place]!.pending !== null) continue;
    const moved = kept.pop()!;
    if (place === kept.length) continue;
    decoder.cache.move(kept.length, place, moved.length);
    kept[place] = moved;
  }
  return kept;
}

/** A function, so that the compiler does not take an earlier answer for the present one. */
function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
