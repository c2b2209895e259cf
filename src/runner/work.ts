/**
 * One launch of a run in this process: takes the run's lock, opens its socket, says so, does the work and says how it ended.
 * The headless command and the detached runner both come here. Knows nothing of terminals or of VS Code.
 */
import { hostname } from 'node:os';
import { resolveBenchmark } from '../catalog/datasets.ts';
import { resolveModel } from '../catalog/models.ts';
import type { FetchOptions } from '../catalog/plan.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { messageOf, UserError } from '../errors.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import { Control, StoppedError } from './control.ts';
import { runEvaluation } from './evaluationJob.ts';
import type { EventBody, RunEvent, Settings, Verb } from './events.ts';
import { lockRun } from './lock.ts';
import { newAddress } from './protocol.ts';
import { EventLog, readDescription, readEvaluation, type RunDescription } from './runFolder.ts';
import { RunServer } from './server.ts';
import { announceActivity, runsFolder } from './store.ts';
import { TrainingControl } from './trainingControl.ts';
import { runTraining } from './trainingJob.ts';
import type {
  AskedModel,
  EvaluationOutcome,
  EvaluationRequest,
  FoundModel,
  ResolvedRequest,
  TrainingOutcome,
} from './types.ts';

export interface WorkOptions {
  /** Told of every event, as it is written. */
  readonly onEvent?: (event: RunEvent) => void;
  /** Aborted, the run stops as by the verb `stop`; it can be resumed. */
  readonly signal: AbortSignal;
}

/** What comes of a run of either kind. */
export type RunOutcome =
  | { readonly kind: 'evaluation'; readonly outcome: EvaluationOutcome }
  | { readonly kind: 'training'; readonly outcome: TrainingOutcome };

/**
 * Works on the run in this folder until it is finished, stopped or fails.
 * @throws NoRunError; RunBusyError when another process works on it; StoppedError when it was stopped before it had begun;
 *   UserError for what a user can mend. Each but the first two is in the events too.
 */
export async function workOnRun(folder: string, { onEvent, signal }: WorkOptions): Promise<RunOutcome> {
  const description = await readDescription(folder);
  const address = await newAddress();
  const lock = await lockRun(folder, address);
  try {
    const log = await EventLog.open(folder);
    await announceActivity(runsFolder(), folder);
    try {
      return await serve(folder, description, { log, address, signal, onEvent: onEvent ?? (() => undefined) });
    } finally {
      await log.close();
    }
  } finally {
    await lock.release();
    await announceActivity(runsFolder(), folder);
  }
}

/** The same on an evaluation. @throws UserError when the run is none */
export async function workOn(folder: string, options: WorkOptions): Promise<EvaluationOutcome> {
  await readEvaluation(folder);
  return (await workOnRun(folder, options)).outcome as EvaluationOutcome;
}

/** The same on a training. @throws UserError when the run is none */
export async function trainOn(folder: string, options: WorkOptions): Promise<TrainingOutcome> {
  if ((await readDescription(folder)).kind !== 'training') {
    throw new UserError(`${folder} holds an evaluation, and a training was asked for.`);
  }
  return (await workOnRun(folder, options)).outcome as TrainingOutcome;
}

interface Serving {
  readonly log: EventLog;
  readonly address: { readonly socket: string; readonly token: string };
  readonly signal: AbortSignal;
  readonly onEvent: (event: RunEvent) => void;
}

