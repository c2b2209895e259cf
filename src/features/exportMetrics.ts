/**
 * Export Metrics…: a training's curves as CSV (of the model's steps, or of q's updates) or as TensorBoard's event file, where
 * the user says.
 */
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import type { FollowedTraining } from '../client/followedRun.ts';
import { readMetrics, toCsv, toTensorBoard } from '../client/metricsExport.ts';
import type { MetricsFile } from '../client/metricsFile.ts';
import { UserError, whyNotWritten } from '../errors.ts';
import type { Midtrain } from './context.ts';

interface Format {
  readonly label: string;
  readonly description: string;
  readonly write: (metrics: MetricsFile) => Uint8Array;
  readonly file: (run: FollowedTraining) => string;
  readonly filters: Readonly<Record<string, string[]>>;
}

const formats = {
  csv: {
    label: 'CSV',
    description: 'a row a step, for spreadsheets and pandas',
    write: ({ rows }) => toCsv(rows),
    file: ({ description }) => `${description.request.name}.csv`,
    filters: { 'Comma-separated values': ['csv'] },
  },
  eStepCsv: {
    label: 'CSV of the E-step',
    description: 'a row an update of q',
    write: ({ updates }) => toCsv(updates),
    file: ({ description }) => `${description.request.name}.e-step.csv`,
    filters: { 'Comma-separated values': ['csv'] },
  },
  tensorBoard: {
    label: 'TensorBoard',
    description: 'an event file; TensorBoard wants "tfevents" in its name',
    write: toTensorBoard,
    file: ({ description }) =>
      `events.out.tfevents.${Math.floor(description.created / 1000)}.${description.request.name}`,
    filters: {},
  },
} satisfies Readonly<Record<string, Format>>;
type FormatName = keyof typeof formats;

/** @param format one of `formats`; anything else: asked for */
export async function exportMetrics(midtrain: Midtrain, run: FollowedTraining, format: unknown): Promise<void> {
  const metrics = await readMetrics(run.folder);
  const { rows, updates } = metrics;
  if (rows.count + updates.count === 0) {
    throw new UserError('There is nothing to export: the run has not told of any step yet.');
  }
  const { write, file, filters }: Format =
    formats[
      typeof format === 'string' && format in formats ? (format as FormatName) : await askFormat(updates.count > 0)
    ];
  await saveAs(midtrain, file(run), filters, () => write(metrics));
}

async function askFormat(hasUpdates: boolean): Promise<FormatName> {
  const keys = (Object.keys(formats) as FormatName[]).filter((key) => hasUpdates || key !== 'eStepCsv');
  const picked = await vscode.window.showQuickPick(
    keys.map((key) => ({ key, label: formats[key].label, description: formats[key].description })),
    { title: 'Export the metrics as what?' },
  );
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.key;
}

/** Where the last one was saved, which is where the next one may belong. */
const LAST_FOLDER = 'exportFolder';

/** Asks where, and writes there; says so when that is not possible. */
export async function saveAs(
  { extension, log }: Midtrain,
  name: string,
  filters: Readonly<Record<string, string[]>>,
  bytes: () => Uint8Array,
): Promise<void> {
  const last = extension.globalState.get<string>(LAST_FOLDER);
  const folder = last === undefined ? vscode.workspace.workspaceFolders?.[0]?.uri : vscode.Uri.file(last);
  const target = await vscode.window.showSaveDialog({
    ...(folder === undefined ? {} : { defaultUri: vscode.Uri.joinPath(folder, name) }),
    filters: { ...filters },
  });
  if (target === undefined) return;
  try {
    await vscode.workspace.fs.writeFile(target, bytes());
    await extension.globalState.update(LAST_FOLDER, dirname(target.fsPath));
    vscode.window.setStatusBarMessage(`Saved ${target.fsPath}`, 5000);
  } catch (error) {
    log.error(String(error));
    void vscode.window.showErrorMessage(`Midtrain: ${target.fsPath} cannot be written: ${whyNotWritten(error)}.`);
  }
}
