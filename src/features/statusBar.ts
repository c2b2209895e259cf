/**
 * How the latest run at work stands, in the status bar, and the progress bar of the Runs view. Goes away with the run.
 */
import * as vscode from 'vscode';
import { isEvaluation } from '../client/followedRun.ts';
import type { RunFollower } from '../client/runFollower.ts';
import { commands, settings, views } from '../contributions.ts';
import { BENCHMARKS } from '../evaluation/benchmarks/index.ts';
import { isLive } from '../runner/state.ts';
import type { Midtrain } from './context.ts';
import { duration, pace, phaseWords, runFigures, runSubject, runTitle, soFar } from './runLabels.ts';
import { readSettings, section } from './settings.ts';

export function activateStatusBar(midtrain: Midtrain): void {
  const item = vscode.window.createStatusBarItem('midtrain.run', vscode.StatusBarAlignment.Left);
  item.name = 'Midtrain Run';
  let ready: (() => void) | null = null;
  const show = (): void => {
    const run = midtrain.runs.runs.find(({ state }) => isLive(state));
    if (run === undefined || !readSettings().statusBar) item.hide();
    else {
      item.text = statusText(run, Date.now());
      const [title, command] = isEvaluation(run)
        ? ['Open the results', commands.openResults]
        : ['Open the run', commands.openRun];
      item.tooltip = `${runTitle(run.description)}${run.state.device === null ? '' : `\n${run.state.device}`}\n${title}`;
      item.command = { command, title, arguments: [run.folder] };
      item.accessibilityInformation = { label: `Midtrain: ${plain(item.text)}`, role: 'button' };
      item.show();
    }
    if (run === undefined) {
      ready?.();
      ready = null;
    } else if (ready === null) {
      void vscode.window.withProgress(
        { location: { viewId: views.runs } },
        () => new Promise<void>((resolve) => (ready = resolve)),
      );
    }
  };
  midtrain.extension.subscriptions.push(
    item,
    midtrain.onDidChangeRuns(show),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(`${section}.${settings.statusBar}`)) show();
    }),
    {
      dispose: () => {
        ready?.();
      },
    },
  );
}

/** `$(sync~spin) HumanEval 12/164 · pass@1 so far 8.3 % · 52/min · 3 min left · cpu` */
export function statusText({ state, description }: Pick<RunFollower, 'state' | 'description'>, now: number): string {
  const { progress, status, phase, device } = state;
  const icon = status === 'paused' ? '$(debug-pause)' : '$(sync~spin)';
  if (description.kind === 'training') return `${icon} ${runSubject(description)} · ${runFigures(state)}`;
  const title = BENCHMARKS[description.request.benchmark.id].title;
  const parts = [progress === null || progress.total === 0 ? title : `${title} ${progress.done}/${progress.total}`];
  if (status === 'paused') parts.push('paused');
  else if (phase === 'fetch' || phase === 'load') parts.push(phaseWords[phase]);
  const score = soFar(state);
  if (score !== '') parts.push(score);
  const speed = pace(state, now);
  if (speed !== null) parts.push(`${(60 * speed.rate).toFixed(0)}/min`, `${duration(speed.left)} left`);
  if (device !== null) parts.push(device.split(',')[0]!);
  return `${icon} ${parts.join(' · ')}`;
}

function plain(text: string): string {
  return text.replace(/\$\([^)]*\)\s*/g, '');
}
