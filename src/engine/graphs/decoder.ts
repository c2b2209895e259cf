/**
 * The decoder-only transformer of the Llama family (RMSNorm, rotary positions, grouped-query attention, gated SiLU),
 * which Qwen2 shares but for its biases. One graph serves prefill, decode and teacher forcing: B sequences,
 * S new tokens each, T cached positions, R rows of logits.
 *
 * On the CPU the cache is a read-only input and the new keys and values are an output, because onnxruntime-node copies
 * every CPU output that is fetched: a cache that goes in and out would be copied whole at every step (docs/log.md).
 * On WebGPU the cache stays on the device and is updated in place (`buildDeviceDecoder`).
 */
import { Graph, type ExternalData, type Value } from '../onnx/graph.ts';
import {
  add,
  addRmsNorm,
  concat,
  fusedMatMul,
  gather,
  groupQueryAttention,
  matMul,
  mul,
  reshape,
  rmsNorm,
  rotary,
  silu,
  softmax,
  split,
  splitBy,
  toFloat32,
  transpose,
} from '../onnx/operators.ts';
import type { RotaryTables } from '../generation/rope.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import { GraphWeights, type GraphTarget } from './weights.ts';

/** Names of the graph's inputs and outputs. */
export const DECODER = {
  /** int64 [B, S]: token ids. */
  ids: 'ids',
  /**
   * int64 [B, S * (heads + 2 kvHeads)]: rows of cos and sin for each head of each new token, in the order of the projections.
   * Queries have rows of their own, times 1 / sqrt(headSize), and values one that changes nothing (`headRows`).
   */
  positions: 'positions',
  /** float [rows, headSize / 2]; as many rows as a run has heads, at least. */
  cos: 'cos',
  sin: 'sin',
  /** float [B, 1, 1, S, T + S]: added to attention scores; 0 where a query sees a key, else a large negative number. */
  mask: 'mask',
  /** int64 [2]: T and S. */
  lengths: 'lengths',
  /** int64 [R]: which of the B * S positions want logits. */
  rows: 'rows',
  /** float [B, kvHeads, 1, T, headSize] with the cache in host memory, else [B, kvHeads, T, headSize]; keys after rotation. */
  keys: (layer: number) => `keys.${layer}`,
  values: (layer: number) => `values.${layer}`,
  /** float [R, vocabulary]. */
  logits: 'logits',
  /** float [2 * layers * B, kvHeads, 1, S, headSize]: layer 0's new keys, its new values, layer 1's … */
  newKeysValues: 'new_keys_values',
  /** Of the form with its cache on the device. int32 [B]: position of each sequence's last new token. */
  lastPositions: 'last_positions',
  /** int32 [1]: positions in use by the longest sequence, its new tokens counted. */
  longest: 'longest',
  /** float [B, kvHeads, T, headSize]: `keys` and `values` with the new positions. */
  updatedKeys: (layer: number) => `updated_keys.${layer}`,
  updatedValues: (layer: number) => `updated_values.${layer}`,
} as const;

/** Builds the graph whose cache is in host memory; weights are read one by one and appended to `external`. */
export async function buildDecoder(
  config: ModelConfig,
  source: TensorSource,
  target: GraphTarget,
  external: ExternalData,
): Promise<Graph> {
  const graph = new Graph(external);
  const weights = new GraphWeights(graph, source, target);
  const { kvHeadCount, headSize } = config;
  const float = weights.type;

  const headCount = config.headCount + 2 * kvHeadCount;
  const inputs: AttentionInputs = {
    config,
    positions: graph.input(DECODER.positions, 'int64', ['B', `${headCount}*S`]),
    cos: graph.input(DECODER.cos, float, ['P', headSize / 2]),
    sin: graph.input(DECODER.sin, float, ['P', headSize / 2]),
    mask: graph.input(DECODER.mask, float, ['B', 1, 1, 'S', 'T+S']),
    lengths: graph.input(DECODER.lengths, 'int64', [2]),
  };
  const newKeysValues: Value[] = [];
  await buildBlocks(graph, weights, config, (layer, qkv) => {
    const keys = graph.input(DECODER.keys(layer), float, ['B', kvHeadCount, 1, 'T', headSize]);
    const values = graph.input(DECODER.values(layer), float, ['B', kvHeadCount, 1, 'T', headSize]);
    const attended = attend(graph, qkv, keys, values, inputs);
    newKeysValues.push(attended.newKeys, attended.newValues);
    return attended.output;
  });
  graph.output(DECODER.newKeysValues, concat(graph, newKeysValues, 0));
  return graph;
}

/**
 * Builds the graph whose cache stays on the device: each layer's keys and values go in with room for T positions and come
 * out with the new ones in them. S > 1 needs B = 1.
 * @param rotary tables for as many positions as a sequence may have; they become part of the graph.
 */
export async function buildDeviceDecoder(
  config: ModelConfig,
  source: TensorSource,
  target: GraphTarget,
  rotary: RotaryTables,
  external: ExternalData,
): Promise<Graph> {
  const graph = new Graph(external);
  const weights = new GraphWeights(graph, source, target);
  const { kvHeadCount, headSize } = config;
  const shape = ['B', kvHeadCount, 'T', headSize];

  const lengths = graph.input(DECODER.lastPositions, 'int32', ['B']);
  const longest = graph.input(DECODER.longest, 'int32', [1]);
  const half = headSize / 2;
  const cos = weights.table(DECODER.cos, [rotary.cos.length / half, half], rotary.cos);
  const sin = weights.table(DECODER.sin, [rotary.sin.length / half, half], rotary.sin);
  await buildBlocks(graph, weights, config, (layer, qkv) => {
    const keys = graph.input(DECODER.keys(layer), weights.type, shape);
    const values = graph.input(DECODER.values(layer), weights.type, shape);
    const attended = groupQueryAttention(graph, qkv, { keys, values, lengths, longest }, { cos, sin }, config);
    graph.output(DECODER.updatedKeys(layer), attended.keys);
    graph.output(DECODER.updatedValues(layer), attended.values);
    return attended.output;
  });
  return graph;
}

