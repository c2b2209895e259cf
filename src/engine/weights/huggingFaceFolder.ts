/**
 * Writes a model as a Hugging Face folder: config.json, the tokenizer's files and one model.safetensors.
 * Knows nothing of where the weights come from.
 */
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../errors.ts';
import type { ModelConfig, ModelSource, RopeScaling, TokenizerDefinition } from '../model.ts';
import { requiredTensors } from './names.ts';
import { writeSafetensors } from './safetensorsWriter.ts';
import { readJson } from './storage.ts';
import { flushFolder, writtenAside } from './writtenAside.ts';

/** Files beside the weights that are taken over as they are. */
const COPIED =
  /^(tokenizer.*|special_tokens_map\.json|generation_config\.json|chat_template.*|vocab\.json|merges\.txt)$/;

/**
 * Written aside and put in place when it is whole; what was there goes.
 * @param source gives configuration and tokenizer
 * @param read a tensor's values by its Hugging Face name
 * @param type of all tensors
 * @throws UserError when it cannot be written; what was there before is as it was
 */
export async function writeHuggingFaceFolder(
  folder: string,
  source: ModelSource,
  read: (name: string) => Promise<Float32Array>,
  type: 'F32' | 'F16' | 'BF16' = 'F32',
): Promise<void> {
  await writtenAside(folder, 'The model', async (aside) => {
    await mkdir(aside);
    const tensors = [...requiredTensors(source.config)];
    await writeSafetensors(
      join(aside, 'model.safetensors'),
      tensors.map(([name, shape]) => ({ name, shape, type, read: () => read(name) })),
    );
    await writeJsonFiles(aside, await filesBeside(source, aside, torchTypes[type]));
  });
}

const torchTypes = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

/** Writes and flushes them by their names. */
export async function writeJsonFiles(folder: string, files: Readonly<Record<string, object>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), `${JSON.stringify(content, null, 2)}\n`, { flush: true });
  }
  await flushFolder(folder);
}

/** JSON files to be written; those of a folder that need no change are copied. */
async function filesBeside(
  { path, format, config, tokenizer }: ModelSource,
  to: string,
  type: string,
): Promise<Record<string, object>> {
  if (format === 'gguf') {
    return {
      'config.json': { ...huggingFaceConfig(config, tokenizer), torch_dtype: type },
      'generation_config.json': { eos_token_id: tokenizer.eosTokenIds },
      'tokenizer.json': tokenizer.tokenizer,
      'tokenizer_config.json': tokenizerConfig(tokenizer),
    };
  }
  for (const name of await readdir(path)) if (COPIED.test(name)) await copyFile(join(path, name), join(to, name));
  const json = (await readJson(join(path, 'config.json'), 1 << 20)) as Record<string, unknown>;
  const { dtype, ...kept } = json; // the newer name of torch_dtype
  return { 'config.json': { ...kept, torch_dtype: type, tie_word_embeddings: config.tiedHead } };
}

function tokenizerConfig({ config, bosToken, eosToken, addBos, chatTemplate }: TokenizerDefinition): object {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...config,
    bos_token: bosToken,
    eos_token: eosToken,
    add_bos_token: addBos,
    chat_template: chatTemplate,
  };
}

/** The config.json of transformers' `LlamaConfig` or `Qwen2Config`. */
export function huggingFaceConfig(
  config: ModelConfig,
  { eosTokenIds }: Pick<TokenizerDefinition, 'eosTokenIds'>,
): object {
  const isQwen = config.family === 'qwen2';
  return {
    architectures: [isQwen ? 'Qwen2ForCausalLM' : 'LlamaForCausalLM'],
    model_type: config.family,
    hidden_act: 'silu',
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layerCount,
    num_attention_heads: config.headCount,
    num_key_value_heads: config.kvHeadCount,
    head_dim: config.headSize,
    vocab_size: config.vocabularySize,
    max_position_embeddings: config.contextLength,
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: ropeScaling(config.ropeScaling),
    tie_word_embeddings: config.tiedHead,
    ...(isQwen ? {} : { attention_bias: config.attentionOutputBias, mlp_bias: config.mlpBias }),
    eos_token_id: eosTokenIds[0] ?? null,
    torch_dtype: 'float32',
  };
}

function ropeScaling(scaling: RopeScaling | null): object | null {
  switch (scaling?.type) {
    case undefined:
      return null;
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContextLength,
      };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        original_max_position_embeddings: scaling.originalContextLength,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        ...(scaling.attentionFactor === null ? {} : { attention_factor: scaling.attentionFactor }),
      };
    case 'factors':
      throw new UserError(
        "This GGUF's position factors have no place in a config.json. Train from the model's Hugging Face folder instead.",
      );
  }
}
