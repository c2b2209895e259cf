/**
 * Opens what reads code: a model, or what a run has trained at a checkpoint of it, pi and q where it has both. The weights are
 * loaded once and serve any number of readings. Knows nothing of processes or of what is read.
 */
import type { Decoder } from '../engine/generation/decoder.ts';
import { loadDecoder, type PrecisionChoice } from '../engine/languageModel.ts';
import type { ModelSource } from '../engine/model.ts';
import { createTokenizer } from '../engine/text/tokenizer.ts';
import { openModel } from '../engine/weights/open.ts';
import type { CodeReading } from '../midtraining/abstractions/reading.ts';
import { pythonParser } from '../midtraining/data/pythonGrammar.ts';
import { checkpointWeights } from '../midtraining/export.ts';
import type { CheckpointChoice } from '../midtraining/exportFormats.ts';
import type { CodeReader } from '../midtraining/rollouts/readCode.ts';
import { openTraining } from './trainedModel.ts';
import type { DeviceChoice } from './types.ts';

/** A GGUF or a folder and what a person calls it, or the folder of a training run and one of its checkpoints. */
export type ReaderModel =
  { readonly path: string; readonly label: string } | { readonly run: string; readonly checkpoint: CheckpointChoice };

export interface ReaderOptions {
  readonly device: DeviceChoice;
  readonly precision: PrecisionChoice;
  /** Null: one a core. */
  readonly threads: number | null;
  readonly signal?: AbortSignal;
}

export interface OpenReader {
  readonly reader: CodeReader;
  readonly model: CodeReading['model'];
  readonly device: string;
  readonly close: () => Promise<void>;
}

/** Tokens of context at most. More cost memory and time, and few lines look that far back. */
const MOST_CONTEXT = 4096;

/** @throws UserError when the model or the checkpoint is not there or cannot be loaded */
export async function openReader(asked: ReaderModel, options: ReaderOptions): Promise<OpenReader> {
  if ('path' in asked) {
    const source = await openModel(asked.path);
    return load(source, null, { name: asked.label, step: null }, options).finally(() => source.close());
  }
  const { request, source, checkpoint, q, close } = await openTraining(asked.run, asked.checkpoint);
  try {
    const weights = await checkpointWeights(source, request.config, checkpoint);
    const ofQ = q === null ? null : { ...source, weights: await checkpointWeights(source, request.config, q) };
    const model = { name: `${request.name}: ${request.model.label}`, step: checkpoint?.step ?? null };
    return await load({ ...source, weights }, ofQ, model, options);
  } finally {
    await close();
  }
}

/** @param ofQ null: one model is both pi and q */
async function load(
  source: ModelSource,
  ofQ: ModelSource | null,
  model: CodeReading['model'],
  options: ReaderOptions,
): Promise<OpenReader> {
  const loading = { ...options, places: 1, contextLength: MOST_CONTEXT };
  const tokenizer = createTokenizer(source.tokenizer);
  const opened: Decoder[] = [];
  const close = async (): Promise<void> => {
    for (const decoder of opened) await decoder.close();
    parser.delete();
  };
  const parser = await pythonParser();
  try {
    const { decoder: pi, device } = await loadDecoder(source, loading);
    opened.push(pi);
    const q = ofQ === null ? pi : (await loadDecoder(ofQ, loading)).decoder;
    if (q !== pi) opened.push(q);
    return { reader: { pi, q, tokenizer, parser }, model, device, close };
  } catch (error) {
    await close();
    throw error;
  }
}
