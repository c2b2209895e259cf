/**
 * The abstractions panels: where a model thinks in a piece of code, and what that is worth. What is in one comes from its session
 * (abstractionsSession.ts), what can be read from readingSources.ts; it is drawn by src/webviews/abstractions.
 */
import * as vscode from 'vscode';
import { RunFollower } from '../client/runFollower.ts';
import { commands, panels } from '../contributions.ts';
import { messageOf, UserError } from '../errors.ts';
import { type Address, parseSaved } from '../webviews/abstractions/messages.ts';
import { AbstractionsSession } from './abstractionsSession.ts';
import { type Midtrain, register } from './context.ts';
import { askRun } from './evaluate.ts';
import { saveAs } from './exportMetrics.ts';
import { Panels } from './panels.ts';
import { openSource, titleOf } from './readingSources.ts';
import type { Readings } from './readings.ts';

/** How files of readings end. */
const ENDING = '.reading.json';

export function activateAbstractions(midtrain: Midtrain, service: Readings): void {
  const shown = abstractionsPanels(midtrain, service);
  midtrain.extension.subscriptions.push(shown);
  register(midtrain, commands.openAbstractions, async (argument?: unknown) => {
    shown.show(await addressOf(midtrain, service, argument));
  });
}

function abstractionsPanels(midtrain: Midtrain, service: Readings): Panels<Address> {
  const parts = {
    readText: async (uri: string) => {
      const address = vscode.Uri.parse(uri, true);
      // A reading of a long file is larger than a document may be; code is read as it stands in its editor.
      if (!address.path.endsWith(ENDING)) return (await vscode.workspace.openTextDocument(address)).getText();
      return new TextDecoder().decode(await vscode.workspace.fs.readFile(address));
    },
    openRun: (folder: string) => midtrain.runs.find(folder),
    service,
  };
  return new Panels<Address>({
    extensionUri: midtrain.extension.extensionUri,
    viewType: panels.abstractions,
    script: 'abstractions',
    title: (address) => panelTitle(titleOf(address)),
    key: (address) => JSON.stringify(address),
    gone: 'What was read is no longer known.',
    restore: (state) => {
      const saved = parseSaved(state);
      if (saved === null) return Promise.reject(new UserError('There was nothing in it yet.'));
      return Promise.resolve(saved.sides[0]!.address);
    },
    feed: (address, panel) =>
      new AbstractionsSession(address, (message) => void panel.webview.postMessage(message), {
        open: (one) => openSource(one, parts),
        choose: (beside) => left(chooseAddress(midtrain, service, beside)),
        chooseItem: async (items, now) => {
          const rows = items.map((label, item) => ({ label, item, picked: item === now }));
          return (await vscode.window.showQuickPick(rows, { title: 'Show which one?' }))?.item ?? null;
        },
        copy: (text) => void vscode.env.clipboard.writeText(text),
        save: (name, bytes) => {
          void saveAs(midtrain, name, { 'The abstractions': [name.slice(name.lastIndexOf('.') + 1)] }, () => bytes);
        },
        rename: (title) => (panel.title = panelTitle(title)),
        report: (error) => {
          if (error instanceof UserError) void vscode.window.showErrorMessage(`Midtrain: ${error.message}`);
          else midtrain.log.error(error instanceof Error ? error : messageOf(error));
        },
      }),
  });
}

function panelTitle(title: string): string {
  return `Abstractions: ${title}`;
}

/** What the command was called with: a file, a run's row, nothing: then it is what is in the editor, or asked for. */
async function addressOf(midtrain: Midtrain, service: Readings, argument: unknown): Promise<Address> {
  if (argument instanceof RunFollower) return { kind: 'samples', folder: argument.folder, model: null };
  const uri = argument instanceof vscode.Uri ? argument : shownFile();
  if (uri?.path.endsWith(ENDING) === true) return { kind: 'readings', uri: uri.toString() };
  if (uri !== undefined) {
    return { kind: 'file', uri: uri.toString(), model: await service.chooseModel() };
  }
  return chooseAddress(midtrain, service, null);
}

/** What is in the editor; a file that is too large to be shown has a tab only. */
function shownFile(): vscode.Uri | undefined {
  const tab = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  return vscode.window.activeTextEditor?.document.uri ?? (tab instanceof vscode.TabInputText ? tab.uri : undefined);
}

/** @throws CancellationError when it was left */
async function chooseAddress(midtrain: Midtrain, service: Readings, beside: Address | null): Promise<Address> {
  const editor = vscode.window.visibleTextEditors[0]?.document.uri;
  const same = beside;
  const choices: readonly { readonly label: string; readonly address: () => Address | Promise<Address> }[] = [
    ...(same === null ? [] : [{ label: 'The Same, at Another Step or with Other Latents', address: () => same }]),
    ...(same === null || same.kind === 'readings'
      ? []
      : [
          {
            label: 'The Same, by Another Model…',
            address: async () => ({ ...same, model: await service.chooseModel() }),
          },
        ]),
    ...(editor === undefined
      ? []
      : [
          {
            label: 'The File in the Editor',
            address: async () => ({
              kind: 'file' as const,
              uri: editor.toString(),
              model: await service.chooseModel(),
            }),
          },
        ]),
    {
      label: 'Code That I Type',
      address: async () => ({ kind: 'text', text: '', model: await service.chooseModel() }),
    },
    {
      label: 'The Samples of a Run…',
      address: async () => {
        const run = await askRun(midtrain, 'Read the samples of which run?', () => true);
        return { kind: 'samples', folder: run.folder, model: null };
      },
    },
    { label: 'A File of Readings…', address: askReadings },
  ];
  const picked = await vscode.window.showQuickPick(choices, { title: 'Show the abstractions of what?' });
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.address();
}

async function askReadings(): Promise<Address> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const picked = await vscode.window.showOpenDialog({
    title: 'Open which file of readings?',
    filters: { Readings: ['json', 'jsonl'] },
    ...(folder === undefined ? {} : { defaultUri: folder }),
  });
  if (picked?.[0] === undefined) throw new vscode.CancellationError();
  return { kind: 'readings', uri: picked[0].toString() };
}

/** Null where it was left. */
async function left<T>(choice: Promise<T>): Promise<T | null> {
  try {
    return await choice;
  } catch (error) {
    if (error instanceof vscode.CancellationError) return null;
    throw error;
  }
}