async function serve(folder: string, description: RunDescription, serving: Serving): Promise<RunOutcome> {
  const { log, address, signal, onEvent } = serving;
  const training = description.kind === 'training' ? new TrainingControl() : null;
  const control = training ?? new Control();
  const onControl = (verb: Verb, client: string, detail: string, settings?: Settings): void => {
    const done = control.doneBefore();
    const update = done?.update ?? null;
    const set =
      verb === 'set' && settings !== undefined && done !== null
        ? { settings, step: done.step, ...(update === null ? {} : { update }) }
        : {};
    tell({ type: 'control', verb, client, detail, ...set });
  };
  const server = await RunServer.listen({ folder, address, control, seq: () => log.seq, onControl });
  /** Why events can no longer be written. It ends the work, which would otherwise go on unseen. */
  const unwritten: unknown[] = [];
  let settled: Promise<void> = Promise.resolve();
  const tell = (body: EventBody): void => {
    const { event, written } = log.append(body);
    // Whoever follows hears of it when it is in the file: so nothing falls between what is read there and what is heard.
    settled = written.then(
      () => {
        server.publish(event);
      },
      (error: unknown) => {
        unwritten.push(error);
        control.apply('stop');
      },
    );
    onEvent(event);
  };
  const allWritten = async (): Promise<void> => {
    await settled;
    if (unwritten.length > 0) throw unwritten[0];
  };
  const stop = (): void => {
    const verb = training === null ? 'stop' : 'stop-and-save';
    if (control.apply(verb).applied) onControl(verb, 'signal', 'The process was asked to end.');
  };
  signal.addEventListener('abort', stop);
  try {
    tell({ type: 'launch', pid: process.pid, version: packageJson.version, host: hostname() });
    if (signal.aborted) stop();
    const files = new Files(tell, control.signal);
    const work = async (): Promise<RunOutcome> => {
      if (description.kind === 'training') {
        const { request } = description;
        const id = request.config.passAt1?.benchmark;
        const outcome = await runTraining({
          ...{ folder, tell, control: training! },
          request: { ...request, model: await files.model(request.model) },
          benchmark: id === undefined ? null : await files.benchmark({ id, path: null }),
          writer: await files.writer(request.config),
        });
        return { kind: 'training', outcome };
      }
      const request = await files.evaluation(description.request);
      const gate = (): Promise<void> => control.gate();
      const outcome = await runEvaluation({ folder, request, tell, signal: control.signal, gate });
      return { kind: 'evaluation', outcome };
    };
    const result = await work();
    await allWritten();
    const { status, seconds } = result.outcome;
    const score = result.kind === 'evaluation' ? result.outcome.score : null;
    tell({ type: 'done', status, score, seconds, error: '' });
    await allWritten();
    return result;
  } catch (caught) {
    const error = unwritten[0] ?? caught;
    if (error instanceof StoppedError) {
      tell({ type: 'done', status: 'stopped', score: null, seconds: null, error: '' });
    } else {
      tell({ type: 'done', status: 'failed', score: null, seconds: null, error: reasonOf(error) });
    }
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    await settled;
    await server.close();
  }
}

/** A user error is said as it is; anything else is a defect and comes with its log. */
function reasonOf(error: unknown): string {
  if (error instanceof UserError) return error.message;
  return `This is a defect of Midtrain; please report it with this log: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`;
}

/** Finds, and fetches where it is missing, what a request names without a path: whoever asked has agreed to that. */
class Files {
  readonly #tell: (event: EventBody) => void;
  readonly #signal: AbortSignal;

  constructor(tell: (event: EventBody) => void, signal: AbortSignal) {
    this.#tell = tell;
    this.#signal = signal;
  }

  async evaluation(request: EvaluationRequest): Promise<ResolvedRequest> {
    const model = await this.model(request.model);
    return { ...request, model, benchmark: await this.benchmark(request.benchmark) };
  }

  async benchmark({ id, path }: EvaluationRequest['benchmark']): Promise<ResolvedRequest['benchmark']> {
    return { id, path: path ?? (await resolveBenchmark(id, null, this.#fetching())).path };
  }

  async model(model: AskedModel): Promise<FoundModel> {
    return { ...model, path: model.path ?? (await resolveModel(model.spec, this.#fetching())).path };
  }

  /** Nobody agreed to fetch this one. @throws UserError when it is not on this machine */
  async writer({ method, abstractions: { writer } }: TrainingConfig): Promise<FoundModel | null> {
    if (method !== 'synthetic' || writer === null) return null;
    const { path, label } = await resolveModel(writer, { ...this.#fetching(), consent: () => Promise.resolve(false) });
    return { spec: writer, label, path };
  }

  #fetching(): FetchOptions & { consent: () => Promise<boolean> } {
    this.#tell({ type: 'phase', phase: 'fetch' });
    let told = -Infinity;
    return {
      signal: this.#signal,
      consent: () => Promise.resolve(true),
      onProgress: (done, total) => {
        if (performance.now() - told < 500 && done < total) return;
        told = performance.now();
        const nothing = { done: 0, total: 0, passed: 0, generated: 0, resumed: 0, tokens: 0, tokensPerSecond: 0 };
        this.#tell({ type: 'progress', ...nothing, bytes: { done, total } });
      },
    };
  }
}
