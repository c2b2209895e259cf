/**
 * What a training's data would become, before it starts: counts, tokens, what is left out and why. Nothing is written.
 */
import { createTokenizer } from '../engine/text/tokenizer.ts';
import { openModel } from '../engine/weights/open.ts';
import { type CorpusPreview, previewCorpus } from '../midtraining/data/preview.ts';
import { benchmarkProblems, corpusOptions } from './trainingData.ts';
import { checkContext } from './trainingJob.ts';
import type { FoundModel, TrainingRequest } from './types.ts';

export interface PreviewTrainingOptions {
  readonly signal: AbortSignal;
  /** Told what is worth knowing: a benchmark that the data could not be held against. */
  readonly tell: (text: string) => void;
  /** Reads the data for at most so long; all of them where it is absent. */
  readonly maxSeconds?: number;
}

/** @throws UserError for what is wrong with config, model or data; the signal's reason */
export async function previewTraining(
  { config, model }: TrainingRequest & { readonly model: FoundModel },
  { signal, tell, maxSeconds }: PreviewTrainingOptions,
): Promise<CorpusPreview> {
  const source = await openModel(model.path, { weightsOptional: config.initialWeights === 'random' });
  try {
    checkContext(config, source);
    return await previewCorpus({
      ...corpusOptions(config, createTokenizer(source.tokenizer)),
      benchmarks: await benchmarkProblems(config, tell),
      signal,
      ...(maxSeconds === undefined ? {} : { maxSeconds }),
    });
  } finally {
    await source.close();
  }
}
