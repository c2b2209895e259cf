/**
 * Lets the model of a training run write, with the weights as they are between two steps. A decoder is made of them for the
 * occasion and closed again: it takes as much memory as the weights have in float32, and its graph passes through the
 * system's temporary folder, but nothing of it stays. Training itself is not touched.
 * Knows nothing of what is asked or what the answers are for.
 */
import { generate } from '../engine/generation/generator.ts';
import type { Completion, GenerationRequest } from '../engine/generation/types.ts';
import { loadDecoder } from '../engine/languageModel.ts';
import type { ModelSource, TensorSource } from '../engine/model.ts';
import type { Tokenizer } from '../engine/text/tokenizer.ts';
import { trainedWeights } from '../engine/training/trainedWeights.ts';
import type { Trainer } from '../engine/training/trainer.ts';

/** Sequences decoded together at most. */
const PLACES = 16;

/** Something to go on from; `taskId` where it is of a benchmark. */
export interface LivePrompt {
  readonly taskId: string | null;
  readonly prompt: string;
  readonly request: GenerationRequest;
}

export class LiveModel {
  readonly source: ModelSource;
  readonly tokenizer: Tokenizer;
  readonly #base: TensorSource;
  readonly #threads: number;

  /**
   * @param base the weights that training began from
   * @param threads of ONNX Runtime; 0: one a core
   */
  constructor(source: ModelSource, base: TensorSource, tokenizer: Tokenizer, threads: number) {
    this.source = source;
    this.tokenizer = tokenizer;
    this.#base = base;
    this.#threads = threads;
  }

  /**
   * Completions as they finish; those that `signal` cut short are left out.
   * @throws UserError when there is no memory or disk for the decoder, or a prompt does not fit
   */
  async *complete(
    trainer: Trainer,
    requests: readonly GenerationRequest[],
    signal: AbortSignal,
  ): AsyncGenerator<Completion, void, undefined> {
    const weights = trainedWeights(trainer, this.#base);
    const { decoder } = await loadDecoder(
      { ...this.source, weights },
      {
        ...{ device: 'cpu', precision: 'fp32', signal },
        places: Math.min(PLACES, requests.length),
        threads: this.#threads === 0 ? null : this.#threads,
        contextLength: Math.max(...requests.map(({ prompt, maxTokens }) => prompt.length + maxTokens)),
      },
    );
    try {
      for await (const completion of generate(decoder, this.tokenizer, requests, { signal })) {
        if (completion.finish !== 'cancelled') yield completion;
      }
    } finally {
      await decoder.close();
    }
  }
}
