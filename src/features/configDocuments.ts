/**
 * Run configs as VS Code has them: which documents they are, which one a command is about, and what one asks for.
 */
import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { specIn } from '../catalog/models.ts';
import { UserError } from '../errors.ts';
import { ENDING, type ReadConfig, readTrainingConfig } from '../midtraining/config.ts';

export const configDocuments: vscode.DocumentFilter = { language: 'json', pattern: `**/*${ENDING}` };

export interface AskedTraining extends ReadConfig {
  /** Of the model, as after `--model`. */
  readonly spec: string;
}

/** What the file says once it is saved. @throws UserError as `readTrainingConfig` */
export async function readConfig(uri: vscode.Uri): Promise<AskedTraining> {
  const open = vscode.workspace.textDocuments.find((document) => document.uri.toString() === uri.toString());
  if (open?.isDirty === true && !(await open.save())) throw new UserError(`${uri.fsPath} could not be saved.`);
  const read = await readTrainingConfig(uri.fsPath);
  return { ...read, spec: await specIn(dirname(uri.fsPath), read.config.model) };
}

/**
 * The config that a command was called with, or that is looked at, or that a user picks.
 * @throws CancellationError when the question is left; UserError when there is none
 */
export async function chosenConfig(argument: unknown, title: string): Promise<vscode.Uri> {
  const uri = argument instanceof vscode.Uri ? argument : lookedAt();
  if (uri !== null) return uri;
  const found = await workspaceConfigs();
  if (found.length === 0) {
    throw new UserError(`There is no run config (*${ENDING}) in this workspace. New Training Config makes one.`);
  }
  const picked = await vscode.window.showQuickPick(configPicks(found), { title, matchOnDescription: true });
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.uri;
}

export async function workspaceConfigs(): Promise<vscode.Uri[]> {
  const found = await vscode.workspace.findFiles(`**/*${ENDING}`, undefined, 200);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function configPicks(uris: readonly vscode.Uri[]): (vscode.QuickPickItem & { readonly uri: vscode.Uri })[] {
  return uris.map((uri) => {
    const description = vscode.workspace.asRelativePath(vscode.Uri.joinPath(uri, '..'));
    return { uri, label: basename(uri.path), description };
  });
}

function lookedAt(): vscode.Uri | null {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  const isConfig = input instanceof vscode.TabInputText || input instanceof vscode.TabInputCustom;
  return isConfig && input.uri.path.endsWith(ENDING) ? input.uri : null;
}
