/**
 * Samples of prompts: each is a row that draws its next token until something ends it (`batching.ts` runs them together).
 *
 * A sample depends on its prompt, settings, seed and index alone, not on what shares its batch: its random stream is its own.
 */
import { UserError } from '../../errors.ts';
import { mixSeed, seededRandom, type Random } from '../random.ts';
import { StopFinder } from '../text/stopStrings.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { Utf8Stream } from '../text/utf8Stream.ts';
import { runRows, type BatchOptions, type BatchProgress, type Row } from './batching.ts';
import type { Decoder } from './decoder.ts';
import { chooseToken, type Ranked } from './sampler.ts';
import type { Completion, FinishReason, GeneratedToken, GenerationRequest } from './types.ts';

export type GenerationProgress = Omit<BatchProgress, 'forcedTokens'>;

export interface GenerateOptions extends BatchOptions {
  /** Text that is certain (no part of a stop string), as it comes. */
  readonly onText?: (id: string, sample: number, text: string) => void;
}

/**
 * Generates all samples of all requests and yields them as they finish. When it is aborted, samples under way come out with
 * the finish reason `cancelled`.
 * @throws UserError when a prompt is empty or leaves no room in the context; nothing is generated then.
 */
export async function* generate(
  decoder: Decoder,
  tokenizer: Tokenizer,
  requests: readonly GenerationRequest[],
  { onText, ...options }: GenerateOptions = {},
): AsyncGenerator<Completion, void, undefined> {
  for (const request of requests) checkRequest(request, decoder.contextLength);
  const groups = requests.map((request) => ({
    prompt: request.prompt,
    count: request.samples.length,
    begin: (index: number) => new Sequence(request, request.samples[index]!, tokenizer, decoder.contextLength, onText),
  }));
  for await (const sequence of runRows(decoder, groups, options)) yield sequence.completion ?? sequence.cancel();
}

/** One sample under way. */
class Sequence implements Row {
  completion: Completion | null = null;
  readonly #request: GenerationRequest;
  readonly #sample: number;
  readonly #tokenizer: Tokenizer;
  readonly #contextLength: number;
  readonly #random: Random;
  readonly #utf8 = new Utf8Stream();
  readonly #stops: StopFinder;
  readonly #tokens: GeneratedToken[] = [];
  readonly #onText: GenerateOptions['onText'];
  #text = '';

  constructor(
    request: GenerationRequest,
    sample: number,
    tokenizer: Tokenizer,
    contextLength: number,
    onText: GenerateOptions['onText'],
  ) {
    this.#request = request;
    this.#sample = sample;
    this.#onText = onText;
    this.#tokenizer = tokenizer;
    this.#contextLength = contextLength;
    this.#random = seededRandom(mixSeed(request.seed, request.id, sample));
    this.#stops = new StopFinder(request.stop);
  }

  next(logits: Float32Array): readonly number[] | null {
    const choice = chooseToken(logits, this.#request, this.#random);
    const named = (ranked: Ranked) => ({ ...ranked, text: this.#tokenizer.tokenText(ranked.id) });
    this.#tokens.push({ ...named(choice), entropy: choice.entropy, top: choice.top.map(named) });
    const ended = this.#tokenizer.eosTokenIds.includes(choice.id);
    if (!ended) this.#add(this.#stops.push(this.#utf8.push(this.#tokenizer.tokenBytes(choice.id))));
    const reason = ended ? 'eos' : this.#reasonToEnd();
    if (reason === null) return [choice.id];
    this.#end(reason);
    return null;
  }

  cancel(): Completion {
    return this.#end('cancelled');
  }

  #reasonToEnd(): FinishReason | null {
    if (this.#stops.match !== null) return 'stop';
    if (this.#tokens.length >= this.#request.maxTokens) return 'length';
    return this.#request.prompt.length + this.#tokens.length >= this.#contextLength ? 'context' : null;
  }

  #end(reason: FinishReason): Completion {
    // What is held back may still complete a stop string that began earlier.
    this.#add(this.#stops.push(this.#utf8.flush()));
    this.#add(this.#stops.flush());
    const finish = this.#stops.match === null ? reason : 'stop';
    const { id } = this.#request;
    return (this.completion = { id, sample: this.#sample, text: this.#text, tokens: this.#tokens, finish });
  }

  #add(text: string): void {
    if (text === '') return;
    this.#text += text;
    this.#onText?.(this.#request.id, this.#sample, text);
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
