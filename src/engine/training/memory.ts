/**
 * Bytes that a training needs, from the very graph that would run: it is laid without weights and its values are followed
 * from where they are computed to where they are used last, in the order ONNX Runtime takes. Loads and runs nothing.
 */
import type { ModelConfig, TensorSource } from '../model.ts';
import type { Graph, GraphStep, Value } from '../onnx/graph.ts';
import { requiredTensors } from '../weights/names.ts';
import { isInt8, trainableParameters, type TrainingMethod } from './method.ts';
import type { TrainerOptions } from './trainer.ts';
import { buildTrainingGraph, TRAINING } from './trainingGraph.ts';

/** In bytes. */
export interface TrainingMemory {
  /** Trained parameters, and frozen ones in the forms the session holds. */
  readonly weights: number;
  /** With the copies that onnxruntime-node makes of what it gives back. */
  readonly gradients: number;
  /** Moments of AdamW. */
  readonly optimizer: number;
  /** What is live at the same time in a step, at most. */
  readonly activations: number;
  /** Of the session that takes held-out losses; 0 without one. */
  readonly evaluation: number;
}

/** A frozen weight is held for the product of the forward pass, and once more for that of the backward pass. */
const FROZEN_FORMS = { training: 2, evaluation: 1 };
/**
 * What ONNX Runtime's arena takes for what is live, measured (docs/log.md): in long rows attention's blocks have many lengths,
 * which do not fit one another's places.
 */
const arena = (length: number): number => 1.2 + 1.3e-4 * Math.max(0, length - 1024);
/** Of ONNX Runtime and our builder for a node of the graph, measured. */
const NODE_BYTES = 10_000;
/** Layers and tokens beyond these repeat what is known by then. */
const MOST_LAYERS = 3;
const MOST_LENGTH = 4096;

type GraphOptions = Omit<TrainerOptions, 'optimizer' | 'schedule' | 'clip' | 'threads'>;

/** @param evaluates whether held-out losses are taken too @throws UserError when the method has nothing to train */
export async function trainingMemory(
  config: ModelConfig,
  options: GraphOptions,
  evaluates: boolean,
): Promise<TrainingMemory> {
  const shapes = trainableParameters(config, options.method).map(({ shape }) => shape);
  const trained = bytesOf(shapes);
  const frozen = frozenBytes(config, options.method);
  return {
    weights: trained + FROZEN_FORMS.training * frozen,
    gradients: ((options.accumulates ?? true) ? 3 : 2) * trained,
    optimizer: 2 * trained,
    activations: await sessionBytes(config, options, true),
    evaluation: evaluates ? FROZEN_FORMS.evaluation * frozen + (await sessionBytes(config, options, false)) : 0,
  };
}

/** Of a session, its weights apart. */
async function sessionBytes(config: ModelConfig, options: GraphOptions, gradients: boolean): Promise<number> {
  const { layerCount } = config;
  const { length, checkpointing = false } = options;
  const small = async (layers: number, tokens: number): Promise<number> => {
    const graph = await buildTrainingGraph(
      { ...config, layerCount: layers },
      NO_WEIGHTS,
      { ...options, length: tokens, checkpointing, gradients, fusedMatMul: true },
      null,
    );
    return arena(tokens) * peakOf(graph) + NODE_BYTES * graph.steps.length;
  };
  const ofLength = async (tokens: number): Promise<number> => {
    const most = await small(Math.min(layerCount, MOST_LAYERS), tokens);
    if (layerCount <= MOST_LAYERS) return most;
    return most + (layerCount - MOST_LAYERS) * (most - (await small(MOST_LAYERS - 1, tokens)));
  };
  if (length <= MOST_LENGTH) return ofLength(length);
  // a n + b n²: attention grows with the square.
  const [half, whole] = [
    (await ofLength(MOST_LENGTH / 2)) / (MOST_LENGTH / 2),
    (await ofLength(MOST_LENGTH)) / MOST_LENGTH,
  ];
  return length * (whole + ((length - MOST_LENGTH) * (whole - half)) / (MOST_LENGTH / 2));
}

