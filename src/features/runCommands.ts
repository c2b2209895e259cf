/**
 * The commands on a run, from its row, a panel or the palette: stop, pause, open, remove.
 */
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import { type FollowedEvaluation, isEvaluation } from '../client/followedRun.ts';
import { RunFollower } from '../client/runFollower.ts';
import { commands } from '../contributions.ts';
import { UserError } from '../errors.ts';
import { isLive } from '../runner/state.ts';
import { removeRun } from '../runner/store.ts';
import { type Midtrain, register } from './context.ts';
import { askRun } from './evaluate.ts';
import { runTitle } from './runLabels.ts';

/** Shows a run's results. */
export type ShowResults = (run: RunFollower & FollowedEvaluation) => void;

/** The run that a command was called with, as a row of the tree or by its folder. */
export function runChosenBy(midtrain: Midtrain): (argument: unknown) => RunFollower | null {
  return (argument) => {
    if (argument instanceof RunFollower) return argument;
    if (typeof argument !== 'string') return null;
    return midtrain.runs.runs.find(({ folder }) => folder === argument) ?? null;
  };
}

export function activateRunCommands(midtrain: Midtrain, showResults: ShowResults): void {
  const chosen = runChosenBy(midtrain);
  const live = async (argument: unknown, title: string): Promise<RunFollower> =>
    chosen(argument) ??
    onlyOne(midtrain) ??
    askRun(midtrain, title, (run) => isLive(run.state) || midtrain.isStarting(run));

  register(midtrain, commands.stop, async (argument?: unknown) => {
    await midtrain.stop(await live(argument, 'Stop which run?'));
  });
  register(midtrain, commands.pause, async (argument?: unknown) => {
    await (await live(argument, 'Pause which run?')).control('pause');
  });
  register(midtrain, commands.openResults, async (argument?: unknown) => {
    const run = chosen(argument) ?? (await askRun(midtrain, 'Open the results of which run?', isEvaluation));
    if (!isEvaluation(run)) throw new UserError('A training has curves and no results: open the run.');
    showResults(run);
  });
  register(midtrain, commands.openRunFolder, async (argument?: unknown) => {
    const path = folderOf(argument) ?? (await askRun(midtrain, 'Open the folder of which run?', () => true)).folder;
    const folder = vscode.Uri.file(path);
    // A window in a browser has no file manager to show it in.
    const isDesktop = vscode.env.uiKind === vscode.UIKind.Desktop && vscode.env.remoteName === undefined;
    const how = isDesktop ? 'revealFileInOS' : 'vscode.openFolder';
    await vscode.commands.executeCommand(how, folder, ...(isDesktop ? [] : [{ forceNewWindow: true }]));
  });
  register(midtrain, commands.removeRun, async (argument?: unknown) => {
    const folder =
      folderOf(argument) ?? (await askRun(midtrain, 'Remove which run?', ({ state }) => !isLive(state))).folder;
    const run = midtrain.runs.runs.find((one) => one.folder === folder);
    const what = run === undefined ? folder : runTitle(run.description);
    const yes = 'Remove';
    const { store } = midtrain.runs;
    const detail =
      dirname(folder) === store
        ? `Its samples and results in ${folder} are deleted for good.`
        : `It is taken off the list. Its files in ${folder} stay.`;
    const answer = await vscode.window.showWarningMessage(`Remove the run ${what}?`, { modal: true, detail }, yes);
    if (answer !== yes) return;
    await removeRun(store, folder);
    await midtrain.runs.refresh();
  });
}

/** Of a row of the Runs view, of a run that cannot be shown too; or the folder as it is. */
function folderOf(argument: unknown): string | null {
  if (typeof argument === 'string') return argument;
  const folder = (argument as { folder?: unknown } | undefined)?.folder;
  return typeof folder === 'string' ? folder : null;
}

function onlyOne(midtrain: Midtrain): RunFollower | null {
  const live = midtrain.runs.runs.filter((run) => isLive(run.state) || midtrain.isStarting(run));
  if (live.length === 0) throw new UserError('No run is at work.');
  return live.length === 1 ? live[0]! : null;
}
