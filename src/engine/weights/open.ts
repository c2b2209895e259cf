/**
 * Opens a model for reading: a GGUF file (also a split one) or a Hugging Face folder, behind one naming and row order.
 * Only headers are read at opening; tensors are read when asked for, each by its own positions in the file.
 * Knows nothing of downloads, graphs or devices.
 */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../../errors.ts';
import type { ModelConfig, ModelSource, TensorInfo, TensorSource, TokenizerDefinition } from '../model.ts';
import { tokenizerFromGguf } from '../text/ggufTokenizer.ts';
import { tokenizerFromFolder } from '../text/huggingFaceTokenizer.ts';
import { configFromGguf, configFromHuggingFace } from './config.ts';
import { dequantize } from './dequantize.ts';
import { isGguf, readGgufHeader, type GgufHeader } from './gguf.ts';
import { huggingFaceName, requiredTensors } from './names.ts';
import { rotaryHalves } from './rotaryOrder.ts';
import { openShards, readSafetensorsHeader } from './safetensors.ts';
import {
  blocks,
  closeFiles,
  hashFiles,
  quoted,
  readJson,
  unreadable,
  WeightFile,
  located,
  type LocatedTensor,
} from './storage.ts';

const maximumConfigBytes = 1 << 20;
const maximumSplits = 1024;

/**
 * @param path a .gguf file, one file of a split GGUF, or a folder with config.json, tokenizer.json and safetensors
 * @throws UserError when it is missing, damaged, incomplete or of a family that is not supported
 */
