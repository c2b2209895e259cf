/**
 * Run, Resume, Estimate and Preview Data above a run config. Resume is there when a run of the very config can go on.
 */
import * as vscode from 'vscode';
import { commands, editors } from '../contributions.ts';
import { checkTrainingConfig, resolveConfig } from '../midtraining/config.ts';
import { configDocuments } from './configDocuments.ts';
import type { Midtrain } from './context.ts';
import { resumableRun } from './train.ts';

export function activateConfigLenses(midtrain: Midtrain): void {
  const lenses = new ConfigLenses(midtrain);
  midtrain.extension.subscriptions.push(
    vscode.languages.registerCodeLensProvider(configDocuments, lenses),
    midtrain.onDidChangeRuns(() => {
      lenses.refresh();
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => {
      lenses.refresh();
    }),
  );
}

class ConfigLenses implements vscode.CodeLensProvider {
  readonly #midtrain: Midtrain;
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeCodeLenses = this.#changed.event;
  /** Trainings that can go on: a run tells much that changes no lens. */
  #resumable = '';

  constructor(midtrain: Midtrain) {
    this.#midtrain = midtrain;
  }

  refresh(): void {
    const { runs } = this.#midtrain.runs;
    const trainings = runs.filter((run) => run.description.kind === 'training' && this.#midtrain.canResume(run));
    const resumable = [vscode.workspace.isTrusted, ...trainings.map(({ folder }) => folder)].join('\n');
    if (resumable === this.#resumable) return;
    this.#resumable = resumable;
    this.#changed.fire();
  }

  provideCodeLenses(document: vscode.TextDocument): vscode.CodeLens[] {
    if (!vscode.workspace.isTrusted) return [];
    const { uri } = document;
    const { config } = checkTrainingConfig(document.getText());
    const resumable = config && resumableRun(this.#midtrain, resolveConfig(config, uri.fsPath));
    const top = new vscode.Range(0, 0, 0, 0);
    const lens = (title: string, command: string, ...args: unknown[]): vscode.CodeLens =>
      new vscode.CodeLens(top, { title, command, arguments: args });
    return [
      lens('$(play) Run', commands.trainByConfig, uri),
      ...(resumable ? [lens('$(debug-continue) Resume', commands.resume, resumable.folder)] : []),
      lens('$(dashboard) Estimate', commands.estimate, uri),
      lens('$(eye) Preview Data', commands.previewData, uri),
      lens('$(list-flat) Form', 'vscode.openWith', uri, editors.configForm),
    ];
  }
}
