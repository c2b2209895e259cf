/**
 * The Runs view: every run of the store, the latest first, as it stands now.
 */
import * as vscode from 'vscode';
import type { UnreadableRun } from '../client/runList.ts';
import { hasEStep, isEvaluation } from '../client/followedRun.ts';
import { RunFollower } from '../client/runFollower.ts';
import { commands, contextKeys, items, views } from '../contributions.ts';
import { isLive, type RunState } from '../runner/state.ts';
import type { Midtrain } from './context.ts';
import { factsTooltip, spoken } from './rowText.ts';
import { duration, runFigures, runSubject, runTitle, runVariant } from './runLabels.ts';

/** Others are drawn when they are asked for: a thousand rows take VS Code twice as long (docs/log.md). */
const LATEST = 64;

/**
 * A run at work tells of itself several times a second. A row that is drawn anew between the press and the release of a button
 * on it loses the click, so figures wait; what can be done to the run does not.
 */
const FIGURES_MILLISECONDS = 1000;

/** The row that holds all other runs. */
const OLDER = { id: 'older runs' } as const;

type Row = RunFollower | UnreadableRun | typeof OLDER;

export function activateRunsTree(midtrain: Midtrain): void {
  const tree = new RunsTree(midtrain);
  const view = vscode.window.createTreeView(views.runs, { treeDataProvider: tree, showCollapseAll: false });
  const showHeading = (): void => {
    const { runs, unreadable } = midtrain.runs;
    // Without runs the welcome view says it.
    const silent = vscode.workspace.isTrusted || runs.length + unreadable.length === 0;
    view.message = silent ? '' : 'This workspace is not trusted: runs can be looked at, and nothing is run.';
    const atWork = runs.filter(({ state }) => isLive(state));
    void vscode.commands.executeCommand('setContext', contextKeys.exploring, atWork.some(hasEStep));
    const live = atWork.length;
    view.badge =
      live === 0 ? undefined : { value: live, tooltip: live === 1 ? '1 run at work' : `${live} runs at work` };
  };
  midtrain.extension.subscriptions.push(
    view,
    vscode.workspace.onDidGrantWorkspaceTrust(showHeading),
    midtrain.onDidChangeRuns((run) => {
      tree.changed(run);
      showHeading();
    }),
  );
}

class RunsTree implements vscode.TreeDataProvider<Row> {
  readonly #midtrain: Midtrain;
  readonly #changed = new vscode.EventEmitter<Row | undefined>();
  readonly onDidChangeTreeData = this.#changed.event;

  /** Runs that are behind OLDER. */
  #older: readonly RunFollower[] = [];
  /** When a row was drawn last (`performance.now()`), and what could be done to its run by then. */
  readonly #drawn = new WeakMap<RunFollower, { readonly at: number; readonly context: string }>();
  readonly #waiting = new Map<RunFollower, NodeJS.Timeout>();

  constructor(midtrain: Midtrain) {
    this.#midtrain = midtrain;
  }

