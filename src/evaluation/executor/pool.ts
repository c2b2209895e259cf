/**
 * A queue of programs before a fixed number of workers: one program at a time in each, lost workers replaced. A program
 * that timed out is run again alone before that counts, unless it had a processor to itself all the time, or slept: then load
 * was not the cause, and running everything else aside for it would only cost time. Knows nothing of Python.
 */
import { messageOf } from '../../errors.ts';
import type { ExecutionResult, Program } from '../types.ts';
import { WorkerLost, type Outcome, type Worker } from './worker.ts';

interface Job {
  readonly program: Program;
  readonly signal: AbortSignal | undefined;
  readonly settle: (result: ExecutionResult) => void;
  readonly fail: (reason: unknown) => void;
  readonly onAbort: () => void;
  /** The first run timed out. */
  retried: boolean;
  /** Workers that were lost while they ran it. */
  losses: number;
  since: number;
}

interface Slot {
  worker: Worker | undefined;
  job: Job | undefined;
}

/** A time-out is looked at again when nothing else waits, or at the latest after this long. */
const PATIENCE_SECONDS = 30;

export class Pool {
  readonly #start: () => Promise<Worker>;
  readonly #slots: Slot[];
  #queue: Job[] = [];
  #alone: Job[] = [];
  readonly #executions = new Set<Promise<void>>();
  #closed = false;

  /** `first` is a worker that was started already. */
  constructor(size: number, first: Worker, start: () => Promise<Worker>) {
    this.#start = start;
    this.#slots = Array.from({ length: size }, () => ({ worker: undefined, job: undefined }));
    this.#slots[0]!.worker = first;
  }

  run(program: Program, signal?: AbortSignal): Promise<ExecutionResult> {
    return new Promise((settle, fail) => {
      if (this.#closed) throw new Error('The executor is closed.');
      signal?.throwIfAborted();
      const onAbort = (): void => {
        this.#abort(job);
      };
      const job: Job = { program, signal, settle, fail, onAbort, retried: false, losses: 0, since: 0 };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#queue.push(job);
      this.#pump();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const error = new Error('The executor was closed.');
    for (const job of [...this.#queue.splice(0), ...this.#alone.splice(0)]) this.#reject(job, error);
    for (const { job } of this.#slots) if (job !== undefined) this.#reject(job, error);
    await Promise.all(this.#slots.flatMap(({ worker }) => (worker === undefined ? [] : [worker.stop()])));
    await Promise.all(this.#executions); // a worker that was being started is stopped when it is there
  }

  #pump(): void {
    if (this.#closed) return;
    const first = this.#alone[0];
    const busy = this.#slots.some(({ job }) => job !== undefined);
    if (this.#slots.some(({ job }) => job?.retried === true)) return; // it runs alone
    if (
      first !== undefined &&
      (this.#queue.length === 0 || performance.now() - first.since > PATIENCE_SECONDS * 1000)
    ) {
      if (busy) return; // it waits for the others to end, and no other is started before it
      this.#alone.shift();
      this.#launch(this.#slots.find(({ worker }) => worker !== undefined) ?? this.#slots[0]!, first);
      return;
    }
    for (const slot of this.#slots) {
      if (slot.job !== undefined) continue;
      const job = this.#queue.shift();
      if (job === undefined) return;
      this.#launch(slot, job);
    }
  }

  #launch(slot: Slot, job: Job): void {
    const execution = this.#execute(slot, job).finally(() => this.#executions.delete(execution));
    this.#executions.add(execution);
  }

  async #execute(slot: Slot, job: Job): Promise<void> {
    slot.job = job;
    let outcome: Outcome | undefined;
    try {
      slot.worker ??= await this.#start();
      if (this.#closed) await slot.worker.stop();
      else if (job.signal?.aborted !== true) outcome = await slot.worker.run(job.program);
    } catch (error) {
      outcome = this.#lost(job, error);
      await slot.worker?.stop();
      slot.worker = undefined;
    }
    if (outcome?.recycle === true) {
      await slot.worker?.stop();
      slot.worker = undefined;
    }
    slot.job = undefined;
    if (!this.#closed && job.signal?.aborted !== true) this.#finish(job, outcome);
    this.#pump();
  }

  /** A program whose worker is lost is run again by another; the second time it is to blame. */
  #lost(job: Job, error: unknown): Outcome | undefined {
    job.losses++;
    if (job.losses < 2) return undefined;
    if (!(error instanceof WorkerLost)) return { verdict: 'harness error', detail: messageOf(error) };
    return { verdict: 'harness error', detail: `${error.message} It happened twice with this program.` };
  }

  #finish(job: Job, outcome: Outcome | undefined): void {
    if (outcome === undefined) {
      this.#queue.unshift(job);
    } else if (outcome.verdict === 'timed out' && outcome.starved !== false && !job.retried) {
      job.retried = true;
      job.since = performance.now();
      this.#alone.push(job);
    } else {
      job.signal?.removeEventListener('abort', job.onAbort);
      const { verdict, detail = '', traceback = '', output = '', wallSeconds = 0, cpuSeconds = 0 } = outcome;
      const { id } = job.program;
      job.settle({ id, verdict, detail, traceback, output, wallSeconds, cpuSeconds, retried: job.retried });
    }
  }

  #abort(job: Job): void {
    this.#queue = this.#queue.filter((other) => other !== job);
    this.#alone = this.#alone.filter((other) => other !== job);
    this.#reject(job, job.signal?.reason);
    for (const slot of this.#slots) if (slot.job === job) void slot.worker?.stop();
  }

  #reject(job: Job, reason: unknown): void {
    job.signal?.removeEventListener('abort', job.onAbort);
    job.fail(reason);
  }
}
