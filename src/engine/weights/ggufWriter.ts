/**
 * GGUF writer (version 3, little-endian): metadata, then tensors one after another, so that no more than one need be in
 * memory. Knows nothing of model families, tokenizers or of what tensors mean.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { open } from 'node:fs/promises';
import type { WrittenType } from './encode.ts';
import { encodedTensor, type TensorToWrite } from './safetensorsWriter.ts';
import { storedBytes } from './storage.ts';

/** A metadata value with its type. */
export type GgufField =
  | readonly ['u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64', number]
  | readonly ['u64' | 'i64', number | bigint]
  | readonly ['bool', boolean]
  | readonly ['string', string]
  | readonly ['strings', readonly string[]]
  | readonly ['u8s' | 'u32s' | 'i32s' | 'f32s', readonly number[]];

const ALIGNMENT = 32;
/** ggml's numbers of the types that can be written. */
const ggmlTypes: Readonly<Record<WrittenType, number>> = { F32: 0, F16: 1, Q8_0: 8, BF16: 30 };
/** GGUF's numbers of metadata types. */
const fieldTypes = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
};

/**
 * Writes the file anew and flushes it to the disk.
 * @throws the system's error where it cannot be written; RangeError when values do not fill their shape, or a shape no
 *   whole blocks; UserError when a type cannot hold a value
 */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufField>,
  tensors: readonly TensorToWrite[],
): Promise<void> {
  const header: Buffer[] = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.size)];
  for (const [key, field] of metadata) header.push(string(key), ...fieldBytes(field));
  let offset = 0;
  for (const { name, shape, type = 'F32' } of tensors) {
    const bytes = storedBytes(type, shape);
    if (bytes === null) throw new RangeError(`${name} of shape [${shape.join(', ')}] has no whole blocks of ${type}.`);
    // The innermost dimension comes first.
    header.push(string(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(ggmlTypes[type]), u64(offset));
    offset += bytes + paddingBehind(bytes);
  }
  const head = Buffer.concat(header);
  const file = await open(path, 'w');
  try {
    const write = async (bytes: Uint8Array): Promise<void> => {
      await file.writeFile(bytes); // goes on where the last one ended
      const padding = paddingBehind(bytes.length);
      if (padding > 0) await file.writeFile(new Uint8Array(padding));
    };
    await write(head);
    for (const tensor of tensors) await write(await encodedTensor(tensor));
    await file.datasync();
  } finally {
    await file.close();
  }
}

function paddingBehind(bytes: number): number {
  return (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;
}

/** The type and the value. */
function fieldBytes([type, value]: GgufField): Buffer[] {
  if (typeof value === 'object') {
    const element = type.slice(0, -1) as Exclude<keyof typeof fieldTypes, 'array'>;
    const head = [u32(fieldTypes.array), u32(fieldTypes[element]), u64(value.length)];
    return [...head, ...value.map((each) => valueBytes(element, each))];
  }
  return [u32(fieldTypes[type as keyof typeof fieldTypes]), valueBytes(type, value)];
}

function valueBytes(type: string, value: number | bigint | boolean | string): Buffer {
  if (typeof value === 'string') return string(value);
  if (type === 'u64' || type === 'i64') return u64(value);
  const bytes = Buffer.alloc(8);
  const number = Number(value);
  switch (type) {
    case 'u8':
    case 'bool':
      return bytes.subarray(0, bytes.writeUInt8(number));
    case 'i8':
      return bytes.subarray(0, bytes.writeInt8(number));
    case 'u16':
      return bytes.subarray(0, bytes.writeUInt16LE(number));
    case 'i16':
      return bytes.subarray(0, bytes.writeInt16LE(number));
    case 'u32':
      return bytes.subarray(0, bytes.writeUInt32LE(number));
    case 'i32':
      return bytes.subarray(0, bytes.writeInt32LE(number));
    case 'f32':
      return bytes.subarray(0, bytes.writeFloatLE(number));
    default:
      return bytes.subarray(0, bytes.writeDoubleLE(number));
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Of a signed value too: the same bits. */
function u64(value: number | bigint | boolean): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([u64(bytes.length), bytes]);
}
