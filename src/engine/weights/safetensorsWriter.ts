/**
 * Safetensors writer: tensors one after another, so that no more than one need be in memory.
 * Knows nothing of model families or of what tensors mean. Format: https://github.com/huggingface/safetensors#format
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { encode, type WrittenType } from './encode.ts';
import { blocks } from './storage.ts';

export interface TensorToWrite {
  readonly name: string;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  /** How it is stored, F32 unless told; safetensors have no Q8_0. */
  readonly type?: WrittenType;
  /** The values, row-major; called once, when it is their turn. */
  readonly read: () => Promise<Float32Array> | Float32Array;
}

export interface WrittenFile {
  readonly bytes: number;
  /** Of the whole file, hex. */
  readonly sha256: string;
}

/**
 * Writes the file anew and flushes it to the disk.
 * @throws the system's error where it cannot be written; RangeError when values do not fill their shape; UserError when a
 *   type cannot hold a value
 */
export async function writeSafetensors(path: string, tensors: readonly TensorToWrite[]): Promise<WrittenFile> {
  const header = new Map<string, unknown>([['__metadata__', { format: 'pt' }]]); // transformers wants to be told
  let end = 0;
  for (const { name, shape, type = 'F32' } of tensors) {
    const begin = end;
    end += blocks[type].bytes * sizeOf(shape);
    header.set(name, { dtype: type, shape, data_offsets: [begin, end] });
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const text = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]); // the data begin aligned
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));

  const hash = createHash('sha256');
  let bytes = 0;
  const file = await open(path, 'w');
  try {
    const write = async (piece: Uint8Array): Promise<void> => {
      hash.update(piece);
      await file.writeFile(piece); // goes on where the last one ended
      bytes += piece.length;
    };
    await write(prefix);
    await write(text);
    for (const tensor of tensors) await write(await encodedTensor(tensor));
    await file.datasync();
  } finally {
    await file.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** The bytes of a tensor as they are stored. @throws RangeError when its values do not fill its shape */
export async function encodedTensor({ name, shape, type = 'F32', read }: TensorToWrite): Promise<Uint8Array> {
  const values = await read();
  if (values.length !== sizeOf(shape)) {
    throw new RangeError(`${name} has ${values.length} values, not those of its shape [${shape.join(', ')}].`);
  }
  return encode(type, values, name);
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
