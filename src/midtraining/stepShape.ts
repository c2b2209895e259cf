/**
 * What a config makes of a step: its rows, how many of them are in memory at a time, and the trainer's options. Whoever
 * trains and whoever estimates ask here. Knows nothing of files or of runs.
 */
import { DEFAULT_ADAMW, type TrainerOptions } from '../engine/training/trainer.ts';
import type { TrainingConfig } from './config.ts';

/** Tokens of a micro-batch: its activations are in memory at a time. */
const MICRO_TOKENS = 2048;

/** Rows of a step. */
export function batchRows({ batchTokens, context }: Pick<TrainingConfig, 'batchTokens' | 'context'>): number {
  return Math.max(1, Math.floor(batchTokens / context));
}

export function learningRateOf({ learningRate, train }: TrainingConfig): number {
  return learningRate ?? (train === 'lora' ? 2e-4 : 5e-5);
}

export function trainerOptions(config: TrainingConfig): TrainerOptions & { readonly accumulates: boolean } {
  const { context, schedule, warmup, steps, floor, weightDecay, clip, threads, checkpointing } = config;
  const rows = microRows(config);
  return {
    method: config.train === 'full' ? { type: 'full' } : { type: 'lora', ...config.lora, seed: config.seed },
    rows,
    length: context,
    optimizer: { ...DEFAULT_ADAMW, weightDecay },
    schedule: { shape: schedule, peak: learningRateOf(config), warmup, total: steps, floor },
    clip,
    threads,
    checkpointing,
    accumulates: rows < batchRows(config),
  };
}

/** Rows of a micro-batch: as many as divide a step's rows and are not too many tokens. */
function microRows(config: TrainingConfig): number {
  const rows = batchRows(config);
  let micro = Math.max(1, Math.min(rows, Math.floor(MICRO_TOKENS / config.context)));
  while (rows % micro !== 0) micro--;
  return micro;
}
