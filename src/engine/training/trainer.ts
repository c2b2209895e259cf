/**
 * Trains a model by next-token prediction or a policy gradient: batches in, losses out. Forward and gradients are one run of ONNX Runtime; where
 * the state lies and how the optimizer works on it is a backend's. Nothing in a step is random: the same weights, batches, device and thread
 * count give the same bits, and so does a trainer that goes on from an exported state.
 * Knows nothing of files, of text, of runs or of what the tokens mean.
 */
import { UserError } from '../../errors.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import type { Losses, StateKind, TrainingBackend } from './backend.ts';
import { rowsOf, type Batch } from './batch.ts';
import { DeviceBackend } from './deviceBackend.ts';
import { HostBackend } from './hostBackend.ts';
import { initialValues } from './method.ts';
import type { TrainerOptions } from './options.ts';
import type { AdamWOptions, ParameterInfo } from './parameterStore.ts';
import { learningRateAt } from './schedule.ts';

export type { TrainerOptions, TrainingDevice } from './options.ts';

export const DEFAULT_ADAMW: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };

export interface StepResult {
  /** Mean loss of the weighted targets before the update, in nats; with a policy's choices a surrogate. */
  readonly loss: number;
  /** Global norm of the gradients before clipping. */
  readonly gradientNorm: number;
  /** Targets with a weight, and choices. */
  readonly tokens: number;
  readonly learningRate: number;
  readonly seconds: number;
  /** False where loss or gradients are not finite: then the parameters are as they were. */
  readonly updated: boolean;
  /** Bytes that went to the device and came back; 0 on the CPU. No state is among them. */
  readonly bytesMoved: number;
  /** -log p of each target of the batch, row-major, also where the weight is 0. */
  readonly tokenLosses: Float32Array;
  /** -log p of each set of the batch's policy, 0 where there is none; null where the trainer is of none. */
  readonly setLosses: Float32Array | null;
}

export type Evaluation = Pick<StepResult, 'loss' | 'tokens' | 'tokenLosses' | 'setLosses'>;

/** All that a trainer needs to go on exactly, by parameter name. There is no generator: no step draws a random number. */
export interface TrainerState {
  /** Steps done. */
  readonly step: number;
  /** The rate set by hand; null: the schedule's. */
  readonly learningRate: number | null;
  readonly parameters: ReadonlyMap<string, Float32Array>;
  readonly firstMoments: ReadonlyMap<string, Float32Array>;
  readonly secondMoments: ReadonlyMap<string, Float32Array>;
}

const KIND_OF = {
  parameters: 'parameter',
  firstMoments: 'firstMoment',
  secondMoments: 'secondMoment',
} as const satisfies Partial<Record<keyof TrainerState, StateKind>>;

export class Trainer {
  readonly config: ModelConfig;
  readonly options: TrainerOptions;
  readonly #backend: TrainingBackend;
  #step = 0;
  #learningRate: number | null = null;

  private constructor(config: ModelConfig, options: TrainerOptions, backend: TrainingBackend) {
    this.config = config;
    this.options = options;
    this.#backend = backend;
  }

  /**
   * @param weights the model to begin from (`randomWeights` for none); read now, and again at the first `evaluate`, so it
   *   stays open as long as the trainer
   * @throws UserError when options do not fit the model, or memory or disk are short
   */
  static async create(config: ModelConfig, weights: TensorSource, options: TrainerOptions): Promise<Trainer> {
    checkOptions(config, options);
    const Backend = options.device === 'webgpu' ? DeviceBackend : HostBackend;
    return Trainer.#begin(config, weights, options, await Backend.create(config, weights, options));
  }

