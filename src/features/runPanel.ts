/**
 * The run panels, one for a training: its curves, what was done to it, and its samples. What is in one comes from its session
 * (runSession.ts) and is drawn by src/webviews/run.
 */
import * as vscode from 'vscode';
import { type FollowedTraining, isTraining } from '../client/followedRun.ts';
import { type CommandId, commands, panels } from '../contributions.ts';
import { type Action, MOST_OVERLAYS } from '../webviews/run/messages.ts';
import type { Midtrain } from './context.ts';
import { saveAs } from './exportMetrics.ts';
import { Panels, runSubjects } from './panels.ts';
import { runFigures, runTitle, runVariant } from './runLabels.ts';
import { RunSession } from './runSession.ts';

/** Commands behind the buttons, and what they are given behind the run. */
const commandOf: Readonly<Record<Action, readonly [command: CommandId, argument?: string]>> = {
  pause: [commands.pause],
  release: [commands.pauseAndRelease],
  resume: [commands.resume],
  stop: [commands.stop],
  stopAndSave: [commands.stopAndSave],
  checkpoint: [commands.saveCheckpoint],
  sample: [commands.sampleNow],
  setLearningRate: [commands.setLearningRate],
  setEvaluationInterval: [commands.setEvaluationInterval],
  setThinkPenalty: [commands.setThinkPenalty],
  setTemperature: [commands.setTemperature],
  setGroupSize: [commands.setGroupSize],
  setUpdates: [commands.setUpdates],
  setSteps: [commands.setSteps],
  openFolder: [commands.openRunFolder],
  exportCsv: [commands.exportMetrics, 'csv'],
  exportEStepCsv: [commands.exportMetrics, 'eStepCsv'],
  exportTensorBoard: [commands.exportMetrics, 'tensorBoard'],
};

export function runPanels(midtrain: Midtrain): Panels<FollowedTraining> {
  const openRun = async (folder: string): Promise<FollowedTraining | null> => {
    const run = await midtrain.runs.find(folder);
    return run !== null && isTraining(run) ? run : null;
  };
  return new Panels<FollowedTraining>({
    extensionUri: midtrain.extension.extensionUri,
    viewType: panels.run,
    script: 'run',
    title: ({ description }) => runTitle(description),
    gone: 'This run is no longer here.',
    ...runSubjects(openRun),
    feed: (run, { webview }) =>
      new RunSession(run, (message) => void webview.postMessage(message), {
        act: (action) => {
          const [command, ...more] = commandOf[action];
          void vscode.commands.executeCommand(command, run.folder, ...more);
        },
        savePicture: (format, bytes) => {
          void saveAs(midtrain, `${run.description.request.name}.${format}`, { 'The curves': [format] }, () => bytes);
        },
        chooseOverlays: (chosen) => chooseOverlays(midtrain, run, chosen),
        openRun,
      }),
  });
}

/** Lets the user choose the trainings that are drawn beside this one. Null: it was left. */
async function chooseOverlays(
  midtrain: Midtrain,
  own: FollowedTraining,
  chosen: readonly string[],
): Promise<readonly string[] | null> {
  await midtrain.runs.loadAll();
  const others = midtrain.runs.runs.filter((run) => isTraining(run) && run.folder !== own.folder);
  if (others.length === 0) {
    void vscode.window.showInformationMessage('Midtrain: there is no other training to draw beside this one.');
    return null;
  }
  const picked = await vscode.window.showQuickPick(
    others.map((run) => ({
      folder: run.folder,
      label: runTitle(run.description),
      description: [runVariant(run.description), runFigures(run.state)].join(' · '),
      detail: new Date(run.description.created).toLocaleString(),
      picked: chosen.includes(run.folder),
    })),
    { title: `Draw which runs beside this one? At most ${MOST_OVERLAYS}`, canPickMany: true, matchOnDescription: true },
  );
  return picked?.slice(0, MOST_OVERLAYS).map(({ folder }) => folder) ?? null;
}
