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
import { canResume } from '../runner/state.ts';
import type { RunRequest } from '../runner/types.ts';
import { environmentOf, readSettings } from './settings.ts';

interface Launched {
  readonly pid: number;
  readonly ended: Promise<number | null>;
  /** When the run's launch before it was: once the run has another, the process has taken it. */
  readonly after: number | null;
}

export class Midtrain implements vscode.Disposable {
  readonly extension: vscode.ExtensionContext;
  readonly log: vscode.LogOutputChannel;
  #runs: RunList;
  /** Processes that this window has started on runs and that have not ended, by the run's folder. */
  readonly #processes = new Map<string, Launched>();
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
  async start(request: RunRequest): Promise<RunFollower> {
    const folder = await createRun(this.#runs.store, request);
    const run = await this.#runs.find(folder);
    if (run === null) throw new UserError(`${folder} was removed while the run was to start.`);
    this.#changed.fire(null);
    await this.launch(run);
    return run;
  }

  /** Whether this window has started a process on the run that has not taken it yet. */
  isStarting({ folder, state }: RunFollower): boolean {
    return this.#processes.get(folder)?.after === state.launched;
  }

  /** Whether `resume` would go on with it: in a new process, or in the one that holds. */
  canResume(run: RunFollower): boolean {
    return run.state.status === 'paused' || (canResume(run.state) && !this.isStarting(run));
  }

  /** Ends the work on a run; it can be resumed. @throws UserError when nothing works on it */
  async stop(run: RunFollower): Promise<void> {
    const { pid } = this.#processes.get(run.folder) ?? {};
    if (pid !== undefined && this.isStarting(run)) process.kill(pid, 'SIGTERM');
    else await run.control('stop');
  }

  /** Starts a process on a run that has none. @throws UserError when it cannot be started */
  async launch(run: RunFollower): Promise<void> {
    if (!vscode.workspace.isTrusted) throw new UserError('This workspace is not trusted, so nothing is run in it.');
    const { folder } = run;
    if (this.isStarting(run)) return;
    await this.#processes.get(folder)?.ended; // it has said its last word and is giving the run back
    const after = run.state.launched;
    const { pid, ended } = await launchRunner(folder, {
      command: this.command,
      env: environmentOf(readSettings()),
    });
    this.#processes.set(folder, { pid, ended, after });
    this.#changed.fire(run);
    void ended.then(async (code) => {
      await run.refresh();
      const neverTook = this.isStarting(run);
      this.#processes.delete(folder);
      this.#changed.fire(run);
      // Without a code it was ended by a signal, as by `stop`.
      if (neverTook && code !== null && code !== 0) {
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
