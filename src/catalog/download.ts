/**
 * One file of known size and checksum from one address to one path: resumed, checked while it streams, and put in
 * place whole or not at all. Knows nothing of hubs or of what the file is for.
 *
 * The bytes go to `PATH.DIGEST.part`. What it holds can only belong to that content, so a later call goes on where it
 * ends whatever server or address the rest comes from, and the checksum settles it.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { flushFolder } from '../engine/weights/writtenAside.ts';
import { UserError } from '../errors.ts';
import { checkSpace, explainWriteError, type freeBytes } from './disk.ts';
import { defaultRetry, fetchPolitely, pause, reasonOf, retryDelay, type RetryOptions } from './http.ts';
import { withLock } from './lock.ts';
import { formatBytes, type ProgressListener } from './plan.ts';

/** `git-blob` is SHA-1 over git's header and the content: the id that git gives a file. */
export interface Checksum {
  readonly algorithm: 'sha256' | 'git-blob';
  /** Lower-case hex. */
  readonly digest: string;
}

export interface DownloadRequest {
  readonly url: string;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly checksum: Checksum;
  /** `authorization` reaches the address's own origin only: fetch drops it when it is redirected elsewhere. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface DownloadOptions extends RetryOptions {
  /** Bytes of this file done, those of earlier calls too, and its size. */
  readonly onProgress?: ProgressListener | undefined;
  /** Free bytes at a folder; replaced in tests. */
  readonly free?: typeof freeBytes | undefined;
}

/** A connection that another try may mend. */
class Interrupted extends Error {}

/** The bytes are not those that were promised, so they must not be gone on with. */
class Mismatch extends Error {}

/**
 * Fetches `request.url` into `request.path`; does nothing when it is there, replaces what has another size.
 * A connection that breaks is gone on with, up to `attempts` times in a row without a new byte.
 * @throws UserError for everything a user can mend; the signal's reason when aborted. What was fetched is kept in both
 * cases, unless it was proved wrong.
 */
export async function download(request: DownloadRequest, options: DownloadOptions = {}): Promise<void> {
  const { path, checksum } = request;
  await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
    throw explainWriteError(error, path);
  });
  await withLock(path, options.signal, async () => {
    if (await isDownloaded(request)) return;
    const part = `${path}.${checksum.digest.slice(0, 12)}.part`;
    for (let resumable = true; ; resumable = false) {
      try {
        await fetchWhole(request, options, part);
        return;
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!(error instanceof Mismatch)) throw explainWriteError(error, part);
        await rm(part, { force: true });
        // A part may have been damaged on the disk: once more from the start settles it.
        if (resumable) continue;
        throw new UserError(
          `${request.url}: ${error.message}, twice. Nothing was kept. The file has changed there, or something on the ` +
            'way alters it: try another network, or fetch it by other means and give its path.',
        );
      }
    }
  });
}

/** A file of the right size under its final name was checked before it got that name. */
export async function isDownloaded({ path, size }: Pick<DownloadRequest, 'path' | 'size'>): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile() && found.size === size,
    () => false,
  );
}

/** Goes on until the part is complete, then checks it and puts it in place. */
async function fetchWhole(request: DownloadRequest, options: DownloadOptions, path: string): Promise<void> {
  const { attempts = defaultRetry.attempts, firstDelay = defaultRetry.firstDelay } = options;
  const part = await Part.open(path, request);
  try {
    await checkSpace(dirname(path), request.size - part.bytes, options.free);
    options.onProgress?.(part.bytes, request.size);
    let failures = 0;
    while (part.bytes < request.size) {
      const before = part.bytes;
      try {
        await fetchRest(request, options, part);
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!(error instanceof Interrupted)) throw error;
        failures = part.bytes > before ? 1 : failures + 1;
        if (failures >= attempts) {
          throw new UserError(
            `${request.url}: the connection broke ${failures} times (${error.message}). ` +
              `${formatBytes(part.bytes)} are kept: run the same command again to go on.`,
          );
        }
        await pause(retryDelay(failures, firstDelay, null), options.signal);
      }
    }
    part.check(request.checksum);
    await part.handle.sync();
    await part.handle.close();
    await rename(path, request.path);
    await flushFolder(dirname(request.path));
  } finally {
    await part.handle.close().catch(() => undefined);
  }
}

