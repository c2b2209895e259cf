/**
 * The training form of the Llama family (and Qwen2) as one graph: forward, loss and, where asked for, the gradient of every
 * trainable parameter. Trainable parameters are inputs, frozen ones are part of the graph. Shapes are fixed: `rows` rows
 * of `length` tokens. Knows nothing of optimizers, of devices or of what the tokens are.
 */
import * as ort from 'onnxruntime-node';
import { rotaryTables } from '../generation/rope.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import { Graph, type ExternalData, type Value } from '../onnx/graph.ts';
import { div, reshape, toInt64 } from '../onnx/operators.ts';
import { requiredTensors } from '../weights/names.ts';
import type { Batch } from './batch.ts';
import { adapterNames, isInt8, trainableParameters, type TrainingMethod } from './method.ts';
import { attention, attentionBlocks, type AttentionBlock } from './operators/attention.ts';
import { crossEntropy, type ShareRule, type TargetSets } from './operators/crossEntropy.ts';
import { add } from './operators/elementwise.ts';
import { embedding } from './operators/embedding.ts';
import { mergeHeads, splitHeads } from './operators/heads.ts';
import { int8Linear, int8Weight, type Int8Weight } from './operators/int8Linear.ts';
import { linear, plusLowRank } from './operators/linear.ts';
import { type ChoiceValues, policyShares } from './operators/policyShares.ts';
import { rmsNorm } from './operators/rmsNorm.ts';
import { rotary, type Rotation } from './operators/rotary.ts';
import { switchBackLinear } from './operators/switchBack.ts';
import { siluGate } from './operators/siluGate.ts';
import { type ChoiceTerms, CHOICE_TERMS, noPolicy, type PolicySettings, type PolicyTerms } from './policy.ts';
import { Tape } from './tape.ts';

/** Names of the graph's inputs and outputs; each trainable parameter is an input under its own name. */
export const TRAINING = {
  /** int32 [rows * length]: token ids, and the token after each (0 where its weight is 0). */
  ids: 'ids',
  targets: 'targets',
  /** float [rows * length]: weight of each target's loss. */
  weights: 'weights',
  /** float []: what the weighted losses are divided by. The sum of the weights over all micro-batches of a step. */
  normalizer: 'normalizer',
  /** int32 [rows, length]: tokens see those before them of the same segment. */
  segments: 'segments',
  /** int32 [rows, length], below `length`. */
  positions: 'positions',
  /** Of a policy (policy.ts): float [rows * length] each. */
  choice: (what: 'token' | 'set', term: keyof ChoiceTerms) => `${what}_${term}`,
  /** int32 [rows * length], and float [sets, vocabulary]. */
  setIds: 'set_ids',
  masks: 'set_masks',
  /** float []: sum of weight * loss, over `normalizer`; of a policy a surrogate (operators/policyShares.ts). */
  loss: 'loss',
  /** float [rows * length]: -log p of each target, whatever its weight. */
  tokenLosses: 'token_losses',
  /** float [rows * length]: -log p of each set, where the trainer is of a policy. */
  setLosses: 'set_losses',
  /** The shape of the parameter. */
  gradient: (parameter: string) => `gradient:${parameter}`,
} as const;

/** The graph's inputs but the parameters. @param normalizer see `TRAINING` */
export function batchFeeds(
  batch: Batch,
  normalizer: number,
  { policy, config }: { readonly policy?: PolicySettings | undefined; readonly config: ModelConfig },
): Record<string, ort.Tensor> {
  const { rows, length } = batch;
  const tokens = rows * length;
  const vocabulary = config.vocabularySize;
  return {
    ...(policy === undefined ? {} : policyFeeds(batch.policy ?? noPolicy(tokens, vocabulary), tokens, vocabulary)),
    [TRAINING.ids]: new ort.Tensor('int32', batch.ids, [tokens]),
    [TRAINING.targets]: new ort.Tensor('int32', batch.targets, [tokens]),
    [TRAINING.weights]: new ort.Tensor('float32', batch.weights, [tokens]),
    [TRAINING.normalizer]: new ort.Tensor('float32', Float32Array.of(normalizer), []),
    [TRAINING.segments]: new ort.Tensor('int32', batch.segments, [rows, length]),
    [TRAINING.positions]: new ort.Tensor('int32', batch.positions, [rows, length]),
  };
}

