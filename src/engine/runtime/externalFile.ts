/**
 * The file of a graph's external data: aligned appends. Knows nothing of what the bytes mean.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { messageOf, UserError } from '../../errors.ts';
import type { ExternalData } from '../onnx/graph.ts';

/** ONNX Runtime maps external data by page. */
const ALIGNMENT = 4096;

export class ExternalFile implements ExternalData {
  readonly location: string;
  readonly #path: string;
  readonly #file: number;
  #length = 0;

  constructor(path: string) {
    this.location = basename(path);
    this.#path = path;
    this.#file = openSync(path, 'w', 0o600);
  }

  /** Bytes written, padding included. */
  get length(): number {
    return this.#length;
  }

  /** @throws UserError when the disk is full or the file cannot be written. */
  append(bytes: Uint8Array): { offset: number } {
    const offset = Math.ceil(this.#length / ALIGNMENT) * ALIGNMENT;
    try {
      for (let done = 0; done < bytes.length;) {
        done += writeSync(this.#file, bytes, done, bytes.length - done, offset + done);
      }
    } catch (error) {
      throw new UserError(
        `The prepared weights could not be written to ${this.#path} (${messageOf(error)}). ` +
          'Free some disk space, or set TMPDIR to a folder on a larger disk.',
        { cause: error },
      );
    }
    this.#length = offset + bytes.length;
    return { offset };
  }

  close(): void {
    closeSync(this.#file);
  }
}
