/**
 * Safetensors writer: float32 tensors one after another, so that no more than one need be in memory.
 * Knows nothing of model families or of what tensors mean. Format: https://github.com/huggingface/safetensors#format
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

export interface TensorToWrite {
  readonly name: string;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
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
 * @throws the system's error where it cannot be written; RangeError when values do not fill their shape
 */
export async function writeSafetensors(path: string, tensors: readonly TensorToWrite[]): Promise<WrittenFile> {
  const header = new Map<string, unknown>([['__metadata__', { format: 'pt' }]]); // transformers wants to be told
  let end = 0;
  for (const { name, shape } of tensors) {
    const begin = end;
    end += 4 * sizeOf(shape);
    header.set(name, { dtype: 'F32', shape, data_offsets: [begin, end] });
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
    for (const { name, shape, read } of tensors) {
      const values = await read();
      if (values.length !== sizeOf(shape)) {
        throw new RangeError(`${name} has ${values.length} values, not those of its shape [${shape.join(', ')}].`);
      }
      await write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
    await file.datasync();
  } finally {
    await file.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
