/**
 * Export Model: asks for a training run, a checkpoint of it, a form and a place, and has the headless command write it. The
 * run may be at work meanwhile.
 */
import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as vscode from 'vscode';
import { isEvaluation } from '../client/followedRun.ts';
import type { RunFollower } from '../client/runFollower.ts';
import { commands } from '../contributions.ts';
import { UserError } from '../errors.ts';
import { bestCheckpoint, listCheckpoints } from '../midtraining/checkpoint.ts';
import { EXPORT_FORMATS, type ExportFormat, exportName } from '../midtraining/exportFormats.ts';
import { runPaths } from '../runner/runFolder.ts';
import { isTraining } from '../runner/types.ts';
import { type Midtrain, register } from './context.ts';
import { askRun } from './evaluate.ts';
import { environmentOf, readSettings } from './settings.ts';

export function activateExportModel(midtrain: Midtrain, chosen: (argument: unknown) => RunFollower | null): void {
  register(midtrain, commands.exportModel, async (argument?: unknown) => {
    if (!vscode.workspace.isTrusted) throw new UserError('This workspace is not trusted, so nothing is run in it.');
    const run =
      chosen(argument) ??
      (await askRun(
        midtrain,
        'Export the model of which run?',
        (one) => !isEvaluation(one),
        'There is no training yet.',
      ));
    const { request } = run.description;
    if (!isTraining(request)) throw new UserError('An evaluation has trained nothing. Choose a training to export.');
    const step = await askCheckpoint(run);
    const format = await askFormat(request.config.train === 'lora' && step !== null);
    const place = await askPlace(exportName(request.name, step, format), format);
    const path = await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: 'Midtrain: exporting the model…', cancellable: true },
      (progress, cancelled) => {
        const args = [run.folder, '--format', format, '--checkpoint', String(step ?? 'base'), '--out', place.path];
        return runExport(midtrain, [...args, ...(place.overwrite ? ['--overwrite'] : [])], progress, cancelled);
      },
    );
    const reveal = 'Show in Folder';
    const isDesktop = vscode.env.uiKind === vscode.UIKind.Desktop && vscode.env.remoteName === undefined;
    const done = `Midtrain: ${EXPORT_FORMATS[format].title} written to ${path}.`;
    void vscode.window.showInformationMessage(done, ...(isDesktop ? [reveal] : [])).then((answer) => {
      if (answer === reveal) void vscode.commands.executeCommand('revealFileInOS', vscode.Uri.file(path));
    });
  });
}

/** @returns null for the model before training */
async function askCheckpoint(run: RunFollower): Promise<number | null> {
  const { checkpoints: folder } = runPaths(run.folder);
  const [checkpoints, best] = await Promise.all([listCheckpoints(folder), bestCheckpoint(folder)]);
  if (checkpoints.length === 0) {
    throw new UserError('This run has kept no checkpoint yet. Let it keep one first, then export it.');
  }
  const items = checkpoints.map(({ step, heldOutLoss }, place) => {
    const facts = [
      place === 0 && 'the latest',
      heldOutLoss !== null && `held-out loss ${heldOutLoss.toFixed(4)}`,
      step === best && 'the lowest',
    ];
    return { label: `Step ${step}`, description: facts.filter((fact) => fact !== false).join(' · '), step };
  });
  const base = { label: 'Before training', description: 'the base of an adapter', step: null };
  const picked = await vscode.window.showQuickPick<vscode.QuickPickItem & { step: number | null }>([...items, base], {
    title: 'Export which checkpoint? (1/2)',
    matchOnDescription: true,
  });
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.step;
}

async function askFormat(hasAdapter: boolean): Promise<ExportFormat> {
  const formats = (Object.keys(EXPORT_FORMATS) as ExportFormat[]).filter((id) => hasAdapter || id !== 'peft');
  const items = formats.map((id) => ({ id, label: EXPORT_FORMATS[id].title, description: EXPORT_FORMATS[id].use }));
  const picked = await vscode.window.showQuickPick(items, {
    title: 'Export in which form? (2/2)',
    matchOnDescription: true,
  });
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.id;
}

async function askPlace(name: string, format: ExportFormat): Promise<{ path: string; overwrite: boolean }> {
  const { ending } = EXPORT_FORMATS[format];
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? homedir();
  const uri = await vscode.window.showSaveDialog({
    title: ending === null ? 'Export to Which New Folder?' : 'Export to Which File?',
    saveLabel: 'Export',
    defaultUri: vscode.Uri.file(join(folder, name)),
    ...(ending === null ? {} : { filters: { GGUF: ['gguf'] } }),
  });
  if (uri === undefined) throw new vscode.CancellationError();
  const found = await stat(uri.fsPath).catch(() => null);
  if (found?.isDirectory() === true) {
    const yes = 'Replace';
    const detail = `Everything in ${uri.fsPath} is deleted once the export is whole.`;
    const answer = await vscode.window.showWarningMessage('Replace this folder?', { modal: true, detail }, yes);
    if (answer !== yes) throw new vscode.CancellationError();
  }
  return { path: uri.fsPath, overwrite: found !== null }; // of a file the dialog has asked
}

/** Runs `midtrain export`. @returns where it was written @throws UserError with what it said; CancellationError */
async function runExport(
  midtrain: Midtrain,
  args: readonly string[],
  progress: vscode.Progress<{ message?: string; increment?: number }>,
  cancelled: vscode.CancellationToken,
): Promise<string> {
  const env = { ...process.env, ...environmentOf(readSettings()), ELECTRON_RUN_AS_NODE: '1' };
  const child = spawn(process.execPath, [midtrain.command, 'export', ...args, '--json'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    windowsHide: true,
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', resolve);
    child.once('error', (error) => {
      failure = `The export could not be started: ${error.message}.`;
      resolve();
    });
  });
  cancelled.onCancellationRequested(() => child.kill('SIGTERM'));
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
  let failure = '';
  const written: string[] = [];
  let shown = 0;
  createInterface(child.stdout).on('line', (line) => {
    const row = JSON.parse(line) as { type: string; done?: number; total?: number; message?: string; path?: string };
    if (row.type === 'error') failure = row.message ?? '';
    if (row.type === 'export' && row.path !== undefined) written.push(row.path);
    if (row.type !== 'progress' || row.done === undefined || row.total === undefined) return;
    const share = (100 * row.done) / row.total;
    progress.report({ message: `${row.done} of ${row.total} tensors`, increment: share - shown });
    shown = share;
  });
  await ended;
  const [path] = written;
  if (path !== undefined) return path;
  if (cancelled.isCancellationRequested) throw new vscode.CancellationError();
  throw new UserError(failure === '' ? `The export failed. ${words.trim()}` : failure);
}
