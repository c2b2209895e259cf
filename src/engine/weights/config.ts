/**
 * ModelConfig from a GGUF file's metadata or from a Hugging Face config.json.
 * Every number has a plausibility limit, so that nothing sized by a config can be absurd; what the supported families
 * cannot compute is refused here. Knows nothing of files, of tensor data or of tokenizers.
 * Sources: llama.cpp's gguf-py `constants.py`; transformers' `LlamaConfig`, `Qwen2Config` and `modeling_rope_utils.py`.
 */
import * as v from 'valibot';
import { UserError } from '../../errors.ts';
import type { ModelConfig, ModelFamily, RopeScaling } from '../model.ts';
import type { GgufValue } from './gguf.ts';
import { describeIssue, quoted } from './storage.ts';

const supported =
  'Supported are Llama (LlamaForCausalLM: Llama 2 and 3, SmolLM2, ...) and Qwen2 (Qwen2ForCausalLM: Qwen2, Qwen2.5).';

const upTo = (maximum: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maximum));
const positive = (maximum: number) => v.pipe(v.number(), v.gtValue(0), v.maxValue(maximum));
const hidden = upTo(1 << 16);
const layers = upTo(1024);
const heads = upTo(1024);
const headSize = upTo(1024);
const intermediate = upTo(1 << 20);
const vocabulary = upTo(1 << 22);
const context = upTo(1 << 24);
const epsilon = positive(0.1);
const theta = v.pipe(v.number(), v.gtValue(1), v.maxValue(1e15));
const factor = positive(1 << 16);
/** null, absent or this value: anything else is something we do not compute. */
const only = <const T extends number | boolean | string>(value: T) => v.nullish(v.literal(value), value);

// ---- GGUF ----

const GgufKeys = v.object({
  block_count: layers,
  context_length: context,
  embedding_length: hidden,
  feed_forward_length: intermediate,
  'attention.head_count': heads,
  'attention.head_count_kv': v.optional(heads),
  'attention.key_length': v.optional(headSize),
  'attention.value_length': v.optional(headSize),
  'attention.layer_norm_rms_epsilon': epsilon,
  'rope.dimension_count': v.optional(headSize),
  'rope.freq_base': v.optional(theta, 10_000),
  'rope.scale_linear': v.optional(factor), // before GGUF named scaling types
  'rope.scaling.type': v.optional(v.picklist(['none', 'linear', 'yarn']), 'linear'), // as llama.cpp
  'rope.scaling.factor': v.optional(v.union([v.literal(0), factor])), // 0: none
  'rope.scaling.original_context_length': v.optional(context),
  'rope.scaling.yarn_beta_fast': v.optional(factor, 32),
  'rope.scaling.yarn_beta_slow': v.optional(factor, 1),
  'rope.scaling.attn_factor': only(1),
  'rope.scaling.yarn_attn_factor': only(1),
  'rope.scaling.yarn_ext_factor': v.optional(v.union([v.literal(1), v.literal(-1)])), // -1: by the scaling type
  // What other models stored under the same architecture name do differently:
  expert_count: only(0),
  logit_scale: only(1),
  embedding_scale: only(1),
  residual_scale: only(1),
  'attention.clamp_kqv': only(0),
  'attention.causal': only(true),
});

/** Keys that hold one number for all layers, or an array of one for each. */
const perLayerKeys = ['feed_forward_length', 'attention.head_count', 'attention.head_count_kv'];

/**
 * @param path the file, for messages
 * @param shapes of the tensors, under GGUF names, outermost dimension first: the vocabulary and the biases show there
 * @param ropeFactors the values of `rope_freqs.weight`, null where the file has none
 * @throws UserError when the family is not supported, or a value is missing or not plausible
 */
