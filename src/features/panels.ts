/**
 * Panels of one kind: one for a subject (a run, something that is read), put back after the window was reloaded, drawn by a
 * script of src/webviews. Knows nothing of what is in one: that is its session's.
 */
import * as v from 'valibot';
import * as vscode from 'vscode';
import type { FollowedRun } from '../client/followedRun.ts';
import type { panels } from '../contributions.ts';
import { messageOf, UserError } from '../errors.ts';
import { drawPage } from './webviewPage.ts';

/** What feeds a panel and answers it. */
interface Session {
  receive(message: unknown): void;
  close(): void;
  /** The subject was asked for again, and its panel may show something else by now. */
  showAgain?(): void;
}

export interface PanelKind<Subject> {
  readonly extensionUri: vscode.Uri;
  readonly viewType: (typeof panels)[keyof typeof panels];
  /** Name of the script in dist/webviews; its element is `midtrain-SCRIPT`. */
  readonly script: 'results' | 'run' | 'abstractions';
  readonly title: (subject: Subject) => string;
  /** Tells subjects apart: each has one panel. */
  readonly key: (subject: Subject) => string;
  /** Begins what a panel of these says whose subject is gone. */
  readonly gone: string;
  /** From what a panel kept of itself. @throws Error where there is no such subject any more; its message says why */
  readonly restore: (state: unknown) => Promise<Subject>;
  readonly feed: (subject: Subject, panel: vscode.WebviewPanel) => Session;
}

/** What a panel of a run kept of itself, as far as finding it again needs it. */
const savedSchema = v.object({ folder: v.string() });

/** How panels of runs tell them apart and find them again. @param openRun null where the folder holds no run to be shown */
export function runSubjects<Run extends FollowedRun>(
  openRun: (folder: string) => Promise<Run | null>,
): { key: (run: FollowedRun) => string; restore: (state: unknown) => Promise<Run> } {
  return {
    key: ({ folder }) => folder,
    restore: async (state) => {
      const saved = v.safeParse(savedSchema, state);
      if (!saved.success) throw new UserError('There was nothing in it yet.');
      const { folder } = saved.output;
      const run = await openRun(folder);
      if (run === null) throw new UserError(`${folder} holds no run: it was removed or moved.`);
      return run;
    },
  };
}

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

export class Panels<Subject> implements vscode.Disposable, vscode.WebviewPanelSerializer {
  readonly #kind: PanelKind<Subject>;
  readonly #panels = new Map<string, { readonly panel: vscode.WebviewPanel; readonly session: Session }>();
  readonly #registration: vscode.Disposable;

  constructor(kind: PanelKind<Subject>) {
    this.#kind = kind;
    this.#registration = vscode.window.registerWebviewPanelSerializer(kind.viewType, this);
  }

  /** Shows the subject's panel, and makes it where there is none. */
  show(subject: Subject): void {
    const { viewType, title, key } = this.#kind;
    const there = this.#panels.get(key(subject));
    if (there !== undefined) {
      there.panel.reveal();
      there.session.showAgain?.();
      return;
    }
    closeOrphans(viewType, title(subject));
    this.#fill(vscode.window.createWebviewPanel(viewType, title(subject), vscode.ViewColumn.Active), subject);
  }

  /** Called by VS Code for each panel that was open when the window was closed. */
  async deserializeWebviewPanel(panel: vscode.WebviewPanel, state: unknown): Promise<void> {
    let why: string;
    try {
      this.#fill(panel, await this.#kind.restore(state));
      return;
    } catch (error) {
      why = messageOf(error);
    }
    this.#draw(panel);
    panel.webview.onDidReceiveMessage(() => {
      void panel.webview.postMessage({ type: 'gone', text: `${this.#kind.gone} ${why}` });
    });
  }

  dispose(): void {
    this.#registration.dispose();
    for (const { panel } of [...this.#panels.values()]) panel.dispose();
  }

  #fill(panel: vscode.WebviewPanel, subject: Subject): void {
    const key = this.#kind.key(subject);
    const session = this.#kind.feed(subject, panel);
    this.#panels.set(key, { panel, session });
    panel.webview.onDidReceiveMessage((message: unknown) => {
      session.receive(message);
    });
    panel.onDidDispose(() => {
      session.close();
      this.#panels.delete(key);
    });
    this.#draw(panel);
  }

  #draw({ webview, title }: vscode.WebviewPanel): void {
    const { extensionUri, script } = this.#kind;
    drawPage(webview, extensionUri, script, title);
  }
}
