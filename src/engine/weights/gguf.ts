/**
 * GGUF header reader (versions 2 and 3, little-endian): metadata, and where each tensor lies.
 * Nothing the file says is believed before it is checked against the file's size and the limits below.
 * Knows nothing of model families, tokenizers or of what tensors mean.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { UserError } from '../../errors.ts';
import type { TensorType } from '../model.ts';
import { blocks, quoted, storedBytes, tensorTypes, type StoredTensor, type WeightFile } from './storage.ts';

/** A metadata value. 64-bit integers are numbers while they are safe integers, bigints beyond. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[];

export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Under the file's names, in the file's order. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Larger than any real header several times over: the largest vocabularies (262,144) take about 10 MB. */
const maximumHeaderBytes = 1 << 26;
const maximumStringBytes = 1 << 24;
const maximumNameBytes = 1 << 16; // as in ggml
/** Metadata values in all, array elements counted one by one. */
const maximumValues = 1 << 22;
const maximumArrayDepth = 4;
const windowBytes = 1 << 18;

/** ggml's type numbers (`enum ggml_type`); those that are no TensorType are here for the error message. */
const ggmlTypes: readonly string[] = [
  ...['F32', 'F16', 'Q4_0', 'Q4_1', 'Q4_2', 'Q4_3', 'Q5_0', 'Q5_1', 'Q8_0', 'Q8_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K'],
  ...['Q6_K', 'Q8_K', 'IQ2_XXS', 'IQ2_XS', 'IQ3_XXS', 'IQ1_S', 'IQ4_NL', 'IQ3_S', 'IQ2_S', 'IQ4_XS', 'I8', 'I16'],
  ...['I32', 'I64', 'F64', 'IQ1_M', 'BF16', 'Q4_0_4_4', 'Q4_0_4_8', 'Q4_0_8_8', 'TQ1_0', 'TQ2_0', 'IQ4_NL_4_4'],
  ...['IQ4_NL_4_8', 'IQ4_NL_8_8', 'MXFP4', 'NVFP4'],
];

const valueType = { bool: 7, string: 8, array: 9 };

/** Byte sizes and readers of the fixed-size metadata types, by type number. */
const scalars: readonly ({ size: number; read: (bytes: Buffer, at: number) => GgufValue } | undefined)[] = [
  { size: 1, read: (bytes, at) => bytes.readUInt8(at) },
  { size: 1, read: (bytes, at) => bytes.readInt8(at) },
  { size: 2, read: (bytes, at) => bytes.readUInt16LE(at) },
  { size: 2, read: (bytes, at) => bytes.readInt16LE(at) },
  { size: 4, read: (bytes, at) => bytes.readUInt32LE(at) },
  { size: 4, read: (bytes, at) => bytes.readInt32LE(at) },
  { size: 4, read: (bytes, at) => bytes.readFloatLE(at) },
  { size: 1, read: (bytes, at) => bytes.readUInt8(at) !== 0 },
  undefined,
  undefined,
  { size: 8, read: (bytes, at) => numberWhereSafe(bytes.readBigUInt64LE(at)) },
  { size: 8, read: (bytes, at) => numberWhereSafe(bytes.readBigInt64LE(at)) },
  { size: 8, read: (bytes, at) => bytes.readDoubleLE(at) },
];

/** True where the file begins as GGUF files do. */
export async function isGguf(file: WeightFile): Promise<boolean> {
  if (file.size < 4) return false;
  const magic = Buffer.alloc(4);
  await file.read(magic, 0);
  return magic.toString('latin1') === 'GGUF';
}

/**
 * Reads the header through a window of a few hundred kilobytes; tensor data is not touched.
 * @throws UserError when the file is no GGUF, is cut or corrupt, claims what it cannot hold, or uses a storage type
 *   that is not supported.
 */
export async function readGgufHeader(file: WeightFile): Promise<GgufHeader> {
  const reader = new HeaderReader(file);
  await checkVersion(reader);
  const tensorCount = await reader.count('tensors', 32); // name length, rank, one dimension, type, offset
  const valueCount = await reader.count('metadata values', 13); // key length, type, one byte
  const metadata = await readMetadata(reader, valueCount);
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || alignment < 1 || alignment > 1 << 20 || (alignment & (alignment - 1)) !== 0) {
    throw reader.error('"general.alignment" is not a power of two');
  }
  return { metadata, tensors: await readTensors(reader, tensorCount, alignment) };
}

