/**
 * A model ready to generate: its files opened, its tokenizer made, its decoder on a device.
 * Says what memory is needed before anything large is loaded. Knows nothing of prompts or benchmarks.
 */
import { availableParallelism, totalmem } from 'node:os';
import { UserError } from '../errors.ts';
import { chooseDevice, type Device, type DeviceReport } from './devices.ts';
import type { Decoder } from './generation/decoder.ts';
import { openDecoder } from './generation/open.ts';
import type { Precision } from './graphs/weights.ts';
import type { ModelConfig, ModelSource, TensorSource } from './model.ts';
import { requiredTensors } from './weights/names.ts';

/** `auto`: 8-bit blocks where the file is quantised, float32 otherwise. */
export type PrecisionChoice = Precision | 'auto';

export interface LoadOptions {
  /** `auto`: the fastest that passes the self-check against the CPU. */
  readonly device: Device | 'auto';
  readonly precision: PrecisionChoice;
  /** Sequences decoded together at most. */
  readonly places: number;
  /** Null: one a core. */
  readonly threads: number | null;
  /** Prompt and completion together, in tokens; cut to the model's own context. */
  readonly contextLength: number;
  readonly signal?: AbortSignal;
}

export interface LoadedDecoder {
  readonly decoder: Decoder;
  readonly device: Device;
  /** Every device that was considered, and what came of it. */
  readonly report: readonly DeviceReport[];
  readonly precision: Precision;
  readonly threads: number;
}

/** Loads the weights. @throws UserError when this machine's memory cannot hold them or the device cannot be used. */
export async function loadDecoder(source: ModelSource, options: LoadOptions): Promise<LoadedDecoder> {
  const precision = options.precision === 'auto' ? precisionOf(source.weights) : options.precision;
  const contextLength = Math.min(options.contextLength, source.config.contextLength);
  const { places } = options;
  checkMemory(memoryNeed(source.config, precision, places, contextLength), totalmem(), source.path);
  const threads = options.threads ?? availableParallelism();
  const { decoder, device, report } = await chooseDevice(
    options.device,
    (candidate) => openDecoder(candidate, source.config, source.weights, { precision, places, threads, contextLength }),
    { precision, ...(options.signal === undefined ? {} : { signal: options.signal }) },
  );
  return { decoder, device, report, precision, threads };
}

/** Bytes that a model takes while it generates. */
export interface MemoryNeed {
  readonly weights: number;
  readonly cache: number;
}

export function memoryNeed(
  config: ModelConfig,
  precision: Precision,
  places: number,
  contextLength: number,
): MemoryNeed {
  let weights = 0;
  for (const [, shape] of requiredTensors(config)) {
    const values = shape.reduce((product, size) => product * size, 1);
    weights += values * (shape.length === 1 ? 4 : BYTES_A_WEIGHT[precision]);
  }
  const position = 2 * config.layerCount * config.kvHeadCount * config.headSize * 4;
  return { weights, cache: places * contextLength * position };
}

/** 8-bit blocks carry a float32 scale for 32 weights or more. */
const BYTES_A_WEIGHT: Readonly<Record<Precision, number>> = { fp32: 4, fp16: 2, int8: 1.125, int4: 1.125 };

/** @throws UserError that names the need. `total` is the machine's memory in bytes. */
export function checkMemory({ weights, cache }: MemoryNeed, total: number, path: string): void {
  if (weights + cache <= total * 0.9) return;
  throw new UserError(
    `${path} needs about ${gigabytes(weights)} GB for its weights and ${gigabytes(cache)} GB for its cache, ` +
      `and this machine has ${gigabytes(total)} GB in all. Choose a smaller or a quantised model, or a smaller batch.`,
  );
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}

function precisionOf(weights: TensorSource): Precision {
  const quantised = [...weights.tensors.values()].some(({ type }) => type.startsWith('Q'));
  return quantised ? 'int8' : 'fp32';
}