function policyFeeds(
  { setIds, masks, ...choices }: PolicyTerms,
  tokens: number,
  vocabulary: number,
): Record<string, ort.Tensor> {
  const feeds: Record<string, ort.Tensor> = {
    [TRAINING.setIds]: new ort.Tensor('int32', setIds, [tokens]),
    [TRAINING.masks]: new ort.Tensor('float32', masks, [masks.length / vocabulary, vocabulary]),
  };
  for (const term of CHOICE_TERMS) {
    feeds[TRAINING.choice('token', term)] = new ort.Tensor('float32', choices.tokens[term], [tokens, 1]);
    feeds[TRAINING.choice('set', term)] = new ort.Tensor('float32', choices.sets[term], [tokens, 1]);
  }
  return feeds;
}

export interface TrainingGraphOptions {
  readonly rows: number;
  readonly length: number;
  readonly method: TrainingMethod;
  /** False: the loss alone. */
  readonly gradients: boolean;
  /** Keep each layer's input alone and compute the layer again in the backward pass: less memory, a third more work. */
  readonly checkpointing: boolean;
  /** FusedMatMul exists (CPU, CUDA). */
  readonly fusedMatMul: boolean;
  /** Takes the terms of a policy besides. */
  readonly policy?: PolicySettings;
  /** Tokens in a chunk of the cross-entropy; chosen by the vocabulary's size where it is absent. */
  readonly chunk?: number;
}

export async function buildTrainingGraph(
  config: ModelConfig,
  weights: TensorSource,
  options: TrainingGraphOptions,
  external: ExternalData | null,
): Promise<Graph> {
  const { rows, length, method } = options;
  const graph = new Graph(external);
  const tape = new Tape(graph, options);
  const model = await TrainedModel.load(tape, config, weights, options);

  const tokens = rows * length;
  const ids = graph.input(TRAINING.ids, 'int32', [tokens]);
  const targets = graph.input(TRAINING.targets, 'int32', [tokens]);
  const tokenWeights = graph.input(TRAINING.weights, 'float32', [tokens]);
  const normalizer = graph.input(TRAINING.normalizer, 'float32', []);
  const segments = graph.input(TRAINING.segments, 'int32', [rows, length]);
  const positions = graph.input(TRAINING.positions, 'int32', [rows, length]);

  const table = model.tensor('model.embed_tokens.weight');
  const rotation = rotationTables(graph, config, length, toInt64(graph, positions), options.gradients);
  const blocks = attentionBlocks(tape, segments, config.headCount / config.kvHeadCount);
  let x = embedding(tape, table, ids);
  for (let layer = 0; layer < config.layerCount; layer++) {
    const block = (input: Value): Value => model.block(input, layer, rows, rotation, blocks);
    x = options.checkpointing ? tape.checkpoint(x, block) : block(x);
  }
  const hidden = model.norm(x, 'model.norm.weight');
  const head = config.tiedHead ? table : model.tensor('lm_head.weight');
  const weightColumn = reshape(graph, tokenWeights, [tokens, 1], [tokens, 1]);
  let shareOf: ShareRule;
  let sets: TargetSets | null = null;
  if (options.policy === undefined) {
    const shares = div(graph, weightColumn, normalizer);
    shareOf = (chunk) => ({ tokens: chunk(shares), sets: null });
  } else {
    const choices = (what: 'token' | 'set'): ChoiceValues => {
      const term = (key: keyof ChoiceTerms): Value => graph.input(TRAINING.choice(what, key), 'float32', [tokens, 1]);
      return {
        active: term('active'),
        advantages: term('advantages'),
        behaviours: term('behaviours'),
        references: term('references'),
      };
    };
    sets = {
      ids: graph.input(TRAINING.setIds, 'int32', [tokens]),
      masks: graph.input(TRAINING.masks, 'float32', ['sets', config.vocabularySize]),
    };
    shareOf = policyShares(tape, weightColumn, normalizer, choices('token'), choices('set'), options.policy);
  }
  const { chunk } = options;
  const { loss, tokenLosses, setLosses } = crossEntropy(tape, hidden, head, targets, shareOf, { chunk, sets });
  graph.output(TRAINING.loss, loss);
  graph.output(TRAINING.tokenLosses, tokenLosses);
  if (setLosses !== null) graph.output(TRAINING.setLosses, setLosses);
  if (options.gradients) {
    const names = trainableParameters(config, method).map(({ name }) => name);
    tape.gradients(names.map((name) => model.tensor(name))).forEach((gradient, i) => {
      graph.output(TRAINING.gradient(names[i]!), gradient);
    });
  }
  return graph;
}

/** The model's tensors in the graph, and its layers. */
class TrainedModel {
  readonly #tape: Tape;
  readonly #config: ModelConfig;
  readonly #method: TrainingMethod;
  readonly #tensors: ReadonlyMap<string, Value>;
  /** The linear layers that are not among the tensors. */
  readonly #int8: ReadonlyMap<string, Int8Weight>;
  /** Not where only losses are asked for: they are the model's own. */
  readonly #switchesBack: boolean;

