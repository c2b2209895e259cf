/** Configurations from config.json and from GGUF metadata: published forms, defaults, and what is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ModelConfig } from '../../../src/engine/model.ts';
import { configFromGguf, configFromHuggingFace } from '../../../src/engine/weights/config.ts';
import type { GgufValue } from '../../../src/engine/weights/gguf.ts';
import { UserError } from '../../../src/errors.ts';
import { tinyConfigJson } from './writers.ts';

/** Fields of published models. */
const llama31 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  head_dim: 64,
  hidden_act: 'silu',
  hidden_size: 2048,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  vocab_size: 128256,
};
const qwen25 = {
  architectures: ['Qwen2ForCausalLM'],
  attention_dropout: 0,
  hidden_act: 'silu',
  hidden_size: 896,
  intermediate_size: 4864,
  max_position_embeddings: 32768,
  max_window_layers: 24,
  model_type: 'qwen2',
  num_attention_heads: 14,
  num_hidden_layers: 24,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000,
  sliding_window: 32768,
  tie_word_embeddings: true,
  use_sliding_window: false,
  vocab_size: 151936,
};

const read = (json: unknown, hasHead = false): ModelConfig => configFromHuggingFace('m/config.json', json, hasHead);
const withRope = (rope_scaling: unknown, more = {}): ModelConfig => read({ ...qwen25, rope_scaling, ...more });

