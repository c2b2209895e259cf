/**
 * What pi says of expert code with latents: log pi(a_t | s_t, z_t) for each token of the code, by one teacher-forced pass;
 * the same without latents is next-token prediction. Knows nothing of penalties or returns.
 */
import type { Decoder } from '../../engine/generation/decoder.ts';
import { logProbabilityOf } from '../../engine/generation/sampler.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import type { Latent } from '../abstractions/latents.ts';
import { infusedParts, type SnippetTokens } from './snippetTokens.ts';

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
  const { prompt } = snippet;
  const tokens: ForcedToken[] = [];
  let code = 0;
  for (const { ids, latentOf } of infusedParts(tokenizer, snippet, latents)) {
    ids.forEach((id, i) => tokens.push({ id, index: latentOf === null ? code++ : i, latentOf }));
  }
  const ids = [...prompt, ...tokens.map(({ id }) => id)];
  if (ids.length < 2 || tokens.length === 0) return;
  const from = Math.max(0, prompt.length - 1);
  await decoder.score(
    ids,
    from,
    (position, logits) => {
      visit(tokens[position + 1 - prompt.length]!, logits);
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
  const lines = Float64Array.from(snippet.lines, ({ from, to }) =>
    tokens.subarray(from, to).reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : value), 0),
  );
  return { tokens, lines, latents: ofLatents };
}
