/**
 * Training on the CPU: the state lies in WebAssembly memories, where ONNX Runtime reads parameters and writes gradients
 * without a copy and the optimizer works in place.
 */
import * as ort from 'onnxruntime-node';
import type { ModelConfig, TensorSource } from '../model.ts';
import { createSession } from '../runtime/session.ts';
import type { Losses, StateKind, TrainingBackend } from './backend.ts';
import type { Batch } from './batch.ts';
import { trainableParameters } from './method.ts';
import type { TrainerOptions } from './options.ts';
import { ParameterStore, type AdamWOptions, type ParameterInfo, type ValueKind } from './parameterStore.ts';
import { batchFeeds, buildTrainingGraph, TRAINING } from './trainingGraph.ts';

/** What several states of one model and method may share: graphs, in which the frozen tensors are. */
interface Sessions {
  readonly graph: Form;
  readonly training: ort.InferenceSession;
  readonly openEvaluating: () => Promise<ort.InferenceSession>;
  /** Without gradients; opened when it is first needed. */
  evaluating: Promise<ort.InferenceSession> | null;
  users: number;
}

/** What the feeds of a graph depend on. */
interface Form {
  readonly config: ModelConfig;
  readonly policy: TrainerOptions['policy'];
}

export class HostBackend implements TrainingBackend {
  readonly #store: ParameterStore;
  readonly #sessions: Sessions;
  readonly #feeds: Readonly<Record<string, ort.Tensor>>;
  readonly #accumulates: boolean;

  private constructor(parameters: readonly ParameterInfo[], accumulates: boolean, sessions: Sessions) {
    this.#store = new ParameterStore(parameters, { accumulates });
    this.#accumulates = accumulates;
    this.#sessions = sessions;
    this.#feeds = this.#tensors('parameter', (name) => name);
  }

  /** Parameters and moments are zero. @throws UserError when memory or disk are short */
  static async create(config: ModelConfig, weights: TensorSource, options: TrainerOptions): Promise<HostBackend> {
    const { method, accumulates = true, threads, policy } = options;
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
    const sessions: Sessions = {
      graph: { config, policy },
      training: await openSession(true),
      openEvaluating: () => openSession(false),
      evaluating: null,
      users: 1,
    };
    return new HostBackend(trainableParameters(config, method), accumulates, sessions);
  }

  sibling(): Promise<HostBackend> {
    this.#sessions.users += 1;
    return Promise.resolve(new HostBackend(this.parameters, this.#accumulates, this.#sessions));
  }

  get parameters(): readonly ParameterInfo[] {
    return this.#store.parameters;
  }

  get stateBytes(): number {
    return this.#store.byteLength;
  }

  async differentiate(batch: Batch, normalizer: number, first: boolean): Promise<Losses> {
    const gradients = this.#tensors(first ? 'gradient' : 'fresh', TRAINING.gradient);
    const losses = await this.#run(this.#sessions.training, batch, normalizer, gradients);
    if (!first) this.#store.accumulate();
    return losses;
  }

  async evaluate(batch: Batch, normalizer: number): Promise<Losses> {
    const sessions = this.#sessions;
    return this.#run(await (sessions.evaluating ??= sessions.openEvaluating()), batch, normalizer, {});
  }

  gradientNorm(): Promise<number> {
    return Promise.resolve(this.#store.gradientNorm());
  }

  update(options: AdamWOptions, learningRate: number, step: number, scale: number): Promise<void> {
    this.#store.update(options, learningRate, step, scale);
    return Promise.resolve();
  }

  read(name: string, kind: StateKind): Promise<Float32Array> {
    return Promise.resolve(this.#store.values(name, kind));
  }

  write(name: string, kind: StateKind, values: Float32Array): Promise<void> {
    this.#store.values(name, kind).set(values);
    return Promise.resolve();
  }

  takeBytesMoved(): number {
    return 0;
  }

  async close(): Promise<void> {
    this.#sessions.users -= 1;
    if (this.#sessions.users > 0) return;
    await this.#sessions.training.release();
    await (await this.#sessions.evaluating)?.release();
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

  async #run(
    session: ort.InferenceSession,
    batch: Batch,
    normalizer: number,
    gradients: Readonly<Record<string, ort.Tensor>>,
  ): Promise<Losses> {
    const tokens = batch.rows * batch.length;
    const loss = new ort.Tensor('float32', new Float32Array(1), []);
    const tokenLosses = new ort.Tensor('float32', new Float32Array(tokens), [tokens]);
    const setLosses =
      this.#sessions.graph.policy === undefined ? null : new ort.Tensor('float32', new Float32Array(tokens), [tokens]);
    const fetches: Record<string, ort.Tensor> = {
      [TRAINING.loss]: loss,
      [TRAINING.tokenLosses]: tokenLosses,
      ...(setLosses === null ? {} : { [TRAINING.setLosses]: setLosses }),
      ...gradients,
    };
    const results = await session.run(
      { ...this.#feeds, ...batchFeeds(batch, normalizer, this.#sessions.graph) },
      fetches,
    );
    discardCopies(results, fetches);
    return { loss: loss.data[0]!, tokenLosses: tokenLosses.data, setLosses: setLosses?.data ?? null };
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