export function configFromGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  shapes: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  ropeFactors: readonly number[] | null,
): ModelConfig {
  const architecture = metadata.get('general.architecture');
  if (architecture !== 'llama' && architecture !== 'qwen2') {
    const name = typeof architecture === 'string' ? `the architecture ${quoted(architecture)}` : 'no architecture';
    throw new UserError(`${path} has ${name}. ${supported}`);
  }
  const prefix = `${architecture}.`;
  const keys: Record<string, GgufValue> = {};
  for (const [key, value] of metadata) if (key.startsWith(prefix)) keys[key.slice(prefix.length)] = value;
  for (const key of perLayerKeys) {
    const value = keys[key];
    if (Array.isArray(value) && value.length > 0 && value.every((each) => each === value[0])) {
      keys[key] = value[0] as GgufValue;
    }
  }
  const values = parsed(GgufKeys, keys, `${path}, metadata ${prefix}`);
  const embedding = shapes.get('token_embd.weight');
  if (!embedding) throw new UserError(`${path} has no tensor "token_embd.weight". Download or convert it again.`);
  const headCount = values['attention.head_count'];
  return checked(path, {
    family: architecture,
    hiddenSize: values.embedding_length,
    layerCount: values.block_count,
    headCount,
    kvHeadCount: values['attention.head_count_kv'] ?? headCount,
    headSize: values['attention.key_length'] ?? values.embedding_length / headCount,
    intermediateSize: values.feed_forward_length,
    vocabularySize: parsed(vocabulary, embedding.shape[0], `${path}, rows of "token_embd.weight"`),
    ...ggufRope(path, values, ropeFactors),
    normEpsilon: values['attention.layer_norm_rms_epsilon'],
    ropeTheta: values['rope.freq_base'],
    tiedHead: !shapes.has('output.weight'),
    qkvBias: architecture === 'qwen2' || shapes.has('blk.0.attn_q.bias'),
    attentionOutputBias: shapes.has('blk.0.attn_output.bias'),
    mlpBias: shapes.has('blk.0.ffn_down.bias'),
  });
}

function ggufRope(
  path: string,
  values: v.InferOutput<typeof GgufKeys>,
  factors: readonly number[] | null,
): Pick<ModelConfig, 'ropeScaling' | 'contextLength'> {
  const size = values['attention.key_length'] ?? values.embedding_length / values['attention.head_count'];
  for (const key of ['attention.value_length', 'rope.dimension_count'] as const) {
    const value = values[key] ?? size;
    if (value !== size) throw new UserError(`${path}: ${key} is ${value}, but heads have size ${size}. ${supported}`);
  }
  const contextLength = values.context_length;
  const scale = values['rope.scaling.factor'] ?? values['rope.scale_linear'] ?? 1;
  const scaled = values['rope.scaling.type'] !== 'none' && scale !== 0 && scale !== 1;
  if (factors) {
    if (scaled) throw new UserError(`${path} has both rope_freqs.weight and a rope scaling factor. ${supported}`);
    const plausible = factors.every((each) => each >= 1e-3 && each <= 1e6);
    if (factors.length !== size / 2 || !plausible) {
      throw new UserError(
        `${path}: "rope_freqs.weight" does not hold ${size / 2} plausible frequency factors. Convert the model again.`,
      );
    }
    return { contextLength, ropeScaling: { type: 'factors', factors } };
  }
  if (!scaled) return { contextLength, ropeScaling: null };
  if (values['rope.scaling.type'] !== 'yarn') return { contextLength, ropeScaling: { type: 'linear', factor: scale } };
  return yarn(contextLength, {
    factor: scale,
    originalContextLength: values['rope.scaling.original_context_length'] ?? contextLength,
    betaFast: values['rope.scaling.yarn_beta_fast'],
    betaSlow: values['rope.scaling.yarn_beta_slow'],
    attentionFactor: null,
  });
}

// ---- config.json ----

const HuggingFaceFamily = v.looseObject({
  architectures: v.nullish(v.array(v.string())),
  model_type: v.nullish(v.string()),
});

const architectureOf: Readonly<Record<ModelFamily, string>> = { llama: 'LlamaForCausalLM', qwen2: 'Qwen2ForCausalLM' };
const defaultContext: Readonly<Record<ModelFamily, number>> = { llama: 2048, qwen2: 32_768 };

