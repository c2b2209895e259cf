/**
 * Says when a run has ended that was at work while this window watched. Nothing opens by itself, and the setting
 * `midtrain.notices` switches it off.
 */
import * as vscode from 'vscode';
import { isEvaluation } from '../client/followedRun.ts';
import { commands } from '../contributions.ts';
import { isLive, type RunStatus } from '../runner/state.ts';
import type { Midtrain } from './context.ts';
import { runFigures, runTitle } from './runLabels.ts';
import { readSettings } from './settings.ts';

export function activateNotices(midtrain: Midtrain): void {
  const seen = new Map<string, RunStatus>();
  midtrain.extension.subscriptions.push(
    midtrain.onDidChangeRuns(() => {
      for (const run of midtrain.runs.runs) {
        const { folder, state, description } = run;
        const before = seen.get(folder);
        seen.set(folder, state.status);
        if (before === undefined || isOver(before) || !isOver(state.status)) continue;
        const open = isEvaluation(run) ? RESULTS : RUN;
        void tell(folder, state.status, runTitle(description), runFigures(state), state.error, open);
      }
    }),
  );
}

/** One that was only asked for may have failed at once. */
function isOver(status: RunStatus): boolean {
  return status !== 'asked' && !isLive({ status });
}

/** What there is to look at of a run: buttons with their commands. */
const RESULTS = { title: 'Open Results', command: commands.openResults };
const RUN = { title: 'Open Run', command: commands.openRun };

async function tell(
  folder: string,
  status: RunStatus,
  title: string,
  figures: string,
  error: string,
  { title: open, command }: typeof RESULTS | typeof RUN,
): Promise<void> {
  const { notices } = readSettings();
  if (notices === 'none') return;
  const resume = 'Resume';
  let pressed: string | undefined;
  if (status === 'finished') {
    if (notices === 'failures') return;
    pressed = await vscode.window.showInformationMessage(`${title}: ${figures}.`, open);
  } else if (status === 'failed' || status === 'crashed') {
    const why = error.split('\n')[0] ?? '';
    pressed = await vscode.window.showErrorMessage(`${title} ${status}: ${why}`, resume, open);
  }
  if (pressed === open) await vscode.commands.executeCommand(command, folder);
  if (pressed === resume) await vscode.commands.executeCommand(commands.resume, folder);
}