describe('configFromHuggingFace', () => {
  it('reads Llama 3', () => {
    expect(read(llama31)).toEqual({
      family: 'llama',
      hiddenSize: 2048,
      layerCount: 16,
      headCount: 32,
      kvHeadCount: 8,
      headSize: 64,
      intermediateSize: 8192,
      vocabularySize: 128256,
      contextLength: 131072,
      normEpsilon: 1e-5,
      ropeTheta: 500000,
      ropeScaling: {
        type: 'llama3',
        factor: 32,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalContextLength: 8192,
      },
      tiedHead: true,
      qkvBias: false,
      attentionOutputBias: false,
      mlpBias: false,
    });
  });

  it('reads Qwen2.5', () => {
    expect(read(qwen25)).toMatchObject({
      family: 'qwen2',
      headSize: 64,
      kvHeadCount: 2,
      contextLength: 32768,
      ropeTheta: 1000000,
      ropeScaling: null,
      tiedHead: true,
      qkvBias: true,
      attentionOutputBias: false,
      mlpBias: false,
    });
  });

  it('has the defaults of transformers', () => {
    const { hidden_size, intermediate_size, num_attention_heads, num_hidden_layers, vocab_size } = llama31;
    const sizes = { hidden_size, intermediate_size, num_attention_heads, num_hidden_layers, vocab_size };
    const llama = read({ model_type: 'llama', ...sizes, num_key_value_heads: null }, true);
    expect(llama).toMatchObject({ kvHeadCount: 32, contextLength: 2048, normEpsilon: 1e-6, ropeTheta: 10000 });
    expect(llama).toMatchObject({ tiedHead: false, qkvBias: false, headSize: 64, ropeScaling: null });
    expect(read({ model_type: 'qwen2', ...sizes })).toMatchObject({ contextLength: 32768, tiedHead: true });
  });

  it('reads biases of Llama', () => {
    const biased = { ...llama31, attention_bias: true, mlp_bias: true };
    expect(read(biased)).toMatchObject({ qkvBias: true, attentionOutputBias: true, mlpBias: true });
  });

  it('reads linear scaling in its old and new form', () => {
    const linear = { type: 'linear', factor: 4 };
    expect(withRope(linear).ropeScaling).toEqual(linear);
    expect(withRope({ rope_type: 'linear', factor: 4 }).ropeScaling).toEqual(linear);
    expect(withRope({ type: 'default' }).ropeScaling).toBeNull();
  });

  it('reads rope_parameters', () => {
    const { rope_scaling, rope_theta, ...rest } = llama31;
    expect(read({ ...rest, rope_parameters: { ...rope_scaling, rope_theta } })).toEqual(read(llama31));
    expect(read({ ...rest, rope_parameters: { rope_type: 'default', rope_theta: 7e5 } })).toMatchObject({
      ropeTheta: 7e5,
      ropeScaling: null,
    });
  });

  it('reads YaRN as Qwen documents it, with the longer context', () => {
    const config = withRope({ type: 'yarn', factor: 4, original_max_position_embeddings: 32768 });
    expect(config.contextLength).toBe(131072);
    expect(config.ropeScaling).toEqual({
      type: 'yarn',
      factor: 4,
      originalContextLength: 32768,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: null,
    });
    expect(withRope({ rope_type: 'yarn', factor: 2, attention_factor: 1.5, beta_fast: 16 }).ropeScaling).toMatchObject({
      originalContextLength: 32768,
      attentionFactor: 1.5,
      betaFast: 16,
    });
    const scaled = withRope({ rope_type: 'yarn', factor: 40, mscale: 1, mscale_all_dim: 0.5 }).ropeScaling;
    const ratio = (0.1 * Math.log(40) + 1) / (0.05 * Math.log(40) + 1);
    expect(scaled).toMatchObject({ attentionFactor: ratio });
  });

  const refused: [string, unknown, RegExp][] = [
    [
      'another family',
      { ...llama31, architectures: ['MistralForCausalLM'], model_type: 'mistral' },
      /MistralForCausalLM/,
    ],
    ['families that disagree', { ...llama31, model_type: 'qwen2' }, /Supported are Llama/],
    ['no family', {}, /no architecture/],
    ['a list', [], /config\.json/],
    ['nothing', null, /config\.json/],
    ['quantised weights', { ...llama31, quantization_config: { bits: 4 } }, /quantised safetensors/],
    ['a sliding window', { ...qwen25, use_sliding_window: true }, /use_sliding_window/],
    ['sliding layers', { ...qwen25, layer_types: ['full_attention', 'sliding_attention'] }, /layer_types\.1/],
    ['another activation', { ...llama31, hidden_act: 'gelu' }, /hidden_act/],
    ['no sizes', { model_type: 'llama' }, /vocab_size/],
    ['terabytes', { ...llama31, hidden_size: 1e12 }, /hidden_size/],
    ['2^40 layers', { ...llama31, num_hidden_layers: 2 ** 40 }, /num_hidden_layers/],
    ['half a layer', { ...llama31, num_hidden_layers: 1.5 }, /num_hidden_layers/],
    ['a size as text', { ...llama31, vocab_size: '128256' }, /vocab_size/],
    ['no heads', { ...llama31, num_attention_heads: 0 }, /num_attention_heads/],
    ['heads that do not divide', { ...llama31, num_key_value_heads: 5 }, /cannot share 5/],
    ['an odd head size', { ...llama31, head_dim: 63 }, /head size must be/],
    ['a fractional head size', { ...llama31, head_dim: null, num_attention_heads: 24 }, /head size must be/],
    ['an epsilon of 0', { ...llama31, rms_norm_eps: 0 }, /rms_norm_eps/],
    ['a base of 0', { ...llama31, rope_theta: 0 }, /rope_theta/],
    ['dynamic scaling', { ...llama31, rope_scaling: { type: 'dynamic', factor: 2 } }, /"dynamic" is not supported/],
    ['scaling without a factor', { ...llama31, rope_scaling: { type: 'linear' } }, /factor/],
    ['scaling by 0', { ...llama31, rope_scaling: { type: 'linear', factor: 0 } }, /factor/],
    ['partial rotation', { ...llama31, partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
    ['YaRN without truncation', { ...qwen25, rope_scaling: { type: 'yarn', factor: 4, truncate: false } }, /truncate/],
  ];
  it.each(refused)('refuses %s', (_what, json, message) => {
    expect(() => read(json)).toThrow(UserError);
    expect(() => read(json)).toThrow(message);
  });

  it('gives a plausible config or a UserError for any JSON', () => {
    const keys = Object.keys({ ...llama31, ...qwen25, rope_parameters: 0, layer_types: 0, quantization_config: 0 });
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...keys), fc.jsonValue()),
        fc.constantFrom(llama31, qwen25),
        (some, base) => {
          let config: ModelConfig;
          try {
            config = read({ ...base, ...some });
          } catch (error) {
            expect(error).toBeInstanceOf(UserError);
            return;
          }
          expect(Number.isInteger(config.headSize) && config.hiddenSize <= 65536 && config.layerCount <= 1024).toBe(
            true,
          );
        },
      ),
      { numRuns: 500 },
    );
  });
});

const ggufValues: Record<string, GgufValue> = {
  'general.architecture': 'llama',
  'llama.block_count': 16,
  'llama.context_length': 131072,
  'llama.embedding_length': 2048,
  'llama.feed_forward_length': 8192,
  'llama.attention.head_count': 32,
  'llama.attention.head_count_kv': 8,
  'llama.attention.key_length': 64,
  'llama.attention.value_length': 64,
  'llama.attention.layer_norm_rms_epsilon': 1e-5,
  'llama.rope.freq_base': 500000,
  'llama.rope.dimension_count': 64,
  'llama.vocab_size': 128256,
};
const shape = (...lengths: number[]): { shape: number[] } => ({ shape: lengths });
const ggufShapes = { 'token_embd.weight': shape(128256, 2048) };

