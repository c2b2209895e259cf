/**
 * The folder of a run: which files it has, its description `run.json`, and its events. Everything shown of a run can be
 * rebuilt from here. Knows nothing of processes, sockets or how the work is done.
 *
 *     run.json        the request, and once it has started its protocol, hashes and engine
 *     events.jsonl    append-only (events.ts)
 *     samples.jsonl   append-only; a sample is here before it is judged
 *     results.jsonl   append-only; where a sample comes twice, the later row holds
 *     corpus/         of a training run: the tokens of its data (tokenStore.ts)
 *     checkpoints/    (checkpoint.ts)
 *     model/          the trained model, a Hugging Face folder
 *     exports/        what was exported (exportRun.ts)
 *     runner.log      what the process said that nobody asked for, such as why it crashed
 */
import { type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { isMissing, UserError, whyNotWritten } from '../errors.ts';
import { JsonLinesWriter } from '../evaluation/jsonl.ts';
import { type EventBody, numberOf, parseEvent, type RunEvent } from './events.ts';
import { trainingConfigSchema } from '../midtraining/config.ts';
import type { EvaluationRequest, TrainingRequest } from './types.ts';

export const RUN_FORMAT = 1;

export interface RunPaths {
  readonly description: string;
  readonly events: string;
  readonly samples: string;
  readonly results: string;
  readonly log: string;
  readonly corpus: string;
  readonly checkpoints: string;
  readonly model: string;
  readonly exports: string;
}

export function runPaths(folder: string): RunPaths {
  const at = (name: string): string => join(folder, name);
  return {
    description: at('run.json'),
    events: at('events.jsonl'),
    samples: at('samples.jsonl'),
    results: at('results.jsonl'),
    log: at('runner.log'),
    corpus: at('corpus'),
    checkpoints: at('checkpoints'),
    model: at('model'),
    exports: at('exports'),
  };
}

/** `run.json`. What is not named here (identity, engine, host) is kept as it is. */
export type RunDescription = EvaluationDescription | TrainingDescription;

export interface EvaluationDescription extends Described {
  readonly kind: 'evaluation';
  readonly request: EvaluationRequest;
}

export interface TrainingDescription extends Described {
  readonly kind: 'training';
  readonly request: TrainingRequest;
}

/** What is asked for, of either kind. */
export type RunRequest =
  Pick<EvaluationDescription, 'kind' | 'request'> | Pick<TrainingDescription, 'kind' | 'request'>;

interface Described {
  readonly format: number;
  /** Milliseconds since 1970. */
  readonly created: number;
  /** What decides samples or losses: protocol, sampling, schedule, hashes of model and data. There once it has started. */
  readonly identity?: Readonly<Record<string, unknown>>;
  readonly engine?: Readonly<Record<string, unknown>>;
  readonly host?: Readonly<Record<string, unknown>>;
  /** The request before this one, until this one is known to be of the same run. */
  readonly before?: unknown;
}

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const orNull = <T extends v.GenericSchema>(schema: T) => v.nullable(schema);

const modelSchema = v.object({ path: orNull(text), spec: text, label: text });

const evaluationSchema = v.object({
  model: modelSchema,
  benchmark: v.object({ id: v.picklist(['humaneval', 'mbpp', 'starter']), path: orNull(text) }),
  selection: text,
  limit: orNull(count),
  tasks: v.optional(orNull(v.array(text)), null),
  samples: count,
  sampling: v.object({ temperature: v.number(), topP: v.number(), topK: v.number(), minP: v.number() }),
  seed: v.number(),
  maxTokens: orNull(count),
  protocol: orNull(text),
  device: v.picklist(['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml']),
  precision: v.picklist(['auto', 'fp32', 'fp16', 'int8', 'int4']),
  batch: orNull(count),
  threads: orNull(count),
  strict: v.boolean(),
  workers: orNull(count),
  timeLimit: orNull(v.number()),
  python: orNull(text),
});

const record = v.optional(v.record(v.string(), v.unknown()));
const described = {
  format: v.literal(RUN_FORMAT),
  created: v.number(),
  identity: record,
  engine: record,
  host: record,
};
const descriptionSchema = v.variant('kind', [
  v.looseObject({ ...described, kind: v.literal('evaluation'), request: evaluationSchema }),
  v.looseObject({
    ...described,
    kind: v.literal('training'),
    request: v.object({
      ...{ name: text, config: trainingConfigSchema, model: modelSchema },
      python: v.optional(orNull(text)),
    }),
  }),
]);

/** There is no run in this folder. */
export class NoRunError extends UserError {}

/**
 * Reads `run.json`.
 * @throws NoRunError when there is none; UserError when it is broken or of a later version.
 */
export async function readDescription(folder: string): Promise<RunDescription> {
  const path = runPaths(folder).description;
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) {
      throw new NoRunError(`${folder} holds no run: there is no run.json in it.`);
    }
    throw new UserError(`${path} cannot be read: ${(error as Error).message}.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    throw new UserError(`${path} is not JSON: it is no run's description, or was broken by something else.`);
  }
  const format = (value as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format > RUN_FORMAT) {
    throw new UserError(
      `${basename(folder)} was made by a later version of Midtrain (format ${format}). Update Midtrain to open it.`,
    );
  }
  const parsed = v.safeParse(descriptionSchema, value);
  if (parsed.success) return parsed.output as RunDescription;
  const issue = parsed.issues[0];
  throw new UserError(`${path}: ${v.getDotPath(issue) ?? 'the file'} is not as it should be: ${issue.message}.`);
}

