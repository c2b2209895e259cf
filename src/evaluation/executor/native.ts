/**
 * The native executor: programs run by the Python of this machine, as confined as this system allows without root.
 * A fork server a worker on Linux and macOS, interpreters started ahead on Windows. Knows nothing of benchmarks.
 */
import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { messageOf, UserError } from '../../errors.ts';
import type { Executor, SandboxLayer } from '../types.ts';
import { ForkServer } from './forkServer.ts';
import { OneShot } from './oneShot.ts';
import { Pool } from './pool.ts';
import { findPython, pythonFolder } from './python.ts';
import type { Hello, Launch, Worker } from './worker.ts';

export { findPython, pythonFolder } from './python.ts';

export interface NativeExecutorOptions {
  /** Interpreter to use; without it the first that is found. */
  readonly python?: string;
  /** Programs that run at the same time. */
  readonly workers: number;
  /** Judge and candidate in two processes. */
  readonly strict: boolean;
  /** How a program gets its process: what the system can do best, unless a test wants the other. */
  readonly mode?: 'fork' | 'one-shot';
  /** Folder of our Python files, where it is not beside this code. */
  readonly pythonFolder?: string;
  /** Folder to make the scratch folders in; without it the system's for temporary files. */
  readonly scratch?: string;
}

/**
 * Starts one worker, tests the layers with it, and gives an executor that starts the others when they are needed.
 * Throws UserError where no Python is found or it does not run.
 */
export async function createNativeExecutor(options: NativeExecutorOptions): Promise<Executor> {
  const { strict, workers, mode = process.platform === 'win32' ? 'one-shot' : 'fork' } = options;
  const python = await findPython(options.python);
  const script = path.join(options.pythonFolder ?? pythonFolder(), 'server.py');
  const root = makeRoot(options.scratch ?? temporaryFolder());
  const wrapped = process.platform === 'darwin' ? seatbelt(python.executable, script, root) : undefined;
  let command: readonly [string, ...string[]] = wrapped ?? [python.executable];
  let count = 0;
  const launch = (): Launch => ({ command, script, args: [], scratch: path.join(root, `w${count++}`) });
  const start = (probe: boolean): Promise<Worker & { hello: Hello }> =>
    mode === 'fork' ? ForkServer.start(launch(), strict, probe) : OneShot.start(launch, strict, probe);

  let first: Worker & { hello: Hello };
  let seatbeltError = '';
  try {
    try {
      first = await start(true);
    } catch (error) {
      if (wrapped === undefined) throw error;
      seatbeltError = messageOf(error);
      command = [python.executable];
      first = await start(true);
    }
  } catch (error) {
    rmSync(root, { recursive: true, force: true });
    throw new UserError(
      `Python ${python.version} (${python.executable}) was found but could not be started to run programs: ${messageOf(error)}. ` +
        'Name another interpreter in the setting for Python.',
    );
  }
  const pool = new Pool(Math.max(1, workers), first, () => start(false));
  return {
    interpreter: `${python.implementation} ${python.version} (${python.executable})`,
    strict,
    layers: [...modeLayers(strict, mode), ...seatbeltLayers(wrapped, seatbeltError), ...first.hello.layers],
    run: (program, signal) => pool.run(program, signal),
    async close() {
      await pool.close();
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * The system's folder for temporary files. Started by root, programs run as another user, and root's own one (pam_tmpdir's,
 * or a TMPDIR of mode 0700) is closed to them: then it is the one that all users share, where they can reach that.
 */
function temporaryFolder(): string {
  const folders = process.getuid?.() === 0 ? [tmpdir(), '/tmp', '/var/tmp'] : [];
  return folders.find(isOpenToAll) ?? tmpdir();
}

function isOpenToAll(folder: string): boolean {
  try {
    for (let at = realpathSync(folder); ; at = path.dirname(at)) {
      if ((statSync(at).mode & 0o001) === 0) return false;
      if (at === path.dirname(at)) return true;
    }
  } catch {
    return false;
  }
}

function makeRoot(parent: string): string {
  try {
    const root = mkdtempSync(path.join(realpathSync(parent), 'midtrain-'));
    chmodSync(root, 0o711); // a server that gives up root's rights must reach its own folder in it
    return root;
  } catch (error) {
    throw new UserError(
      `No folder for the programs' files can be made in ${parent} (${messageOf(error)}). Free some space there, or set TMPDIR to another place.`,
    );
  }
}

function modeLayers(strict: boolean, mode: 'fork' | 'one-shot'): SandboxLayer[] {
  return [
    {
      name: 'process for each program',
      inForce: true,
      detail:
        mode === 'fork'
          ? 'forked from a server that runs no program itself; its verdict is a secret that only a check that returned can send'
          : 'an interpreter of its own; its verdict is a secret that only a check that returned can send',
    },
    {
      name: 'strict mode',
      inForce: strict,
      detail: strict
        ? 'the check runs in another process than the candidate, and only plain data passes between them'
        : 'candidate and check share an interpreter: a program can make its values equal to everything, replace what the check calls, or read the expected answer',
    },
  ];
}

// --- macOS ---

const SANDBOX_EXEC = '/usr/bin/sandbox-exec';

/** The command under macOS's own sandbox: no network, no writing outside the scratch folders, nothing of the user's to read. */
function seatbelt(python: string, script: string, root: string): [string, ...string[]] | undefined {
  if (!existsSync(SANDBOX_EXEC)) return undefined;
  const real = realpathSync(python);
  const prefix = path.dirname(path.dirname(real));
  const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  const profile = [
    '(version 1)',
    '(allow default)',
    '(deny network*)',
    '(deny file-write*)',
    `(allow file-write* (subpath ${quoted(root)}) (literal "/dev/null"))`,
    '(deny file-read* (subpath "/Users") (subpath "/Volumes") (subpath "/private/etc"))',
    '(allow file-read-metadata)',
    `(allow file-read* (subpath ${quoted(prefix)}) (subpath ${quoted(path.dirname(script))}) (subpath ${quoted(root)}))`,
    '(deny process-exec*)',
    `(allow process-exec* (subpath ${quoted(prefix)}) (literal ${quoted(python)}))`,
    '(deny mach-lookup)',
  ].join('');
  return [SANDBOX_EXEC, '-p', profile, python];
}

function seatbeltLayers(wrapped: readonly string[] | undefined, error: string): SandboxLayer[] {
  if (process.platform !== 'darwin') return [];
  const detail =
    wrapped === undefined
      ? `there is no ${SANDBOX_EXEC}`
      : error !== ''
        ? `Python does not start under it: ${error}`
        : 'no network, no writing outside the scratch folder, nothing of the user can be read';
  return [{ name: 'sandbox-exec', inForce: wrapped !== undefined && error === '', detail }];
}
