/**
 * Trains a model by next-token prediction: batches in, losses out. Forward and gradients are one run of ONNX Runtime, the
 * optimizer works in place on the same memory. Nothing in a step is random: the same weights, batches, device and thread
 * count give the same bits, and so does a trainer that goes on from an exported state.
 * Knows nothing of files, of text, of runs or of what the tokens mean.
 */
import * as ort from 'onnxruntime-node';
import { UserError } from '../../errors.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import { createSession } from '../runtime/session.ts';
import { rowsOf, type Batch } from './batch.ts';
import { initialValues, trainableParameters, type TrainingMethod } from './method.ts';
import { ParameterStore, type AdamWOptions, type ParameterInfo, type ValueKind } from './parameterStore.ts';
import { learningRateAt, type Schedule } from './schedule.ts';
import { buildTrainingGraph, TRAINING } from './trainingGraph.ts';

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
  /** Of ONNX Runtime; 0: chosen by it. */
  readonly threads: number;
  /** False where every step's batch fits one micro-batch: saves the memory of one gradient. */
  readonly accumulates?: boolean;
  /** Compute each layer again in the backward pass instead of keeping what it needs: less memory, a third more work. */
  readonly checkpointing?: boolean;
  /** Tokens in a chunk of the cross-entropy; chosen by the size of the vocabulary where it is absent. */
  readonly chunk?: number;
}

export const DEFAULT_ADAMW: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };

export interface StepResult {
  /** Mean loss of the weighted targets before the update, in nats. */
  readonly loss: number;
  /** Global norm of the gradients before clipping. */
  readonly gradientNorm: number;
  /** Targets with a weight. */
  readonly tokens: number;
  readonly learningRate: number;
  readonly seconds: number;
  /** False where loss or gradients are not finite: then the parameters are as they were. */
  readonly updated: boolean;
  /** -log p of each target of the batch, row-major, also where the weight is 0. */
  readonly tokenLosses: Float32Array;
}

export type Evaluation = Pick<StepResult, 'loss' | 'tokens' | 'tokenLosses'>;

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
} as const satisfies Partial<Record<keyof TrainerState, ValueKind>>;

export class Trainer {
  readonly config: ModelConfig;
  readonly options: TrainerOptions;
  readonly #store: ParameterStore;
  readonly #openSession: (gradients: boolean) => Promise<ort.InferenceSession>;
  readonly #training: ort.InferenceSession;
  /** Without gradients; opened when it is first needed. */
  #evaluating: Promise<ort.InferenceSession> | null = null;
  readonly #feeds: Readonly<Record<string, ort.Tensor>>;
  #step = 0;
  #learningRate: number | null = null;

  private constructor(
    config: ModelConfig,
    options: TrainerOptions,
    store: ParameterStore,
    openSession: (gradients: boolean) => Promise<ort.InferenceSession>,
    training: ort.InferenceSession,
  ) {
    this.config = config;
    this.options = options;
    this.#store = store;
    this.#openSession = openSession;
    this.#training = training;
    this.#feeds = this.#tensors('parameter', (name) => name);
  }

  /**
   * @param weights the model to begin from (`randomWeights` for none); read now, and again at the first `evaluate` with LoRA,
   *   so it stays open as long as the trainer
   * @throws UserError when options do not fit the model, or memory or disk are short
   */
  static async create(config: ModelConfig, weights: TensorSource, options: TrainerOptions): Promise<Trainer> {
    checkOptions(config, options);
    const { method, accumulates = true, threads } = options;
    const parameters = trainableParameters(config, method);
    const store = new ParameterStore(parameters, { accumulates });
    for (const parameter of parameters) {
      store.values(parameter.name, 'parameter').set(await initialValues(parameter, weights, method));
    }
    const openSession = async (gradients: boolean): Promise<ort.InferenceSession> => {
      const graphOptions = { ...options, checkpointing: options.checkpointing ?? false, gradients, fusedMatMul: true };
      const { session } = await createSession(
        (external) => buildTrainingGraph(config, weights, graphOptions, external),
        {
          executionProviders: ['cpu'],
          intraOpNumThreads: threads,
          interOpNumThreads: 1,
          executionMode: 'sequential',
          enableMemPattern: false, // it allots all activations once more at the second run, and saves some 5 % of the time
        },
      );
      return session;
    };
    return new Trainer(config, options, store, openSession, await openSession(true));
  }

