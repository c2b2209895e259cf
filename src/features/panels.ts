/**
 * Panels of runs of one kind: one for a run, put back after the window was reloaded, drawn by a script of src/webviews.
 * Knows nothing of what is in one: that is its session's.
 */
import * as v from 'valibot';
import * as vscode from 'vscode';
import type { FollowedRun } from '../client/followedRun.ts';
import type { panels } from '../contributions.ts';
import { messageOf } from '../errors.ts';
import { drawPage } from './webviewPage.ts';

/** What feeds a panel and answers it. */
interface Session {
  receive(message: unknown): void;
  close(): void;
}

export interface PanelKind<Run extends FollowedRun> {
  readonly extensionUri: vscode.Uri;
  readonly viewType: (typeof panels)[keyof typeof panels];
  /** Name of the script in dist/webviews; its element is `midtrain-SCRIPT`. */
  readonly script: 'results' | 'run';
  readonly title: (run: Run) => string;
  /** Begins what a panel of these says whose run is gone. */
  readonly gone: string;
  /** Null where the folder holds no run that can be shown. */
  readonly openRun: (folder: string) => Promise<Run | null>;
  readonly feed: (run: Run, webview: vscode.Webview) => Session;
}

/** What a panel kept of itself, as far as finding its run again needs it. */
const savedSchema = v.object({ folder: v.string() });

/**
 * Closes panels on the screen that an extension host left behind when it crashed: nobody answers them, and VS Code gives them
 * to no later host. One that is hidden cannot be told from one that will be put back when it is looked at; it finds out itself.
 */
function closeOrphans(viewType: string, title: string): void {
  const orphans = vscode.window.tabGroups.all
    .flatMap(({ tabs }) => tabs)
    .filter(({ isActive, label, input }) => {
      return (
        isActive && label === title && input instanceof vscode.TabInputWebview && input.viewType.endsWith(viewType)
      );
    });
  if (orphans.length > 0) void vscode.window.tabGroups.close(orphans, true);
}

export class Panels<Run extends FollowedRun> implements vscode.Disposable, vscode.WebviewPanelSerializer {
  readonly #kind: PanelKind<Run>;
  readonly #panels = new Map<string, vscode.WebviewPanel>();
  readonly #registration: vscode.Disposable;

  constructor(kind: PanelKind<Run>) {
    this.#kind = kind;
    this.#registration = vscode.window.registerWebviewPanelSerializer(kind.viewType, this);
  }

  /** Shows the run's panel, and makes it where there is none. */
  show(run: Run): void {
    const there = this.#panels.get(run.folder);
    if (there !== undefined) {
      there.reveal();
      return;
    }
    const { viewType, title } = this.#kind;
    closeOrphans(viewType, title(run));
    this.#fill(vscode.window.createWebviewPanel(viewType, title(run), vscode.ViewColumn.Active), run);
  }

  /** Called by VS Code for each panel that was open when the window was closed. */
  async deserializeWebviewPanel(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    const saved = v.safeParse(savedSchema, state);
    let why = 'There was nothing in it yet.';
    if (saved.success) {
      const { folder } = saved.output;
      try {
        const run = await this.#kind.openRun(folder);
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
      void panel.webview.postMessage({ type: 'gone', text: `${this.#kind.gone} ${why}` });
    });
  }

  dispose(): void {
    this.#registration.dispose();
    for (const panel of [...this.#panels.values()]) panel.dispose();
  }

  #fill(panel: vscode.WebviewPanel, run: Run): void {
    this.#panels.set(run.folder, panel);
    const session = this.#kind.feed(run, panel.webview);
    panel.webview.onDidReceiveMessage((message: unknown) => {
      session.receive(message);
    });
    panel.onDidDispose(() => {
      session.close();
      this.#panels.delete(run.folder);
    });
    this.#draw(panel);
  }

  #draw({ webview, title }: vscode.WebviewPanel): void {
    const { extensionUri, script } = this.#kind;
    drawPage(webview, extensionUri, script, title);
  }
}
