/** The results panels: one for a run. */
import type * as vscode from 'vscode';
import type { FollowedRun } from '../client/followedRun.ts';

export interface ResultsPanelsOptions {
  readonly extensionUri: vscode.Uri;
  /** Null where the folder holds no run that can be shown. */
  readonly openRun: (folder: string) => Promise<FollowedRun | null>;
  readonly rerunProblem: (run: FollowedRun, taskId: string) => void;
}

export class ResultsPanels {
  readonly #options: ResultsPanelsOptions;

  constructor(options: ResultsPanelsOptions) {
    this.#options = options;
  }

  show(run: FollowedRun): void {
    void this.#options.openRun(run.folder);
  }
}
