/**
 * The results panels, one for an evaluation. What is in one comes from its session (resultsSession.ts) and is drawn by
 * src/webviews/results.
 */
import * as vscode from 'vscode';
import { type FollowedEvaluation, isEvaluation } from '../client/followedRun.ts';
import { type CommandId, commands, panels } from '../contributions.ts';
import { messageOf } from '../errors.ts';
import type { Action } from '../webviews/results/messages.ts';
import type { Midtrain } from './context.ts';
import { Panels, runSubjects } from './panels.ts';
import { ResultsSession } from './resultsSession.ts';
import { runTitle } from './runLabels.ts';
import { showSample } from './sampleDocuments.ts';

/** Commands behind the buttons. */
const commandOf: Readonly<Record<Action, CommandId>> = {
  pause: commands.pause,
  resume: commands.resume,
  stop: commands.stop,
  runAgain: commands.runAgain,
  openFolder: commands.openRunFolder,
};

export function resultsPanels(midtrain: Midtrain): Panels<FollowedEvaluation> {
  return new Panels<FollowedEvaluation>({
    extensionUri: midtrain.extension.extensionUri,
    viewType: panels.results,
    script: 'results',
    title: ({ description }) => `Results: ${runTitle(description)}`,
    gone: 'These results are no longer here.',
    ...runSubjects(async (folder) => {
      const run = await midtrain.runs.find(folder);
      return run !== null && isEvaluation(run) ? run : null;
    }),
    feed: (run, { webview }) =>
      new ResultsSession(run, (message) => void webview.postMessage(message), {
        open: (detail, part) => {
          showSample(run.folder, detail, part).catch((error: unknown) => {
            void vscode.window.showErrorMessage(`Midtrain: it could not be opened: ${messageOf(error)}`);
          });
        },
        copy: (text) => void vscode.env.clipboard.writeText(text),
        rerun: (taskId) => void vscode.commands.executeCommand(commands.runAgain, run.folder, taskId),
        act: (action) => void vscode.commands.executeCommand(commandOf[action], run.folder),
      }),
  });
}
