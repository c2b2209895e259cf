/**
 * Starts the process that works on a run. It is detached and outlives whoever started it.
 * Knows nothing of VS Code.
 */
import { spawn } from 'node:child_process';
import { constants, open } from 'node:fs/promises';
import { UserError, whyNotWritten } from '../errors.ts';
import { RETURNING_MEMORY } from '../runner/memory.ts';
import { runPaths } from '../runner/runFolder.ts';

export interface LaunchOptions {
  /** The bundle of the headless command. */
  readonly command: string;
  /** A Node, or an Electron that behaves as one with `ELECTRON_RUN_AS_NODE`. */
  readonly node?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Starts the runner on a run that is there. What it says outside its events is kept in the run's log.
 * @returns once the process is there, a promise of how it ended, which settles only while this process lives
 * @throws UserError when it cannot be started
 */
export async function launchRunner(
  folder: string,
  { command, node = process.execPath, env = {} }: LaunchOptions,
): Promise<{ readonly pid: number; readonly ended: Promise<number | null> }> {
  // Begun anew, and appended to: another runner that finds the run taken says so in the same file.
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants;
  const log = await open(runPaths(folder).log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND).catch((error: unknown) => {
    throw new UserError(`${folder} cannot be written: ${whyNotWritten(error)}.`);
  });
  try {
    const child = spawn(node, [command, 'runner', folder], {
      cwd: folder,
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, ...RETURNING_MEMORY, ...env, ELECTRON_RUN_AS_NODE: '1' },
      windowsHide: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => {
        reject(new UserError(`The runner could not be started: ${error.message}.`));
      });
    });
    child.unref();
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    return { pid: child.pid!, ended };
  } finally {
    await log.close();
  }
}
