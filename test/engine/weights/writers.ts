/**
 * Writers of small GGUF and safetensors files, and a tiny model to put in them. For tests: they also write what a
 * correct writer would not, when asked to.
 */
import type { TensorType } from '../../../src/engine/model.ts';
import { huggingFaceName } from '../../../src/engine/weights/names.ts';

export type Kind =
  'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'bool' | 'string' | 'array' | 'u64' | 'i64' | 'f64';

export const kinds: readonly Kind[] = [
  ...(['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', 'string', 'array', 'u64', 'i64', 'f64'] as const),
];

/** A metadata value with its type: `['u32', 7]`, `['array', ['string', ['a', 'b']]]`. */
export type Typed =
  | readonly [Exclude<Kind, 'array'>, number | bigint | boolean | string]
  | readonly ['array', readonly [Kind, readonly unknown[]]];

export const ggmlTypeNumber: Readonly<Record<TensorType, number>> = {
  ...{ F32: 0, F16: 1, BF16: 30, Q8_0: 8, Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q4_K: 12, Q5_K: 13, Q6_K: 14 },
};

export interface GgufTensorInput {
  readonly name: string;
  /** ggml's number. */
  readonly type: number;
  /** Outermost first. */
  readonly shape: readonly (number | bigint)[];
  readonly bytes: Uint8Array;
  /** Claimed place in the data, where it is not the true one. */
  readonly offset?: bigint;
}

export interface GgufInput {
  readonly version?: number;
  readonly metadata?: readonly (readonly [string, Typed])[];
  readonly tensors?: readonly GgufTensorInput[];
  readonly alignment?: number;
  /** Claimed counts, where they are not the true ones. */
  readonly tensorCount?: bigint;
  readonly metadataCount?: bigint;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function ggufString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u64(bytes.length), bytes]);
}

/** The value's bytes, without its type. */
function payload(kind: Kind, value: unknown): Buffer {
  const bytes = Buffer.alloc(8);
  switch (kind) {
    case 'string':
      return ggufString(value as string);
    case 'array': {
      const [element, values] = value as [Kind, unknown[]];
      const parts = values.map((each) => payload(element, each));
      return Buffer.concat([u32(kinds.indexOf(element)), u64(values.length), ...parts]);
    }
    case 'bool':
      return bytes.subarray(0, bytes.writeUInt8(value ? 1 : 0));
    case 'u8':
      return bytes.subarray(0, bytes.writeUInt8(value as number));
    case 'i8':
      return bytes.subarray(0, bytes.writeInt8(value as number));
    case 'u16':
      return bytes.subarray(0, bytes.writeUInt16LE(value as number));
    case 'i16':
      return bytes.subarray(0, bytes.writeInt16LE(value as number));
    case 'u32':
      return bytes.subarray(0, bytes.writeUInt32LE(value as number));
    case 'i32':
      return bytes.subarray(0, bytes.writeInt32LE(value as number));
    case 'f32':
      return bytes.subarray(0, bytes.writeFloatLE(value as number));
    case 'f64':
      return bytes.subarray(0, bytes.writeDoubleLE(value as number));
    case 'u64':
      return bytes.subarray(0, bytes.writeBigUInt64LE(BigInt(value as number)));
    case 'i64':
      return bytes.subarray(0, bytes.writeBigInt64LE(BigInt(value as number)));
  }
}

