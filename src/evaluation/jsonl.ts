/**
 * JSON Lines files: a streaming reader (plain or gzip, told apart by their first bytes) and an append-only writer that
 * survives a kill at any byte and a full disk. Memory is bounded by the longest line allowed.
 * Knows nothing of what the rows mean.
 */
import { createHash } from 'node:crypto';
import { constants, type FileHandle, open, rename, rm } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { messageOf, UserError, whatIsFull } from '../errors.ts';

const MEBIBYTE = 1024 * 1024;
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const CHUNK_BYTES = 64 * 1024;

/** One row and the line it stands on, counted from 1. Blank lines are counted and left out. */
export interface JsonLine {
  readonly line: number;
  readonly value: unknown;
}

export interface JsonLinesOptions {
  /**
   * For our own append-only files: a last line that was cut by a kill is reported in `end.cut` instead of thrown.
   * Data sets are read without it, so that half a file never passes for a whole one.
   */
  readonly tolerant?: boolean;
  /** Longest line in bytes; 64 MiB unless told. */
  readonly maxLineBytes?: number;
  /** Most bytes in all once unpacked; 4 GiB unless told. Stops a small gzip file that unpacks without end. */
  readonly maxBytes?: number;
}

/** What is known once the last row has been read. */
export interface JsonLinesEnd {
  readonly rows: number;
  /** SHA-256 of the file as it is stored, in hexadecimal. */
  readonly fileSha256: string;
  /** SHA-256 of what it holds: the same for a file and its gzip form. */
  readonly contentSha256: string;
  /** The cut last line that was left out (tolerant reading only), or null. */
  readonly cut: { readonly line: number; readonly bytes: number } | null;
}

/**
 * Reads a file of JSON Lines, row by row: `for await (const { line, value } of new JsonLinesReader(path))`.
 * A byte order mark, CRLF and blank lines are allowed; several gzip members in one file are read as one.
 *
 * @throws UserError naming file and line: not there, not JSON, not UTF-8, a line too long, broken gzip data, a cut last line.
 */
export class JsonLinesReader implements AsyncIterable<JsonLine> {
  readonly #path: string;
  readonly #options: JsonLinesOptions;
  #end: JsonLinesEnd | undefined;

  constructor(path: string, options: JsonLinesOptions = {}) {
    this.#path = path;
    this.#options = options;
  }

