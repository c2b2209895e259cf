/**
 * Where the state of a training lies, and how its passes run: in host memory (`hostBackend.ts`), or on a device that keeps
 * it between steps (`deviceBackend.ts`). What a step is made of, schedules and batches are the trainer's.
 */
import type { Batch } from './batch.ts';
import type { AdamWOptions, ParameterInfo } from './parameterStore.ts';

/** What is kept for each parameter from step to step. */
export type StateKind = 'parameter' | 'gradient' | 'firstMoment' | 'secondMoment';

export interface Losses {
  /** Sum of weight * loss over the normalizer. */
  readonly loss: number;
  /** [rows * length]: -log p of each target, whatever its weight. */
  readonly tokenLosses: Float32Array;
  /** [rows * length]: -log p of each set that was chosen, 0 where none was; null but where a policy is trained. */
  readonly setLosses: Float32Array | null;
}

export interface TrainingBackend {
  readonly parameters: readonly ParameterInfo[];
  /** Bytes of parameters, gradients and moments, wherever they are. */
  readonly stateBytes: number;

  /**
   * Forward and backward pass of one micro-batch.
   * @param normalizer what the weighted losses are divided by: the weight of the whole step
   * @param first its gradients replace those of the last step; else they are added
   */
  differentiate(batch: Batch, normalizer: number, first: boolean): Promise<Losses>;
  /** The forward pass alone. */
  evaluate(batch: Batch, normalizer: number): Promise<Losses>;
  /** Euclidean norm of all gradients together. */
  gradientNorm(): Promise<number>;
  /** One AdamW step with the gradients times `scale`. @param step counts from 1, for the bias correction */
  update(options: AdamWOptions, learningRate: number, step: number, scale: number): Promise<void>;

  /** The values as they are, not to be written to: they may be the state itself, and change with it. */
  read(name: string, kind: StateKind): Promise<Float32Array>;
  write(name: string, kind: StateKind, values: Float32Array): Promise<void>;
  /** Bytes that went to the device and came from it since the last call; 0 where there is none. */
  takeBytesMoved(): number;
  /** Another state of the same model and method, all zero, that shares what is frozen and the graphs with this one. */
  sibling(): Promise<TrainingBackend>;
  close(): Promise<void>;
}