/** Everything but the attention, from token ids to logits. `attend` takes a layer's [B, S, (heads + 2 kvHeads) headSize]. */
async function buildBlocks(
  graph: Graph,
  weights: GraphWeights,
  config: ModelConfig,
  attend: (layer: number, qkv: Value) => Value,
): Promise<void> {
  const { normEpsilon } = config;
  const ids = graph.input(DECODER.ids, 'int64', ['B', 'S']);
  const rows = graph.input(DECODER.rows, 'int64', ['R']);
  const embedding = await weights.embedding('model.embed_tokens.weight');
  let residual = embedding.embed(ids);
  let update: Value | null = null; // what the block before adds to the residual stream
  for (let layer = 0; layer < config.layerCount; layer++) {
    const at = `model.layers.${layer}`;
    const attentionNorm = await weights.vector(`${at}.input_layernorm.weight`);
    const output = `${at}.self_attn.o_proj`;
    const turned = weights.groupWithin(config.headSize, output); // of the values, and so of what attention makes of them
    const mlpNorm = await weights.vector(`${at}.post_attention_layernorm.weight`);
    const qkv = await weights.linear(
      ['q', 'k', 'v'].map((part) => `${at}.self_attn.${part}_proj`),
      { bias: config.qkvBias, turned },
    );
    const o = await weights.linear([output], { bias: config.attentionOutputBias, inputsTurned: turned });
    const gateUp = await weights.linear([`${at}.mlp.gate_proj`, `${at}.mlp.up_proj`], { bias: config.mlpBias });
    // Its inputs are three times as wide, and rotating them gains least (docs/log.md).
    const down = await weights.linear([`${at}.mlp.down_proj`], { bias: config.mlpBias, rotates: false });

    let normed: Value;
    if (update === null) normed = rmsNorm(graph, residual, attentionNorm, normEpsilon);
    else ({ normed, sum: residual } = addRmsNorm(graph, residual, update, attentionNorm, normEpsilon));
    const attended = attend(layer, qkv(normed));
    ({ normed, sum: residual } = addRmsNorm(graph, residual, o(attended), mlpNorm, normEpsilon));
    const [gate, up] = split(graph, gateUp(normed), [config.intermediateSize, config.intermediateSize], -1);
    update = down(mul(graph, silu(graph, gate!), up!));
  }

  const last = reshape(graph, add(graph, residual, update!), [-1, config.hiddenSize], ['B*S', config.hiddenSize]);
  const finalNorm = await weights.vector('model.norm.weight');
  const head = config.tiedHead ? await embedding.head() : await weights.linear(['lm_head'], { bias: false });
  const logits = head(rmsNorm(graph, gather(graph, last, rows), finalNorm, normEpsilon));
  graph.output(DECODER.logits, toFloat32(graph, logits));
}

interface AttentionInputs {
  readonly config: ModelConfig;
  readonly positions: Value;
  readonly cos: Value;
  readonly sin: Value;
  readonly mask: Value;
  readonly lengths: Value;
}

/**
 * Causal grouped-query attention over the cache and the new tokens. qkv [B, S, (heads + 2 kvHeads) headSize].
 * Each query head is multiplied with its key head by itself and without a factor: with one row and a factor of 1, ONNX
 * Runtime's CPU kernels read the cache where it lies instead of copying it into panels first (docs/log.md).
 */
function attend(
  graph: Graph,
  qkv: Value,
  keys: Value,
  values: Value,
  { config, positions, cos, sin, mask, lengths }: AttentionInputs,
): { output: Value; newKeys: Value; newValues: Value } {
  const { headCount, kvHeadCount, headSize } = config;
  const shared = headCount / kvHeadCount;
  const all = headCount + 2 * kvHeadCount;

  // For the rotary embedding each head is a token of its own, so that one node turns queries and keys and scales queries.
  const single = reshape(graph, qkv, [0, -1, headSize], ['B', `${all}*S`, headSize]);
  const rotated = rotary(graph, single, positions, cos, sin, 1);
  const tokens = reshape(graph, rotated, [0, -1, all, 1, headSize], ['B', 'S', all, 1, headSize]);
  const heads = transpose(graph, tokens, [0, 2, 3, 1, 4]);
  const [q, newKeys, newValues] = split(graph, heads, [headCount, kvHeadCount, kvHeadCount], 1);
  const shape = ['B', kvHeadCount, shared, 'S', headSize];
  const queries = reshape(graph, q!, [0, kvHeadCount, shared, -1, headSize], shape);

  const cached = fusedMatMul(graph, queries, keys, { transposeB: true });
  const fresh = fusedMatMul(graph, queries, newKeys!, { transposeB: true });
  const scores = concat(graph, [cached, fresh], -1);
  const weights = softmax(graph, add(graph, scores, mask));
  const [onCached, onFresh] = splitBy(graph, weights, lengths, ['T', 'S'], -1);
  const mixed = add(graph, matMul(graph, onCached!, values), matMul(graph, onFresh!, newValues!));
  const output = reshape(graph, transpose(graph, mixed, [0, 3, 1, 2, 4]), [0, 0, -1], ['B', 'S', headCount * headSize]);
  return { output, newKeys: newKeys!, newValues: newValues! };
}