  /** Hashes and counts; there once every row has been read. */
  get end(): JsonLinesEnd {
    if (this.#end === undefined) throw new Error(`${this.#path} has not been read to its end`);
    return this.#end;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<JsonLine, void, undefined> {
    const { tolerant = false, maxLineBytes = 64 * MEBIBYTE } = this.#options;
    const path = this.#path;
    const fileHash = createHash('sha256');
    const contentHash = createHash('sha256');
    const decoder = new TextDecoder('utf-8', { fatal: true });
    let line = 1;
    let rows = 0;
    let pending: Buffer[] = []; // the bytes of the line being gathered
    let pendingBytes = 0;

    const hold = (bytes: Buffer): void => {
      pendingBytes += bytes.length;
      if (pendingBytes > maxLineBytes) {
        const limit = `${(maxLineBytes / MEBIBYTE).toFixed(maxLineBytes < MEBIBYTE ? 3 : 0)} MiB`;
        throw new UserError(
          `${path}, line ${line}: longer than ${limit}. This is not a JSON Lines file of problems or samples.`,
        );
      }
      pending.push(bytes);
    };
    /** The gathered line's value; undefined when it is blank. @throws SyntaxError, TypeError (not UTF-8) */
    const take = (): { value: unknown } | undefined => {
      const bytes = pending.length === 1 ? pending[0]! : Buffer.concat(pending);
      pending = [];
      pendingBytes = 0;
      const end = bytes.at(-1) === CARRIAGE_RETURN ? bytes.length - 1 : bytes.length;
      const text = decoder.decode(bytes.subarray(0, end)); // drops a byte order mark; a later line has none by the format
      return text.trim() === '' ? undefined : { value: JSON.parse(text) as unknown };
    };

    for await (const chunk of content(path, fileHash, this.#options.maxBytes ?? 4096 * MEBIBYTE)) {
      contentHash.update(chunk);
      let start = 0;
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
        hold(chunk.subarray(start, at));
        start = at + 1;
        let row;
        try {
          row = take();
        } catch (error) {
          throw new UserError(`${path}, line ${line}: ${whyNotJson(error)}.`);
        }
        if (row !== undefined) {
          rows += 1;
          yield { line, value: row.value };
        }
        line += 1;
      }
      if (start < chunk.length) hold(Buffer.from(chunk.subarray(start)));
    }

    let cut: JsonLinesEnd['cut'] = null;
    if (pendingBytes > 0) {
      const bytes = pendingBytes;
      let row;
      try {
        row = take(); // a last line without its newline is whole if it parses
      } catch (error) {
        if (!tolerant) {
          const why = whyNotJson(error);
          throw new UserError(
            `${path}, line ${line}: the file ends inside this row (${why}). It is cut or broken; get it again.`,
          );
        }
        cut = { line, bytes };
      }
      if (row !== undefined) {
        rows += 1;
        yield { line, value: row.value };
      }
    }
    this.#end = { rows, fileSha256: fileHash.digest('hex'), contentSha256: contentHash.digest('hex'), cut };
  }
}

/** The file's content, unpacked where it is gzip. `hash` is fed with the bytes as stored. */
async function* content(path: string, hash: ReturnType<typeof createHash>, maxBytes: number): AsyncGenerator<Buffer> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw cannotRead(path, error);
  }
  try {
    const magic = Buffer.alloc(2);
    const { bytesRead } = await file.read(magic, 0, 2, 0);
    const gzip = bytesRead === 2 && magic[0] === 0x1f && magic[1] === 0x8b;
    const stored = storedBytes(file, hash);
    let bytes = 0;
    for await (const chunk of gzip ? unpacked(stored) : stored) {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        throw new UserError(
          `${path}: more than ${Math.round(maxBytes / MEBIBYTE)} MiB once unpacked; nothing this large is expected here.`,
        );
      }
      yield chunk;
    }
  } catch (error) {
    throw cannotRead(path, error);
  } finally {
    await file.close();
  }
}

async function* storedBytes(file: FileHandle, hash: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for (let position = 0; ;) {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    const bytes = buffer.subarray(0, bytesRead);
    hash.update(bytes);
    yield bytes;
  }
}

async function* unpacked(stored: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  // The iteration below is told of every error; pipeline only ties the two ends together.
  pipeline(Readable.from(stored, { objectMode: false }), gunzip, () => undefined);
  for await (const chunk of gunzip) yield chunk as Buffer;
}

function cannotRead(path: string, error: unknown): unknown {
  if (error instanceof UserError) return error;
  const code = codeOf(error);
  if (code === 'ENOENT') return new UserError(`${path}: there is no such file.`);
  if (code === 'EISDIR') return new UserError(`${path} is a folder; a file of JSON Lines is expected.`);
  if (code === 'Z_BUF_ERROR')
    return new UserError(`${path}: the gzip data end too early. The file is cut; get it again.`);
  if (code.startsWith('Z_'))
    return new UserError(`${path}: broken gzip data (${messageOf(error)}). Get the file again.`);
  if (code !== '') return new UserError(`${path}: cannot be read (${messageOf(error)}).`);
  return error;
}

