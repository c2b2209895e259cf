/**
 * What a training by a config needs of memory and disk, and which other settings would need less. Knows nothing of runs, or
 * of how much there is.
 */
import { memoryNeed } from '../engine/languageModel.ts';
import type { ModelConfig } from '../engine/model.ts';
import { trainingMemory, type TrainingMemory } from '../engine/training/memory.ts';
import { trainableParameters } from '../engine/training/method.ts';
import { requiredTensors } from '../engine/weights/names.ts';
import type { TrainingConfig } from './config.ts';
import { ROLLOUT_PLACES } from './rollouts/rollout.ts';
import { explores, trainerOptions } from './trainerOptions.ts';

/** In bytes. */
export interface MemoryEstimate extends TrainingMemory {
  /** Of methods with an E-step: q, the model that its KL is taken to, and the decoder of the rollouts. */
  readonly exploration: number;
  /** Node, ONNX Runtime and the data at hand. */
  readonly program: number;
  readonly total: number;
}

/** In bytes, in the run's folder. */
export interface DiskEstimate {
  /** Those that are kept, the best, and one that is being written. */
  readonly checkpoints: number;
  /** The trained model. */
  readonly model: number;
  /** The data's tokens, as far as they are known. */
  readonly corpus: number;
  readonly total: number;
}

/** Resident bytes of a process that has loaded ONNX Runtime and done nothing yet, measured. */
const PROGRAM_BYTES = 120e6;

export async function estimateMemory(model: ModelConfig, config: TrainingConfig): Promise<MemoryEstimate> {
  const evaluates = config.evaluationInterval > 0 || explores(config); // which scores rollouts
  const memory = await trainingMemory(model, trainerOptions(config), evaluates);
  const parts = { ...memory, exploration: explorationBytes(model, config), program: PROGRAM_BYTES };
  return { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

/** Not measured beside a process: what the states and the weights are by their shapes. A second process has the decoder twice. */
function explorationBytes(model: ModelConfig, config: TrainingConfig): number {
  if (!explores(config)) return 0;
  const { kl, asynchronous } = config.abstractions;
  const states = kl > 0 ? 2 : 1;
  const { weights, cache } = memoryNeed(model, 'fp32', ROLLOUT_PLACES, config.context);
  const state = 5 * 4 * countParameters(model, config).trained; // parameters, gradients, those of a micro-batch, moments
  return states * state + (asynchronous ? 2 : 1) * (weights + cache) + (asynchronous ? PROGRAM_BYTES : 0);
}

/** @param tokens of the data; 0: not known yet */
export function estimateDisk(model: ModelConfig, config: TrainingConfig, tokens = 0): DiskEstimate {
  const { parameters, trained } = countParameters(model, config);
  const checkpoints = (config.keep + 2) * 12 * trained * (explores(config) ? 2 : 1);
  const corpus = tokens * (model.vocabularySize <= 65_536 ? 2 : 4);
  return { checkpoints, model: 4 * parameters, corpus, total: checkpoints + 4 * parameters + corpus };
}

/** All of the model, and those that are trained: of LoRA the adapters. */
export function countParameters(
  model: ModelConfig,
  config: TrainingConfig,
): { readonly parameters: number; readonly trained: number } {
  const count = (shapes: readonly (readonly number[])[]): number =>
    shapes.reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0);
  return {
    parameters: count([...requiredTensors(model)].map(([, shape]) => shape)),
    trained: count(trainableParameters(model, trainerOptions(config).method).map(({ shape }) => shape)),
  };
}

/** Other values of some keys, and what a training by them needs. */
export interface Alternative {
  readonly change: Partial<TrainingConfig>;
  readonly bytes: number;
}

const SHORTEST_CONTEXT = 128;

/**
 * Changes of the config with which it needs at most `bytes` of memory: each key alone, and where none is enough all of them
 * together. None: the model is too large.
 */
export async function whatFitsMemory(
  model: ModelConfig,
  config: TrainingConfig,
  bytes: number,
): Promise<Alternative[]> {
  const need = async (change: Partial<TrainingConfig>): Promise<Alternative> => {
    return { change, bytes: (await estimateMemory(model, { ...config, ...change })).total };
  };
  const less: Partial<TrainingConfig>[] = [
    ...(config.checkpointing ? [] : [{ checkpointing: true }]),
    ...(config.train === 'full' ? [{ train: 'lora' as const }] : []),
  ];
  const alone = await Promise.all(less.map(need));
  const fits = alone.filter((one) => one.bytes <= bytes);
  for (const key of ['batchTokens', 'context'] as const) {
    const found = await firstFitting(shorter(config, key), need, bytes);
    if (found !== null) fits.push(found);
  }
  if (fits.length > 0) return fits;
  const all = Object.assign({}, ...less) as Partial<TrainingConfig>;
  const together = await firstFitting(
    [all, ...shorter(config, 'context').map((change) => ({ ...all, ...change, batchTokens: change.context! }))],
    need,
    bytes,
  );
  return together === null ? [] : [together];
}

/** Halves of a key, the longest first. A batch of fewer tokens than a row has changes nothing. */
function shorter({ batchTokens, context }: TrainingConfig, key: 'batchTokens' | 'context'): Partial<TrainingConfig>[] {
  const changes: Partial<TrainingConfig>[] = [];
  const [first, least] = key === 'context' ? [context, SHORTEST_CONTEXT] : [batchTokens, context];
  for (let half = Math.floor(first / 2); half >= least; half = Math.floor(half / 2)) changes.push({ [key]: half });
  return changes;
}

async function firstFitting(
  changes: readonly Partial<TrainingConfig>[],
  need: (change: Partial<TrainingConfig>) => Promise<Alternative>,
  bytes: number,
): Promise<Alternative | null> {
  for (const change of changes) {
    const found = await need(change);
    if (found.bytes <= bytes) return found;
  }
  return null;
}

/** The same for the disk. */
export function whatFitsDisk(model: ModelConfig, config: TrainingConfig, bytes: number): Alternative[] {
  const changes: Partial<TrainingConfig>[] = [
    ...(config.keep > 1 ? [{ keep: 1 }] : []),
    ...(config.train === 'full' ? [{ train: 'lora' as const }] : []),
  ];
  return changes
    .map((change) => ({ change, bytes: estimateDisk(model, { ...config, ...change }).total }))
    .filter((one) => one.bytes <= bytes);
}