function readGguf(
  more: Record<string, GgufValue> = {},
  shapes: Record<string, { shape: number[] }> = ggufShapes,
  factors: number[] | null = null,
): ModelConfig {
  const metadata = new Map(Object.entries({ ...ggufValues, ...more }));
  return configFromGguf('m.gguf', metadata, new Map(Object.entries(shapes)), factors);
}

describe('configFromGguf', () => {
  it('agrees with config.json', () => {
    const factors = Array.from({ length: 32 }, (_, i) => 1 + i);
    expect(readGguf({}, ggufShapes, factors)).toEqual({ ...read(llama31), ropeScaling: { type: 'factors', factors } });
  });

  it('knows the head and the biases by the tensors', () => {
    const shapes = {
      ...ggufShapes,
      'output.weight': shape(128256, 2048),
      'blk.0.attn_q.bias': shape(2048),
      'blk.0.attn_output.bias': shape(2048),
      'blk.0.ffn_down.bias': shape(2048),
    };
    const all = { tiedHead: false, qkvBias: true, attentionOutputBias: true, mlpBias: true };
    expect(readGguf({}, shapes)).toMatchObject(all);
    expect(readGguf()).toMatchObject({ tiedHead: true, qkvBias: false, attentionOutputBias: false, mlpBias: false });
  });

  it('reads scaling as llama.cpp does', () => {
    expect(readGguf({ 'llama.rope.scaling.type': 'linear', 'llama.rope.scaling.factor': 4 }).ropeScaling).toEqual({
      type: 'linear',
      factor: 4,
    });
    expect(readGguf({ 'llama.rope.scaling.factor': 4 }).ropeScaling).toEqual({ type: 'linear', factor: 4 });
    expect(readGguf({ 'llama.rope.scale_linear': 2 }).ropeScaling).toEqual({ type: 'linear', factor: 2 });
    expect(readGguf({ 'llama.rope.scaling.type': 'none', 'llama.rope.scaling.factor': 4 }).ropeScaling).toBeNull();
    const yarn = readGguf({
      'llama.context_length': 32768,
      'llama.rope.scaling.type': 'yarn',
      'llama.rope.scaling.factor': 4,
      'llama.rope.scaling.original_context_length': 32768,
    });
    expect(yarn).toMatchObject({
      contextLength: 131072,
      ropeScaling: { type: 'yarn', factor: 4, originalContextLength: 32768, attentionFactor: null },
    });
  });

  it('reads sizes given for each layer, where all are the same', () => {
    expect(readGguf({ 'llama.feed_forward_length': Array(16).fill(8192) as number[] }).intermediateSize).toBe(8192);
    expect(() => readGguf({ 'llama.feed_forward_length': [8192, 4096] })).toThrow(/feed_forward_length/);
  });

  const refused: [string, () => ModelConfig, RegExp][] = [
    ['another family', () => readGguf({ 'general.architecture': 'gemma3' }), /"gemma3"\. Supported are/],
    ['no family', () => readGguf({ 'general.architecture': 7 }), /no architecture/],
    ['experts', () => readGguf({ 'llama.expert_count': 8 }), /expert_count/],
    ['scaled logits', () => readGguf({ 'llama.logit_scale': 0.5 }), /logit_scale/],
    ['2^63 layers', () => readGguf({ 'llama.block_count': 2n ** 63n }), /block_count/],
    ['no epsilon', () => readGguf({ 'llama.attention.layer_norm_rms_epsilon': NaN }), /epsilon/],
    ['partial rotation', () => readGguf({ 'llama.rope.dimension_count': 32 }), /rope\.dimension_count is 32/],
    ['LongRoPE', () => readGguf({ 'llama.rope.scaling.type': 'longrope' }), /rope\.scaling\.type/],
    ['no embedding', () => readGguf({}, {}), /token_embd\.weight/],
    ['2^40 tokens', () => readGguf({}, { 'token_embd.weight': shape(2 ** 40, 2048) }), /token_embd/],
    ['too few frequency factors', () => readGguf({}, ggufShapes, [1, 2]), /32 plausible frequency factors/],
    ['broken frequency factors', () => readGguf({}, ggufShapes, Array(32).fill(NaN) as number[]), /plausible/],
    [
      'scaling twice',
      () => readGguf({ 'llama.rope.scaling.factor': 2 }, ggufShapes, Array(32).fill(1) as number[]),
      /both/,
    ],
  ];
  it.each(refused)('refuses %s', (_what, work, message) => {
    expect(work).toThrow(UserError);
    expect(work).toThrow(message);
  });
});

it('reads the tiny model of these tests', () => {
  expect(read(tinyConfigJson())).toMatchObject({ headSize: 4, headCount: 2, kvHeadCount: 1 });
});