/** `rope_scaling`, and the newer `rope_parameters` which also has the base. */
const Rope = v.looseObject({
  rope_type: v.nullish(v.string()),
  type: v.nullish(v.string()),
  rope_theta: v.nullish(theta),
  partial_rotary_factor: only(1),
});
const Linear = v.looseObject({ factor });
const Llama3 = v.looseObject({
  factor,
  low_freq_factor: factor,
  high_freq_factor: factor,
  original_max_position_embeddings: v.nullish(context),
});
const Yarn = v.looseObject({
  factor: v.nullish(factor),
  original_max_position_embeddings: v.nullish(context),
  beta_fast: v.nullish(factor),
  beta_slow: v.nullish(factor),
  attention_factor: v.nullish(factor),
  mscale: v.nullish(positive(1000)),
  mscale_all_dim: v.nullish(positive(1000)),
  truncate: only(true),
});

/** Defaults as in transformers. Sizes, which real files always have, are asked for. */
const HuggingFaceKeys = v.looseObject({
  vocab_size: vocabulary,
  hidden_size: hidden,
  intermediate_size: intermediate,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: v.nullish(heads),
  head_dim: v.nullish(headSize),
  max_position_embeddings: v.nullish(context),
  original_max_position_embeddings: v.nullish(context),
  rms_norm_eps: v.nullish(epsilon, 1e-6),
  rope_theta: v.nullish(theta),
  rope_scaling: v.nullish(Rope),
  rope_parameters: v.nullish(Rope),
  partial_rotary_factor: only(1),
  hidden_act: only('silu'),
  tie_word_embeddings: v.nullish(v.boolean()),
  attention_bias: v.nullish(v.boolean(), false),
  mlp_bias: v.nullish(v.boolean(), false),
  use_sliding_window: only(false),
  layer_types: v.nullish(v.array(v.literal('full_attention'))),
});

/**
 * @param path of the config.json, for messages
 * @param json its parsed content
 * @param hasHead whether the weights have a `lm_head.weight`: decides where `tie_word_embeddings` is absent
 * @throws UserError when the family is not supported, or a value is missing, not plausible or not supported
 */
export function configFromHuggingFace(path: string, json: unknown, hasHead: boolean): ModelConfig {
  const family = huggingFaceFamily(path, json);
  const quantisation = (json as Record<string, unknown>)['quantization_config'] ?? null;
  if (quantisation !== null) {
    throw new UserError(
      `${path} describes quantised safetensors, which are not supported. Use the original model or a GGUF of it.`,
    );
  }
  const values = parsed(HuggingFaceKeys, json, path);
  const headCount = values.num_attention_heads;
  const qwen = family === 'qwen2';
  return checked(path, {
    family,
    hiddenSize: values.hidden_size,
    layerCount: values.num_hidden_layers,
    headCount,
    kvHeadCount: values.num_key_value_heads ?? headCount,
    headSize: values.head_dim ?? values.hidden_size / headCount,
    intermediateSize: values.intermediate_size,
    vocabularySize: values.vocab_size,
    ...huggingFaceRope(path, values, values.max_position_embeddings ?? defaultContext[family]),
    normEpsilon: values.rms_norm_eps,
    ropeTheta: values.rope_parameters?.rope_theta ?? values.rope_theta ?? 10_000,
    tiedHead: values.tie_word_embeddings ?? !hasHead,
    qkvBias: qwen || values.attention_bias,
    attentionOutputBias: !qwen && values.attention_bias,
    mlpBias: !qwen && values.mlp_bias,
  });
}

function huggingFaceFamily(path: string, json: unknown): ModelFamily {
  const { architectures, model_type: modelType } = parsed(HuggingFaceFamily, json, path);
  const architecture = architectures?.[0];
  for (const family of ['llama', 'qwen2'] as const) {
    const named = architecture ?? (modelType === family ? architectureOf[family] : undefined);
    if (named === architectureOf[family] && (modelType ?? family) === family) return family;
  }
  throw new UserError(
    `${path} describes ${quoted(architecture ?? 'no architecture')} of type ${quoted(modelType ?? 'unknown')}. ${supported}`,
  );
}

