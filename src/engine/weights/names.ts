/**
 * The tensors a model must have, under Hugging Face names, and what GGUF calls them.
 * Knows nothing of files or storage types.
 */
import type { ModelConfig } from '../model.ts';

const ggufNames: ReadonlyMap<string, string> = new Map([
  ['token_embd', 'model.embed_tokens'],
  ['output_norm', 'model.norm'],
  ['output', 'lm_head'],
]);

const ggufLayerNames: ReadonlyMap<string, string> = new Map([
  ['attn_norm', 'input_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
]);

/** `model.layers.3.mlp.up_proj.weight` for `blk.3.ffn_up.weight`; null for a name that the families here do not have. */
export function huggingFaceName(ggufName: string): string | null {
  const [, layer, module = '', kind] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(ggufName) ?? [];
  if (kind === undefined) return null;
  const name = layer === undefined ? ggufNames.get(module) : ggufLayerNames.get(module);
  if (name === undefined) return null;
  return layer === undefined ? `${name}.${kind}` : `model.layers.${layer}.${name}.${kind}`;
}

/** The inverse. @throws RangeError for a name that the families here do not have */
export function ggufName(name: string): string {
  const [, layer, module = '', kind = ''] = /^(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name) ?? [];
  for (const [gguf, own] of layer === undefined ? ggufNames : ggufLayerNames) {
    if (own === module) return layer === undefined ? `${gguf}.${kind}` : `blk.${layer}.${gguf}.${kind}`;
  }
  throw new RangeError(`GGUF has no name for ${name}`);
}

/** Name and shape ([out, in]) of every tensor the graph of `config` reads, in the order they are used. */
export function* requiredTensors(config: ModelConfig): Generator<readonly [name: string, shape: readonly number[]]> {
  const { hiddenSize, intermediateSize, vocabularySize, headSize } = config;
  const querySize = config.headCount * headSize;
  const keySize = config.kvHeadCount * headSize;
  function* linear(name: string, out: number, into: number, bias: boolean): Generator<readonly [string, number[]]> {
    yield [`${name}.weight`, [out, into]];
    if (bias) yield [`${name}.bias`, [out]];
  }
  yield ['model.embed_tokens.weight', [vocabularySize, hiddenSize]];
  for (let layer = 0; layer < config.layerCount; layer++) {
    const prefix = `model.layers.${layer}`;
    yield [`${prefix}.input_layernorm.weight`, [hiddenSize]];
    yield* linear(`${prefix}.self_attn.q_proj`, querySize, hiddenSize, config.qkvBias);
    yield* linear(`${prefix}.self_attn.k_proj`, keySize, hiddenSize, config.qkvBias);
    yield* linear(`${prefix}.self_attn.v_proj`, keySize, hiddenSize, config.qkvBias);
    yield* linear(`${prefix}.self_attn.o_proj`, hiddenSize, querySize, config.attentionOutputBias);
    yield [`${prefix}.post_attention_layernorm.weight`, [hiddenSize]];
    yield* linear(`${prefix}.mlp.gate_proj`, intermediateSize, hiddenSize, config.mlpBias);
    yield* linear(`${prefix}.mlp.up_proj`, intermediateSize, hiddenSize, config.mlpBias);
    yield* linear(`${prefix}.mlp.down_proj`, hiddenSize, intermediateSize, config.mlpBias);
  }
  yield ['model.norm.weight', [hiddenSize]];
  if (!config.tiedHead) yield ['lm_head.weight', [vocabularySize, hiddenSize]];
}
