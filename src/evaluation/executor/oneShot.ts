/**
 * A worker made of interpreters that run one program each and were started ahead of it: python/server.py once.
 * For systems without fork (Windows); the time limit is kept here, by killing. In strict mode two interpreters run and their
 * frames pass through here.
 */
import { randomBytes } from 'node:crypto';
import { frame, type Frame } from './frames.ts';
import type { Program } from '../types.ts';
import { PythonProcess, WorkerLost, type Hello, type Launch, type Outcome, type Worker } from './worker.ts';

/** Bytes of output kept for each program, as in python/runner.py. */
const CAPTURED = 64 * 1024;
/** How long a program may take to end after it has passed. */
const GRACE_SECONDS = 0.5;

type Role = 'alone' | 'judge' | 'candidate';

interface Warm {
  readonly process: PythonProcess;
  readonly hello: Hello;
  readonly output: { text: Buffer[]; size: number };
}

export class OneShot implements Worker {
  readonly hello: Hello;
  readonly #launch: () => Launch;
  readonly #roles: readonly Role[];
  #next: Promise<Warm[]>;
  #running: Warm[] = [];
  #stopped = false;

  private constructor(launch: () => Launch, roles: readonly Role[], first: Warm[]) {
    this.#launch = launch;
    this.#roles = roles;
    this.#next = Promise.resolve(first);
    this.hello = first[0]!.hello;
  }

  /** `launch` gives a fresh scratch folder each time. Throws WorkerLost when Python does not start. */
  static async start(launch: () => Launch, strict: boolean, probe: boolean): Promise<OneShot> {
    const roles: readonly Role[] = strict ? ['judge', 'candidate'] : ['alone'];
    return new OneShot(launch, roles, await warm(launch, roles, probe));
  }