/** The same of an evaluation. @throws UserError also when the run is none */
export async function readEvaluation(folder: string): Promise<EvaluationDescription> {
  const description = await readDescription(folder);
  if (description.kind === 'evaluation') return description;
  throw new UserError(`${folder} holds a training, which has no samples and no results.`);
}

/** Writes `run.json` aside, flushes it and puts it in place, so that it is whole at any moment. */
export async function writeDescription(folder: string, description: RunDescription): Promise<void> {
  const path = runPaths(folder).description;
  await mkdir(folder, { recursive: true });
  const aside = `${path}.${process.pid}.new`;
  try {
    await writeFile(aside, `${JSON.stringify(description, null, 2)}\n`, { flush: true });
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw new UserError(`${path} cannot be written: ${whyNotWritten(error)}.`);
  }
}

/** The run stays what it was: takes back a request that turned out to be of another one. */
export async function refuseRequest(folder: string, { before, ...description }: RunDescription): Promise<void> {
  if (before !== undefined) await writeDescription(folder, { ...description, request: before } as RunDescription);
}

/**
 * Appends events and gives them their numbers. One writer at a time: whoever holds the run's lock.
 */
export class EventLog {
  readonly #file: JsonLinesWriter;
  #seq: number;

  private constructor(file: JsonLinesWriter, seq: number) {
    this.#file = file;
    this.#seq = seq;
  }

  /** Cuts off a last row that a kill left half written, and goes on with the numbers. */
  static async open(folder: string): Promise<EventLog> {
    // First, for it may complete a last row that lacks only its newline.
    const file = await JsonLinesWriter.open(runPaths(folder).events);
    const { seq } = await readEvents(folder, 0);
    return new EventLog(file, seq);
  }

  /** Number of the last event. */
  get seq(): number {
    return this.#seq;
  }

  /** @returns the event as it is written, before it has reached the disk; `written` rejects when it cannot. */
  append(body: EventBody): { readonly event: RunEvent; readonly written: Promise<void> } {
    this.#seq += 1;
    const event: RunEvent = { seq: this.#seq, time: Date.now(), ...body };
    return { event, written: this.#file.append(event) };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Events from a byte of the file on, and where the next reading goes on. */
export interface EventsRead {
  readonly events: RunEvent[];
  /** Byte behind the last whole row. */
  readonly offset: number;
  /** The highest number among them, those that are no event of this version included; 0 without any. */
  readonly seq: number;
}

const CHUNK_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

/**
 * Reads the whole rows behind `offset`; a row being written is left for next time. Rows that are no event of this version
 * are passed over. No file: no events. A file shorter than `offset` is another one and is read from its beginning.
 */
export function readEvents(folder: string, offset: number): Promise<EventsRead> {
  return readRows(folder, (size) => (size < offset ? 0 : offset));
}

/**
 * What tells how a run stands: of one that is over the last rows, at most `bytes`, for a list of many; else all of them, for
 * its phase, its device and since when it is at work may be far from the end.
 */
export async function readLastEvents(folder: string, bytes = 2048): Promise<EventsRead> {
  let begin = 0; // within a row, which is no event then and is passed over
  const last = await readRows(folder, (size) => (begin = Math.max(0, size - bytes)));
  return begin === 0 || last.events.at(-1)?.type === 'done' ? last : readEvents(folder, 0);
}

/** @param begin where in a file of this size */
async function readRows(folder: string, begin: (size: number) => number): Promise<EventsRead> {
  let file: FileHandle;
  try {
    file = await open(runPaths(folder).events, 'r');
  } catch (error) {
    if (isMissing(error)) {
      return { events: [], offset: 0, seq: 0 };
    }
    throw error;
  }
  try {
    const { size } = await file.stat();
    const events: RunEvent[] = [];
    let seq = 0;
    let at = begin(size);
    let end = at; // behind the last whole row
    let pending: Buffer[] = [];
    while (at < size) {
      const length = Math.min(CHUNK_BYTES, size - at);
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, at);
      if (bytesRead === 0) break;
      const chunk = buffer.subarray(0, bytesRead);
      const last = chunk.lastIndexOf(NEWLINE);
      at += bytesRead;
      if (last < 0) {
        pending.push(chunk);
        continue;
      }
      const whole = Buffer.concat([...pending, chunk.subarray(0, last)]).toString('utf8');
      pending = [chunk.subarray(last + 1)];
      end = at - bytesRead + last + 1;
      for (const line of whole.split('\n')) {
        const value = parse(line);
        seq = Math.max(seq, numberOf(value));
        const event = parseEvent(value);
        if (event !== null) events.push(event);
      }
    }
    return { events, offset: end, seq };
  } finally {
    await file.close();
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