/** One answer of the server, appended to the part. */
async function fetchRest(request: DownloadRequest, options: DownloadOptions, part: Part): Promise<void> {
  const stalled = new AbortController();
  const signal = options.signal === undefined ? stalled.signal : AbortSignal.any([options.signal, stalled.signal]);
  const headers: Record<string, string> = { ...request.headers, 'accept-encoding': 'identity' };
  if (part.bytes > 0) headers['range'] = `bytes=${part.bytes}-`;
  const response = await fetchPolitely(request.url, { headers }, { ...options, signal });
  const { body } = response;
  if (!response.ok || body === null) {
    await body?.cancel();
    if (response.status !== 416) throw refusal(request, response);
    await part.restart();
    throw new Interrupted('the server has no such range');
  }
  if (response.status === 206 && startOf(response) !== part.bytes) {
    await body.cancel();
    await part.restart();
    throw new Interrupted('the server sent another range than asked for');
  }
  if (response.status !== 206) await part.restart(); // the whole file: a server that knows no ranges
  const stallTime = options.stallTime ?? defaultRetry.stallTime;
  const onStall = (): void => {
    stalled.abort(new Error(`no byte for ${stallTime / 1000} s`));
  };
  let timer = setTimeout(onStall, stallTime);
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw new Interrupted(reasonOf(error));
      });
      clearTimeout(timer);
      if (done) break;
      if (part.bytes + value.length > request.size)
        throw new Mismatch(`it is larger than the ${request.size} bytes announced`);
      await part.append(value);
      options.onProgress?.(part.bytes, request.size);
      timer = setTimeout(onStall, stallTime);
    }
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => undefined);
  }
  if (part.bytes === request.size) return;
  // With its announced length kept this is all the server has; without one it may be a broken connection.
  const length = response.headers.get('content-length');
  if (length === null) throw new Interrupted(`it ended after ${part.bytes} of ${request.size} bytes`);
  throw new Mismatch(`it has ${part.bytes} bytes where ${request.size} were announced`);
}

/** First byte of a 206's `Content-Range`, or null. */
function startOf(response: Response): number | null {
  const match = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '');
  return match === null ? null : Number(match[1]);
}

function refusal(request: DownloadRequest, response: Response): UserError {
  const { status } = response;
  const hint =
    status === 404 || status === 410
      ? 'It is not there (any more): check the name.'
      : status === 401 || status === 403
        ? 'It is not for everyone: accept its terms where it is published and give a token (HF_TOKEN for Hugging Face).'
        : status === 429
          ? 'Too many requests: wait some minutes and run the same command again.'
          : status >= 500
            ? 'The server is in trouble: run the same command again later.'
            : 'Check the address.';
  return new UserError(`${request.url}: the server answered ${`${status} ${response.statusText}`.trim()}. ${hint}`);
}

/** The unfinished file: how much of it there is, and its hash so far. */
class Part {
  readonly handle: FileHandle;
  readonly #request: DownloadRequest;
  #bytes = 0;
  #hash: Hash;

  private constructor(handle: FileHandle, request: DownloadRequest) {
    this.handle = handle;
    this.#request = request;
    this.#hash = freshHash(request);
  }

  /** Takes up what an earlier call left. */
  static async open(path: string, request: DownloadRequest): Promise<Part> {
    const length = await stat(path).then(
      (found) => (found.size <= request.size ? found.size : 0),
      () => 0,
    );
    const part = new Part(await open(path, length > 0 ? 'r+' : 'w'), request);
    try {
      if (length > 0) {
        for await (const chunk of createReadStream(path, { end: length - 1, highWaterMark: 2 ** 20 })) {
          part.#count(chunk as Buffer);
        }
      }
    } catch (error) {
      await part.handle.close();
      throw error;
    }
    return part;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What a full disk refuses does not count, so that the next call goes on from what is there. */
  async append(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.length > 0;) {
      const { bytesWritten } = await this.handle.write(rest, 0, rest.length, this.#bytes);
      this.#count(rest.subarray(0, bytesWritten));
      rest = rest.subarray(bytesWritten);
    }
  }

  async restart(): Promise<void> {
    if (this.#bytes === 0) return;
    await this.handle.truncate(0);
    this.#bytes = 0;
    this.#hash = freshHash(this.#request);
  }

  /** @throws Mismatch when the bytes are not those promised. */
  check({ algorithm, digest }: Checksum): void {
    const found = this.#hash.digest('hex');
    if (found !== digest.toLowerCase())
      throw new Mismatch(`the ${algorithm} hash of what came is ${found}, not ${digest}`);
  }

  #count(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
  }
}

function freshHash({ checksum, size }: DownloadRequest): Hash {
  return checksum.algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}