function huggingFaceRope(
  path: string,
  values: v.InferOutput<typeof HuggingFaceKeys>,
  contextLength: number,
): Pick<ModelConfig, 'ropeScaling' | 'contextLength'> {
  const field = values.rope_scaling ? 'rope_scaling' : 'rope_parameters'; // in this order, as in transformers
  const rope = values[field];
  const type = rope?.rope_type ?? rope?.type ?? 'default';
  const where = `${path}, ${field}`;
  const original = (inside: number | null | undefined): number =>
    values.original_max_position_embeddings ?? inside ?? contextLength;
  switch (type) {
    case 'default':
      return { contextLength, ropeScaling: null };
    case 'linear':
      return { contextLength, ropeScaling: { type, factor: parsed(Linear, rope, where).factor } };
    case 'llama3': {
      const scaling = parsed(Llama3, rope, where);
      const ropeScaling: RopeScaling = {
        type,
        factor: scaling.factor,
        lowFrequencyFactor: scaling.low_freq_factor,
        highFrequencyFactor: scaling.high_freq_factor,
        originalContextLength: original(scaling.original_max_position_embeddings),
      };
      if (ropeScaling.highFrequencyFactor <= ropeScaling.lowFrequencyFactor) {
        throw new UserError(`${where}: high_freq_factor is not above low_freq_factor. Download config.json again.`);
      }
      return { contextLength, ropeScaling };
    }
    case 'yarn': {
      const scaling = parsed(Yarn, rope, where);
      const originalContextLength = original(scaling.original_max_position_embeddings);
      const stretch = scaling.factor ?? contextLength / originalContextLength;
      const { mscale, mscale_all_dim: mscaleAll } = scaling;
      const magnitude = (scale: number): number => (stretch <= 1 ? 1 : 0.1 * scale * Math.log(stretch) + 1);
      const fromScales = mscale && mscaleAll ? magnitude(mscale) / magnitude(mscaleAll) : null;
      return yarn(contextLength, {
        factor: stretch,
        originalContextLength,
        betaFast: scaling.beta_fast ?? 32,
        betaSlow: scaling.beta_slow ?? 1,
        attentionFactor: scaling.attention_factor ?? fromScales,
      });
    }
    default:
      throw new UserError(
        `${where}: the type ${quoted(type)} is not supported; default, linear, llama3 and yarn are. Use another model.`,
      );
  }
}

// ---- both ----

/** YaRN is switched on by editing a config, often without its context length, so that follows from the factor. */
function yarn(
  contextLength: number,
  scaling: Omit<Extract<RopeScaling, { type: 'yarn' }>, 'type'>,
): Pick<ModelConfig, 'ropeScaling' | 'contextLength'> {
  const stretched = Math.floor(scaling.factor * scaling.originalContextLength);
  return {
    contextLength: Math.min(Math.max(contextLength, stretched), 1 << 24),
    ropeScaling: { type: 'yarn', ...scaling },
  };
}

/** What must hold between the numbers. */
function checked(path: string, config: ModelConfig): ModelConfig {
  const { hiddenSize, headCount, kvHeadCount, headSize: size } = config;
  if (!Number.isInteger(size) || size % 2 !== 0 || size > 1024) {
    throw new UserError(
      `${path}: ${headCount} attention heads of size ${size} (hidden size ${hiddenSize}); the head size must be an ` +
        'even whole number up to 1024. The file is damaged or of an unsupported family.',
    );
  }
  if (headCount % kvHeadCount !== 0) {
    throw new UserError(
      `${path}: ${headCount} attention heads cannot share ${kvHeadCount} key and value heads evenly. ` +
        'The file is damaged or of an unsupported family.',
    );
  }
  return config;
}

function parsed<const Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  where: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  throw new UserError(
    `${where}: ${describeIssue(result.issues[0]).slice(0, 300)}. ` +
      `The file is damaged, or needs something that is not supported. ${supported}`,
  );
}