  changed(run: RunFollower | null): void {
    if (run === null || this.#older.includes(run)) {
      this.#changed.fire(undefined); // an older one that is at work again comes to the front
      return;
    }
    const drawn = this.#drawn.get(run);
    const isSame = drawn?.context === contextOf(this.#midtrain, run);
    const wait = isSame ? drawn.at + FIGURES_MILLISECONDS - performance.now() : 0;
    if (wait <= 0) this.#draw(run);
    else if (!this.#waiting.has(run))
      this.#waiting.set(
        run,
        setTimeout(() => {
          this.#draw(run);
        }, wait).unref(),
      );
  }

  #draw(run: RunFollower): void {
    clearTimeout(this.#waiting.get(run));
    this.#waiting.delete(run);
    this.#drawn.set(run, { at: performance.now(), context: contextOf(this.#midtrain, run) });
    this.#changed.fire(run);
  }

  async getChildren(row?: Row): Promise<Row[]> {
    if (row !== undefined) return row === OLDER ? [...this.#older] : [];
    const { runs } = this.#midtrain;
    await runs.load();
    void vscode.commands.executeCommand('setContext', contextKeys.loaded, true);
    const all = runs.runs;
    const isOlder = (run: RunFollower, place: number): boolean => place >= LATEST && !isLive(run.state);
    this.#older = all.filter(isOlder);
    const latest = all.filter((run, place) => !isOlder(run, place));
    return [...latest, ...(this.#older.length > 0 ? [OLDER] : []), ...runs.unreadable];
  }

  getTreeItem(row: Row): vscode.TreeItem {
    if (row === OLDER) return olderItem(this.#older.length);
    return row instanceof RunFollower ? runItem(this.#midtrain, row) : unreadableItem(row as UnreadableRun);
  }
}

function olderItem(count: number): vscode.TreeItem {
  const label = count === 1 ? '1 older run' : `${count} older runs`;
  const item = new vscode.TreeItem(label, vscode.TreeItemCollapsibleState.Collapsed);
  item.id = OLDER.id;
  item.iconPath = new vscode.ThemeIcon('history');
  return item;
}

function runItem(midtrain: Midtrain, run: RunFollower): vscode.TreeItem {
  const { state, description, folder } = run;
  const item = new vscode.TreeItem(runSubject(description));
  item.id = folder;
  const starting = midtrain.isStarting(run);
  const figures = starting ? 'starting' : runFigures(state);
  // The view is narrow: how it stands comes before the model, whose name may be long.
  const parts = [figures, description.request.model.label, runVariant(description)];
  item.description = parts.filter((part) => part !== '').join(' · ');
  item.iconPath = starting ? new vscode.ThemeIcon('sync~spin') : iconOf(state);
  item.contextValue = contextOf(midtrain, run);
  item.tooltip = tooltipOf(run);
  item.accessibilityInformation = {
    label: spoken(runTitle(description), runVariant(description), state.status === 'finished' && 'finished', figures),
  };
  item.command = isEvaluation(run)
    ? { command: commands.openResults, title: 'Open Results', arguments: [run] }
    : { command: commands.openRun, title: 'Open Run', arguments: [run] };
  return item;
}

/** What its row's buttons and menu go by. */
function contextOf(midtrain: Midtrain, run: RunFollower): string {
  const { state } = run;
  return [
    isEvaluation(run) ? items.run : items.training,
    ...(midtrain.isStarting(run) || isLive(state) ? [items.live] : []),
    ...(isLive(state) ? [state.status] : []),
    ...(isLive(state) && hasEStep(run) ? [items.exploring] : []),
    ...(midtrain.canResume(run) ? [items.resumable] : []),
  ].join(' ');
}

function iconOf({ status }: RunState): vscode.ThemeIcon {
  const colour = (id: string): vscode.ThemeColor => new vscode.ThemeColor(id);
  switch (status) {
    case 'asked':
      return new vscode.ThemeIcon('circle-outline');
    case 'running':
      return new vscode.ThemeIcon('sync~spin');
    case 'paused':
      return new vscode.ThemeIcon('debug-pause', colour('charts.yellow'));
    case 'finished':
      return new vscode.ThemeIcon('pass', colour('testing.iconPassed'));
    case 'stopped':
      return new vscode.ThemeIcon('circle-slash');
    case 'failed':
    case 'crashed':
      return new vscode.ThemeIcon('error', colour('testing.iconFailed'));
  }
}

function tooltipOf({ state, description, folder }: RunFollower): vscode.MarkdownString {
  const { status, launched, ended, device, score, error } = state;
  return factsTooltip(runTitle(description), {
    state: status === 'asked' ? 'not started' : status,
    'asked for': new Date(description.created).toLocaleString(),
    settings: runVariant(description),
    took: launched === null || ended === null ? null : duration(ended - launched),
    device,
    result: score === null ? null : runFigures({ ...state, status: 'finished' }),
    why: error,
    folder,
  });
}

function unreadableItem({ folder, name, why }: UnreadableRun): vscode.TreeItem {
  const item = new vscode.TreeItem(name);
  item.id = folder;
  item.description = 'cannot be shown';
  item.tooltip = factsTooltip(name, { why, folder });
  item.iconPath = new vscode.ThemeIcon('question');
  item.contextValue = items.unreadable;
  item.accessibilityInformation = { label: `${name} cannot be shown: ${why}` };
  return item;
}
