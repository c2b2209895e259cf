/**
 * Adds a model of the user's own: a file, a folder, or a name on the Hugging Face Hub. It is kept in the settings, where it
 * can be seen and changed.
 */
import * as vscode from 'vscode';
import { modelForms } from '../catalog/models.ts';
import { settings } from '../contributions.ts';
import { messageOf } from '../errors.ts';
import { findModel } from './catalog.ts';
import { readSettings, section } from './settings.ts';

/** @returns the model as it is written after `--model`. @throws CancellationError when the question is left */
export async function addModel(): Promise<string> {
  const kinds: (vscode.QuickPickItem & { readonly of: 'file' | 'folder' | 'name' })[] = [
    { label: '$(file) GGUF file…', of: 'file' },
    { label: '$(folder) Folder with config.json, tokenizer.json and safetensors…', of: 'folder' },
    { label: '$(cloud-download) Hugging Face name or path…', of: 'name' },
  ];
  const picked = await vscode.window.showQuickPick(kinds, { title: 'Add which kind of model?' });
  if (picked === undefined) throw new vscode.CancellationError();
  const spec = picked.of === 'name' ? await askName() : await askPath(picked.of);
  await findModel(spec); // says what is wrong with it
  await nameModel(spec);
  return spec;
}

async function askName(): Promise<string> {
  const spec = await vscode.window.showInputBox({
    title: 'Add Model',
    prompt: `${modelForms[0]!.toUpperCase()}${modelForms.slice(1)}`,
    placeHolder: 'Qwen/Qwen2.5-Coder-0.5B-Instruct',
    ignoreFocusOut: true,
    validateInput: (value) => (value.trim() === '' ? 'Write a name or a path.' : null),
  });
  if (spec === undefined) throw new vscode.CancellationError();
  return spec.trim();
}

async function askPath(kind: 'file' | 'folder'): Promise<string> {
  const picked = await vscode.window.showOpenDialog({
    title: kind === 'file' ? 'Add a GGUF File' : 'Add a Model Folder',
    openLabel: 'Add Model',
    canSelectFiles: kind === 'file',
    canSelectFolders: kind === 'folder',
    ...(kind === 'file' ? { filters: { GGUF: ['gguf'] } } : {}),
  });
  const path = picked?.[0]?.fsPath;
  if (path === undefined) throw new vscode.CancellationError();
  return path;
}

async function nameModel(spec: string): Promise<void> {
  const { models } = readSettings();
  if (models.includes(spec)) return;
  await update([...models, spec]);
}

/** Takes it out of the settings; its files stay where they are. */
export async function forgetModel(spec: string): Promise<void> {
  await update(readSettings().models.filter((model) => model !== spec));
}

async function update(models: readonly string[]): Promise<void> {
  try {
    await vscode.workspace.getConfiguration(section).update(settings.models, models, vscode.ConfigurationTarget.Global);
  } catch (error) {
    throw new Error(`the settings could not be written: ${messageOf(error)}`, { cause: error });
  }
}
