/**
 * Prepares a corpus for training: reads the data once and writes the tokens of its snippets into a store.
 * Knows nothing of models or of training.
 */
import { type CorpusOptions, CorpusReader, type CorpusReport } from './corpus.ts';
import { type StoreDescription, TokenStoreWriter } from './tokenStore.ts';

export interface PrepareOptions extends CorpusOptions {
  /** Folder of the store; an older store there is replaced once the new one is whole. */
  readonly folder: string;
  /** Names the tokenizer behind `encode`, so that the store is not used with another. */
  readonly tokenizer: string;
  readonly vocabularySize: number;
  /** Called about every half second. */
  readonly onProgress?: (report: CorpusReport) => void;
}

/**
 * @returns the store's description, with the `report`
 * @throws UserError from the data, or when the disk is full; the signal's reason when it is aborted. Nothing is left then.
 */
export async function prepareCorpus(options: PrepareOptions): Promise<StoreDescription & { report: CorpusReport }> {
  const { folder, tokenizer, vocabularySize, onProgress, seed = 0, heldOutFraction = 0.05 } = options;
  const writer = await TokenStoreWriter.create(folder, tokenizer, vocabularySize);
  try {
    const reader = new CorpusReader(options);
    let told = performance.now();
    for await (const { tokens, heldOut } of reader) {
      await writer.add(tokens, heldOut);
      if (performance.now() - told < 500) continue;
      told = performance.now();
      onProgress?.(reader.report());
    }
    const report = reader.report();
    return { ...(await writer.finish({ seed, heldOutFraction, report })), report };
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}
