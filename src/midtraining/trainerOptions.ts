/**
 * What a run config means to the trainer and to the rows of its data. Knows nothing of runs or of files.
 */
import type { Tokenizer } from '../engine/text/tokenizer.ts';
import type { LoraMethod, TrainingMethod } from '../engine/training/method.ts';
import { DEFAULT_ADAMW, type TrainerOptions, type TrainingDevice } from '../engine/training/trainer.ts';
import { STARTER_MODEL, type TrainingConfig } from './config.ts';
import type { RowOptions } from './data/trainingRows.ts';
import type { Schedule } from '../engine/training/schedule.ts';

/** Tokens of a micro-batch: its activations are in memory at a time. */
const MICRO_TOKENS = 2048;

export function trainerOptions(config: TrainingConfig): TrainerOptions & { readonly accumulates: boolean } {
  const { context, schedule, warmup, steps, floor, weightDecay, clip, threads, checkpointing, abstractions } = config;
  const rows = microRows(config);
  return {
    method: methodOf(config),
    rows,
    length: context,
    optimizer: { ...DEFAULT_ADAMW, weightDecay },
    schedule: { shape: schedule, peak: learningRateOf(config), warmup, total: steps, floor },
    clip,
    device: deviceOf(config),
    threads,
    checkpointing,
    accumulates: rows < batchRows(config) || explores(config),
    ...(explores(config)
      ? { policy: { clip: abstractions.clip, kl: abstractions.kl, entropy: abstractions.entropy } }
      : {}),
  };
}

/** Whether a second model, q, learns to write latents. */
export function explores({ method }: TrainingConfig): boolean {
  return method === 'ra3' || method === 'brite';
}

/** Whether the model is trained on code with latents. */
export function infuses({ method }: TrainingConfig): boolean {
  return method !== 'ntp';
}

/** Lines that a return reaches over. */
export function horizonOf({ method }: TrainingConfig): number {
  return method === 'brite' ? 1 : Infinity;
}

/** Of q: always the same rate, but after a warm-up of some updates. */
export function posteriorSchedule(config: TrainingConfig): Schedule {
  const peak = config.abstractions.learningRate ?? learningRateOf(config) / 10;
  return { shape: 'constant', peak, warmup: 5, total: Number.MAX_SAFE_INTEGER, floor: 1 };
}

/** Longest snippet in tokens: with its end, and with some latents where there are any, it fits a row. */
export function mostSnippetTokens(config: TrainingConfig): number {
  const { context, abstractions } = config;
  if (!infuses(config)) return context - 1;
  return Math.max(1, context - 1 - Math.max(abstractions.maxLatentTokens, Math.floor(context / 4)));
}

/** What is trained. */
export function methodOf(config: TrainingConfig): TrainingMethod {
  const { train, lora, seed, switchBack } = config;
  return train === 'full' ? { type: 'full', switchBack } : { type: 'lora', ...lora, base: baseOf(config), seed };
}

/** Precision of what LoRA freezes. */
export function baseOf(config: TrainingConfig): LoraMethod['base'] {
  return config.lora.base ?? (deviceOf(config) === 'cpu' ? 'int8' : 'fp32');
}

export function deviceOf({ device }: TrainingConfig): TrainingDevice {
  return device === 'auto' ? 'cpu' : device;
}

/** Device and precision, as a run says them. */
export function deviceText(config: TrainingConfig): string {
  if (config.train === 'full') return `${deviceOf(config)}, fp32${config.switchBack ? ' with int8 products' : ''}`;
  return `${deviceOf(config)}, ${baseOf(config) === 'int8' ? 'fp32 on an int8 base' : 'fp32'}`;
}

/** The highest rate. */
export function learningRateOf({ learningRate, train, model }: TrainingConfig): number {
  if (learningRate !== null) return learningRate;
  if (train === 'lora') return 2e-4;
  return model === STARTER_MODEL ? 1e-3 : 5e-5; // small models take, and need, larger steps
}

/** Rows of a step. */
export function batchRows({ batchTokens, context }: TrainingConfig): number {
  return Math.max(1, Math.floor(batchTokens / context));
}

/** Rows of a micro-batch: as many as divide a step's rows and are not too many tokens. */
function microRows(config: TrainingConfig): number {
  const rows = batchRows(config);
  let micro = Math.max(1, Math.min(rows, Math.floor(MICRO_TOKENS / config.context)));
  while (rows % micro !== 0) micro--;
  return micro;
}

export function rowOptions({ context, seed }: TrainingConfig, { eosTokenIds }: Tokenizer): RowOptions {
  const end = eosTokenIds[0] ?? null;
  return { rowLength: context, seed, endTokenId: end, paddingTokenId: end ?? 0 };
}
