/**
 * A training run's curves in other programs' formats: CSV with a row a step of the model or an update of q, and TensorBoard's
 * event file with both. Knows nothing of VS Code, or of where they are written.
 */
import type { Rows } from './columns.ts';
import { type Column, MetricsFile, UPDATE_COLUMNS, type UpdateColumn } from './metricsFile.ts';
import { firstRecord, recordOf } from './tfevents.ts';

/** TensorBoard's names of the curves. */
type Tags<Name> = readonly (readonly [tag: string, of: (value: (name: Name) => number) => number])[];

const tags: Tags<Column> = [
  ['loss/train', (value) => value('loss')],
  ['loss/heldOut', (value) => value('heldOutLoss')],
  ['loss/code', (value) => value('codeLoss')],
  ['loss/latents', (value) => value('latentLoss')],
  ['evaluation/passAt1', (value) => value('passed') / value('problems')],
  ['optimizer/learningRate', (value) => value('learningRate')],
  ['optimizer/gradientNorm', (value) => value('gradientNorm')],
  ['speed/tokensPerSecond', (value) => value('tokensPerSecond')],
  ['system/memory', (value) => value('memory')],
];

/** All but the columns that say where a row is. */
const updateTags: Tags<UpdateColumn> = UPDATE_COLUMNS.slice(3).map((name) => [`eStep/${name}`, (value) => value(name)]);

/** A header and a line a row; what was not told is empty, numbers are as exact as they were told. Times are ISO 8601. */
export function toCsv(rows: Rows<string>): Uint8Array {
  const columns = rows.names.map((name) => [name, rows.column(name)] as const);
  const lines = [rows.names.join(',')];
  for (let row = 0; row < rows.count; row += 1) {
    lines.push(columns.map(([name, values]) => cell(name, values[row]!)).join(','));
  }
  return new TextEncoder().encode(`${lines.join('\n')}\n`);
}

function cell(name: string, value: number): string {
  if (Number.isNaN(value)) return '';
  return name === 'time' ? new Date(value).toISOString() : String(value);
}

/** Bytes of an event file (`*tfevents*`) with a record for each step of the model, and behind them for each update of q. */
export function toTensorBoard({ rows, updates }: Pick<MetricsFile, 'rows' | 'updates'>): Uint8Array {
  const begun = [rows.at('time', 0), updates.at('time', 0)].filter((time) => !Number.isNaN(time));
  return Buffer.concat([
    firstRecord(begun.length === 0 ? 0 : Math.min(...begun) / 1000),
    ...recordsOf(rows, 'step', tags),
    ...recordsOf(updates, 'update', updateTags),
  ]);
}

function* recordsOf<Name extends string>(
  rows: Rows<Name | 'time'>,
  key: Name,
  named: Tags<Name>,
): Generator<Uint8Array> {
  for (let row = 0; row < rows.count; row += 1) {
    const scalars = named
      .map(([tag, of]) => ({ tag, value: of((name) => rows.at(name, row)) }))
      .filter(({ value }) => !Number.isNaN(value));
    yield recordOf({ time: rows.at('time', row) / 1000, step: rows.at(key, row), scalars });
  }
}

/** The curves of the run in this folder, as they stand now. @throws the system's error when they cannot be read */
export async function readMetrics(folder: string): Promise<MetricsFile> {
  const metrics = new MetricsFile(folder);
  await metrics.update();
  return metrics;
}
