/**
 * What a model is before it becomes a graph: its configuration, its tensors and its tokenizer,
 * in one naming (Hugging Face's) whatever file they came from.
 * Knows nothing of ONNX, of devices, or of where a file was downloaded from.
 */

/** Families a graph can be built for. Adding one is a file in `families/`. */
export type ModelFamily = 'llama' | 'qwen2';

/** Position scaling, as `rope_scaling` in Hugging Face's config.json. Lengths in tokens. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalContextLength: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Multiplies cos and sin; null: 0.1 ln(factor) + 1. */
      readonly attentionFactor: number | null;
    }
  /** Divisors of the inverse frequencies, headSize / 2 of them (`rope_freqs.weight` of a GGUF). */
  | { readonly type: 'factors'; readonly factors: readonly number[] };

export interface ModelConfig {
  readonly family: ModelFamily;
  readonly hiddenSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  readonly kvHeadCount: number;
  readonly headSize: number;
  readonly intermediateSize: number;
  readonly vocabularySize: number;
  /** Longest prompt and completion together, in tokens. */
  readonly contextLength: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  /** The output head is the transposed token embedding. */
  readonly tiedHead: boolean;
  /** q, k and v projections have biases (Qwen2; `attention_bias` for Llama adds one to o too). */
  readonly qkvBias: boolean;
  readonly attentionOutputBias: boolean;
  readonly mlpBias: boolean;
}

/** Storage types. Quantised ones are named as in GGUF; a block holds 32 values (`_0`, `_1`) or 256 (`_K`). */
export type TensorType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q4_K' | 'Q5_K' | 'Q6_K';

export interface TensorInfo {
  /** Hugging Face name: `model.layers.0.self_attn.q_proj.weight`. */
  readonly name: string;
  readonly type: TensorType;
  /** Outermost dimension first, as in PyTorch (a linear layer is [out, in]), also for GGUF. */
  readonly shape: readonly number[];
  /** Bytes in the file. */
  readonly byteLength: number;
}

/**
 * Tensors of a model under Hugging Face names. Rows of `q_proj` and `k_proj` are in Hugging Face order
 * (rotary halves), also when the file is a GGUF that interleaves them.
 */
export interface TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The bytes as stored, little-endian, rows in canonical order. @throws UserError when the file is cut or unreadable. */
  readRaw(name: string): Promise<Uint8Array>;
  /** The tensor dequantised to float32, `shape` elements in row-major order. */
  readFloat32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Everything the tokenizer needs, in the form of Hugging Face's tokenizer.json and tokenizer_config.json. */
export interface TokenizerDefinition {
  /** Parsed tokenizer.json. */
  readonly tokenizer: Record<string, unknown>;
  /** Parsed tokenizer_config.json (may be empty). */
  readonly config: Record<string, unknown>;
  /** Jinja source, or null where the model has none. */
  readonly chatTemplate: string | null;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  /** Put the BOS token before a raw prompt. */
  readonly addBos: boolean;
  /** Generation stops at any of these ids. */
  readonly eosTokenIds: readonly number[];
  /** What the GGUF file that it came from says of it under `tokenizer.`. */
  readonly gguf?: ReadonlyMap<string, unknown>;
}

/** A model opened for reading. `close` releases its files. */
export interface ModelSource {
  /** The GGUF file or the folder. */
  readonly path: string;
  readonly format: 'gguf' | 'huggingface';
  readonly config: ModelConfig;
  readonly weights: TensorSource;
  readonly tokenizer: TokenizerDefinition;
  /** SHA-256 over the weight files' bytes, hex; computed on demand (it reads the whole model once). */
  hash(): Promise<string>;
  close(): Promise<void>;
}