  /** Steps done. */
  get stepCount(): number {
    return this.#step;
  }

  get parameters(): readonly ParameterInfo[] {
    return this.#store.parameters;
  }

  /** Bytes of parameters, gradients and moments. */
  get stateBytes(): number {
    return this.#store.byteLength;
  }

  /** Sets the rate of the steps to come; null: back to the schedule. */
  setLearningRate(rate: number | null): void {
    this.#learningRate = rate;
  }

  /** The values that are trained, as they are; they change with the next step. */
  parameter(name: string): Float32Array {
    return this.#store.values(name, 'parameter');
  }

  /** The gradient of the last step, before clipping. */
  gradient(name: string): Float32Array {
    return this.#store.values(name, 'gradient');
  }

  /** One optimizer step on all rows of `batch`. @throws RangeError when the batch does not fit the trainer */
  async step(batch: Batch): Promise<StepResult> {
    const start = performance.now();
    const { weight, tokens } = this.#check(batch);
    const { clip, optimizer, schedule, rows } = this.options;
    if (batch.rows > rows && this.options.accumulates === false) {
      throw new RangeError(`A batch of ${batch.rows} rows needs accumulation, which this trainer was made without.`);
    }
    const tokenLosses = new Float32Array(batch.rows * batch.length);
    let loss = 0;
    for (let first = 0; first < batch.rows; first += rows) {
      const kind = first === 0 ? 'gradient' : 'fresh';
      const fetches = this.#tensors(kind, TRAINING.gradient);
      loss += await this.#run(this.#training, batch, first, weight, tokenLosses, fetches);
      if (first > 0) this.#store.accumulate();
    }
    const gradientNorm = this.#store.gradientNorm();
    const learningRate = this.#learningRate ?? learningRateAt(schedule, this.#step);
    const updated = Number.isFinite(loss) && Number.isFinite(gradientNorm);
    if (updated) {
      this.#step++;
      const scale = clip === null ? 1 : Math.min(1, clip / (gradientNorm + 1e-6)); // as torch.nn.utils.clip_grad_norm_
      this.#store.update(optimizer, learningRate, this.#step, scale);
    }
    const seconds = (performance.now() - start) / 1000;
    return { loss, gradientNorm, tokens, learningRate, seconds, updated, tokenLosses };
  }

