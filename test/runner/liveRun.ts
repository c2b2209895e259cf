/**
 * A run that a process of its own works on, for tests that talk to it or end it.
 */
import { onTestFailed } from 'vitest';
import { launchRunner } from '../../src/client/launch.ts';
import { RunFollower } from '../../src/client/runFollower.ts';
import type { RunEvent, Settings, Verb } from '../../src/runner/events.ts';
import type { ControlAnswer } from '../../src/runner/protocol.ts';
import { readEvents } from '../../src/runner/runFolder.ts';
import type { RunState } from '../../src/runner/state.ts';
import { bundleCommand } from './smallRun.ts';

export class LiveRun {
  readonly folder: string;
  readonly pid: number;
  /** The exit status; null after a kill. */
  readonly ended: Promise<number | null>;
  readonly #run: RunFollower;

  private constructor(folder: string, pid: number, ended: Promise<number | null>, run: RunFollower) {
    this.folder = folder;
    this.pid = pid;
    this.ended = ended;
    this.#run = run;
  }

  /** To be called in a test: the process ends with one that fails. */
  static async launch(folder: string, env: Readonly<Record<string, string>>): Promise<LiveRun> {
    const { pid, ended } = await launchRunner(folder, { command: bundleCommand(), env });
    onTestFailed(() => {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    });
    return new LiveRun(folder, pid, ended, await RunFollower.open(folder));
  }

  get isAlive(): boolean {
    try {
      return process.kill(this.pid, 0);
    } catch {
      return false;
    }
  }

  get state(): RunState {
    return this.#run.state;
  }

  /** Steps done, as far as it was heard. */
  get step(): number {
    return this.state.metric?.step ?? 0;
  }

  /** The same, for waiting for the first ones: looks whether the process has taken the run. */
  async reached(): Promise<number> {
    await this.#run.refresh();
    return this.step;
  }

  async events(): Promise<RunEvent[]> {
    return (await readEvents(this.folder, 0)).events;
  }

  control(verb: Verb, settings?: Settings): Promise<ControlAnswer> {
    return this.#run.control(verb, false, settings);
  }

  dryRun(verb: Verb, settings?: Settings): Promise<ControlAnswer> {
    return this.#run.control(verb, true, settings);
  }

  async kill(): Promise<void> {
    process.kill(this.pid, 'SIGKILL');
    await this.ended;
    this.close();
  }

  close(): void {
    this.#run.close();
  }
}