  static async #begin(
    config: ModelConfig,
    weights: TensorSource,
    options: TrainerOptions,
    backend: TrainingBackend,
  ): Promise<Trainer> {
    for (const parameter of backend.parameters) {
      await backend.write(parameter.name, 'parameter', await initialValues(parameter, weights, options.method));
    }
    backend.takeBytesMoved();
    return new Trainer(config, options, backend);
  }

  /**
   * Another trainer of the same model and method that begins at `weights` too, with a state of its own; what is frozen and
   * the graphs are shared.
   */
  async sibling(weights: TensorSource, changes: Pick<TrainerOptions, 'schedule' | 'clip'>): Promise<Trainer> {
    return Trainer.#begin(this.config, weights, { ...this.options, ...changes }, await this.#backend.sibling());
  }

  /** Steps done. */
  get stepCount(): number {
    return this.#step;
  }

  get parameters(): readonly ParameterInfo[] {
    return this.#backend.parameters;
  }

  /** Bytes of parameters, gradients and moments. */
  get stateBytes(): number {
    return this.#backend.stateBytes;
  }

  /** Sets the rate of the steps to come; null: back to the schedule. */
  setLearningRate(rate: number | null): void {
    this.#learningRate = rate;
  }

  /** The values that are trained, as they are. On the CPU they are no copy, and change with the next step. */
  parameter(name: string): Promise<Float32Array> {
    return this.#backend.read(name, 'parameter');
  }

  /** The gradient of the last step, before clipping. */
  gradient(name: string): Promise<Float32Array> {
    return this.#backend.read(name, 'gradient');
  }

  /** One optimizer step on all rows of `batch`. @throws RangeError when the batch does not fit the trainer */
  async step(batch: Batch): Promise<StepResult> {
    const start = performance.now();
    const { weight, tokens } = this.#check(batch);
    const { clip, optimizer, schedule, rows } = this.options;
    if (batch.rows > rows && this.options.accumulates === false) {
      throw new RangeError(`A batch of ${batch.rows} rows needs accumulation, which this trainer was made without.`);
    }
    const collected = this.#collected(batch);
    for (let first = 0; first < batch.rows; first += rows) {
      collect(await this.#backend.differentiate(this.#micro(batch, first), weight, first === 0), collected, first);
    }
    const { loss } = collected;
    const gradientNorm = await this.#backend.gradientNorm();
    const learningRate = this.#learningRate ?? learningRateAt(schedule, this.#step);
    const updated = Number.isFinite(loss) && Number.isFinite(gradientNorm);
    if (updated) {
      this.#step++;
      const scale = clip === null ? 1 : Math.min(1, clip / (gradientNorm + 1e-6)); // as torch.nn.utils.clip_grad_norm_
      await this.#backend.update(optimizer, learningRate, this.#step, scale);
    }
    const seconds = (performance.now() - start) / 1000;
    const bytesMoved = this.#backend.takeBytesMoved();
    const { tokenLosses, setLosses } = collected;
    return { loss, gradientNorm, tokens, learningRate, seconds, updated, bytesMoved, tokenLosses, setLosses };
  }

  /** The loss of `batch` with the present parameters. @throws RangeError when the batch does not fit the trainer */
  async evaluate(batch: Batch): Promise<Evaluation> {
    const { weight, tokens } = this.#check(batch);
    const collected = this.#collected(batch);
    for (let first = 0; first < batch.rows; first += this.options.rows) {
      collect(await this.#backend.evaluate(this.#micro(batch, first), weight), collected, first);
    }
    this.#backend.takeBytesMoved();
    const { loss, tokenLosses, setLosses } = collected;
    return { loss, tokens, tokenLosses, setLosses };
  }

  #collected({ rows, length }: Batch): Collected {
    const places = (): Float32Array => new Float32Array(rows * length);
    return { length, loss: 0, tokenLosses: places(), setLosses: this.options.policy === undefined ? null : places() };
  }

  /** A copy of everything that changes. */
  exportState(): Promise<TrainerState> {
    return this.#state((values) => values.slice());
  }

  /** The same without a copy on the CPU: there its values change with the next step. */
  viewState(): Promise<TrainerState> {
    return this.#state((values) => values);
  }

  /** Goes on from a state of the same model and method. @throws UserError when it is of another; then nothing has changed */
  async importState(state: TrainerState): Promise<void> {
    const kinds = Object.entries(KIND_OF) as [keyof typeof KIND_OF, StateKind][];
    for (const [key] of kinds) {
      for (const { name, shape } of this.parameters) {
        const length = state[key].get(name)?.length;
        if (length === shape.reduce((product, size) => product * size, 1)) continue;
        throw new UserError(
          `The state to resume from belongs to another model or method: its ${key} have ` +
            `${length === undefined ? 'no' : `${length} values for`} ${name} [${shape.join(', ')}]. ` +
            'Resume with the model and the method that the run was started with.',
        );
      }
      if (state[key].size !== this.parameters.length) {
        throw new UserError(
          `The state to resume from belongs to another model or method: its ${key} are ${state[key].size} tensors, ` +
            `${this.parameters.length} are trained. Resume with the model and the method that the run was started with.`,
        );
      }
    }
    for (const [key, kind] of kinds) {
      for (const { name } of this.parameters) await this.#backend.write(name, kind, state[key].get(name)!);
    }
    this.#backend.takeBytesMoved();
    this.#step = state.step;
    this.#learningRate = state.learningRate;
  }

  async #state(take: (values: Float32Array) => Float32Array): Promise<TrainerState> {
    const taken = async (kind: StateKind): Promise<Map<string, Float32Array>> => {
      const values = new Map<string, Float32Array>();
      for (const { name } of this.parameters) values.set(name, take(await this.#backend.read(name, kind)));
      return values;
    };
    const state = {
      step: this.#step,
      learningRate: this.#learningRate,
      parameters: await taken('parameter'),
      firstMoments: await taken('firstMoment'),
      secondMoments: await taken('secondMoment'),
    };
    this.#backend.takeBytesMoved();
    return state;
  }

  async close(): Promise<void> {
    await this.#backend.close();
  }

  /** A micro-batch from row `first` on; rows that are missing are empty. */
  #micro(batch: Batch, first: number): Batch {
    const { rows } = this.options;
    return first === 0 && batch.rows === rows ? batch : rowsOf(batch, first, rows);
  }

  /** Sum of the weights and number of those that are not 0, choices counted as 1. */
  #check({ rows, length, ids, targets, weights, positions, policy }: Batch): { weight: number; tokens: number } {
    if (length !== this.options.length) {
      throw new RangeError(`The batch has rows of ${length} tokens, the trainer was made for ${this.options.length}.`);
    }
    if (policy !== undefined && this.options.policy === undefined) {
      throw new RangeError('The batch has choices of a policy, which this trainer was made without.');
    }
    const { vocabularySize } = this.config;
    let weight = 0;
    let tokens = 0;
    for (let i = 0; i < rows * length; i++) {
      for (const id of [ids[i]!, targets[i]!]) {
        if (id < 0 || id >= vocabularySize) {
          throw new RangeError(`Token ${id} is not in the model's vocabulary of ${vocabularySize}.`);
        }
      }
      if (positions[i]! < 0 || positions[i]! >= length)
        throw new RangeError(`Position ${positions[i]!} is out of its row.`);
      weight += weights[i]!;
      if (weights[i] !== 0) tokens++;
      const choices = policy === undefined ? 0 : policy.tokens.active[i]! + policy.sets.active[i]!;
      weight += choices;
      tokens += choices;
    }
    if (!(weight > 0)) throw new RangeError('The batch has no target with a weight.');
    return { weight, tokens };
  }
}

