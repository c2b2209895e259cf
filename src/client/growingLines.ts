/**
 * Reads a file of lines that somebody else is still writing: each call goes on where the last one ended, and a line without
 * its newline is left for next time. Reads in chunks with a turn of the event loop between them, so that whoever shares the
 * process is not held up. Knows nothing of what the lines hold.
 */
import type { Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { isMissing } from '../errors.ts';

const CHUNK_BYTES = 128 * 1024;
const LONGEST_LINE = 8 * 1024 * 1024;
const NEWLINE = 0x0a;

/** A line and where it stands. `bytes` is without the newline; null: longer than 8 MiB, and passed over. */
export interface PlacedLine {
  readonly offset: number;
  readonly length: number;
  readonly bytes: Buffer | null;
}

export interface GrowingLinesState {
  /** Byte behind the last whole line that was read. */
  readonly offset: number;
  /** Size of the file when it was last looked at; 0 without one. */
  readonly size: number;
  readonly missing: boolean;
}

export class GrowingLines {
  readonly path: string;
  #state: GrowingLinesState = { offset: 0, size: 0, missing: true };
  #inode = 0;

  constructor(path: string) {
    this.path = path;
  }

  get state(): GrowingLinesState {
    return this.#state;
  }

  /** Whether what was read is no longer there: the file is shorter, gone, or another one. It has to be read from its beginning. */
  async wasReplaced(): Promise<boolean> {
    if (this.#state.offset === 0) return false;
    const found = await ifThere(stat(this.path));
    return found === null || found.size < this.#state.offset || found.ino !== this.#inode;
  }

  /** Reads from the beginning next time. */
  restart(): void {
    this.#state = { offset: 0, size: 0, missing: true };
  }

  /**
   * The whole lines behind the last one read, those of a chunk at a time. Left early it goes on behind the chunk.
   * @throws the system's error when the file cannot be read; that it is not there is none
   */
  async *read(): AsyncGenerator<readonly PlacedLine[], void, undefined> {
    const file = await ifThere(open(this.path, 'r'));
    if (file === null) {
      this.#state = { ...this.#state, missing: true, size: 0 };
      return;
    }
    try {
      let at = this.#state.offset;
      let begun: Buffer[] = []; // of the line that goes over the end of a chunk
      let begunBytes = 0;
      for (;;) {
        const { size, ino } = await file.stat();
        this.#inode = ino;
        this.#state = { ...this.#state, missing: false, size };
        const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, at);
        if (bytesRead === 0) return;
        const chunk = buffer.subarray(0, bytesRead);
        const lines: PlacedLine[] = [];
        let start = 0;
        for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
          const length = begunBytes + end - start;
          const rest = chunk.subarray(start, end);
          const bytes = length > LONGEST_LINE ? null : begun.length === 0 ? rest : Buffer.concat([...begun, rest]);
          lines.push({ offset: this.#state.offset, length, bytes });
          this.#state = { ...this.#state, offset: this.#state.offset + length + 1 };
          begun = [];
          begunBytes = 0;
          start = end + 1;
        }
        begunBytes += bytesRead - start;
        if (begunBytes > LONGEST_LINE) begun = [];
        else begun.push(chunk.subarray(start));
        at += bytesRead;
        if (lines.length > 0) yield lines;
        await turn();
      }
    } finally {
      await file.close();
    }
  }
}

/** The bytes of a line that was placed before. @throws the system's error */
export async function readPlaced(path: string, { offset, length }: Omit<PlacedLine, 'bytes'>): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function ifThere<T extends FileHandle | Stats>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
