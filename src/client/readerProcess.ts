/**
 * The process that reads code for this window: started when it is first asked, begun anew when it has ended, and ended with
 * the window. Knows nothing of VS Code or of what a reading is for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  CancellationTokenSource,
  createMessageConnection,
  ErrorCodes,
  type MessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node';
import { messageOf, UserError } from '../errors.ts';
import { RETURNING_MEMORY } from '../runner/memory.ts';
import {
  type ReadAnswer,
  readerErrors,
  type ReaderMemory,
  readerMethods,
  type ReaderProgress,
  type ReadParams,
} from '../runner/readerProtocol.ts';

export interface ReaderProcessOptions {
  /** The bundle of the headless command. */
  readonly command: string;
  /** A Node, or an Electron that behaves as one with `ELECTRON_RUN_AS_NODE`. */
  readonly node?: string;
  /** Asked when it is started. */
  readonly env?: () => Readonly<Record<string, string>>;
  /** Seconds that a model stays loaded unused; default: the command's. */
  readonly idle?: number;
}

export interface ReadOptions {
  /** Aborting rejects with its reason. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ReaderProgress) => void;
}

/** Characters of its last words that are kept. */
const KEPT_WORDS = 4000;

/** What the connection itself answers when it is lost. */
const LOST: readonly number[] = [
  ErrorCodes.PendingResponseRejected,
  ErrorCodes.ConnectionInactive,
  ErrorCodes.MessageWriteError,
  ErrorCodes.MessageReadError,
];

interface Running {
  readonly child: ChildProcess;
  readonly connection: MessageConnection;
  /** Settles when it has ended, with why. */
  readonly ended: Promise<string>;
}

export class ReaderProcess {
  readonly #options: ReaderProcessOptions;
  readonly #progress = new Map<number, (progress: ReaderProgress) => void>();
  #running: Running | null = null;
  #asked = 0;

  constructor(options: ReaderProcessOptions) {
    this.#options = options;
  }

  /** Of the process; null while there is none. */
  get pid(): number | null {
    return this.#running?.child.pid ?? null;
  }

  /** @throws UserError when it cannot be read, or the process ends meanwhile; the signal's reason when aborted */
  async read(params: Omit<ReadParams, 'id'>, { signal, onProgress }: ReadOptions = {}): Promise<ReadAnswer> {
    signal?.throwIfAborted();
    const { connection, ended } = (this.#running ??= this.#start());
    const id = ++this.#asked;
    const source = new CancellationTokenSource();
    const cancel = (): void => {
      source.cancel();
    };
    signal?.addEventListener('abort', cancel);
    if (onProgress !== undefined) this.#progress.set(id, onProgress);
    const gone = ended.then((why): never => {
      throw new UserError(`The process that reads code has ended: ${why}. Ask again to start another.`);
    });
    try {
      const asked: ReadParams = { ...params, id };
      return await Promise.race([connection.sendRequest<ReadAnswer>(readerMethods.read, asked, source.token), gone]);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ResponseError && error.code === readerErrors.user) throw new UserError(error.message);
      // A connection that is lost says so before the process has ended, whose last words say more.
      const isAnswer = error instanceof ResponseError && !LOST.includes(error.code);
      throw isAnswer ? error : await gone;
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.#progress.delete(id);
      source.dispose();
    }
  }

  /** Null while there is no process. */
  async memory(): Promise<ReaderMemory | null> {
    return (await this.#running?.connection.sendRequest<ReaderMemory>(readerMethods.memory)) ?? null;
  }

  /** Ends the process. */
  close(): void {
    this.#running?.child.kill();
  }

  #start(): Running {
    const { command, node = process.execPath, env, idle } = this.#options;
    const child = spawn(node, [command, 'reader', ...(idle === undefined ? [] : ['--idle', String(idle)])], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...RETURNING_MEMORY, ...env?.(), ELECTRON_RUN_AS_NODE: '1' },
      windowsHide: true,
    });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-KEPT_WORDS)));
    child.stdin.on('error', () => undefined); // it has ended, which is told below
    const connection = createMessageConnection(
      new StreamMessageReader(child.stdout),
      new StreamMessageWriter(child.stdin),
    );
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => {
        resolve(messageOf(error));
      });
      child.once('close', (code, by) => {
        resolve(words.trim().replace(/\.$/, '') || (by === null ? `with status ${code}` : `by ${by}`));
      });
    });
    const running = { child, connection, ended };
    void ended.then(() => {
      connection.dispose();
      if (this.#running === running) this.#running = null;
    });
    connection.onNotification(readerMethods.progress, (progress: ReaderProgress) => {
      this.#progress.get(progress.id)?.(progress);
    });
    connection.onError(() => child.kill());
    connection.listen();
    return running;
  }
}
