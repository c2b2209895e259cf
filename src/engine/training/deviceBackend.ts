/**
 * Training on WebGPU: parameters, gradients and moments stay on the device. A step takes token ids and a few numbers there,
 * and brings back losses and the norm; `read` and `write` alone move state. Everything is float32.
 *
 * What onnxruntime-node 1.30 asks for:
 * - `getData()` of a tensor on the device aborts the process, so a graph without operators brings it back.
 * - A buffer cannot be read and written by one kernel, so an update makes new tensors: one parameter after another, that
 *   no more than one is there twice.
 */
import * as ort from 'onnxruntime-node';
import type { ModelConfig, TensorSource } from '../model.ts';
import { Graph, type Value } from '../onnx/graph.ts';
import { add, div, mul, reduceSum, reshape, split, sqrt, sub } from '../onnx/operators.ts';
import { createSession } from '../runtime/session.ts';
import type { Losses, StateKind, TrainingBackend } from './backend.ts';
import type { Batch } from './batch.ts';
import { trainableParameters } from './method.ts';
import type { TrainerOptions } from './options.ts';
import { decays, type AdamWOptions, type ParameterInfo } from './parameterStore.ts';
import { batchFeeds, buildTrainingGraph, TRAINING } from './trainingGraph.ts';

const STATE_KINDS = ['parameter', 'gradient', 'firstMoment', 'secondMoment'] as const;

/** What runs beside the model. */
interface Sessions {
  readonly training: ort.InferenceSession;
  readonly norm: ort.InferenceSession;
  readonly adamw: ort.InferenceSession;
  readonly sum: ort.InferenceSession;
  readonly upload: ort.InferenceSession;
  readonly download: ort.InferenceSession;
}

/** What several states of one model and method may share. */
interface Shared {
  readonly form: Parameters<typeof batchFeeds>[2];
  readonly sessions: Sessions;
  readonly openEvaluating: () => Promise<ort.InferenceSession>;
  evaluating: Promise<ort.InferenceSession> | null;
  users: number;
}

export class DeviceBackend implements TrainingBackend {
  readonly parameters: readonly ParameterInfo[];
  readonly #shared: Shared;
  /** By kind and name; vectors, whatever the parameter's shape. */
  readonly #state = new Map<string, ort.Tensor>();
  #bytesMoved = 0;

  private constructor(parameters: readonly ParameterInfo[], shared: Shared) {
    this.parameters = parameters;
    this.#shared = shared;
  }

  /** Parameters and moments are zero. @throws an Error of the runtime when there is no adapter or too little memory on it */
  static async create(config: ModelConfig, weights: TensorSource, options: TrainerOptions): Promise<DeviceBackend> {
    const parameters = trainableParameters(config, options.method);
    const open = async (build: (graph: Graph) => void, kept: 'gpu-buffer' | 'cpu'): Promise<ort.InferenceSession> => {
      const graph = new Graph();
      build(graph);
      return ort.InferenceSession.create(graph.serialize(), { ...OPTIONS, preferredOutputLocation: kept });
    };
    const openModel = async (gradients: boolean): Promise<ort.InferenceSession> => {
      const graphOptions = { ...options, checkpointing: options.checkpointing ?? false, gradients, fusedMatMul: false };
      const onDevice = gradients ? parameters.map(({ name }) => [TRAINING.gradient(name), 'gpu-buffer'] as const) : [];
      const { session } = await createSession(
        (external) => buildTrainingGraph(config, weights, graphOptions, external),
        { ...OPTIONS, preferredOutputLocation: Object.fromEntries(onDevice) },
      );
      return session;
    };
    // The small ones first: without an adapter they fail before any weight is read.
    const sessions: Sessions = {
      upload: await open(copyGraph, 'gpu-buffer'),
      download: await open(copyGraph, 'cpu'),
      sum: await open(sumGraph, 'gpu-buffer'),
      adamw: await open((graph) => {
        adamwGraph(graph, options.optimizer);
      }, 'gpu-buffer'),
      norm: await open((graph) => {
        normGraph(graph, parameters);
      }, 'cpu'),
      training: await openModel(true),
    };
    const form = { config, policy: options.policy };
    const openEvaluating = (): Promise<ort.InferenceSession> => openModel(false);
    return DeviceBackend.#zero(parameters, { form, sessions, openEvaluating, evaluating: null, users: 0 });
  }