/** Of all micro-batches. */
interface Collected {
  readonly length: number;
  loss: number;
  readonly tokenLosses: Float32Array;
  readonly setLosses: Float32Array | null;
}

/** Adds a micro-batch's loss and puts its token losses where they belong, without those of empty rows. */
function collect({ loss, tokenLosses, setLosses }: Losses, into: Collected, firstRow: number): void {
  into.loss += loss;
  const at = firstRow * into.length;
  into.tokenLosses.set(tokenLosses.subarray(0, into.tokenLosses.length - at), at);
  into.setLosses?.set(setLosses!.subarray(0, into.tokenLosses.length - at), at);
}

function checkOptions(config: ModelConfig, { method, device, rows, length }: TrainerOptions): void {
  if (device === 'webgpu' && method.type === 'lora' && method.base === 'int8') {
    throw new UserError('LoRA on an int8 base trains on the CPU only. Choose an fp32 base, or the CPU.');
  }
  if (device === 'webgpu' && method.type === 'full' && method.switchBack === true) {
    throw new UserError('Products in 8 bits (switchBack) train on the CPU only. Leave them out, or choose the CPU.');
  }
  if (!Number.isInteger(rows) || rows < 1)
    throw new UserError(`A micro-batch has ${rows} rows; give a positive integer.`);
  if (!Number.isInteger(length) || length < 2 || length > config.contextLength) {
    throw new UserError(
      `Rows of ${length} tokens cannot be trained: this model takes 2 to ${config.contextLength} tokens.`,
    );
  }
}
