/**
 * Continuous batching: a fixed number of places, each decoding one sample. A place that a finished sample leaves is taken
 * at once by the next; a prompt is prefilled once for all its samples, longest prompts first.
 *
 * A sample depends on its prompt, settings, seed and index alone, not on what shares its batch: its random stream is its
 * own, and rows of the decoder's step do not influence each other (tested to the bit on the CPU).
 */
import { UserError } from '../../errors.ts';
import { mixSeed, seededRandom, type Random } from '../random.ts';
import { StopFinder } from '../text/stopStrings.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { Utf8Stream } from '../text/utf8Stream.ts';
import type { Decoder, Prefix } from './decoder.ts';
import { chooseToken, type Ranked } from './sampler.ts';
import type { Completion, FinishReason, GeneratedToken, GenerationRequest } from './types.ts';

/** Work done since `generate` was called. */
export interface GenerationProgress {
  readonly phase: 'prefill' | 'decode';
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** Wall seconds in each phase. */
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
  /** Samples in places now. */
  readonly active: number;
}

export interface GenerateOptions {
  /** Text that is certain (no part of a stop string), as it comes. */
  readonly onText?: (id: string, sample: number, text: string) => void;
  readonly onProgress?: (progress: GenerationProgress) => void;
  /** Aborting ends generation: samples under way come out with the finish reason `cancelled`. */
  readonly signal?: AbortSignal;
  /** Awaited before each prompt and each step: what holds it, holds generation. It should settle when `signal` is aborted. */
  readonly gate?: () => Promise<void>;
}

interface Waiting {
  readonly request: GenerationRequest;
  /** Samples not started yet, last one first. */
  readonly samples: number[];
  prefix: Prefix | null;
}

/**
 * Generates all samples of all requests and yields them as they finish.
 * @throws UserError when a prompt is empty or leaves no room in the context; nothing is generated then.
 */
export async function* generate(
  decoder: Decoder,
  tokenizer: Tokenizer,
  requests: readonly GenerationRequest[],
  { onText, onProgress, signal, gate }: GenerateOptions = {},
): AsyncGenerator<Completion, void, undefined> {
  for (const request of requests) checkRequest(request, decoder.contextLength);
  const waiting: Waiting[] = requests
    .filter((request) => request.samples.length > 0)
    .sort((a, b) => a.prompt.length - b.prompt.length) // taken from the end
    .map((request) => ({ request, samples: [...request.samples].reverse(), prefix: null }));
  const places: Sequence[] = [];
  const work = { promptTokens: 0, generatedTokens: 0, prefillSeconds: 0, decodeSeconds: 0 };
  const report = (phase: GenerationProgress['phase']): void => onProgress?.({ ...work, phase, active: places.length });

  const accept = (sequence: Sequence, logits: Float32Array): Completion | null => {
    const text = sequence.accept(logits);
    work.generatedTokens++;
    if (text !== '') onText?.(sequence.request.id, sequence.sample, text);
    return sequence.completion;
  };

  for (;;) {
    await gate?.();
    while (places.length < decoder.places && waiting.length > 0 && !aborted(signal)) {
      const next = waiting.at(-1)!;
      if (next.prefix === null) {
        await gate?.();
        if (aborted(signal)) break;
        const start = performance.now();
        report('prefill');
        try {
          next.prefix = await decoder.prefill(next.request.prompt, signal);
        } catch (error) {
          if (aborted(signal)) break;
          throw error;
        }
        work.promptTokens += next.request.prompt.length;
        work.prefillSeconds += (performance.now() - start) / 1000;
      }
      const sequence = new Sequence(next.request, next.samples.pop()!, tokenizer, decoder.contextLength);
      if (next.samples.length === 0) waiting.pop();
      const completion = accept(sequence, next.prefix.logits);
      if (completion === null) {
        const used = Math.max(0, ...places.map(({ length }) => length));
        decoder.cache.reserve(Math.max(used, next.prefix.length) + 1, used);
        decoder.cache.load(places.length, next.prefix);
        places.push(sequence);
      }
      if (next.samples.length === 0) next.prefix.release?.();
      if (completion !== null) yield completion;
    }
    if (aborted(signal)) {
      waiting.at(-1)?.prefix?.release?.();
      for (const sequence of places) yield sequence.cancel();
      return;
    }
    if (places.length === 0) return;

    const start = performance.now();
    const logits = await decoder.step(
      places.map(({ token }) => token),
      places.map(({ length }) => length),
    );
    const vocabulary = decoder.config.vocabularySize;
    const finished: Completion[] = [];
    for (let place = 0; place < places.length; place++) {
      places[place]!.length++;
      const completion = accept(places[place]!, logits.subarray(place * vocabulary, (place + 1) * vocabulary));
      if (completion !== null) finished.push(completion);
    }
    // Last places first, so that what moves into a gap is a sequence that goes on.
    for (let place = places.length - 1; place >= 0; place--) {
      if (places[place]!.completion === null) continue;
      const moved = places.pop()!;
      if (place === places.length) continue;
      decoder.cache.move(places.length, place, moved.length);
      places[place] = moved;
    }
    work.decodeSeconds += (performance.now() - start) / 1000;
    report('decode');
    yield* finished;
  }
}

