/**
 * Files as bytes: bounded positional reads and JSON, where a tensor lies, how large its storage type makes it; and the
 * wording that errors about files share.
 * Knows nothing of file formats, model families or tensor names.
 */
import { createHash, type Hash } from 'node:crypto';
import { open, readFile, stat, type FileHandle } from 'node:fs/promises';
import * as v from 'valibot';
import { isMissing, messageOf, UserError } from '../../errors.ts';
import type { TensorType } from '../model.ts';

/** Values and bytes of one storage block, as in ggml (`ggml-common.h`); a block of one value where nothing is quantised. */
export const blocks: Readonly<Record<TensorType, { readonly values: number; readonly bytes: number }>> = {
  F32: { values: 1, bytes: 4 },
  F16: { values: 1, bytes: 2 },
  BF16: { values: 1, bytes: 2 },
  Q8_0: { values: 32, bytes: 34 },
  Q4_0: { values: 32, bytes: 18 },
  Q4_1: { values: 32, bytes: 20 },
  Q5_0: { values: 32, bytes: 22 },
  Q5_1: { values: 32, bytes: 24 },
  Q4_K: { values: 256, bytes: 144 },
  Q5_K: { values: 256, bytes: 176 },
  Q6_K: { values: 256, bytes: 210 },
};

export const tensorTypes = Object.keys(blocks) as readonly TensorType[];

/** A tensor in a file, under the file's own name for it. */
export interface StoredTensor {
  readonly name: string;
  readonly type: TensorType;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** Reads go to the system in pieces of this many bytes, which also keeps each below its limit of 2 GiB. */
const pieceBytes = 1 << 26;

/** A regular file open for reading. Its size is taken once: a file cut afterwards fails in `read`. */
export class WeightFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(path: string, size: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
  }

  /** @throws UserError when there is no such regular file or it may not be read. */
  static async open(path: string): Promise<WeightFile> {
    const size = await regularFileSize(path); // before opening: opening a named pipe would wait for its writer
    try {
      return new WeightFile(path, size, await open(path, 'r'));
    } catch (error) {
      throw unreadable(path, error);
    }
  }

  /** Fills `target` from `offset` on. @throws UserError when the file ends before or cannot be read. */
  async read(target: Uint8Array, offset: number): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const length = Math.min(pieceBytes, target.length - done);
      let bytesRead: number;
      try {
        ({ bytesRead } = await this.#handle.read(target, done, length, offset + done));
      } catch (error) {
        throw unreadable(this.path, error);
      }
      if (bytesRead === 0) {
        throw new UserError(
          `${this.path} ends at byte ${offset + done}, but its header promises more. ` +
            'The file was cut or is being written: download or convert it again.',
        );
      }
      done += bytesRead;
    }
  }

  /** Feeds the whole file to `hash`, a piece at a time. @throws UserError when it cannot be read. */
  async hashInto(hash: Hash): Promise<void> {
    const piece = new Uint8Array(Math.min(1 << 20, this.size));
    for (let offset = 0; offset < this.size; offset += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, this.size - offset));
      await this.read(part, offset);
      hash.update(part);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** A tensor and the file it is in. */
export interface LocatedTensor extends StoredTensor {
  readonly file: WeightFile;
}

/** Tensors with the file they are in. */
export function located(
  file: WeightFile,
  tensors: ReadonlyMap<string, StoredTensor>,
): ReadonlyMap<string, LocatedTensor> {
  return new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, file }]));
}

/** SHA-256 over the files' bytes one after another, hex. @throws UserError when one cannot be read. */
export async function hashFiles(files: Iterable<WeightFile>): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) await file.hashInto(hash);
  return hash.digest('hex');
}

/** Closes every file, also when closing one fails. */
export async function closeFiles(files: Iterable<WeightFile>): Promise<void> {
  await Promise.allSettled([...files].map((file) => file.close()));
}

/** A JSON file's value. @throws UserError when it is missing, longer than `maximumBytes`, or not JSON. */
export async function readJson(path: string, maximumBytes: number): Promise<unknown> {
  const size = await regularFileSize(path);
  if (size > maximumBytes) {
    throw new UserError(
      `${path} has ${size} bytes; a file of this kind has at most ${maximumBytes}. ` +
        'Check that this is the right file, or download it again.',
    );
  }
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new UserError(`${path} is not valid JSON (${short(messageOf(error))}). Download or write it again.`);
  }
}

/** What is wrong, and in which field, in valibot's words. */
export function describeIssue(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  return path === null ? issue.message : `${path}: ${issue.message}`;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Bytes a tensor takes, or null where `shape` does not fill whole blocks or the number is not a safe integer. */
export function storedBytes(type: TensorType, shape: readonly number[]): number | null {
  const { values, bytes } = blocks[type];
  const count = shape.reduce((product, length) => product * length, 1);
  if ((shape.at(-1) ?? 1) % values !== 0) return null;
  const total = (count / values) * bytes;
  return Number.isSafeInteger(count) && Number.isSafeInteger(total) ? total : null;
}

/** A name from a file, quoted and cut for use inside a message. */
export function quoted(name: string): string {
  return JSON.stringify(short(name));
}

function short(text: string): string {
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

async function regularFileSize(path: string): Promise<number> {
  let found;
  try {
    found = await stat(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  if (!found.isFile()) throw new UserError(`${path} is not a regular file. Give the path of a file.`);
  return found.size;
}

/** What to tell the user when the system refuses a path. */
export function unreadable(path: string, error: unknown): UserError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (isMissing(error)) return new UserError(`There is no ${path}. Check the path.`);
  if (code === 'EACCES' || code === 'EPERM') {
    return new UserError(`${path} may not be read by this user. Change its permissions.`);
  }
  return new UserError(`${path} cannot be read: ${messageOf(error)}. Check the path and the disk.`);
}
