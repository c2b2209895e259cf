/**
 * What a pool needs of whatever runs one program at a time, and how Python processes of ours are started.
 * Knows nothing of queues.
 */
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Program, SandboxLayer, Verdict } from '../types.ts';
import { FrameReader, type Frame } from './frames.ts';

/** What came of one run of a program. */
export interface Outcome {
  readonly verdict: Verdict;
  readonly detail?: string;
  readonly traceback?: string;
  readonly output?: string;
  readonly wallSeconds?: number;
  readonly cpuSeconds?: number;
  /** Of a time-out: whether the program may have lacked a processor. Without it nobody knows. */
  readonly starved?: boolean;
  /** The worker should not be used again. */
  readonly recycle?: boolean;
}

/** The worker itself ended, or is no longer to be understood: no verdict on the program. */
export class WorkerLost extends Error {
  override readonly name = 'WorkerLost';
}

export interface Worker {
  /** One at a time. Rejects with WorkerLost. */
  run(program: Program): Promise<Outcome>;
  /** Ends everything at once, a running program too; resolved when no process is left. */
  stop(): Promise<void>;
}

/** What a server says of itself first. */
export interface Hello {
  readonly version: string;
  readonly implementation: string;
  readonly executable: string;
  readonly layers: readonly SandboxLayer[];
}

export interface Launch {
  /** Interpreter and what stands before it (macOS: sandbox-exec). */
  readonly command: readonly [string, ...string[]];
  readonly script: string;
  readonly args: readonly string[];
  /** Folder of this process alone; made here, removed when the process has ended. */
  readonly scratch: string;
  /** What goes to standard error is a program's output (one-shot) or the server's own last words. */
  readonly onError?: (chunk: Buffer) => void;
}

const HELLO_SECONDS = 60;
const LAST_WORDS = 4096;
const PATIENCE_SECONDS = 1;

/** A Python process that speaks frames. */
export class PythonProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #reader = new FrameReader();
  readonly #exited: Promise<{ code: number | null; signal: string | null }>;
  readonly #closed: Promise<void>;
  #lastWords = '';
  onFrame: (frame: Frame) => void = () => undefined;
  /** Once, when the process has ended or sends what is no frame. */
  onLost: (why: string) => void = () => undefined;

  constructor(launch: Launch) {
    const outer = path.dirname(launch.scratch);
    mkdirSync(outer, { recursive: true, mode: 0o711 }); // a server that ended removes it when it is empty
    mkdirSync(launch.scratch, { mode: 0o700 });
    const [command, ...before] = launch.command;
    // -s -S: no packages of the user; -I would ignore PYTHONHASHSEED, which makes the order of sets the same every time.
    const child = spawn(
      command,
      [
        ...before,
        '-s',
        '-S',
        '-B',
        '-W',
        'ignore',
        '-X',
        'utf8',
        launch.script,
        ...launch.args,
        '--scratch',
        launch.scratch,
      ],
      {
        cwd: outer,
        env: environment(),
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: process.platform !== 'win32',
        windowsHide: true,
      },
    );
    this.#child = child;
    child.stdin.on('error', () => undefined); // the end of the process says it better
    child.stdout.on('data', (chunk: Buffer) => {
      try {
        for (const received of this.#reader.push(chunk)) this.onFrame(received);
      } catch (error) {
        this.#lastWords += ` (${String(error)})`;
        child.stdout.removeAllListeners('data');
        this.onLost(this.#lastWords.trim());
        this.kill();
      }
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (launch.onError) launch.onError(chunk);
      else this.#lastWords = (this.#lastWords + chunk.toString()).slice(-LAST_WORDS);
    });
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#lastWords += error.message;
        resolve({ code: null, signal: null });
      });
      child.once('exit', (code, signal) => {
        resolve({ code, signal });
      });
    });
    // 'close' also waits for the pipes, so every frame has been seen; it may wait for ever where something holds them.
    this.#closed = new Promise((resolve) => child.once('close', resolve));
    void this.#exited.then(async () => {
      await Promise.race([this.#closed, new Promise((resolve) => setTimeout(resolve, 200).unref())]);
      rmSync(launch.scratch, { recursive: true, force: true, maxRetries: 3 });
      this.onLost(this.#lastWords.trim());
    });
  }

  /** The first frame, or an Error with what the process said instead. */
  hello(): Promise<Hello> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.kill();
        reject(new WorkerLost(`Python did not start within ${HELLO_SECONDS} s`));
      }, HELLO_SECONDS * 1000);
      this.onFrame = ({ kind, payload }) => {
        clearTimeout(timer);
        if (kind === 'O') resolve(JSON.parse(payload.toString()) as Hello);
        else reject(new WorkerLost('Python sent something unknown'));
      };
      this.onLost = (why) => {
        clearTimeout(timer);
        reject(new WorkerLost(why === '' ? 'Python ended at once' : why));
      };
    });
  }

  get exited(): Promise<{ code: number | null; signal: string | null }> {
    return this.#exited;
  }

  send(data: Buffer): void {
    this.#child.stdin.write(data);
  }

  end(): void {
    this.#child.stdin.end();
  }

  kill(): void {
    killTree(this.#child);
  }

  /** The end of its input ends a server and what it runs; one that does not listen is killed. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    const patience = setTimeout(() => {
      this.kill();
    }, PATIENCE_SECONDS * 1000);
    await this.#exited;
    clearTimeout(patience);
  }
}

function killTree(child: ChildProcess): void {
  child.stdin?.destroy();
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
}

/** Nothing of the user's environment reaches a program but what Windows cannot start a process without. */
function environment(): NodeJS.ProcessEnv {
  const pinned = { PYTHONHASHSEED: '0', PYTHONDONTWRITEBYTECODE: '1', TZ: 'UTC' };
  // LD_BIND_NOW: symbols resolved in the server are not resolved again by each of its children.
  if (process.platform !== 'win32') return { ...pinned, PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', LD_BIND_NOW: '1' };
  const kept = ['SystemRoot', 'windir', 'SystemDrive', 'PATHEXT', 'NUMBER_OF_PROCESSORS', 'PROCESSOR_ARCHITECTURE'];
  return { ...pinned, ...Object.fromEntries(kept.map((name) => [name, process.env[name] ?? ''])) };
}
