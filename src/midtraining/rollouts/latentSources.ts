/**
 * Where the latents of the M-step come from: q, another model that writes comments, or the comments that are in the data.
 * Knows nothing of training.
 */
import type { Parser } from 'web-tree-sitter';
import type { Decoder } from '../../engine/generation/decoder.ts';
import { mixSeed } from '../../engine/random.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import { type Latent, parseLatents } from '../abstractions/latents.ts';
import { type RolloutSettings, sampleRollouts } from './rollout.ts';
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

/**
 * One rollout of a model for each text; latents with a format error are left out, and all of them where the text with one
 * does not fit the context. @param open the model; it is opened when it is needed first, and closed with the source
 */
export function sampledLatents(
  parser: Parser,
  tokenizer: Tokenizer,
  open: () => Promise<Decoder>,
  settings: Omit<RolloutSettings, 'group'>,
): LatentSource {
  let opened: Promise<Decoder> | null = null;
  return {
    latentsOf: async (texts, epoch) => {
      const decoder = await (opened ??= open());
      const snippets = new Map<string, SnippetTokens>();
      const latents = new Map<string, (Latent | null)[]>();
      for (const { number, text } of texts) {
        const snippet = snippetTokens(parser, tokenizer, text);
        snippets.set(String(number), snippet);
        latents.set(
          String(number),
          snippet.lines.map(() => null),
        );
      }
      const fitting = [...snippets]
        .map(([id, snippet]) => ({ id, snippet }))
        .filter(({ snippet }) => fits(snippet, settings.maxLatentTokens, decoder.contextLength));
      const drawn = { ...settings, group: 1, seed: mixSeed('latents', settings.seed, epoch) };
      for await (const { id, lines } of sampleRollouts(decoder, tokenizer, fitting, drawn)) {
        latents.set(
          id,
          lines.map(({ latent }) => (latent?.error === null ? latent.text : null)),
        );
      }
      return texts.map(({ number }) => latents.get(String(number))!);
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
