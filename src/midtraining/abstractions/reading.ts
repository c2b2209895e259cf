/**
 * What a model makes of a piece of code, token by token and line by line: where it would think, what the latents in force
 * are worth, what surprises it. Plain data, which goes between processes and into files as it is.
 * Knows nothing of how it is computed or drawn.
 *
 * Offsets are UTF-16 code units of `code`; logarithms are natural; null stands where nothing precedes a token.
 */
import type { Latent } from './latents.ts';

/** A token that could have stood there. */
export interface Alternative {
  readonly text: string;
  readonly logProbability: number;
}

export interface TokenReading {
  readonly from: number;
  readonly to: number;
  /** log pi(token | what precedes it, latents among that), and without any latent. */
  readonly logProbability: number | null;
  readonly without: number | null;
  /** Of the distribution that it was predicted by, latents in place, in nats. */
  readonly entropy: number | null;
  /** The likeliest five, the likeliest first. */
  readonly alternatives: readonly Alternative[];
}

export interface LatentReading {
  readonly text: Latent;
  /** It stood in the text that was read, or the model wrote it. */
  readonly origin: 'text' | 'model';
  readonly tokens: number;
  /** log q of its tokens and its end, given that there is one. */
  readonly logProbability: number | null;
  /** log pi of the lines it governs, with all latents less without any, in nats. */
  readonly gain: number;
}

export interface LineReading {
  /** Its first code unit, indentation included, and the one behind its newline: a statement over several rows is one line. */
  readonly from: number;
  readonly to: number;
  /** Its first row in `code`, and how many it has. */
  readonly row: number;
  readonly rows: number;
  /** Its tokens, from `tokens[firstToken]` to before `tokens[endToken]`. */
  readonly firstToken: number;
  readonly endToken: number;
  /** A statement begins with it; a block does. */
  readonly statement: boolean;
  readonly block: boolean;
  /** Mass of the tokens that begin a comment here; null where none may go. */
  readonly thinkProbability: number | null;
  /** Sums over its tokens. */
  readonly logProbability: number;
  readonly without: number;
  /** Mean over its tokens, in nats. */
  readonly entropy: number;
  /** What comes into force at this line; null: what was in force before stays so. */
  readonly latent: LatentReading | null;
  /** How many tokens of context it was read with: less than all where the text is longer than the model's context. */
  readonly contextTokens: number;
}

export interface CodeReading {
  /** The text without latents. */
  readonly code: string;
  /** Name of what was read, for titles: a file, a task, a sample. */
  readonly name: string;
  readonly model: { readonly name: string; readonly step: number | null };
  /** Latents are the text's own, the model's, or none. */
  readonly latents: 'text' | 'model' | 'none';
  readonly lines: readonly LineReading[];
  readonly tokens: readonly TokenReading[];
  /** The grammar found an error in the text. */
  readonly hasError: boolean;
}
