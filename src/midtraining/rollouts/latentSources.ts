/**
 * Where the latents of the M-step come from: q, another model that writes comments, or the comments that are in the data.
 * Knows nothing of training.
 */
import type { Parser } from 'web-tree-sitter';
import type { Decoder } from '../../engine/generation/decoder.ts';
import { mixSeed } from '../../engine/random.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import { type Latent, parseLatents } from '../abstractions/latents.ts';
import { bySnippet, type RolledSnippet, rollOut } from './rolledSnippets.ts';
import { type Rollout, type RolloutSettings, soundLatentsOf } from './rollout.ts';
import { type SnippetTokens, snippetTokens } from './snippetTokens.ts';

export interface NumberedText {
  readonly number: number;
  readonly text: string;
}

export interface LatentSource {
  /**
   * For each text a latent or null for each line of its code. The same in any company and order.
   * @param epoch other latents in another one, where they are drawn
   */
  latentsOf(texts: readonly NumberedText[], epoch: number): Promise<(Latent | null)[][]>;
  close(): Promise<void>;
}

/** The comments right above lines. */
export function givenLatents(parser: Parser): LatentSource {
  return {
    latentsOf: (texts) => Promise.resolve(texts.map(({ text }) => [...parseLatents(parser, text).latents])),
    close: () => Promise.resolve(),
  };
}

/** Which of a snippet's rollouts is taken, for many snippets at once. */
export type ChooseRollouts = (rolled: readonly RolledSnippet[]) => Promise<readonly Rollout[]>;

/**
 * Rollouts of a model, of which one is taken for each text; latents with a format error are left out, and all of them where
 * the text with one does not fit the context.
 * @param open the model; it is opened when it is needed first, and closed with the source
 * @param choose the only one unless told
 */
export function sampledLatents(
  parser: Parser,
  tokenizer: Tokenizer,
  open: () => Promise<Decoder>,
  settings: RolloutSettings,
  choose: ChooseRollouts = (rolled) => Promise.resolve(rolled.map(({ rollouts }) => rollouts[0]!)),
): LatentSource {
  let opened: Promise<Decoder> | null = null;
  return {
    latentsOf: async (texts, epoch) => {
      const decoder = await (opened ??= open());
      const snippets = texts.map(({ number, text }) => ({ number, snippet: snippetTokens(parser, tokenizer, text) }));
      const fitting = snippets.filter(({ snippet }) => fits(snippet, settings.maxLatentTokens, decoder.contextLength));
      const drawn = { ...settings, seed: mixSeed('latents', settings.seed, epoch) };
      const rolled = bySnippet(fitting, await rollOut(decoder, tokenizer, fitting, drawn));
      const chosen = await choose(rolled.filter(({ rollouts }) => rollouts.length > 0));
      const latents = new Map(chosen.map((rollout) => [rollout.id, soundLatentsOf(rollout)]));
      return snippets.map(({ number, snippet }) => latents.get(String(number)) ?? snippet.lines.map(() => null));
    },
    close: async () => {
      await (await opened)?.close();
    },
  };
}

/** Whether the snippet with one latent fits. */
export function fits({ prompt, ids }: SnippetTokens, maxLatentTokens: number, contextLength: number): boolean {
  return prompt.length + ids.length + maxLatentTokens <= contextLength;
}