  private constructor(
    tape: Tape,
    config: ModelConfig,
    method: TrainingMethod,
    tensors: ReadonlyMap<string, Value>,
    int8: ReadonlyMap<string, Int8Weight>,
    gradients: boolean,
  ) {
    this.#tape = tape;
    this.#config = config;
    this.#method = method;
    this.#tensors = tensors;
    this.#int8 = int8;
    this.#switchesBack = gradients && method.type === 'full' && method.switchBack === true;
  }

  /** Trainable parameters become inputs, frozen tensors are read one by one and become part of the graph. */
  static async load(
    tape: Tape,
    config: ModelConfig,
    source: TensorSource,
    { method, gradients }: TrainingGraphOptions,
  ): Promise<TrainedModel> {
    const { graph } = tape;
    const tensors = new Map<string, Value>();
    const int8 = new Map<string, Int8Weight>();
    for (const { name, shape } of trainableParameters(config, method)) {
      const value = graph.input(name, 'float32', shape);
      tensors.set(name, gradients ? tape.track(value) : value);
    }
    for (const [name, shape] of requiredTensors(config)) {
      if (tensors.has(name)) continue;
      const values = await source.readFloat32(name);
      if (isInt8(name, method)) {
        int8.set(name, int8Weight(graph, name, values, shape as [number, number], gradients));
        continue;
      }
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      tensors.set(name, graph.initializer(name, 'float32', shape, bytes));
    }
    return new TrainedModel(tape, config, method, tensors, int8, gradients);
  }

  tensor(name: string): Value {
    return this.#tensors.get(name)!;
  }

  /** x [tokens, width]. */
  norm(x: Value, name: string): Value {
    return rmsNorm(this.#tape, x, this.tensor(name), this.#config.normEpsilon);
  }

  /** x [tokens, in] to [tokens, out], with the layer's bias and adapter where it has them. */
  #linear(x: Value, name: string, bias: boolean): Value {
    const int8 = this.#int8.get(`${name}.weight`);
    const layer = this.#switchesBack ? switchBackLinear : linear;
    let y = int8 ? int8Linear(this.#tape, x, int8) : layer(this.#tape, x, this.tensor(`${name}.weight`));
    if (bias) y = add(this.#tape, y, this.tensor(`${name}.bias`));
    const [a, b] = adapterNames(name);
    if (this.#method.type !== 'lora' || !this.#tensors.has(a)) return y;
    const scale = this.#method.alpha / this.#method.rank;
    return plusLowRank(this.#tape, y, x, this.tensor(a), this.tensor(b), scale);
  }

  /** One layer: x [tokens, width] to the same. */
  block(x: Value, layer: number, rows: number, rotation: Rotation, blocks: readonly AttentionBlock[]): Value {
    const tape = this.#tape;
    const { headSize, qkvBias, attentionOutputBias, mlpBias } = this.#config;
    const at = `model.layers.${layer}`;
    const attentionInput = this.norm(x, `${at}.input_layernorm.weight`);
    const heads = (part: string): Value =>
      splitHeads(tape, this.#linear(attentionInput, `${at}.self_attn.${part}_proj`, qkvBias), rows, headSize);
    const q = rotary(tape, heads('q'), rotation);
    const k = rotary(tape, heads('k'), rotation);
    const attended = mergeHeads(tape, attention(tape, q, k, heads('v'), blocks));
    const middle = add(tape, x, this.#linear(attended, `${at}.self_attn.o_proj`, attentionOutputBias));

    const mlpInput = this.norm(middle, `${at}.post_attention_layernorm.weight`);
    const gate = this.#linear(mlpInput, `${at}.mlp.gate_proj`, mlpBias);
    const up = this.#linear(mlpInput, `${at}.mlp.up_proj`, mlpBias);
    return add(tape, middle, this.#linear(siluGate(tape, gate, up), `${at}.mlp.down_proj`, mlpBias));
  }
}

function rotationTables(
  graph: Graph,
  config: ModelConfig,
  length: number,
  positions: Value,
  gradients: boolean,
): Rotation {
  const { cos, sin } = rotaryTables(config, length);
  const table = (name: string, values: Float32Array): Value =>
    graph.initializer(name, 'float32', [length, config.headSize / 2], new Uint8Array(values.buffer));
  const opposite = gradients ? sin.map((value) => -value) : null;
  return {
    positions,
    cos: table('cos', cos),
    sin: table('sin', sin),
    minusSin: opposite && table('minus_sin', opposite),
  };
}
