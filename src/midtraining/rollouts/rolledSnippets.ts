/**
 * Rollouts of many snippets, and which of them are whose. Knows nothing of what they are for.
 */
import type { Decoder } from '../../engine/generation/decoder.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import { type Rollout, type RolloutSettings, sampleRollouts } from './rollout.ts';
import type { SnippetTokens } from './snippetTokens.ts';

export interface NumberedSnippet {
  /** Its number in the corpus. */
  readonly number: number;
  readonly snippet: SnippetTokens;
}

export interface RolledSnippet extends NumberedSnippet {
  readonly rollouts: readonly Rollout[];
}

/** All rollouts of all snippets, in the order of the snippets and of the groups. @throws as `sampleRollouts` */
export async function rollOut(
  decoder: Decoder,
  tokenizer: Tokenizer,
  snippets: readonly NumberedSnippet[],
  settings: RolloutSettings,
  signal?: AbortSignal,
): Promise<Rollout[]> {
  const requests = snippets.map(({ number, snippet }) => ({ id: String(number), snippet }));
  const rollouts: Rollout[] = [];
  const options = signal === undefined ? {} : { signal };
  for await (const rollout of sampleRollouts(decoder, tokenizer, requests, settings, options)) rollouts.push(rollout);
  const place = new Map(requests.map(({ id }, i) => [id, i]));
  return rollouts.sort((a, b) => place.get(a.id)! - place.get(b.id)! || a.index - b.index);
}

/** Each snippet with its rollouts, in their order; with none where there are none of it. */
export function bySnippet(snippets: readonly NumberedSnippet[], rollouts: readonly Rollout[]): RolledSnippet[] {
  return snippets.map(({ number, snippet }) => ({
    ...{ number, snippet },
    rollouts: rollouts.filter(({ id }) => id === String(number)),
  }));
}
