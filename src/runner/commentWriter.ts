/**
 * The model that writes the comments of `synthetic`, opened with its own tokenizer. Knows nothing of what they are for.
 */
import type { Decoder } from '../engine/generation/decoder.ts';
import { loadDecoder } from '../engine/languageModel.ts';
import { createTokenizer, type Tokenizer } from '../engine/text/tokenizer.ts';
import { openModel } from '../engine/weights/open.ts';
import type { TrainingConfig } from '../midtraining/config.ts';

/** Rows decoded together. */
const PLACES = 16;

export interface CommentWriter {
  readonly tokenizer: Tokenizer;
  /** Its weights are loaded by the call. */
  readonly open: () => Promise<Decoder>;
  readonly close: () => Promise<void>;
}

/** @throws UserError when it is no model that can be used */
export async function openWriter(path: string, { context, threads }: TrainingConfig): Promise<CommentWriter> {
  const source = await openModel(path);
  return {
    tokenizer: createTokenizer(source.tokenizer),
    open: async () => {
      const options = {
        device: 'cpu',
        precision: 'auto',
        places: PLACES,
        threads: threads === 0 ? null : threads,
      } as const;
      // Its tokenizer may need more tokens for the same text.
      const { decoder } = await loadDecoder(source, { ...options, contextLength: 2 * context });
      return decoder;
    },
    close: () => source.close(),
  };
}