export async function openModel(path: string): Promise<ModelSource> {
  const files: WeightFile[] = [];
  try {
    return (await isFolder(path)) ? await openFolder(path, files) : await openGguf(path, files);
  } catch (error) {
    await closeFiles(files);
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** Puts the files it opens in `files`, for closing should it fail. */
async function openGguf(path: string, files: WeightFile[]): Promise<ModelSource> {
  const first = await WeightFile.open(path);
  files.push(first);
  if (!(await isGguf(first))) {
    throw new UserError(
      `${path} is not a GGUF file. Give a .gguf file, or for safetensors the folder that also holds config.json.`,
    );
  }
  const { metadata, tensors: stored } = await readSplits(path, await readGgufHeader(first), files);
  const config = configFromGguf(path, metadata, stored, await readRopeFactors(stored));
  const tensors = new Map<string, LocatedTensor>();
  for (const tensor of stored.values()) {
    if (/^rope_freqs\.weight$|^blk\.\d+\.(attn_rot_embd|rope_freqs)\.weight$/.test(tensor.name)) continue;
    const name = huggingFaceName(tensor.name);
    if (name === null) {
      throw new UserError(
        `${path} has the tensor ${quoted(tensor.name)}, which the ${config.family} family does not use. ` +
          'The model is of a kind that is not supported.',
      );
    }
    tensors.set(name, tensor);
  }
  const required = requiredOf(path, config, tensors);
  for (const name of tensors.keys()) {
    if (required.has(name)) continue;
    throw new UserError(
      `${path} has a tensor ${quoted(name)} that its configuration has no place for. ` +
        'The file is damaged or of a kind that is not supported.',
    );
  }
  // llama.cpp's conversion interleaves the rotary halves of Llama's q and k, and of no other family's here.
  const interleaved = config.family === 'llama' ? config : null;
  return source(path, 'gguf', config, required, interleaved, files, readTokenizer(path, metadata));
}

function readTokenizer(path: string, metadata: GgufHeader['metadata']): TokenizerDefinition {
  try {
    return tokenizerFromGguf(metadata);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${path}: ${error.message}`) : error;
  }
}

/** The header and tensors of all files of a split GGUF; of the one file otherwise. */
async function readSplits(
  path: string,
  header: GgufHeader,
  files: WeightFile[],
): Promise<{ metadata: GgufHeader['metadata']; tensors: ReadonlyMap<string, LocatedTensor> }> {
  const count = header.metadata.get('split.count') ?? 1;
  const only = files[0]!;
  if (count === 0 || count === 1) return { metadata: header.metadata, tensors: located(only, header.tensors) };
  const [, stem, number, total] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s.exec(basename(path)) ?? [];
  if (typeof count !== 'number' || count > maximumSplits || stem === undefined || Number(total) !== count) {
    throw new UserError(
      `${path} is one of ${String(count)} files of a split GGUF, but its name does not end in -00001-of-0000N.gguf. ` +
        'Give the files back the names they were published with.',
    );
  }
  const ordered: WeightFile[] = [];
  const tensors = new Map<string, LocatedTensor>();
  let metadata = header.metadata;
  for (let split = 1; split <= count; split++) {
    let file = only;
    let part = header;
    if (split !== Number(number)) {
      const name = `${stem}-${String(split).padStart(5, '0')}-of-${total ?? ''}.gguf`;
      file = await WeightFile.open(join(dirname(path), name));
      files.push(file);
      part = await readGgufHeader(file);
    }
    if (part.metadata.get('split.no') !== split - 1 || part.metadata.get('split.count') !== count) {
      throw new UserError(`${file.path} does not belong at place ${split} of ${count}. Download the files again.`);
    }
    if (split === 1) metadata = part.metadata;
    ordered.push(file);
    for (const [name, tensor] of located(file, part.tensors)) {
      if (tensors.has(name)) {
        throw new UserError(`${file.path} has tensor ${quoted(name)} again. Download the files again.`);
      }
      tensors.set(name, tensor);
    }
  }
  files.splice(0, files.length, ...ordered);
  return { metadata, tensors };
}

/** Llama 3 GGUFs carry their position scaling as a tensor. */
async function readRopeFactors(stored: ReadonlyMap<string, LocatedTensor>): Promise<number[] | null> {
  const tensor = stored.get('rope_freqs.weight');
  if (!tensor) return null;
  if (tensor.type !== 'F32' || tensor.byteLength > 4096) {
    throw new UserError(`${tensor.file.path}: "rope_freqs.weight" is not a short F32 tensor. Convert the model again.`);
  }
  const raw = new Uint8Array(tensor.byteLength);
  await tensor.file.read(raw, tensor.offset);
  return [...dequantize('F32', raw)];
}

/** Puts the files it opens in `files`, for closing should it fail. */
async function openFolder(path: string, files: WeightFile[]): Promise<ModelSource> {
  const names = new Set(
    await readdir(path).catch((error: unknown) => {
      throw unreadable(path, error);
    }),
  );
  if (!names.has('config.json')) {
    const gguf = [...names].find((name) => name.endsWith('.gguf'));
    const advice = gguf === undefined ? 'Give a .gguf file or a Hugging Face model folder' : `Give ${join(path, gguf)}`;
    throw new UserError(`The folder ${path} has no config.json. ${advice}.`);
  }
  let stored: ReadonlyMap<string, LocatedTensor>;
  if (names.has('model.safetensors')) {
    const file = await WeightFile.open(join(path, 'model.safetensors'));
    files.push(file);
    stored = located(file, await readSafetensorsHeader(file));
  } else if (names.has('model.safetensors.index.json')) {
    const shards = await openShards(join(path, 'model.safetensors.index.json'));
    files.push(...shards.files);
    stored = shards.tensors;
  } else {
    throw new UserError(
      `The folder ${path} has neither model.safetensors nor model.safetensors.index.json. ` +
        'Download the safetensors, or save the model again with transformers.',
    );
  }
  const configPath = join(path, 'config.json');
  const json = await readJson(configPath, maximumConfigBytes);
  const config = configFromHuggingFace(configPath, json, stored.has('lm_head.weight'));
  const required = requiredOf(path, config, stored); // tensors beyond these are ignored, as transformers does
  return source(path, 'huggingface', config, required, null, files, await tokenizerFromFolder(path));
}

/** The tensors `config` asks for, checked. @throws UserError with the first that is missing or has the wrong shape. */
function requiredOf(
  path: string,
  config: ModelConfig,
  tensors: ReadonlyMap<string, LocatedTensor>,
): Map<string, LocatedTensor> {
  const required = new Map<string, LocatedTensor>();
  for (const [name, shape] of requiredTensors(config)) {
    const tensor = tensors.get(name);
    if (!tensor) {
      const head = name === 'lm_head.weight' ? ' (its config says that the head is not tied to the embedding)' : '';
      throw new UserError(`${path} has no tensor for ${name}${head}. The model is incomplete: download it again.`);
    }
    if (tensor.shape.length !== shape.length || shape.some((length, axis) => length !== tensor.shape[axis])) {
      throw new UserError(
        `${tensor.file.path}: ${name} has the shape [${tensor.shape.join(', ')}] where the configuration needs ` +
          `[${shape.join(', ')}]. Weights and configuration do not belong together: download the model again.`,
      );
    }
    if (shape.length === 1 && blocks[tensor.type].values > 1) {
      throw new UserError(
        `${tensor.file.path}: ${name}, a vector, is stored as ${tensor.type}; F32, F16 and BF16 are supported there. ` +
          'Convert the model again.',
      );
    }
    required.set(name, tensor);
  }
  return required;
}

function source(
  path: string,
  format: ModelSource['format'],
  config: ModelConfig,
  located: ReadonlyMap<string, LocatedTensor>,
  interleaved: ModelConfig | null,
  files: readonly WeightFile[],
  tokenizer: TokenizerDefinition,
): ModelSource {
  const weights = new FileTensors(located, interleaved, files);
  let hash: Promise<string> | undefined;
  return {
    path,
    format,
    config,
    weights,
    tokenizer,
    hash: () => (hash ??= hashFiles(files)),
    close: () => weights.close(),
  };
}

class FileTensors implements TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #located: ReadonlyMap<string, LocatedTensor>;
  readonly #interleaved: ModelConfig | null;
  readonly #files: readonly WeightFile[];
  #closed: Promise<void> | undefined;

  /** @param interleaved the config of a model whose q and k rows are interleaved in the file, else null */
  constructor(
    located: ReadonlyMap<string, LocatedTensor>,
    interleaved: ModelConfig | null,
    files: readonly WeightFile[],
  ) {
    this.#located = located;
    this.#interleaved = interleaved;
    this.#files = files;
    this.tensors = new Map(
      [...located].map(([name, { type, shape, byteLength }]) => [name, { name, type, shape, byteLength }]),
    );
  }

  async readRaw(name: string): Promise<Uint8Array> {
    const { file, offset, byteLength } = this.#find(name);
    const raw = allocate(file, name, byteLength, (length) => new Uint8Array(length));
    await file.read(raw, offset);
    const config = this.#interleaved;
    if (config && /\.[qk]_proj\./.test(name)) {
      const heads = name.includes('.q_proj.') ? config.headCount : config.kvHeadCount;
      return rotaryHalves(raw, heads, config.headSize);
    }
    return raw;
  }

  async readFloat32(name: string): Promise<Float32Array> {
    const { file, type, byteLength } = this.#find(name);
    const raw = await this.readRaw(name);
    return allocate(file, name, (byteLength / blocks[type].bytes) * blocks[type].values * 4, () =>
      dequantize(type, raw),
    );
  }

  close(): Promise<void> {
    return (this.#closed ??= closeFiles(this.#files));
  }

  #find(name: string): LocatedTensor {
    const tensor = this.#located.get(name);
    if (!tensor) throw new RangeError(`The model has no tensor ${quoted(name)}`);
    return tensor;
  }
}

/** @throws UserError when the memory for `bytes` cannot be had. */
function allocate<T>(file: WeightFile, name: string, bytes: number, make: (bytes: number) => T): T {
  try {
    return make(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const size = (bytes / 2 ** 30).toFixed(1);
    throw new UserError(
      `${file.path}: tensor ${quoted(name)} takes ${size} GiB at once, more than this process can have. ` +
        'Use a smaller or more strongly quantised model, or free memory.',
    );
  }
}
