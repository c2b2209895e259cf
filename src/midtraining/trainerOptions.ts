/**
 * What a run config means to the trainer and to the rows of its data. Knows nothing of runs or of files.
 */
import type { Tokenizer } from '../engine/text/tokenizer.ts';
import type { TrainingMethod } from '../engine/training/method.ts';
import { DEFAULT_ADAMW, type TrainerOptions } from '../engine/training/trainer.ts';
import type { TrainingConfig } from './config.ts';
import type { RowOptions } from './data/trainingRows.ts';

/** Tokens of a micro-batch: its activations are in memory at a time. */
const MICRO_TOKENS = 2048;

export function trainerOptions(config: TrainingConfig): TrainerOptions & { readonly accumulates: boolean } {
  const { context, schedule, warmup, steps, floor, weightDecay, clip, threads, checkpointing } = config;
  const rows = microRows(config);
  return {
    method: methodOf(config),
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

/** What is trained. */
export function methodOf({ train, lora, seed }: TrainingConfig): TrainingMethod {
  return train === 'full' ? { type: 'full' } : { type: 'lora', ...lora, seed };
}

/** The highest rate. */
export function learningRateOf({ learningRate, train }: TrainingConfig): number {
  return learningRate ?? (train === 'lora' ? 2e-4 : 5e-5);
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
