/**
 * Writes what a run has trained in a form that other programs load: a checkpoint of it, merged into the model or as an
 * adapter. Tensor by tensor, so that no more than one is in memory. Only reads from the run, which may go on meanwhile.
 * Knows nothing of run folders but their checkpoints, or of processes.
 */
import type { ModelSource, TensorSource } from '../engine/model.ts';
import { trainableParameters } from '../engine/training/method.ts';
import { randomWeights } from '../engine/training/randomWeights.ts';
import { weightsWith } from '../engine/training/trainedWeights.ts';
import { writeGgufModel } from '../engine/weights/ggufModel.ts';
import { writeHuggingFaceFolder } from '../engine/weights/huggingFaceFolder.ts';
import { writePeftFolder } from '../engine/weights/peftFolder.ts';
import { UserError } from '../errors.ts';
import { bestCheckpoint, checkpointSteps, openCheckpoint, type OpenCheckpoint } from './checkpoint.ts';
import type { TrainingConfig } from './config.ts';
import { methodOf } from './trainerOptions.ts';
import type { CheckpointChoice, ExportFormat } from './exportFormats.ts';

/** Of what is exported. */
export interface BaseModel {
  /** What PEFT loads it from: a Hugging Face name, or a path. */
  readonly place: string;
  readonly revision: string | null;
  readonly label: string;
}

