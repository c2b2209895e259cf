/**
 * A training run's curves in other programs' formats: CSV with a row a step, and TensorBoard's event file.
 * Knows nothing of VS Code, or of where they are written.
 */
import { type Column, COLUMNS, MetricsFile } from './metricsFile.ts';
import { firstRecord, recordOf } from './tfevents.ts';

/** TensorBoard's names of the curves. */
const tags: readonly (readonly [tag: string, of: (value: (name: Column) => number) => number])[] = [
  ['loss/train', (value) => value('loss')],
  ['loss/heldOut', (value) => value('heldOutLoss')],
  ['evaluation/passAt1', (value) => value('passed') / value('problems')],
  ['optimizer/learningRate', (value) => value('learningRate')],
  ['optimizer/gradientNorm', (value) => value('gradientNorm')],
  ['speed/tokensPerSecond', (value) => value('tokensPerSecond')],
  ['system/memory', (value) => value('memory')],
];

/** A header and a row a step; what was not told is empty, numbers are as exact as they were told. Times are ISO 8601. */
export function toCsv(metrics: MetricsFile): Uint8Array {
  const columns = COLUMNS.map((name) => [name, metrics.column(name)] as const);
  const lines = [COLUMNS.join(',')];
  for (let row = 0; row < metrics.count; row += 1) {
    lines.push(columns.map(([name, values]) => cell(name, values[row]!)).join(','));
  }
  return new TextEncoder().encode(`${lines.join('\n')}\n`);
}

function cell(name: Column, value: number): string {
  if (Number.isNaN(value)) return '';
  return name === 'time' ? new Date(value).toISOString() : String(value);
}

/** Bytes of an event file (`*tfevents*`) with a record for each step. */
export function toTensorBoard(metrics: MetricsFile): Uint8Array {
  const columns = Object.fromEntries(COLUMNS.map((name) => [name, metrics.column(name)])) as Record<
    Column,
    Float64Array
  >;
  const records = [firstRecord(metrics.count === 0 ? 0 : metrics.column('time')[0]! / 1000)];
  for (let row = 0; row < metrics.count; row += 1) {
    const value = (name: Column): number => columns[name][row]!;
    const scalars = tags.map(([tag, of]) => ({ tag, value: of(value) })).filter((one) => !Number.isNaN(one.value));
    records.push(recordOf({ time: value('time') / 1000, step: value('step'), scalars }));
  }
  return Buffer.concat(records);
}

/** The curves of the run in this folder, as they stand now. @throws the system's error when they cannot be read */
export async function readMetrics(folder: string): Promise<MetricsFile> {
  const metrics = new MetricsFile(folder);
  await metrics.update();
  return metrics;
}