async function checkVersion(reader: HeaderReader): Promise<void> {
  await reader.need(8);
  if (reader.take(4).toString('latin1') !== 'GGUF') {
    throw reader.error('this is not a GGUF file', 'Give a .gguf file or a Hugging Face model folder.', 0);
  }
  const version = reader.take(4).readUInt32LE();
  if (version === 2 || version === 3) return;
  if (version !== 0 && (version & 0xffff) === 0) {
    throw reader.error(
      'the file is big-endian',
      'Convert it with gguf_convert_endian.py of the Python package gguf.',
      4,
    );
  }
  throw reader.error(
    `GGUF version ${version} is not supported; 2 and 3 are`,
    'Convert the model again with a current llama.cpp.',
    4,
  );
}

async function readMetadata(reader: HeaderReader, count: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const start = reader.offset;
    const key = await reader.string('a metadata key', maximumNameBytes);
    if (metadata.has(key)) throw reader.error(`the metadata key ${quoted(key)} is there twice`, undefined, start);
    const what = `the metadata value ${quoted(key)}`;
    metadata.set(key, await reader.value(await reader.uint32(), what, 0));
  }
  return metadata;
}

async function readTensors(
  reader: HeaderReader,
  count: number,
  alignment: number,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const tensors = new Map<string, StoredTensor>();
  for (let i = 0; i < count; i++) {
    const start = reader.offset;
    const name = await reader.string('a tensor name', maximumNameBytes);
    const what = `tensor ${quoted(name)}`;
    if (tensors.has(name)) throw reader.error(`${what} is there twice`, undefined, start);
    const rank = await reader.uint32();
    if (rank < 1 || rank > 4)
      throw reader.error(`${what} has ${rank} dimensions; GGUF allows 1 to 4`, undefined, start);
    const shape: number[] = [];
    for (let axis = 0; axis < rank; axis++) {
      const length = await reader.uint64();
      if (typeof length === 'bigint' || length < 1) {
        throw reader.error(`${what} has a dimension of ${String(length)}`, undefined, start);
      }
      shape.unshift(length); // GGUF has the innermost dimension first
    }
    const type = tensorType(await reader.uint32(), what, reader, start);
    const byteLength = storedBytes(type, shape);
    if (byteLength === null) {
      throw reader.error(
        `${what} of shape [${shape.join(', ')}] does not divide into ${type} blocks of ${blocks[type].values}`,
        undefined,
        start,
      );
    }
    const offset = await reader.uint64();
    if (typeof offset === 'bigint' || offset % alignment !== 0) {
      throw reader.error(
        `${what} starts at ${String(offset)} in the data, which is no multiple of ${alignment}`,
        undefined,
        start,
      );
    }
    tensors.set(name, { name, type, shape, offset, byteLength });
  }
  const dataStart = Math.ceil(reader.offset / alignment) * alignment;
  return placed(tensors, dataStart, reader);
}

/** The tensors with offsets from the start of the file, checked to lie inside it and apart from each other. */
function placed(
  tensors: ReadonlyMap<string, StoredTensor>,
  dataStart: number,
  reader: HeaderReader,
): ReadonlyMap<string, StoredTensor> {
  const result = new Map<string, StoredTensor>();
  for (const tensor of tensors.values()) {
    const offset = dataStart + tensor.offset;
    if (offset + tensor.byteLength > reader.fileSize) {
      throw reader.error(
        `tensor ${quoted(tensor.name)} ends at byte ${offset + tensor.byteLength}, but the file has ${reader.fileSize} bytes`,
        undefined,
        offset,
      );
    }
    result.set(tensor.name, { ...tensor, offset });
  }
  let previous: StoredTensor | undefined;
  for (const tensor of [...result.values()].sort((a, b) => a.offset - b.offset)) {
    if (previous && tensor.offset < previous.offset + previous.byteLength) {
      const names = `${quoted(previous.name)} and ${quoted(tensor.name)}`;
      throw reader.error(`tensors ${names} overlap`, undefined, tensor.offset);
    }
    previous = tensor;
  }
  return result;
}

function tensorType(id: number, what: string, reader: HeaderReader, start: number): TensorType {
  const name = ggmlTypes[id];
  const known = tensorTypes.find((type) => type === name);
  if (known) return known;
  throw reader.error(
    `${what} is stored as ${name ?? `an unknown type (${id})`}, which is not supported`,
    `Use a file with ${tensorTypes.join(', ')} only.`,
    start,
  );
}

