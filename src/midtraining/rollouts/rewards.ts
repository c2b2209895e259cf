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
  const ids = [...snippet.prompt];
  /** For each token what it is: an index into the code's tokens, or the line whose latent it is of. */
  const role: { readonly code: number; readonly line: number }[] = ids.map(() => ({ code: -1, line: -1 }));
  let code = 0;
  for (const part of infusedParts(tokenizer, snippet, latents)) {
    for (const id of part.ids) {
      ids.push(id);
      role.push(part.latentOf === null ? { code: code++, line: -1 } : { code: -1, line: part.latentOf });
    }
  }
  const tokens = new Float64Array(snippet.ids.length).fill(NaN);
  const ofLatents: (number | null)[] = snippet.lines.map(() => null);
  if (ids.length > 1) {
    const from = Math.max(0, snippet.prompt.length - 1);
    await decoder.score(
      ids,
      from,
      (position, logits) => {
        const logProbability = logProbabilityOf(logits, ids[position + 1]!);
        const { code: token, line } = role[position + 1]!;
        if (token >= 0) tokens[token] = logProbability;
        else if (line >= 0) ofLatents[line] = (ofLatents[line] ?? 0) + logProbability;
      },
      signal,
    );
  }
  const lines = Float64Array.from(snippet.lines, ({ from, to }) =>
    tokens.subarray(from, to).reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : value), 0),
  );
  return { tokens, lines, latents: ofLatents };
}