/** What is not trained, in one form. */
function frozenBytes(config: ModelConfig, method: TrainingMethod): number {
  if (method.type === 'full') return 0;
  const tensors = [...requiredTensors(config)];
  return tensors.reduce((sum, [name, shape]) => sum + bytesOf([shape]) / (isInt8(name, method) ? 4 : 1), 0);
}

function bytesOf(shapes: readonly (readonly number[])[]): number {
  return shapes.reduce((sum, shape) => sum + 4 * shape.reduce((product, size) => product * size, 1), 0);
}

/** Frozen weights have a shape in the graph and no values. */
const NO_WEIGHTS: TensorSource = {
  tensors: new Map(),
  readRaw: () => Promise.resolve(new Uint8Array()),
  readFloat32: () => Promise.resolve(new Float32Array()),
  close: () => Promise.resolve(),
};

/** Operators whose result may lie where an input lay that nobody else needs. */
const IN_PLACE = new Set(['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Log', 'Sigmoid', 'Softmax', 'Relu', 'Sqrt']);
/** Operators whose result is their input under another name. */
const SAME_PLACE = new Set(['Reshape', 'Identity']);
const BYTES = { float32: 4, int32: 4, float16: 2, int64: 8, int8: 1, uint8: 1, bool: 1 } as const;

/** The most bytes of computed values that are live at once. What is fetched has memory of its own. */
export function peakOf({ steps }: Pick<Graph, 'steps'>): number {
  const order = executionOrder(steps);
  const computed = new Set(steps.flatMap(({ outputs }) => outputs));
  /** The value in whose memory another lies. */
  const place = new Map<Value, Value>();
  const placeOf = (value: Value): Value => place.get(value) ?? value;
  const uses = new Map<Value, number>();
  const fetched = new Set<Value>();
  for (const { operator, inputs, outputs } of order) {
    if (SAME_PLACE.has(operator)) place.set(outputs[0]!, placeOf(inputs[0]!));
    for (const input of inputs) uses.set(placeOf(input), (uses.get(placeOf(input)) ?? 0) + 1);
    if (operator === 'Identity' && outputs[0]!.name.startsWith(TRAINING.gradient(''))) fetched.add(placeOf(inputs[0]!));
  }
  const sizeOf = (value: Value): number => {
    if (!computed.has(value) || fetched.has(value)) return 0;
    return value.shape.reduce((product: number, size) => product * Number(size), BYTES[value.type]);
  };
  let live = 0;
  let peak = 0;
  for (const { operator, inputs, outputs } of order) {
    const over = inputs.map(placeOf).filter((input) => {
      const left = uses.get(input)! - 1;
      uses.set(input, left);
      return left === 0;
    });
    const made = SAME_PLACE.has(operator) ? 0 : outputs.reduce((sum, output) => sum + sizeOf(output), 0);
    const freed = over.reduce((sum, input) => sum + sizeOf(input), 0);
    const reused = IN_PLACE.has(operator) && over.some((input) => sizeOf(input) === made) ? made : 0;
    live += made - reused;
    peak = Math.max(peak, live);
    live -= freed - reused;
  }
  return peak;
}

/**
 * The order in which ONNX Runtime runs the nodes: depth first from the nodes that nobody uses, the last one first, and in
 * each node from its latest input (`ReverseDFSFrom` in onnxruntime/core/graph/graph.cc).
 */
function executionOrder(steps: readonly GraphStep[]): GraphStep[] {
  const maker = new Map<Value, number>();
  steps.forEach(({ outputs }, index) => {
    for (const output of outputs) maker.set(output, index);
  });
  const inputsOf = steps.map(({ inputs }) => {
    const makers = inputs.map((input) => maker.get(input)).filter((index) => index !== undefined);
    return [...new Set(makers)].sort((a, b) => a - b);
  });
  const isUsed = new Set(inputsOf.flat());
  const stack = steps.flatMap((_, index) => (isUsed.has(index) ? [] : [{ index, isLeaving: false }]));
  const visited = new Set<number>();
  const order: GraphStep[] = [];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { index, isLeaving } = at;
    if (isLeaving) {
      order.push(steps[index]!);
      continue;
    }
    if (visited.has(index)) continue;
    visited.add(index);
    stack.push({ index, isLeaving: true });
    for (const input of inputsOf[index]!) if (!visited.has(input)) stack.push({ index: input, isLeaving: false });
  }
  return order;
}
