/**
 * Writes a model as one GGUF file, with the names, the order of rows and the metadata of llama.cpp's conversion
 * (convert_hf_to_gguf.py). Knows nothing of where the weights come from.
 */
import { UserError } from '../../errors.ts';
import { rotaryFrequencies } from '../generation/rope.ts';
import type { ModelConfig, ModelSource } from '../model.ts';
import { ggufTokenizerMetadata } from '../text/ggufTokenizerMetadata.ts';
import { type GgufField, writeGguf } from './ggufWriter.ts';
import { ggufName, requiredTensors } from './names.ts';
import { rotaryPairs } from './rotaryOrder.ts';
import type { TensorToWrite } from './safetensorsWriter.ts';
import { storedBytes } from './storage.ts';
import { writtenAside } from './writtenAside.ts';

/** `llama_ftype` of llama.cpp's llama.h. */
const fileTypes = { F16: 1, Q8_0: 7 } as const;

/**
 * Written aside and put in place when it is whole; what was there goes.
 * @param source gives configuration and tokenizer
 * @param name what it is called
 * @param type of the matrices; vectors are F32, matrices whose rows have no whole blocks F16
 * @param read a tensor's values by its Hugging Face name
 * @throws UserError when it cannot be written or GGUF cannot carry it; what was there before is as it was
 */
export async function writeGgufModel(
  path: string,
  source: ModelSource,
  name: string,
  type: keyof typeof fileTypes,
  read: (name: string) => Promise<Float32Array>,
): Promise<void> {
  const { config, tokenizer } = source;
  const metadata = new Map<string, GgufField>([
    ['general.architecture', ['string', config.family]],
    ['general.type', ['string', 'model']],
    ['general.name', ['string', name]],
    ['general.file_type', ['u32', fileTypes[type]]],
    ['general.quantization_version', ['u32', 2]],
    ...configMetadata(config),
    ...ggufTokenizerMetadata(tokenizer, config.vocabularySize),
  ]);
  const tensors = [...frequencyFactors(config), ...modelTensors(config, type, read)];
  await writtenAside(path, 'The model', (aside) => writeGguf(aside, metadata, tensors));
}

function configMetadata(config: ModelConfig): [string, GgufField][] {
  const { family, headSize, ropeScaling } = config;
  if (ropeScaling?.type === 'yarn' && ropeScaling.attentionFactor !== null) {
    throw new UserError(
      'GGUF has no place for the attention factor of this model. Export it as a Hugging Face folder instead.',
    );
  }
  const fields: Record<string, GgufField> = {
    vocab_size: ['u32', config.vocabularySize],
    context_length: ['u32', config.contextLength],
    embedding_length: ['u32', config.hiddenSize],
    block_count: ['u32', config.layerCount],
    feed_forward_length: ['u32', config.intermediateSize],
    'attention.head_count': ['u32', config.headCount],
    'attention.head_count_kv': ['u32', config.kvHeadCount],
    'attention.key_length': ['u32', headSize],
    'attention.value_length': ['u32', headSize],
    'attention.layer_norm_rms_epsilon': ['f32', config.normEpsilon],
    'rope.dimension_count': ['u32', headSize],
    'rope.freq_base': ['f32', config.ropeTheta],
  };
  if (ropeScaling?.type === 'linear' || ropeScaling?.type === 'yarn') {
    fields['rope.scaling.type'] = ['string', ropeScaling.type];
    fields['rope.scaling.factor'] = ['f32', ropeScaling.factor];
  }
  if (ropeScaling?.type === 'yarn') {
    fields['rope.scaling.original_context_length'] = ['u32', ropeScaling.originalContextLength];
    fields['rope.scaling.yarn_beta_fast'] = ['f32', ropeScaling.betaFast];
    fields['rope.scaling.yarn_beta_slow'] = ['f32', ropeScaling.betaSlow];
  }
  return Object.entries(fields).map(([key, field]) => [`${family}.${key}`, field]);
}

/** Llama 3's scaling is a tensor there: what each frequency is divided by. */
function frequencyFactors(config: ModelConfig): TensorToWrite[] {
  const { ropeScaling, headSize } = config;
  if (ropeScaling?.type !== 'llama3' && ropeScaling?.type !== 'factors') return [];
  const plain = rotaryFrequencies({ ...config, ropeScaling: null }).frequencies;
  const { frequencies } = rotaryFrequencies(config);
  const read = (): Float32Array => plain.map((frequency, i) => frequency / frequencies[i]!);
  return [{ name: 'rope_freqs.weight', shape: [headSize / 2], read }];
}

function modelTensors(
  config: ModelConfig,
  type: keyof typeof fileTypes,
  read: (name: string) => Promise<Float32Array>,
): TensorToWrite[] {
  return [...requiredTensors(config)].map(([name, shape]) => ({
    name: ggufName(name),
    shape,
    type: shape.length === 1 ? 'F32' : storedBytes(type, shape) === null ? 'F16' : type,
    read: async () => {
      const values = await read(name);
      const isRotated = config.family === 'llama' && /\.[qk]_proj\./.test(name);
      if (!isRotated) return values;
      const heads = name.includes('.q_proj.') ? config.headCount : config.kvHeadCount;
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      return new Float32Array(rotaryPairs(bytes, heads, config.headSize).buffer);
    },
  }));
}
