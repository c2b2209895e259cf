/** What a trainer is asked for. */
import type { TrainingMethod } from './method.ts';
import type { AdamWOptions } from './parameterStore.ts';
import type { PolicySettings } from './policy.ts';
import type { Schedule } from './schedule.ts';

export type TrainingDevice = 'cpu' | 'webgpu';

export interface TrainerOptions {
  readonly method: TrainingMethod;
  /** Rows of a micro-batch: what is in memory at a time. A step's batch may have more; their gradients are accumulated. */
  readonly rows: number;
  /** Tokens of a row, at most the model's context. */
  readonly length: number;
  readonly optimizer: AdamWOptions;
  readonly schedule: Schedule;
  /** Gradients are scaled down to this global norm (Pascanu et al., arXiv 1211.5063); null: never. */
  readonly clip: number | null;
  /** Default: cpu. On `webgpu` parameters, gradients and moments stay on the device. */
  readonly device?: TrainingDevice;
  /** Of ONNX Runtime on the CPU; 0: chosen by it. */
  readonly threads: number;
  /** False where every step's batch fits one micro-batch: saves the memory of one gradient. */
  readonly accumulates?: boolean;
  /** Compute each layer again in the backward pass instead of keeping what it needs: less memory, a third more work. */
  readonly checkpointing?: boolean;
  /** Batches may have `policy` terms beside weights. */
  readonly policy?: PolicySettings;
  /** Tokens in a chunk of the cross-entropy; chosen by the size of the vocabulary where it is absent. */
  readonly chunk?: number;
}