  /** The loss of `batch` with the present parameters. @throws RangeError when the batch does not fit the trainer */
  async evaluate(batch: Batch): Promise<Evaluation> {
    const { weight, tokens } = this.#check(batch);
    const session = await (this.#evaluating ??= this.#openSession(false));
    const tokenLosses = new Float32Array(batch.rows * batch.length);
    let loss = 0;
    for (let first = 0; first < batch.rows; first += this.options.rows) {
      loss += await this.#run(session, batch, first, weight, tokenLosses, {});
    }
    return { loss, tokens, tokenLosses };
  }

  /** A copy of everything that changes. */
  exportState(): TrainerState {
    return this.#state((values) => values.slice());
  }

  /** The same without a copy: its values change with the next step. */
  viewState(): TrainerState {
    return this.#state((values) => values);
  }

  /** Goes on from a state of the same model and method. @throws UserError when it is of another; then nothing has changed */
  importState(state: TrainerState): void {
    const kinds = Object.entries(KIND_OF) as [keyof typeof KIND_OF, ValueKind][];
    for (const [key, kind] of kinds) {
      for (const { name, shape } of this.parameters) {
        const length = state[key].get(name)?.length;
        if (length === this.#store.values(name, kind).length) continue;
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
      for (const { name } of this.parameters) this.#store.values(name, kind).set(state[key].get(name)!);
    }
    this.#step = state.step;
    this.#learningRate = state.learningRate;
  }

  #state(take: (values: Float32Array) => Float32Array): TrainerState {
    const taken = (kind: ValueKind): Map<string, Float32Array> =>
      new Map(this.parameters.map(({ name }) => [name, take(this.#store.values(name, kind))]));
    return {
      step: this.#step,
      learningRate: this.#learningRate,
      parameters: taken('parameter'),
      firstMoments: taken('firstMoment'),
      secondMoments: taken('secondMoment'),
    };
  }

  async close(): Promise<void> {
    await this.#training.release();
    await (await this.#evaluating)?.release();
  }

  /** Tensors over the store's own memory. */
  #tensors(kind: ValueKind, nameOf: (parameter: string) => string): Record<string, ort.Tensor> {
    return Object.fromEntries(
      this.parameters.map(({ name, shape }) => [
        nameOf(name),
        new ort.Tensor('float32', this.#store.values(name, kind), shape),
      ]),
    );
  }

  /** Runs one micro-batch. @returns its part of the loss */
  async #run(
    session: ort.InferenceSession,
    batch: Batch,
    first: number,
    weight: number,
    tokenLosses: Float32Array,
    gradients: Readonly<Record<string, ort.Tensor>>,
  ): Promise<number> {
    const { rows, length } = this.options;
    const micro = first === 0 && batch.rows === rows ? batch : rowsOf(batch, first, rows);
    const tokens = rows * length;
    const loss = new ort.Tensor('float32', new Float32Array(1), []);
    const losses = new ort.Tensor('float32', new Float32Array(tokens), [tokens]);
    const fetches = { [TRAINING.loss]: loss, [TRAINING.tokenLosses]: losses, ...gradients };
    const results = await session.run(
      {
        ...this.#feeds,
        [TRAINING.ids]: new ort.Tensor('int32', micro.ids, [tokens]),
        [TRAINING.targets]: new ort.Tensor('int32', micro.targets, [tokens]),
        [TRAINING.weights]: new ort.Tensor('float32', micro.weights, [tokens]),
        [TRAINING.normalizer]: new ort.Tensor('float32', Float32Array.of(weight), []),
        [TRAINING.segments]: new ort.Tensor('int32', micro.segments, [rows, length]),
        [TRAINING.positions]: new ort.Tensor('int32', micro.positions, [rows, length]),
      },
      fetches,
    );
    discardCopies(results, fetches);
    const real = Math.min(tokens, tokenLosses.length - first * length);
    tokenLosses.set(losses.data.subarray(0, real), first * length);
    return loss.data[0]!;
  }

  /** Sum of the weights, and number of those that are not 0. */
  #check({ rows, length, ids, targets, weights, positions }: Batch): { weight: number; tokens: number } {
    if (length !== this.options.length) {
      throw new RangeError(`The batch has rows of ${length} tokens, the trainer was made for ${this.options.length}.`);
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
    }
    if (!(weight > 0)) throw new RangeError('The batch has no target with a weight.');
    return { weight, tokens };
  }
}

/**
 * Frees the copies that onnxruntime-node 1.30 makes of outputs that have their place already, at once: they would wait for
 * the garbage collector, as many bytes as the parameters have.
 */
function discardCopies(
  results: ort.InferenceSession.OnnxValueMapType,
  fetches: Readonly<Record<string, ort.Tensor>>,
): void {
  const bufferOf = (tensor: ort.Tensor): ArrayBufferLike => (tensor.data as Float32Array).buffer;
  for (const [name, place] of Object.entries(fetches)) {
    const buffer = bufferOf(results[name]!);
    if (buffer !== bufferOf(place)) structuredClone(null, { transfer: [buffer as ArrayBuffer] });
  }
}

function checkOptions(config: ModelConfig, { rows, length }: TrainerOptions): void {
  if (!Number.isInteger(rows) || rows < 1)
    throw new UserError(`A micro-batch has ${rows} rows; give a positive integer.`);
  if (!Number.isInteger(length) || length < 2 || length > config.contextLength) {
    throw new UserError(
      `Rows of ${length} tokens cannot be trained: this model takes 2 to ${config.contextLength} tokens.`,
    );
  }
}