/** One sample under way. */
class Sequence {
  readonly request: GenerationRequest;
  readonly sample: number;
  /** Positions in the cache. */
  length: number;
  /** The token to be fed next. */
  token = -1;
  completion: Completion | null = null;
  readonly #tokenizer: Tokenizer;
  readonly #contextLength: number;
  readonly #random: Random;
  readonly #utf8 = new Utf8Stream();
  readonly #stops: StopFinder;
  readonly #tokens: GeneratedToken[] = [];
  #text = '';

  constructor(request: GenerationRequest, sample: number, tokenizer: Tokenizer, contextLength: number) {
    this.request = request;
    this.sample = sample;
    this.length = request.prompt.length;
    this.#tokenizer = tokenizer;
    this.#contextLength = contextLength;
    this.#random = seededRandom(mixSeed(request.seed, request.id, sample));
    this.#stops = new StopFinder(request.stop);
  }

  /** Chooses the next token; gives the text that is certain by now, and sets `completion` when this was the last one. */
  accept(logits: Float32Array): string {
    const choice = chooseToken(logits, this.request, this.#random);
    const named = (ranked: Ranked) => ({ ...ranked, text: this.#tokenizer.tokenText(ranked.id) });
    this.#tokens.push({ ...named(choice), entropy: choice.entropy, top: choice.top.map(named) });
    this.token = choice.id;
    if (this.#tokenizer.eosTokenIds.includes(choice.id)) return this.#end('eos');
    const text = this.#add(this.#stops.push(this.#utf8.push(this.#tokenizer.tokenBytes(choice.id))));
    if (this.#stops.match !== null) return text + this.#end('stop');
    if (this.#tokens.length >= this.request.maxTokens) return text + this.#end('length');
    if (this.length + 1 >= this.#contextLength) return text + this.#end('context');
    return text;
  }

  cancel(): Completion {
    this.#end('cancelled');
    return this.completion!;
  }

  #end(reason: FinishReason): string {
    // What is held back may still complete a stop string that began earlier.
    const rest = this.#add(this.#stops.push(this.#utf8.flush())) + this.#add(this.#stops.flush());
    const finish = this.#stops.match === null ? reason : 'stop';
    const { id } = this.request;
    this.completion = { id, sample: this.sample, text: this.#text, tokens: this.#tokens, finish };
    return rest;
  }

  #add(text: string): string {
    this.#text += text;
    return text;
  }
}

function checkRequest({ id, prompt, maxTokens }: GenerationRequest, contextLength: number): void {
  if (prompt.length === 0) throw new UserError(`The prompt of ${id} is empty. Give at least one token.`);
  if (maxTokens < 1) throw new UserError(`The longest completion is ${maxTokens} tokens. Give 1 or more.`);
  if (prompt.length >= contextLength) {
    throw new UserError(
      `The prompt of ${id} has ${prompt.length} tokens and the context is ${contextLength}, which leaves no room for an answer. ` +
        'Shorten the prompt, or choose a model with a longer context.',
    );
  }
}

/** A function, so that the compiler does not take an earlier answer for the present one. */
function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
