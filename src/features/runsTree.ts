/**
 * The Runs view: every run of the store, the latest first, as it stands now.
 */
import * as vscode from 'vscode';
import type { UnreadableRun } from '../client/runList.ts';
import { RunFollower } from '../client/runFollower.ts';
import { commands, contextKeys, items, views } from '../contributions.ts';
import { canResume, isLive, type RunState } from '../runner/state.ts';
import type { Midtrain } from './context.ts';
import { duration, runFigures, runTitle, runVariant } from './runLabels.ts';

type Row = RunFollower | UnreadableRun;

export function activateRunsTree(midtrain: Midtrain): void {
  const tree = new RunsTree(midtrain);
  const view = vscode.window.createTreeView(views.runs, { treeDataProvider: tree, showCollapseAll: false });
  const showLive = (): void => {
    const live = midtrain.runs.runs.filter(({ state }) => isLive(state)).length;
    view.badge =
      live === 0 ? undefined : { value: live, tooltip: live === 1 ? '1 run at work' : `${live} runs at work` };
  };
  midtrain.extension.subscriptions.push(
    view,
    midtrain.onDidChangeRuns((run) => {
      tree.changed(run);
      showLive();
    }),
  );
}

class RunsTree implements vscode.TreeDataProvider<Row> {
  readonly #midtrain: Midtrain;
  readonly #changed = new vscode.EventEmitter<Row | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;

  constructor(midtrain: Midtrain) {
    this.#midtrain = midtrain;
  }

  changed(run: RunFollower | null): void {
    this.#changed.fire(run ?? undefined);
  }

  async getChildren(row?: Row): Promise<Row[]> {
    if (row !== undefined) return [];
    const { runs } = this.#midtrain;
    await runs.load();
    void vscode.commands.executeCommand('setContext', contextKeys.loaded, true);
    return [...runs.runs, ...runs.unreadable];
  }

  getTreeItem(row: Row): vscode.TreeItem {
    return row instanceof RunFollower ? runItem(row) : unreadableItem(row);
  }
}

function runItem(run: RunFollower): vscode.TreeItem {
  const { state, description, folder } = run;
  const item = new vscode.TreeItem(runTitle(description));
  item.id = folder;
  item.description = runFigures(state);
  item.iconPath = iconOf(state);
  item.contextValue = [
    items.run,
    ...(isLive(state) ? [items.live, state.status] : []),
    ...(canResume(state) ? [items.resumable] : []),
  ].join(' ');
  item.tooltip = tooltipOf(run);
  item.accessibilityInformation = { label: `${runTitle(description)}, ${state.status}, ${runFigures(state)}` };
  item.command = { command: commands.openResults, title: 'Open Results', arguments: [run] };
  return item;
}

function iconOf({ status }: RunState): vscode.ThemeIcon {
  const colour = (id: string): vscode.ThemeColor => new vscode.ThemeColor(id);
  switch (status) {
    case 'asked':
    case 'running':
      return new vscode.ThemeIcon('sync~spin');
    case 'paused':
      return new vscode.ThemeIcon('debug-pause', colour('charts.yellow'));
    case 'finished':
      return new vscode.ThemeIcon('pass', colour('testing.iconPassed'));
    case 'stopped':
      return new vscode.ThemeIcon('debug-stop');
    case 'failed':
    case 'crashed':
      return new vscode.ThemeIcon('error', colour('testing.iconFailed'));
  }
}

function tooltipOf({ state, description, folder }: RunFollower): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  const line = (name: string, value: string): void => {
    if (value === '') return;
    text.appendText(`${name}: ${value}`);
    text.appendMarkdown('  \n');
  };
  text.appendMarkdown('**');
  text.appendText(runTitle(description));
  text.appendMarkdown('**  \n');
  line('state', state.status);
  line('asked for', new Date(description.created).toLocaleString());
  line('settings', runVariant(description));
  if (state.launched !== null && state.ended !== null) line('took', duration(state.ended - state.launched));
  line('device', state.device ?? '');
  line('result', state.score === null ? '' : runFigures({ ...state, status: 'finished' }));
  line('why', state.error);
  line('folder', folder);
  return text;
}

function unreadableItem({ folder, name, why }: UnreadableRun): vscode.TreeItem {
  const item = new vscode.TreeItem(name);
  item.id = folder;
  item.description = 'cannot be shown';
  item.tooltip = why;
  item.iconPath = new vscode.ThemeIcon('question');
  item.contextValue = items.unreadable;
  item.accessibilityInformation = { label: `${name} cannot be shown: ${why}` };
  return item;
}
