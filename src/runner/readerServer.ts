/**
 * The process that reads code for an editor (`midtrain reader`): answers `readerProtocol.ts` on its standard streams. It holds
 * one model, which another one replaces and which goes when nobody has asked for a while. One reading at a time.
 * It ends with its parent, whose end of the streams closes then. Knows nothing of editors.
 */
import type { Readable, Writable } from 'node:stream';
import * as v from 'valibot';
import {
  type CancellationToken,
  createMessageConnection,
  ErrorCodes,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node';
import { UserError } from '../errors.ts';
import { parseLatents } from '../midtraining/abstractions/latents.ts';
import { readCode } from '../midtraining/rollouts/readCode.ts';
import { collectGarbage, residentBytes } from './memory.ts';
import { openReader, type OpenReader } from './reader.ts';
import {
  type ReadAnswer,
  readerErrors,
  type ReaderMemory,
  readerMethods,
  type ReaderProgress,
  type ReadParams,
  readSchema,
} from './readerProtocol.ts';

export interface ReaderServerOptions {
  readonly input: Readable;
  readonly output: Writable;
  /** How long a model stays loaded that nobody asks for. */
  readonly idleMilliseconds: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Progress is told at most so often. */
const TELL_MILLISECONDS = 100;

/** Settles when the other end has closed, or `signal` was aborted, and the model is unloaded. */
export async function serveReader({ input, output, idleMilliseconds, signal }: ReaderServerOptions): Promise<void> {
  const connection = createMessageConnection(new StreamMessageReader(input), new StreamMessageWriter(output));
  const ended = new AbortController();
  const end = (): void => {
    ended.abort(new Error('the other end has closed'));
  };
  const holder = new Holder(idleMilliseconds);

  connection.onRequest(readerMethods.read, async (params: unknown, token: CancellationToken): Promise<ReadAnswer> => {
    const parsed = v.safeParse(readSchema, params);
    if (!parsed.success) {
      const issue = parsed.issues[0];
      const where = v.getDotPath(issue) ?? 'the parameters';
      throw new ResponseError(ErrorCodes.InvalidParams, `${where}: ${issue.message}`);
    }
    const cancelled = new AbortController();
    token.onCancellationRequested(() => {
      cancelled.abort(new ResponseError(readerErrors.cancelled, 'cancelled'));
    });
    const asked = parsed.output;
    let told = -Infinity;
    const tell = (phase: ReaderProgress['phase'], done = 0, total = 0): void => {
      const now = performance.now();
      if (phase === 'read' && done > 0 && done < total && now - told < TELL_MILLISECONDS) return;
      told = now;
      const progress: ReaderProgress = { id: asked.id, phase, done, total };
      connection.sendNotification(readerMethods.progress, progress).catch(end);
    };
    try {
      return await holder.read(asked, tell, AbortSignal.any([cancelled.signal, ended.signal]));
    } catch (error) {
      if (error instanceof UserError) throw new ResponseError(readerErrors.user, error.message);
      throw error;
    }
  });
  connection.onRequest(readerMethods.memory, (): ReaderMemory => {
    return { resident: residentBytes(), model: holder.model };
  });
  connection.onClose(end);
  connection.onError(end);
  signal.addEventListener('abort', end);
  connection.listen();
  await new Promise((resolve) => {
    ended.signal.addEventListener('abort', resolve);
  });
  connection.dispose();
  await holder.close();
}

/** The model that is loaded, and the readings that wait for it. */
class Holder {
  readonly #idleMilliseconds: number;
  #held: { readonly key: string; readonly open: OpenReader } | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #idle: NodeJS.Timeout | null = null;

  constructor(idleMilliseconds: number) {
    this.#idleMilliseconds = idleMilliseconds;
  }

  get model(): string | null {
    return this.#held?.open.model.name ?? null;
  }

  async read(
    asked: ReadParams,
    tell: (phase: ReaderProgress['phase'], done?: number, total?: number) => void,
    signal: AbortSignal,
  ): Promise<ReadAnswer> {
    if (this.#waiting > 0) tell('wait');
    return this.#inTurn(async () => {
      signal.throwIfAborted();
      const { reader, model } = await this.#open(asked, tell, signal);
      signal.throwIfAborted();
      const { name, text, latents, threshold } = asked;
      const reading = await readCode(
        reader,
        { name, text, latents, threshold, model },
        {
          signal,
          onProgress: ({ done, total }) => {
            tell('read', done, total);
          },
        },
      );
      return { reading, rows: parseLatents(reader.parser, text).rows };
    });
  }

  async close(): Promise<void> {
    await this.#inTurn(() => this.#unload());
    if (this.#idle !== null) clearTimeout(this.#idle);
  }

  async #open(asked: ReadParams, tell: (phase: 'load') => void, signal: AbortSignal): Promise<OpenReader> {
    const { model, device, threads } = asked;
    const key = JSON.stringify([model, device, threads]);
    if (this.#held?.key === key) return this.#held.open;
    await this.#unload();
    tell('load');
    const wanted = 'path' in model ? model : { run: model.run, checkpoint: model.step ?? ('base' as const) };
    const open = await openReader(wanted, { device, precision: 'auto', threads, signal });
    this.#held = { key, open };
    return open;
  }

  async #unload(): Promise<void> {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    await held.open.close();
    collectGarbage();
  }

  /** One thing after another; when the last is over, the model waits to be unloaded. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#waiting++;
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      if (--this.#waiting === 0 && this.#held !== null) {
        this.#idle = setTimeout(() => void this.#inTurn(() => this.#unload()), this.#idleMilliseconds);
        this.#idle.unref();
      }
    }
  }
}