  static async #zero(parameters: readonly ParameterInfo[], shared: Shared): Promise<DeviceBackend> {
    shared.users += 1;
    const backend = new DeviceBackend(parameters, shared);
    for (const { name, shape } of parameters) {
      for (const kind of STATE_KINDS) await backend.write(name, kind, new Float32Array(valuesOf(shape)));
    }
    return backend;
  }

  sibling(): Promise<DeviceBackend> {
    return DeviceBackend.#zero(this.parameters, this.#shared);
  }

  get stateBytes(): number {
    return [...this.#state.values()].reduce((sum, tensor) => sum + 4 * tensor.size, 0);
  }

  async differentiate(batch: Batch, normalizer: number, first: boolean): Promise<Losses> {
    const results = await this.#run(this.#shared.sessions.training, {
      ...this.#shaped('parameter', (name) => name),
      ...batchFeeds(batch, normalizer, this.#shared.form),
    });
    for (const { name } of this.parameters) {
      const fresh = results[TRAINING.gradient(name)]!;
      if (first) this.#replace('gradient', name, fresh);
      else {
        const { sum } = await this.#run(this.#shared.sessions.sum, { a: this.#of('gradient', name), b: flat(fresh) });
        this.#replace('gradient', name, sum!);
        fresh.dispose();
      }
    }
    return lossesOf(results);
  }

  async evaluate(batch: Batch, normalizer: number): Promise<Losses> {
    const shared = this.#shared;
    const session = await (shared.evaluating ??= shared.openEvaluating());
    const feeds = { ...this.#shaped('parameter', (name) => name), ...batchFeeds(batch, normalizer, this.#shared.form) };
    return lossesOf(await this.#run(session, feeds));
  }

  async gradientNorm(): Promise<number> {
    const { norm } = await this.#run(
      this.#shared.sessions.norm,
      this.#shaped('gradient', (name) => name),
    );
    return (norm!.data as Float32Array)[0]!;
  }

  async update(
    { beta1, beta2, weightDecay }: AdamWOptions,
    learningRate: number,
    step: number,
    scale: number,
  ): Promise<void> {
    const rate = learningRate / (1 - beta1 ** step);
    const root = 1 / Math.sqrt(1 - beta2 ** step);
    for (const parameter of this.parameters) {
      const { name } = parameter;
      const decay = decays(parameter) ? 1 - learningRate * weightDecay : 1;
      const scalars = new ort.Tensor('float32', Float32Array.of(scale, decay, rate, root), [4]);
      const feeds = Object.fromEntries(STATE_KINDS.map((kind) => [kind, this.#of(kind, name)]));
      const results = await this.#run(this.#shared.sessions.adamw, { ...feeds, scalars });
      for (const [output, tensor] of Object.entries(results)) {
        this.#replace(output.replace(/^new_/, '') as StateKind, name, tensor);
      }
    }
  }

  async read(name: string, kind: StateKind): Promise<Float32Array> {
    const { copy } = await this.#run(this.#shared.sessions.download, { x: this.#of(kind, name) });
    return copy!.data as Float32Array;
  }

  async write(name: string, kind: StateKind, values: Float32Array): Promise<void> {
    const x = new ort.Tensor('float32', values, [values.length]);
    const { copy } = await this.#run(this.#shared.sessions.upload, { x });
    this.#replace(kind, name, copy!);
  }

  takeBytesMoved(): number {
    const bytes = this.#bytesMoved;
    this.#bytesMoved = 0;
    return bytes;
  }

  async close(): Promise<void> {
    for (const tensor of this.#state.values()) tensor.dispose();
    this.#state.clear();
    this.#shared.users -= 1;
    if (this.#shared.users > 0) return;
    for (const session of Object.values(this.#shared.sessions) as ort.InferenceSession[]) await session.release();
    await (await this.#shared.evaluating)?.release();
  }

  /** Runs a session and counts what crosses. */
  async #run(
    session: ort.InferenceSession,
    feeds: Readonly<Record<string, ort.Tensor>>,
  ): Promise<ort.InferenceSession.OnnxValueMapType> {
    const results = await session.run(feeds);
    for (const tensor of [...Object.values(feeds), ...Object.values(results)]) {
      if (tensor.location === 'cpu') this.#bytesMoved += (tensor.data as Float32Array).byteLength;
    }
    return results;
  }

  #of(kind: StateKind, name: string): ort.Tensor {
    const tensor = this.#state.get(`${kind} ${name}`);
    if (tensor === undefined) throw new Error(`There is no ${kind} of ${name}.`);
    return flat(tensor);
  }

  /** Views of all tensors of a kind in the parameters' shapes. */
  #shaped(kind: StateKind, nameOf: (parameter: string) => string): Record<string, ort.Tensor> {
    return Object.fromEntries(
      this.parameters.map(({ name, shape }) => [nameOf(name), view(this.#state.get(`${kind} ${name}`)!, shape)]),
    );
  }

  #replace(kind: StateKind, name: string, tensor: ort.Tensor): void {
    const key = `${kind} ${name}`;
    this.#state.get(key)?.dispose();
    this.#state.set(key, tensor);
  }
}

const OPTIONS: ort.InferenceSession.SessionOptions = {
  executionProviders: ['webgpu'],
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3, // shape arithmetic stays on the CPU on purpose; the runtime warns of it at each session
};

function lossesOf(results: ort.InferenceSession.OnnxValueMapType): Losses {
  return {
    loss: (results[TRAINING.loss]!.data as Float32Array)[0]!,
    tokenLosses: results[TRAINING.tokenLosses]!.data as Float32Array,
    setLosses: (results[TRAINING.setLosses]?.data as Float32Array | undefined) ?? null,
  };
}

/** The same buffer with other dimensions; not to be disposed of. */
function view(tensor: ort.Tensor, dims: readonly number[]): ort.Tensor {
  return ort.Tensor.fromGpuBuffer(tensor.gpuBuffer, { dataType: 'float32', dims });
}

function flat(tensor: ort.Tensor): ort.Tensor {
  return view(tensor, [tensor.size]);
}

function valuesOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function copyGraph(graph: Graph): void {
  graph.output('copy', graph.input('x', 'float32', ['N']));
}

function sumGraph(graph: Graph): void {
  graph.output('sum', add(graph, graph.input('a', 'float32', ['N']), graph.input('b', 'float32', ['N'])));
}

/** One step of AdamW, as `OptimizerKernels.adamw` has it. `scalars`: gradient's scale, decay, rate, root. */
function adamwGraph(graph: Graph, { beta1, beta2, epsilon }: AdamWOptions): void {
  const number = (value: number): Value => graph.constant('float32', value);
  const [p, gradient, m, v] = STATE_KINDS.map((kind) => graph.input(kind, 'float32', ['N'])) as [
    Value,
    Value,
    Value,
    Value,
  ];
  const [scale, decay, rate, root] = split(graph, graph.input('scalars', 'float32', [4]), [1, 1, 1, 1], 0) as [
    Value,
    Value,
    Value,
    Value,
  ];
  const g = mul(graph, gradient, scaleOf(scale));
  const newM = add(graph, m, mul(graph, sub(graph, g, m), number(1 - beta1)));
  const newV = add(graph, mul(graph, v, number(beta2)), mul(graph, mul(graph, g, g), number(1 - beta2)));
  const denominator = add(graph, mul(graph, sqrt(graph, newV), scaleOf(root)), number(epsilon));
  const change = div(graph, mul(graph, newM, scaleOf(rate)), denominator);
  graph.output('new_parameter', sub(graph, mul(graph, p, scaleOf(decay)), change));
  graph.output('new_firstMoment', newM);
  graph.output('new_secondMoment', newV);

  function scaleOf(vector: Value): Value {
    return reshape(graph, vector, [], []);
  }
}

/** Rows first, as one thread would sum a whole tensor. */
function normGraph(graph: Graph, parameters: readonly ParameterInfo[]): void {
  const squares = parameters.map(({ name, shape }) => {
    const x = graph.input(name, 'float32', shape);
    const rows = reduceSum(graph, mul(graph, x, x), [-1], { keep: false });
    return shape.length === 1 ? rows : reduceSum(graph, rows, [0], { keep: false });
  });
  graph.output(
    'norm',
    sqrt(
      graph,
      squares.reduce((a, b) => add(graph, a, b)),
    ),
  );
}
