/**
 * What pi says of expert code with latents: log pi(a_t | s_t, z_t) for each token of the code, by one teacher-forced pass;
 * the same without latents is next-token prediction. Knows nothing of penalties or returns.
 */
import type { Decoder } from '../../engine/generation/decoder.ts';
import { logProbabilityOf } from '../../engine/generation/sampler.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import { packRows, placesOf } from '../../engine/training/batch.ts';
import type { Trainer } from '../../engine/training/trainer.ts';
import type { Latent } from '../abstractions/latents.ts';
import { infusedTokens, type InfusedTokens, type SnippetTokens } from './snippetTokens.ts';

export interface Scores {
  /** log pi of each token of the code, in nats; NaN where nothing precedes it. */
  readonly tokens: Float64Array;
  /** Sums over the tokens of each line (`TokenizedLine`): log pi(a_t | s_t, z_t). */
  readonly lines: Float64Array;
  /** For each line log pi of its latent with the newline and indentation behind it; null where there is none. */
  readonly latents: readonly (number | null)[];
}

/** A token that a teacher-forced pass has come to: of the code, or of the latent of a line. */
export interface ForcedToken {
  readonly id: number;
  /** Index into the tokens of the code, or into those of the latent. */
  readonly index: number;
  /** The line whose latent it is of; null: it is of the code. */
  readonly latentOf: number | null;
}

/**
 * Feeds code with latents, and calls `visit` with each of their tokens, in order, and the logits [vocabulary] that predict
 * it; not with a first one that nothing precedes. The logits are valid during the call only.
 * @param latents one for each line of the code; those of lines that have no place are left out
 * @throws UserError when code and latents do not fit the context; the signal's reason when aborted
 */
export async function forceTokens(
  decoder: Decoder,
  tokenizer: Tokenizer,
  snippet: SnippetTokens,
  latents: readonly (Latent | null)[],
  visit: (token: ForcedToken, logits: Float32Array) => void,
  signal?: AbortSignal,
): Promise<void> {
  const { ids, codeOf, latentOf } = infusedTokens(tokenizer, snippet, latents);
  const { prompt } = snippet;
  if (ids.length < 2 || ids.length === prompt.length) return;
  let begin = 0; // of the latent under way
  await decoder.score(
    ids,
    Math.max(0, prompt.length - 1),
    (position, logits) => {
      const at = position + 1;
      const [id, code, line] = [ids[at]!, codeOf[at]!, latentOf[at]!];
      if (line !== latentOf[at - 1]) begin = at;
      visit(code >= 0 ? { id, index: code, latentOf: null } : { id, index: at - begin, latentOf: line }, logits);
    },
    signal,
  );
}

/**
 * @param latents one for each line of the code; those of lines that have no place are left out
 * @throws UserError when code and latents do not fit the context; the signal's reason when aborted
 */
export async function scoreCode(
  decoder: Decoder,
  tokenizer: Tokenizer,
  snippet: SnippetTokens,
  latents: readonly (Latent | null)[],
  signal?: AbortSignal,
): Promise<Scores> {
  const tokens = new Float64Array(snippet.ids.length).fill(NaN);
  const ofLatents: (number | null)[] = snippet.lines.map(() => null);
  const visit = ({ id, index, latentOf }: ForcedToken, logits: Float32Array): void => {
    const logProbability = logProbabilityOf(logits, id);
    if (latentOf === null) tokens[index] = logProbability;
    else ofLatents[latentOf] = (ofLatents[latentOf] ?? 0) + logProbability;
  };
  await forceTokens(decoder, tokenizer, snippet, latents, visit, signal);
  return { tokens, lines: lineSums(snippet, tokens), latents: ofLatents };
}

/** @param tokens one for each token of the code; the first one counts as 0 where nothing precedes it */
function lineSums({ lines, prompt }: SnippetTokens, tokens: Float64Array): Float64Array {
  const first = prompt.length === 0 ? 1 : 0;
  return Float64Array.from(lines, ({ from, to }) =>
    tokens.subarray(Math.max(from, first), to).reduce((sum, value) => sum + value, 0),
  );
}

export interface InfusedSnippet {
  readonly snippet: SnippetTokens;
  readonly latents: readonly (Latent | null)[];
}

/**
 * The `lines` of `Scores` for many snippets at once, by the trainer of pi: packed into its rows, the same ones once. Where a
 * snippet with its latents is longer than a row it is scored without them.
 * @throws RangeError when one is longer than a row by itself
 */
export async function scoreLines(
  pi: Trainer,
  tokenizer: Tokenizer,
  infused: readonly InfusedSnippet[],
): Promise<Float64Array[]> {
  const { length } = pi.options;
  const numbers = new Map<string, number>();
  const sequences: InfusedTokens[] = [];
  const sequenceOf = infused.map(({ snippet, latents }) => {
    let sequence = infusedTokens(tokenizer, snippet, latents);
    if (sequence.ids.length > length) sequence = infusedTokens(tokenizer, snippet, []);
    const key = sequence.ids.join();
    const number = numbers.get(key) ?? sequences.push(sequence) - 1;
    numbers.set(key, number);
    return number;
  });
  const { tokenLosses } = await pi.evaluate(packRows(sequences, length));
  const places = placesOf(
    sequences.map(({ ids }) => ids.length),
    length,
  );
  return infused.map(({ snippet }, i) => {
    const { codeOf } = sequences[sequenceOf[i]!]!;
    const place = places[sequenceOf[i]!]!;
    const tokens = new Float64Array(snippet.ids.length).fill(NaN);
    codeOf.forEach((code, at) => {
      if (code >= 0 && at > 0) tokens[code] = -tokenLosses[place + at - 1]!;
    });
    return lineSums(snippet, tokens);
  });
}