export function writeGguf(input: GgufInput): Buffer {
  const { version = 3, metadata = [], tensors = [], alignment = 32 } = input;
  const header: Buffer[] = [
    Buffer.from('GGUF'),
    u32(version),
    u64(input.tensorCount ?? tensors.length),
    u64(input.metadataCount ?? metadata.length),
  ];
  for (const [key, [kind, value]] of metadata) {
    header.push(ggufString(key), u32(kinds.indexOf(kind)), payload(kind, value));
  }
  const padding = (length: number): Buffer => Buffer.alloc((alignment - (length % alignment)) % alignment);
  const data: Buffer[] = [];
  let at = 0;
  for (const { name, type, shape, bytes, offset } of tensors) {
    header.push(ggufString(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(type), u64(offset ?? at));
    data.push(Buffer.from(bytes), padding(bytes.length));
    at += bytes.length + padding(bytes.length).length;
  }
  const head = Buffer.concat(header);
  return Buffer.concat([head, tensors.length ? padding(head.length) : Buffer.alloc(0), ...data]);
}

export interface SafetensorsInput {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export function writeSafetensors(tensors: readonly SafetensorsInput[], metadata?: Record<string, string>): Buffer {
  const header = new Map<string, unknown>(metadata ? [['__metadata__', metadata]] : []); // any name, `__proto__` too
  let at = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    header.set(name, { dtype, shape, data_offsets: [at, at + bytes.length] });
    at += bytes.length;
  }
  return withHeader(JSON.stringify(Object.fromEntries(header)), ...tensors.map(({ bytes }) => bytes));
}

/** A safetensors file with this header text. */
export function withHeader(header: string, ...data: readonly Uint8Array[]): Buffer {
  const text = Buffer.from(header);
  return Buffer.concat([u64(text.length), text, ...data]);
}

// ---- a tiny model ----

/** Hidden 8, 2 layers, 2 heads of 4 (1 for keys and values), intermediate 12, vocabulary 6. */
export const tiny = {
  hidden: 8,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  headSize: 4,
  intermediate: 12,
  vocabulary: 6,
};

export interface TinyTensor {
  /** GGUF name. */
  readonly name: string;
  readonly shape: readonly number[];
  /** In Hugging Face row order. */
  readonly values: Float32Array;
}

export function tinyTensors({ biases = false, head = false } = {}): TinyTensor[] {
  const { hidden, heads, kvHeads, headSize, intermediate, vocabulary } = tiny;
  const shapes: [string, number[]][] = [['token_embd.weight', [vocabulary, hidden]]];
  for (let layer = 0; layer < tiny.layers; layer++) {
    const linear: [string, number, number][] = [
      ['attn_q', heads * headSize, hidden],
      ['attn_k', kvHeads * headSize, hidden],
      ['attn_v', kvHeads * headSize, hidden],
      ['attn_output', hidden, heads * headSize],
      ['ffn_gate', intermediate, hidden],
      ['ffn_up', intermediate, hidden],
      ['ffn_down', hidden, intermediate],
    ];
    shapes.push([`blk.${layer}.attn_norm.weight`, [hidden]], [`blk.${layer}.ffn_norm.weight`, [hidden]]);
    for (const [name, out, into] of linear) {
      shapes.push([`blk.${layer}.${name}.weight`, [out, into]]);
      if (biases && /attn_[qkv]$/.test(name)) shapes.push([`blk.${layer}.${name}.bias`, [out]]);
    }
  }
  shapes.push(['output_norm.weight', [hidden]]);
  if (head) shapes.push(['output.weight', [vocabulary, hidden]]);
  let next = 0;
  return shapes.map(([name, shape]) => {
    const count = shape.reduce((product, length) => product * length, 1);
    return { name, shape, values: Float32Array.from({ length: count }, () => next++ / 8) };
  });
}

export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** As `permute` in llama.cpp's conversion: row (head, half, i) goes to (head, i, half). */
export function interleaved({ name, shape, values }: TinyTensor): Float32Array {
  const rows = shape[0]!;
  const width = values.length / rows;
  const { headSize } = tiny;
  if (!/attn_[qk]\./.test(name)) return values;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const within = row % headSize;
    const half = Math.floor(within / (headSize / 2));
    const to = row - within + 2 * (within % (headSize / 2)) + half;
    out.set(values.subarray(row * width, (row + 1) * width), to * width);
  }
  return out;
}

const tokens = ['a', 'b', 'c', 'ab', 'Ġ', '<end>'];

export function tinyMetadata(architecture: string): [string, Typed][] {
  return [
    ['general.architecture', ['string', architecture]],
    [`${architecture}.block_count`, ['u32', tiny.layers]],
    [`${architecture}.context_length`, ['u32', 64]],
    [`${architecture}.embedding_length`, ['u32', tiny.hidden]],
    [`${architecture}.feed_forward_length`, ['u32', tiny.intermediate]],
    [`${architecture}.attention.head_count`, ['u32', tiny.heads]],
    [`${architecture}.attention.head_count_kv`, ['u32', tiny.kvHeads]],
    [`${architecture}.attention.layer_norm_rms_epsilon`, ['f32', 1e-5]],
    [`${architecture}.rope.freq_base`, ['f32', 10000]],
    ['tokenizer.ggml.model', ['string', 'gpt2']],
    ['tokenizer.ggml.pre', ['string', 'gpt-2']],
    ['tokenizer.ggml.tokens', ['array', ['string', tokens]]],
    ['tokenizer.ggml.token_type', ['array', ['i32', [1, 1, 1, 1, 1, 3]]]],
    ['tokenizer.ggml.merges', ['array', ['string', ['a b']]]],
    ['tokenizer.ggml.eos_token_id', ['u32', 5]],
  ];
}

export function tinyGguf(
  architecture = 'llama',
  tensors: readonly TinyTensor[] = tinyTensors({ biases: architecture === 'qwen2' }),
  more: readonly (readonly [string, Typed])[] = [],
): Buffer {
  return writeGguf({
    metadata: [...tinyMetadata(architecture), ...more],
    tensors: tensors.map((tensor) => ({
      name: tensor.name,
      type: 0,
      shape: tensor.shape,
      bytes: bytesOf(architecture === 'llama' ? interleaved(tensor) : tensor.values),
    })),
  });
}

export function tinyConfigJson(family: 'llama' | 'qwen2' = 'llama'): Record<string, unknown> {
  return {
    architectures: [family === 'llama' ? 'LlamaForCausalLM' : 'Qwen2ForCausalLM'],
    model_type: family,
    hidden_act: 'silu',
    hidden_size: tiny.hidden,
    intermediate_size: tiny.intermediate,
    max_position_embeddings: 64,
    num_attention_heads: tiny.heads,
    num_hidden_layers: tiny.layers,
    num_key_value_heads: tiny.kvHeads,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    vocab_size: tiny.vocabulary,
  };
}

export function tinyTokenizerJson(): Record<string, unknown> {
  return {
    version: '1.0',
    added_tokens: [{ id: 5, content: '<end>', special: true }],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: ['a b'] },
  };
}

/** The tensors under Hugging Face names, float32. */
export function tinySafetensors(tensors: readonly TinyTensor[]): SafetensorsInput[] {
  return tensors.map(({ name, shape, values }) => ({
    name: huggingFaceName(name) ?? name,
    dtype: 'F32',
    shape,
    bytes: bytesOf(values),
  }));
}