function whyNotJson(error: unknown): string {
  return error instanceof SyntaxError ? `not JSON: ${error.message}` : 'not UTF-8 text';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** The line for one row: ASCII only, as Python's `json.dumps` writes it, so that a reader's default encoding does not matter. */
function lineOf(row: object): Buffer {
  const ascii = JSON.stringify(row).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return Buffer.from(`${ascii}\n`, 'latin1');
}

/**
 * Appends rows to a file of JSON Lines. One writer a file.
 * A row goes out in one write; if that fails part-way the file is cut back to the rows before it, and appending may be tried
 * again. The system is asked to put rows on the disk at most once a second and at the end: a kill of the process loses at
 * most the row being written, a power cut the last second.
 */
export class JsonLinesWriter {
  readonly path: string;
  /** Bytes of a cut last row that were taken away at opening; 0 in a sound file. */
  readonly droppedBytes: number;
  readonly #file: FileHandle;
  #size: number;
  /** Bytes of a failed write may lie behind `#size`. */
  #dirty = false;
  #unsynced = false;
  #lastSync = Date.now();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: FileHandle, size: number, droppedBytes: number) {
    this.path = path;
    this.#file = file;
    this.#size = size;
    this.droppedBytes = droppedBytes;
  }

  /**
   * Opens or makes the file. A cut last row is taken away; a whole one that only lacks its newline gets it.
   * @throws UserError when the file cannot be opened, written, or is gzip.
   */
  static async open(path: string): Promise<JsonLinesWriter> {
    let file: FileHandle | undefined;
    try {
      file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
      const { size } = await file.stat();
      const magic = Buffer.alloc(2);
      await file.read(magic, 0, 2, 0);
      if (size > 1 && magic[0] === 0x1f && magic[1] === 0x8b) {
        throw new UserError(`${path} is gzip; rows are appended to plain files only. Unpack it first.`);
      }
      const sound = await endOfLastLine(file, size);
      if (sound === size) return new JsonLinesWriter(path, file, size, 0);
      const tail = Buffer.alloc(size - sound);
      await file.read(tail, 0, tail.length, sound);
      if (parses(tail)) {
        await file.write(Buffer.from('\n'), 0, 1, size);
        return new JsonLinesWriter(path, file, size + 1, 0);
      }
      await file.truncate(sound);
      return new JsonLinesWriter(path, file, sound, size - sound);
    } catch (error) {
      await file?.close();
      throw cannotWrite(path, error);
    }
  }

  /**
   * Appends one row. Calls may overlap; rows come in the order of the calls.
   * @throws UserError when the disk is full or the file cannot be written: the rows before are safe.
   */
  append(row: object): Promise<void> {
    const bytes = lineOf(row);
    const done = this.#last.then(() => this.#write(bytes));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #write(bytes: Buffer): Promise<void> {
    try {
      if (this.#dirty) await this.#file.truncate(this.#size);
      this.#dirty = true;
      for (let written = 0; written < bytes.length;) {
        const { bytesWritten } = await this.#file.write(bytes, written, bytes.length - written, this.#size + written);
        written += bytesWritten;
      }
      this.#size += bytes.length;
      this.#dirty = false;
      this.#unsynced = true;
      if (Date.now() - this.#lastSync >= 1000) await this.#sync();
    } catch (error) {
      if (this.#dirty) {
        await this.#file.truncate(this.#size).then(
          () => (this.#dirty = false),
          () => undefined, // tried again before the next row, and by `open`
        );
      }
      throw cannotWrite(this.path, error);
    }
  }

  async #sync(): Promise<void> {
    if (!this.#unsynced) return;
    await this.#file.datasync();
    this.#unsynced = false;
    this.#lastSync = Date.now();
  }

  /** Waits for the rows under way, has them put on the disk, and closes. @throws UserError */
  async close(): Promise<void> {
    await this.#last;
    try {
      await this.#sync();
    } catch (error) {
      throw cannotWrite(this.path, error);
    } finally {
      await this.#file.close();
    }
  }
}

/**
 * Writes a whole file of JSON Lines so that there is always either the old one or the new one.
 * @throws UserError when it cannot be written; the old file is then as it was.
 */
export async function replaceJsonLines(path: string, rows: Iterable<object>): Promise<void> {
  const partial = `${path}.part`;
  try {
    const file = await open(partial, 'w');
    try {
      for (const row of rows) await file.writeFile(lineOf(row)); // goes on where the last one ended
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw cannotWrite(path, error);
  }
}

/** Offset just behind the last newline; 0 when there is none. */
async function endOfLastLine(file: FileHandle, size: number): Promise<number> {
  const buffer = Buffer.alloc(CHUNK_BYTES);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    const at = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (at >= 0) return start + at + 1;
    end = start;
  }
  return 0;
}

function parses(bytes: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

function cannotWrite(path: string, error: unknown): unknown {
  if (error instanceof UserError) return error;
  const full = whatIsFull(error);
  if (full !== null) {
    return new UserError(
      `A row could not be written to ${path}: ${full}. The rows before it are safe; make room and start again, it goes on from there.`,
    );
  }
  if (codeOf(error) !== '') return new UserError(`${path}: cannot be written (${messageOf(error)}).`);
  return error;
}
