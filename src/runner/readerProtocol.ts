/**
 * What an editor and the process that reads code for it say to each other: JSON-RPC 2.0 (vscode-jsonrpc) over the process's
 * standard streams. Nobody but its parent can talk to it, so the parent takes what comes as it is.
 *
 *     read       reads a text with a model, which is loaded first where it is another than before; may be cancelled
 *     memory     what the process takes, and which model it holds
 *     progress   notifications about a `read`, by its number
 */
import * as v from 'valibot';
import type { CodeReading } from '../midtraining/abstractions/reading.ts';
import { devices } from './types.ts';

export type { CodeReading } from '../midtraining/abstractions/reading.ts';

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const readSchema = v.object({
  /** Of the wish, chosen by the client. */
  id: count,
  /** A model's files, or a checkpoint of a training run; a null step is the run's base. */
  model: v.union([v.strictObject({ path: text, label: text }), v.strictObject({ run: text, step: v.nullable(count) })]),
  /** Of what is read, for titles. */
  name: text,
  text,
  latents: v.picklist(['text', 'model', 'none']),
  threshold: v.number(),
  device: v.picklist(devices),
  /** Null: one a core. */
  threads: v.nullable(count),
});
export type ReadParams = v.InferOutput<typeof readSchema>;
export type ReadingModel = ReadParams['model'];

export interface ReadAnswer {
  readonly reading: CodeReading;
  /** For each line the row of the text that was read, latents included, in which it begins, from 0. */
  readonly rows: readonly number[];
}

export interface ReaderProgress {
  readonly id: number;
  /** `wait`: another reading comes first. */
  readonly phase: 'wait' | 'load' | 'read';
  /** Of `total`, in tokens; both 0 but in phase `read`. */
  readonly done: number;
  readonly total: number;
}

export interface ReaderMemory {
  /** Bytes of main memory. */
  readonly resident: number;
  /** Name of the model that is loaded. */
  readonly model: string | null;
}

export const readerMethods = { read: 'read', memory: 'memory', progress: 'progress' } as const;

/** Codes of errors: what a user can mend (`UserError`), and what was cancelled (LSP's RequestCancelled). */
export const readerErrors = { user: 1, cancelled: -32800 } as const;
