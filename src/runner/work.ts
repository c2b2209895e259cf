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
import { Control, StoppedError } from './control.ts';
import { runEvaluation } from './evaluationJob.ts';
import type { EventBody, RunEvent, Verb } from './events.ts';
import { lockRun } from './lock.ts';
import { newAddress } from './protocol.ts';
import { EventLog, readDescription } from './runFolder.ts';
import { RunServer } from './server.ts';
import { announceActivity, runsFolder } from './store.ts';
import type { EvaluationOutcome, EvaluationRequest, ResolvedRequest } from './types.ts';

export interface WorkOptions {
  /** Told of every event, as it is written. */
  readonly onEvent?: (event: RunEvent) => void;
  /** Aborted, the run stops as by the verb `stop`; it can be resumed. */
  readonly signal: AbortSignal;
}

/**
 * Works on the run in this folder until it is finished, stopped or fails.
 * @throws NoRunError; RunBusyError when another process works on it; StoppedError when it was stopped before it had begun;
 *   UserError for what a user can mend. Each but the first two is in the events too.
 */
export async function workOn(folder: string, { onEvent, signal }: WorkOptions): Promise<EvaluationOutcome> {
  const { request } = await readDescription(folder);
  const address = await newAddress();
  const lock = await lockRun(folder, address);
  try {
    const log = await EventLog.open(folder);
    await announceActivity(runsFolder(), folder);
    try {
      return await serve(folder, request, { log, address, signal, onEvent: onEvent ?? (() => undefined) });
    } finally {
      await log.close();
    }
  } finally {
    await lock.release();
    await announceActivity(runsFolder(), folder);
  }
}

interface Serving {
  readonly log: EventLog;
  readonly address: { readonly socket: string; readonly token: string };
  readonly signal: AbortSignal;
  readonly onEvent: (event: RunEvent) => void;
}

async function serve(folder: string, request: EvaluationRequest, serving: Serving): Promise<EvaluationOutcome> {
  const { log, address, signal, onEvent } = serving;
  const control = new Control();
  const onControl = (verb: Verb, client: string, detail: string): void => {
    tell({ type: 'control', verb, client, detail });
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
    if (control.apply('stop').applied) onControl('stop', 'signal', 'The process was asked to end.');
  };
  signal.addEventListener('abort', stop);
  try {
    tell({ type: 'launch', pid: process.pid, version: packageJson.version, host: hostname() });
    if (signal.aborted) stop();
    const resolved = await findFiles(request, tell, control.signal);
    const outcome = await runEvaluation({
      folder,
      request: resolved,
      tell,
      signal: control.signal,
      gate: () => control.gate(),
    });
    await allWritten();
    const { status, score, seconds } = outcome;
    tell({ type: 'done', status, score, seconds, error: '' });
    await allWritten();
    return outcome;
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

/** Finds, and fetches where it is missing, what the request names without a path: whoever asked has agreed to that. */
async function findFiles(
  request: EvaluationRequest,
  tell: (event: EventBody) => void,
  signal: AbortSignal,
): Promise<ResolvedRequest> {
  const { model, benchmark } = request;
  if (model.path !== null && benchmark.path !== null) {
    return { ...request, model: { ...model, path: model.path }, benchmark: { ...benchmark, path: benchmark.path } };
  }
  tell({ type: 'phase', phase: 'fetch' });
  let told = -Infinity;
  const fetching: FetchOptions = {
    signal,
    onProgress: (done, total) => {
      if (performance.now() - told < 500 && done < total) return;
      told = performance.now();
      const nothing = { done: 0, total: 0, passed: 0, generated: 0, resumed: 0, tokens: 0, tokensPerSecond: 0 };
      tell({ type: 'progress', ...nothing, bytes: { done, total } });
    },
  };
  const options = { ...fetching, consent: () => Promise.resolve(true) };
  const modelPath = model.path ?? (await resolveModel(model.spec, options)).path;
  const benchmarkPath = benchmark.path ?? (await resolveBenchmark(benchmark.id, null, options)).path;
  return { ...request, model: { ...model, path: modelPath }, benchmark: { ...benchmark, path: benchmarkPath } };
}