  async run(program: Program): Promise<Outcome> {
    const mine = await this.#next;
    if (this.#stopped) throw new WorkerLost('The interpreter was stopped.');
    this.#running = mine;
    this.#next = warm(this.#launch, this.#roles, false);
    this.#next.catch(() => undefined); // said by the next run
    try {
      return await once(program, mine);
    } finally {
      await end(mine);
      this.#running = [];
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await end([...this.#running, ...(await this.#next.catch(() => []))]);
  }
}

/** At once: an interpreter that runs a program listens to nothing. */
async function end(interpreters: readonly { process: PythonProcess }[]): Promise<void> {
  await Promise.all(
    interpreters.map(({ process }) => {
      process.kill();
      return process.exited;
    }),
  );
}

async function warm(launch: () => Launch, roles: readonly Role[], probe: boolean): Promise<Warm[]> {
  const started = roles.map((role) => {
    const output = { text: [] as Buffer[], size: 0 };
    const process = new PythonProcess({
      ...launch(),
      args: ['once', '--role', role, ...(probe ? ['--probe'] : [])],
      onError(chunk) {
        if (output.size < CAPTURED) output.text.push(chunk.subarray(0, CAPTURED - output.size));
        output.size += chunk.length;
      },
    });
    return { process, output };
  });
  const hellos = await Promise.allSettled(started.map(({ process }) => process.hello()));
  const failed = hellos.find((hello) => hello.status === 'rejected');
  if (failed !== undefined) {
    await end(started);
    throw failed.reason instanceof Error ? failed.reason : new WorkerLost(String(failed.reason));
  }
  return started.map((one, index) => ({ ...one, hello: (hellos[index] as PromiseFulfilledResult<Hello>).value }));
}

function once(program: Program, [main, candidate]: readonly Warm[]): Promise<Outcome> {
  return new Promise((resolve) => {
    if (main === undefined) throw new WorkerLost('There is no interpreter.');
    const started = performance.now();
    const secret = randomBytes(32);
    let verdict: Outcome | undefined;
    let cpuSeconds: number | undefined;
    let lostCandidate = false;

    const finish = (outcome: Outcome): void => {
      clearTimeout(timer);
      const wallSeconds = (performance.now() - started) / 1000;
      const text = [...main.output.text, ...(candidate?.output.text ?? [])];
      const output = Buffer.concat(text).toString();
      resolve({ ...outcome, output, wallSeconds, cpuSeconds: cpuSeconds ?? wallSeconds });
    };
    let timer = setTimeout(() => {
      finish({ verdict: 'timed out' });
    }, program.timeLimit * 1000);

    const decided = (outcome: Outcome): void => {
      if (verdict !== undefined) return;
      verdict = outcome;
      clearTimeout(timer);
      timer = setTimeout(finish, GRACE_SECONDS * 1000, outcome);
    };
    main.process.onFrame = (received) => {
      if (/[a-z]/.test(received.kind)) candidate?.process.send(frame(received.kind, received.payload));
      else if (received.kind === 'E') cpuSeconds = seconds(received) ?? cpuSeconds;
      else if (received.kind === 'L') {
        lostCandidate = true;
        candidate?.process.kill();
        if (candidate !== undefined) void ended(candidate).then(decided);
      } else decided(read(received, secret));
    };
    main.process.onLost = () => {
      if (lostCandidate) return; // the candidate's end is the verdict
      void ended(main).then((outcome) => {
        finish(verdict ?? outcome);
      });
    };
    if (candidate !== undefined) {
      candidate.process.onFrame = (received) => {
        if (/[a-z]/.test(received.kind)) main.process.send(frame(received.kind, received.payload));
      };
      candidate.process.onLost = () => {
        main.process.end();
      };
    }
    const { check, entryPoint, memoryLimit, support = '' } = program;
    const request = (job: object): Buffer => frame('J', Buffer.from(JSON.stringify(job)));
    if (candidate === undefined) {
      main.process.send(Buffer.concat([request({ candidate: program.candidate, check, memoryLimit }), secret]));
      main.process.end();
    } else {
      main.process.send(Buffer.concat([request({ check, entryPoint, support, memoryLimit }), secret]));
      candidate.process.send(request({ candidate: program.candidate, memoryLimit }));
    }
  });
}

function seconds({ payload }: Frame): number | undefined {
  try {
    const { cpuSeconds } = JSON.parse(payload.toString()) as { cpuSeconds?: unknown };
    return typeof cpuSeconds === 'number' ? cpuSeconds : undefined;
  } catch {
    return undefined;
  }
}

/** What a verdict frame says. Whatever is not one was written by the program, which thereby failed. */
function read({ kind, payload }: Frame, secret: Buffer): Outcome {
  if (kind === 'P' && payload.equals(secret)) return { verdict: 'passed' };
  if (kind === 'H' && payload.subarray(0, secret.length).equals(secret))
    return { verdict: 'harness error', detail: payload.subarray(secret.length).toString() };
  if (kind !== 'F' && kind !== 'M') return { verdict: 'failed', detail: 'wrote into the channel of its verdict' };
  const verdict = kind === 'F' ? 'failed' : 'out of memory';
  try {
    const { detail, traceback } = JSON.parse(payload.toString()) as Record<string, unknown>;
    const text = (value: unknown): string => (typeof value === 'string' ? value : '');
    return { verdict, detail: text(detail), traceback: text(traceback) };
  } catch {
    return { verdict };
  }
}

/** What the end of a process without a verdict means. */
async function ended({ process }: Warm): Promise<Outcome> {
  const { code, signal } = await process.exited;
  if (signal === 'SIGKILL') return { verdict: 'out of memory', detail: 'killed by the system' };
  if (signal !== null) return { verdict: 'crashed', detail: signal };
  // Windows ends a process by an exception with its NTSTATUS as exit code.
  if (code !== null && code >>> 0 >= 0xc0000000)
    return { verdict: 'crashed', detail: `0x${(code >>> 0).toString(16)}` };
  return { verdict: 'failed', detail: `ended with exit status ${code ?? 0} before the check had returned` };
}
