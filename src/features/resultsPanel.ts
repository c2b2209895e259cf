/**
 * The results panels: one for a run, put back after the window was reloaded. What is in one comes from its session
 * (resultsSession.ts) and is drawn by src/webviews/results.
 */
import * as vscode from 'vscode';
import type { FollowedEvaluation } from '../client/followedRun.ts';
import { panels } from '../contributions.ts';
import { messageOf } from '../errors.ts';
import { type Action, parseSaved, type ToPanel } from '../webviews/results/messages.ts';
import { runTitle } from './runLabels.ts';
import { ResultsSession } from './resultsSession.ts';
import { showSample } from './sampleDocuments.ts';
import { drawPage } from './webviewPage.ts';

export interface ResultsPanelsOptions {
  readonly extensionUri: vscode.Uri;
  /** Null where the folder holds no run that can be shown. */
  readonly openRun: (folder: string) => Promise<FollowedEvaluation | null>;
  readonly rerunProblem: (run: FollowedEvaluation, taskId: string) => void;
  readonly act: (run: FollowedEvaluation, action: Action) => void;
}

/**
 * Closes panels on the screen that an extension host left behind when it crashed: nobody answers them, and VS Code gives them
 * to no later host. One that is hidden cannot be told from one that will be put back when it is looked at; it finds out itself.
 */
function closeOrphans(title: string): void {
  const orphans = vscode.window.tabGroups.all
    .flatMap(({ tabs }) => tabs)
    .filter(({ isActive, label, input }) => {
      return (
        isActive &&
        label === title &&
        input instanceof vscode.TabInputWebview &&
        input.viewType.endsWith(panels.results)
      );
    });
  if (orphans.length > 0) void vscode.window.tabGroups.close(orphans, true);
}

export class ResultsPanels implements vscode.Disposable, vscode.WebviewPanelSerializer {
  readonly #options: ResultsPanelsOptions;
  readonly #panels = new Map<string, vscode.WebviewPanel>();
  readonly #registration: vscode.Disposable;

  constructor(options: ResultsPanelsOptions) {
    this.#options = options;
    this.#registration = vscode.window.registerWebviewPanelSerializer(panels.results, this);
  }

  /** Shows the run's panel, and makes it where there is none. */
  show(run: FollowedEvaluation): void {
    const there = this.#panels.get(run.folder);
    if (there !== undefined) {
      there.reveal();
      return;
    }
    const title = `Results: ${runTitle(run.description)}`;
    closeOrphans(title);
    const panel = vscode.window.createWebviewPanel(panels.results, title, vscode.ViewColumn.Active);
    this.#fill(panel, run);
  }

  /** Called by VS Code for each panel that was open when the window was closed. */
  async deserializeWebviewPanel(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    const folder = parseSaved(state)?.folder;
    let why = 'There was nothing in it yet.';
    if (folder !== undefined) {
      try {
        const run = await this.#options.openRun(folder);
        if (run !== null) {
          this.#fill(panel, run);
          return;
        }
        why = `${folder} holds no run: it was removed or moved.`;
      } catch (error) {
        why = messageOf(error);
      }
    }
    this.#draw(panel);
    panel.webview.onDidReceiveMessage(() => {
      void panel.webview.postMessage({ type: 'gone', text: `These results are no longer here. ${why}` });
    });
  }

  dispose(): void {
    this.#registration.dispose();
    for (const panel of [...this.#panels.values()]) panel.dispose();
  }

  #fill(panel: vscode.WebviewPanel, run: FollowedEvaluation): void {
    this.#panels.set(run.folder, panel);
    const { rerunProblem, act } = this.#options;
    const post = (message: ToPanel): void => {
      void panel.webview.postMessage(message);
    };
    const session = new ResultsSession(run, post, {
      open: (detail, part) => {
        showSample(run.folder, detail, part).catch((error: unknown) => {
          void vscode.window.showErrorMessage(`Midtrain: it could not be opened: ${messageOf(error)}`);
        });
      },
      copy: (text) => void vscode.env.clipboard.writeText(text),
      rerun: (taskId) => {
        rerunProblem(run, taskId);
      },
      act: (action) => {
        act(run, action);
      },
    });
    panel.webview.onDidReceiveMessage((message: unknown) => {
      session.receive(message);
    });
    panel.onDidDispose(() => {
      session.close();
      this.#panels.delete(run.folder);
    });
    this.#draw(panel);
  }

  #draw({ webview }: vscode.WebviewPanel): void {
    drawPage(webview, this.#options.extensionUri, 'results', 'Results');
  }
}
