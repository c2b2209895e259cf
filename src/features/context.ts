/**
 * What every feature is given: the runs, and how to start work on one.
 */
import { join } from 'node:path';
import * as vscode from 'vscode';
import { launchRunner } from '../client/launch.ts';
import type { RunFollower } from '../client/runFollower.ts';
import { RunList } from '../client/runList.ts';
import type { CommandId } from '../contributions.ts';
import { messageOf, UserError } from '../errors.ts';
import { createRun } from '../runner/store.ts';
import type { EvaluationRequest } from '../runner/types.ts';
import { environmentOf, readSettings } from './settings.ts';

export class Midtrain implements vscode.Disposable {
  readonly extension: vscode.ExtensionContext;
  readonly log: vscode.LogOutputChannel;
  #runs: RunList;
  readonly #changed = new vscode.EventEmitter<RunFollower | null>();
  /** Fires with the run that changed, or null when runs came or went. */
  readonly onDidChangeRuns = this.#changed.event;

  constructor(extension: vscode.ExtensionContext, log: vscode.LogOutputChannel) {
    this.extension = extension;
    this.log = log;
    this.#runs = this.#open();
  }

  get runs(): RunList {
    return this.#runs;
  }

  /** The bundle of the headless command, which is the runner too. */
  get command(): string {
    return join(this.extension.extensionPath, 'dist', 'midtrain.cjs');
  }

  /** Follows the settings to another store. */
  async changeStore(): Promise<void> {
    if (readSettings().runsFolder === this.#runs.store) return;
    this.#runs.close();
    this.#runs = this.#open();
    await this.#runs.load();
  }

  /** Makes a run and starts it. It is in the list before this settles, and shows itself if it does not start. */
  async start(request: EvaluationRequest): Promise<RunFollower> {
    const folder = await createRun(this.#runs.store, request);
    const run = await this.#runs.find(folder);
    if (run === null) throw new UserError(`${folder} was removed while the run was to start.`);
    this.#changed.fire(null);
    await this.launch(run);
    return run;
  }

  /** Starts a process on a run that has none. @throws UserError when it cannot be started */
  async launch(run: RunFollower): Promise<void> {
    if (!vscode.workspace.isTrusted) throw new UserError('This workspace is not trusted, so nothing is run in it.');
    const { ended } = await launchRunner(run.folder, {
      command: this.command,
      env: environmentOf(readSettings()),
    });
    void ended.then(async (code) => {
      await run.refresh();
      if (run.state.status === 'asked' && code !== 0) {
        void vscode.window.showErrorMessage(`Midtrain: the run did not start. ${await run.lastWords()}`);
      }
    });
    await run.refresh();
  }

  dispose(): void {
    this.#runs.close();
    this.#changed.dispose();
  }

  #open(): RunList {
    const runs = new RunList(readSettings().runsFolder);
    runs.onDidChange((run) => {
      this.#changed.fire(run);
    });
    return runs;
  }
}

/**
 * Registers a command. A user error is shown as it is; anything else is logged and the log offered.
 */
export function register(midtrain: Midtrain, id: CommandId, run: (...args: unknown[]) => unknown): void {
  const guarded = async (...args: unknown[]): Promise<void> => {
    try {
      await run(...args);
    } catch (error) {
      if (error instanceof vscode.CancellationError) return;
      if (error instanceof UserError) {
        void vscode.window.showErrorMessage(`Midtrain: ${error.message}`);
        return;
      }
      midtrain.log.error(error instanceof Error ? error : messageOf(error));
      const show = 'Show Log';
      const text = `Midtrain: something went wrong that should not (${messageOf(error)}). The log says more.`;
      if ((await vscode.window.showErrorMessage(text, show)) === show) midtrain.log.show();
    }
  };
  midtrain.extension.subscriptions.push(vscode.commands.registerCommand(id, guarded));
}