export interface ExportOptions {
  readonly format: ExportFormat;
  /** Where it goes; what is there goes when the new one is whole. */
  readonly path: string;
  /** What it is called. */
  readonly name: string;
  readonly base: BaseModel;
  readonly signal?: AbortSignal;
  /** Told of tensors. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Opens the checkpoint. One that a run at work lets go of meanwhile is looked for anew, unless it was named.
 * @returns null for the base
 * @throws UserError when there is none, or it is cut or broken
 */
export async function chooseCheckpoint(
  folder: string,
  choice: CheckpointChoice,
  { patience }: TrainingConfig,
): Promise<OpenCheckpoint | null> {
  if (choice === 'base') return null;
  for (let attempt = 1; ; attempt++) {
    const step = typeof choice === 'number' ? choice : await stepOf(folder, choice, patience);
    try {
      return await openCheckpoint(folder, step);
    } catch (error) {
      const others = await checkpointSteps(folder);
      const isGone = !others.includes(step);
      if (isGone && typeof choice !== 'number' && attempt < 4) continue;
      if (!(error instanceof UserError) || isGone) throw error;
      const left = others.filter((other) => other !== step);
      throw new UserError(
        `${error.message} ${left.length === 0 ? 'There is no other checkpoint' : `Choose another one: ${left.join(', ')}`}.`,
      );
    }
  }
}

async function stepOf(folder: string, choice: 'final' | 'latest' | 'best', patience: number | null): Promise<number> {
  const latest = (await checkpointSteps(folder))[0];
  if (latest === undefined) {
    throw new UserError(`${folder} has no checkpoint yet. Let the run keep one first, or export its base.`);
  }
  if (choice === 'latest') return latest;
  const best = await bestCheckpoint(folder);
  if (choice === 'best') {
    if (best === null) throw new UserError(`No checkpoint in ${folder} has a held-out loss. Choose a step instead.`);
    return best;
  }
  if (patience === null || best === null) return latest;
  // A run that ended early ended with its best weights.
  const checkpoint = await openCheckpoint(folder, latest);
  await checkpoint.close();
  return checkpoint.progress.evaluationsWithoutGain >= patience ? best : latest;
}

/**
 * @param checkpoint null: the base as it is
 * @throws UserError when it cannot be written, the format cannot carry it, or the model is not the one that was trained
 */
export async function exportModel(
  source: ModelSource,
  config: TrainingConfig,
  checkpoint: OpenCheckpoint | null,
  options: ExportOptions,
): Promise<void> {
  const weights = await checkpointWeights(source, config, checkpoint);
  const { format, path, name } = options;
  if (format === 'peft') return exportAdapter(source, config, checkpoint, options);
  const read = counted(options, weights.tensors.size, (tensor) => weights.readFloat32(tensor));
  switch (format) {
    case 'hf':
      return writeHuggingFaceFolder(path, source, read);
    case 'hf-bf16':
      return writeHuggingFaceFolder(path, source, read, 'BF16');
    case 'hf-f16':
      return writeHuggingFaceFolder(path, source, read, 'F16');
    case 'gguf-f16':
      return writeGgufModel(path, source, name, 'F16', read);
    case 'gguf-q8_0':
      return writeGgufModel(path, source, name, 'Q8_0', read);
  }
}

/**
 * The model as a checkpoint has it, in float32.
 * @param checkpoint null: the base as it is. Of either role: q has the same parameters as the model.
 * @throws UserError when the model is not the one that was trained
 */
export async function checkpointWeights(
  source: ModelSource,
  config: TrainingConfig,
  checkpoint: Pick<OpenCheckpoint, 'identity' | 'read'> | null,
): Promise<TensorSource> {
  if (checkpoint !== null && checkpoint.identity['model'] !== (await source.hash())) {
    throw new UserError(
      `${source.path} is not the model that this run has trained: its weights have changed since. Put the same file back.`,
    );
  }
  const base = config.initialWeights === 'random' ? randomWeights(source.config, config.seed) : source.weights;
  return weightsWith(source.config, base, methodOf(config), (parameter) => checkpoint?.read(parameter));
}

async function exportAdapter(
  source: ModelSource,
  config: TrainingConfig,
  checkpoint: OpenCheckpoint | null,
  options: ExportOptions,
): Promise<void> {
  const method = methodOf(config);
  if (method.type !== 'lora') {
    throw new UserError(
      'This run trains all weights, so it has no adapter. Export it as a Hugging Face folder or GGUF.',
    );
  }
  if (checkpoint === null) throw new UserError('The base has no adapter. Choose a checkpoint, or another format.');
  const parameters = trainableParameters(source.config, method);
  const read = counted(options, parameters.length, async (tensor) => (await checkpoint.read(tensor))!);
  const { base } = options;
  await writePeftFolder(options.path, {
    method,
    tensors: parameters.map(({ name, shape }) => ({ name, shape, read: () => read(name) })),
    base: config.initialWeights === 'random' ? null : base.place,
    revision: base.revision,
    readme: adapterReadme(source, config, checkpoint.step, options),
  });
}

/** Tells how far it is, and ends when it is told to. */
function counted(
  { signal, onProgress }: ExportOptions,
  total: number,
  read: (name: string) => Promise<Float32Array>,
): (name: string) => Promise<Float32Array> {
  let done = 0;
  return async (name) => {
    signal?.throwIfAborted();
    onProgress?.(done++, total);
    const values = await read(name);
    if (done === total) onProgress?.(done, total);
    return values;
  };
}

/** A model card: which base the adapter needs, which is not always one that PEFT loads by itself. */
function adapterReadme(
  source: ModelSource,
  config: TrainingConfig,
  step: number,
  { name, base }: ExportOptions,
): string {
  const { rank, alpha } = config.lora;
  const isLoadable = source.format === 'huggingface' && config.initialWeights === 'model';
  const why =
    config.initialWeights === 'random'
      ? `Its base has the shape of ${base.label} and random weights, which no published model has.`
      : `Its base is the GGUF file ${base.place}, with the values that its quantised weights stand for.`;
  const loading = isLoadable
    ? ''
    : `\n${why} Write the base as a Hugging Face folder with \`midtrain export RUN --checkpoint base --format hf --out BASE\`, and load the adapter onto it:\n\n` +
      '```python\nmodel = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("BASE"), "THIS_FOLDER")\n```\n';
  return (
    `---\nlibrary_name: peft\n${isLoadable ? `base_model: ${JSON.stringify(base.place)}\n` : ''}---\n\n# ${name}\n\n` +
    `LoRA adapters of rank ${rank} (alpha ${alpha}) for ${base.label}, after ${step} steps of next-token prediction with Midtrain.\n${loading}`
  );
}