function numberWhereSafe(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Reads the header front to back through a window over the file. Methods advance `offset`. */
class HeaderReader {
  readonly #file: WeightFile;
  #window = Buffer.alloc(windowBytes);
  #windowStart = 0;
  #at = 0;
  #end = 0;
  #values = 0;

  constructor(file: WeightFile) {
    this.#file = file;
  }

  get offset(): number {
    return this.#windowStart + this.#at;
  }

  get fileSize(): number {
    return this.#file.size;
  }

  error(
    what: string,
    advice = 'The file is damaged or incomplete: download or convert it again.',
    offset = this.offset,
  ): UserError {
    return new UserError(`Cannot read ${this.#file.path}: at byte ${offset}, ${what}. ${advice}`);
  }

  has(bytes: number): boolean {
    return this.#end - this.#at >= bytes;
  }

  /** Makes the next `bytes` bytes available to `take`. */
  async need(bytes: number): Promise<void> {
    if (this.has(bytes)) return;
    if (this.offset + bytes > this.#file.size) throw this.error('the header goes on, but the file ends');
    if (this.offset + bytes > maximumHeaderBytes) {
      throw this.error(`the header is longer than ${maximumHeaderBytes} bytes`);
    }
    this.#window.copyWithin(0, this.#at, this.#end);
    this.#windowStart = this.offset;
    this.#end -= this.#at;
    this.#at = 0;
    if (bytes > this.#window.length) {
      const larger = Buffer.alloc(bytes);
      this.#window.copy(larger, 0, 0, this.#end);
      this.#window = larger;
    }
    const filled = Math.min(this.#window.length, this.#file.size - this.#windowStart);
    await this.#file.read(this.#window.subarray(this.#end, filled), this.#windowStart + this.#end);
    this.#end = filled;
  }

  /** The next bytes, which `need` has made available; valid until the next `need`. */
  take(bytes: number): Buffer {
    this.#at += bytes;
    return this.#window.subarray(this.#at - bytes, this.#at);
  }

  async uint32(): Promise<number> {
    await this.need(4);
    return this.take(4).readUInt32LE();
  }

  async uint64(): Promise<number | bigint> {
    await this.need(8);
    return numberWhereSafe(this.take(8).readBigUInt64LE());
  }

  /** A number of items that take at least `bytesEach` in the rest of the file. */
  async count(what: string, bytesEach: number): Promise<number> {
    const start = this.offset;
    const count = await this.uint64();
    if (typeof count === 'bigint' || count * bytesEach > this.#file.size - this.offset) {
      throw this.error(`${String(count)} ${what} are claimed, more than the file has room for`, undefined, start);
    }
    return count;
  }

  async string(what: string, maximumBytes = maximumStringBytes): Promise<string> {
    const start = this.offset;
    if (!this.has(8)) await this.need(8); // no await where not needed: vocabularies have 10^5 strings and more
    const low = this.#window.readUInt32LE(this.#at);
    const length = this.#window.readUInt32LE(this.#at + 4) * 2 ** 32 + low;
    this.#at += 8;
    if (length > maximumBytes || length > this.#file.size - this.offset) {
      throw this.error(`${what} claims ${length} bytes, more than it may have or the file holds`, undefined, start);
    }
    if (!this.has(length)) await this.need(length);
    this.#at += length;
    return this.#window.toString('utf8', this.#at - length, this.#at);
  }

  async value(type: number, what: string, depth: number): Promise<GgufValue> {
    if (type === valueType.array) return this.#array(what, depth + 1);
    return (await this.#elements(type, 1, what))[0]!;
  }

  async #array(what: string, depth: number): Promise<GgufValue> {
    if (depth > maximumArrayDepth) throw this.error(`${what} nests arrays deeper than ${maximumArrayDepth}`);
    const type = await this.uint32();
    const count = await this.count(`elements of ${what}`, scalars[type]?.size ?? 8);
    if (type !== valueType.array) return this.#elements(type, count, what);
    const arrays: GgufValue[] = [];
    this.#tally(count, what);
    for (let i = 0; i < count; i++) arrays.push(await this.#array(what, depth + 1));
    return arrays;
  }

  async #elements(type: number, count: number, what: string): Promise<GgufValue[]> {
    this.#tally(count, what);
    const elements: GgufValue[] = [];
    if (type === valueType.string) {
      while (elements.length < count) elements.push(await this.string(what));
      return elements;
    }
    const scalar = scalars[type];
    if (!scalar) throw this.error(`${what} has the unknown type ${type}`);
    const perWindow = windowBytes / scalar.size;
    while (elements.length < count) {
      const now = Math.min(perWindow, count - elements.length);
      await this.need(now * scalar.size);
      const bytes = this.take(now * scalar.size);
      for (let i = 0; i < now; i++) elements.push(scalar.read(bytes, i * scalar.size));
    }
    return elements;
  }

  #tally(count: number, what: string): void {
    this.#values += count;
    if (this.#values > maximumValues)
      throw this.error(`with ${what}, the metadata has more than ${maximumValues} values`);
  }
}
