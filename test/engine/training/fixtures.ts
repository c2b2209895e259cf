/** Opens the runs of test/fixtures/training, made with PyTorch by make.py there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelConfig, TensorSource } from '../../../src/engine/model.ts';
import { packRows, type Batch, type Sequence } from '../../../src/engine/training/batch.ts';
import type { LinearLayer, TrainingMethod } from '../../../src/engine/training/method.ts';
import { Trainer, type TrainerOptions } from '../../../src/engine/training/trainer.ts';
import { configFromHuggingFace } from '../../../src/engine/weights/config.ts';
import { requiredTensors } from '../../../src/engine/weights/names.ts';

export const trainingRuns = ['llama-full', 'qwen2-full', 'llama-lora'] as const;

type Tensors = Readonly<Record<string, string>>;

interface Stored {
  readonly config: unknown;
  readonly options: Record<
    'beta1' | 'beta2' | 'epsilon' | 'weightDecay' | 'clip' | 'peak' | 'warmup' | 'total' | 'floor',
    number
  >;
  readonly lora: { readonly rank: number; readonly alpha: number; readonly targets: readonly LinearLayer[] } | null;
  readonly batches: readonly (readonly Sequence[])[];
  readonly parameters: Tensors;
  readonly adapters: Tensors;
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  readonly tokenLosses: readonly (readonly number[])[];
  readonly gradients: Tensors;
  readonly trained: Tensors;
}

export interface TrainingRun {
  readonly config: ModelConfig;
  readonly weights: TensorSource;
  readonly method: TrainingMethod;
  readonly batches: readonly (readonly Sequence[])[];
  readonly expected: Pick<Stored, 'losses' | 'norms' | 'tokenLosses'> & {
    readonly gradients: ReadonlyMap<string, Float32Array>;
    readonly trained: ReadonlyMap<string, Float32Array>;
  };
  readonly options: TrainerOptions;
  /** A trainer with the run's options, and LoRA's adapters as they are in the run. */
  trainer(options?: Partial<TrainerOptions>): Promise<Trainer>;
}

/** Tokens of a row: several of the run's sequences fit. */
const LENGTH = 32;

export function openRun(name: (typeof trainingRuns)[number]): TrainingRun {
  const path = join(import.meta.dirname, '../../fixtures/training', `${name}.json`);
  const stored = JSON.parse(readFileSync(path, 'utf8')) as Stored;
  const config = configFromHuggingFace(path, stored.config, 'lm_head.weight' in stored.parameters);
  const method: TrainingMethod = stored.lora
    ? { type: 'lora', ...stored.lora, base: 'fp32', seed: 1 }
    : { type: 'full' };
  const { beta1, beta2, epsilon, weightDecay, clip, peak, warmup, total, floor } = stored.options;
  const options: TrainerOptions = {
    method,
    rows: 2,
    length: LENGTH,
    optimizer: { beta1, beta2, epsilon, weightDecay },
    schedule: { shape: 'cosine', peak, warmup, total, floor },
    clip,
    threads: 1,
  };
  const weights = sourceOf(config, stored.parameters);
  return {
    config,
    weights,
    method,
    batches: stored.batches,
    expected: { ...stored, gradients: decodeAll(stored.gradients), trained: decodeAll(stored.trained) },
    options,
    trainer: async (changes = {}) => {
      const trainer = await Trainer.create(config, weights, { ...options, ...changes });
      if (stored.lora) {
        await trainer.importState({ ...(await trainer.exportState()), parameters: decodeAll(stored.adapters) });
      }
      return trainer;
    },
  };
}

/** The batch of a step, packed. */
export function batchOf({ batches }: TrainingRun, step: number, length = LENGTH): Batch {
  return packRows(batches[step % batches.length]!, length);
}

function sourceOf(config: ModelConfig, tensors: Tensors): TensorSource {
  const infos = [...requiredTensors(config)].map(([name, shape]) => {
    const byteLength = 4 * shape.reduce((product, size) => product * size, 1);
    return [name, { name, type: 'F32' as const, shape, byteLength }] as const;
  });
  return {
    tensors: new Map(infos),
    readFloat32: (name) => Promise.resolve(decode(tensors[name]!)),
    readRaw: (name) => Promise.resolve(new Uint8Array(decode(tensors[name]!).buffer)),
    close: () => Promise.resolve(),
  };
}

function decodeAll(tensors: Tensors): Map<string, Float32Array> {
  return new Map(Object.entries(tensors).map(([name, text]) => [name, decode(text)]));
}

function decode(text: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(text, 'base64')).buffer);
}
