/**
 * Activation: builds the parts in order, nothing else. Reading the runs goes on after it.
 */
import * as vscode from 'vscode';
import { settings } from './contributions.ts';
import { activateAbstractions } from './features/abstractionsPanel.ts';
import { activateConfigDiagnostics } from './features/configDiagnostics.ts';
import { activateConfigForm } from './features/configForm.ts';
import { activateConfigLenses } from './features/configLenses.ts';
import { Midtrain } from './features/context.ts';
import { activateBenchmarksTree } from './features/benchmarksTree.ts';
import { activateEnvironment } from './features/environment.ts';
import { activateEvaluate } from './features/evaluate.ts';
import { activateExportModel } from './features/exportModel.ts';
import { activateFileAbstractions } from './features/fileAbstractions.ts';
import { activateModelsTree } from './features/modelsTree.ts';
import { activateNotices } from './features/notices.ts';
import { resultsPanels } from './features/resultsPanel.ts';
import { Readings } from './features/readings.ts';
import { activateSampleDocuments } from './features/sampleDocuments.ts';
import { activateRunCommands, runChosenBy } from './features/runCommands.ts';
import { runPanels } from './features/runPanel.ts';
import { activateRunsTree } from './features/runsTree.ts';
import { section } from './features/settings.ts';
import { activateStatusBar } from './features/statusBar.ts';
import { activateTrain } from './features/train.ts';
import { activateTrainingCommands } from './features/trainingCommands.ts';

/** For the tests in a real VS Code. */
export interface Exports {
  /** Own time of `activate`, without loading the bundle. */
  readonly activationMilliseconds: number;
  /** Settles once the runs have been read. */
  readonly runsRead: Promise<RunsRead>;
}

/** How many runs there are, how long reading them took, and how long the latest, which the Runs view shows first. */
interface RunsRead {
  readonly runs: number;
  readonly latestMilliseconds: number;
  readonly milliseconds: number;
}

export function activate(context: vscode.ExtensionContext): Exports {
  const started = performance.now();
  const log = vscode.window.createOutputChannel('Midtrain', { log: true });
  const midtrain = new Midtrain(context, log);
  context.subscriptions.push(log, midtrain);
  const results = resultsPanels(midtrain);
  const trainings = runPanels(midtrain);
  const readings = new Readings(midtrain);
  context.subscriptions.push(results, trainings, readings);
  activateSampleDocuments(context);
  activateRunsTree(midtrain);
  activateModelsTree(midtrain);
  activateBenchmarksTree(midtrain);
  activateEvaluate(midtrain, runChosenBy(midtrain));
  activateRunCommands(midtrain, (run) => {
    results.show(run);
  });
  activateTrainingCommands(midtrain, (run) => {
    trainings.show(run);
  });
  activateTrain(midtrain);
  activateConfigDiagnostics(context);
  activateConfigLenses(midtrain);
  activateConfigForm(midtrain);
  activateExportModel(midtrain, runChosenBy(midtrain));
  activateAbstractions(midtrain, readings);
  activateFileAbstractions(midtrain, readings);
  activateEnvironment(midtrain);
  activateStatusBar(midtrain);
  activateNotices(midtrain);
  context.subscriptions.push(
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(`${section}.${settings.runsFolder}`)) void midtrain.changeStore();
    }),
  );
  return { activationMilliseconds: performance.now() - started, runsRead: readRuns(midtrain) };
}

async function readRuns({ runs, log }: Midtrain): Promise<RunsRead> {
  await new Promise((resolve) => setImmediate(resolve));
  const started = performance.now();
  try {
    await runs.load();
    const latestMilliseconds = performance.now() - started;
    await runs.loadAll();
    return { runs: runs.runs.length, latestMilliseconds, milliseconds: performance.now() - started };
  } catch (error) {
    log.error(`The runs could not be read: ${String(error)}`);
    return { runs: runs.runs.length, latestMilliseconds: NaN, milliseconds: NaN };
  }
}

export function deactivate(): void {
  // Runs go on: their processes are detached.
}
