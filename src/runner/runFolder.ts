/**
 * The folder of a run: which files it has, its description `run.json`, and its events. Everything shown of a run can be
 * rebuilt from here. Knows nothing of processes, sockets or how the work is done.
 *
 *     run.json        the request, and once it has started its protocol, hashes and engine
 *     events.jsonl    append-only (events.ts)
 *     samples.jsonl   append-only; a sample is here before it is judged
 *     results.jsonl   append-only; where a sample comes twice, the later row holds
 *     runner.log      what the process said that nobody asked for, such as why it crashed
 */
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { UserError } from '../errors.ts';
import { JsonLinesWriter } from '../evaluation/jsonl.ts';
import { type EventBody, parseEvent, type RunEvent } from './events.ts';
import type { EvaluationRequest } from './types.ts';

export const RUN_FORMAT = 1;

export interface RunPaths {
  readonly description: string;
  readonly events: string;
  readonly samples: string;
  readonly results: string;
  readonly log: string;
}

export function runPaths(folder: string): RunPaths {
  const at = (name: string): string => join(folder, name);
  return {
    description: at('run.json'),
    events: at('events.jsonl'),
    samples: at('samples.jsonl'),
    results: at('results.jsonl'),
    log: at('runner.log'),
  };
}

/** `run.json`. What is not named here (identity, engine, host) is kept as it is. */
export interface RunDescription {
  readonly format: number;
  readonly kind: 'evaluation';
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly request: Omit<EvaluationRequest, 'folder'>;
  /** What makes samples comparable: protocol, sampling, hashes of model and data. There once it has started. */
  readonly identity?: Readonly<Record<string, unknown>>;
  readonly engine?: Readonly<Record<string, unknown>>;
  readonly host?: Readonly<Record<string, unknown>>;
}

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const orNull = <T extends v.GenericSchema>(schema: T) => v.nullable(schema);

const requestSchema = v.object({
  model: v.object({ path: orNull(text), spec: text, label: text }),
  benchmark: v.object({ id: v.picklist(['humaneval', 'mbpp']), path: orNull(text) }),
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
const descriptionSchema = v.looseObject({
  format: v.literal(RUN_FORMAT),
  kind: v.literal('evaluation'),
  created: v.number(),
  request: requestSchema,
  identity: record,
  engine: record,
  host: record,
});

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
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) {
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
    throw new UserError(`${path} cannot be written: ${(error as Error).message}.`);
  }
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
    const { events: earlier } = await readEvents(folder, 0);
    const file = await JsonLinesWriter.open(runPaths(folder).events);
    return new EventLog(file, earlier.at(-1)?.seq ?? 0);
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
}

const CHUNK_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

/**
 * Reads the whole rows behind `offset`; a row being written is left for next time. Rows that are no event of this version
 * are passed over. No file: no events. A file shorter than `offset` is another one and is read from its beginning.
 * `keep` may leave out lines before they are parsed.
 */
export async function readEvents(
  folder: string,
  offset: number,
  keep: (lines: string[]) => string[] = (lines) => lines,
): Promise<EventsRead> {
  let file: FileHandle;
  try {
    file = await open(runPaths(folder).events, 'r');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return { events: [], offset: 0 };
    throw error;
  }
  try {
    const { size } = await file.stat();
    const events: RunEvent[] = [];
    let end = size < offset ? 0 : offset; // behind the last whole row
    let at = end;
    let pending: Buffer[] = [];
    for (;;) {
      const length = Math.min(CHUNK_BYTES, Math.max(size - at, 1024));
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, at);
      if (bytesRead === 0) return { events, offset: end };
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
      for (const line of keep(whole.split('\n'))) {
        const event = eventOf(line);
        if (event !== null) events.push(event);
      }
    }
  } finally {
    await file.close();
  }
}

/** The last rows of the events, for a list that wants no more than how a run stands. Reads at most `bytes`. */
export async function readLastEvents(folder: string, bytes = 16 * 1024): Promise<EventsRead> {
  const size = await stat(runPaths(folder).events).then(
    (found) => found.size,
    () => 0,
  );
  // Begins somewhere within a row, which is no event then and is passed over.
  return readEvents(folder, Math.max(0, size - bytes), withoutOldProgress);
}

/** Most rows are progress, of which the last says all: parsing a thousand runs' would take seconds. */
function withoutOldProgress(lines: string[]): string[] {
  const isProgress = (line: string): boolean => line.includes('"type":"progress"');
  const last = lines.findLastIndex(isProgress);
  return lines.filter((line, i) => i >= last || !isProgress(line));
}

function eventOf(line: string): RunEvent | null {
  try {
    return parseEvent(JSON.parse(line));
  } catch {
    return null;
  }
}
