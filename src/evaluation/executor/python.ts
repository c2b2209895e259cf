/**
 * Finds the Python that runs programs, and our own Python files.
 * Runs nothing but `--version`-like questions; knows nothing of programs.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { messageOf, UserError } from '../../errors.ts';

export interface Interpreter {
  /** What to start: absolute path of the interpreter itself, not of a launcher or shim. */
  readonly executable: string;
  /** `3.11.7`. */
  readonly version: string;
  /** `CPython`. */
  readonly implementation: string;
}

/** Oldest version whose interpreter has all that the executor uses. */
const OLDEST: readonly [number, number] = [3, 9];

// Run with -I: nothing in the current folder may take the place of a module.
const QUESTION =
  'import sys, platform; print("\\n".join([sys.executable, platform.python_version(), platform.python_implementation()]))';

/**
 * The first of `setting` (alone, where given), `python3`, `python` and, on Windows, `py -3` that is new enough.
 * Throws UserError that lists what was tried and what came of it.
 */
export async function findPython(setting?: string): Promise<Interpreter> {
  const candidates: readonly (readonly [string, ...string[]])[] =
    setting !== undefined && setting !== ''
      ? [[setting]]
      : process.platform === 'win32'
        ? [['python3'], ['python'], ['py', '-3']]
        : [['python3'], ['python']];
  const tried: string[] = [];
  for (const [command, ...args] of candidates) {
    const name = [command, ...args].join(' ');
    try {
      const interpreter = await ask(command, args);
      const [major = 0, minor = 0] = interpreter.version.split('.').map((part) => Number.parseInt(part, 10));
      if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return interpreter;
      tried.push(`${name} is Python ${interpreter.version} (${interpreter.executable})`);
    } catch (error) {
      tried.push(`${name}: ${messageOf(error)}`);
    }
  }
  throw new UserError(
    `Programs are run by Python ${OLDEST.join('.')} or later, and none was found. Tried: ${tried.join('; ')}. ` +
      'Install Python from python.org or your package manager, or name an interpreter in the setting for Python.',
  );
}

function ask(command: string, args: readonly string[]): Promise<Interpreter> {
  return new Promise((resolve, reject) => {
    execFile(
      command,
      [...args, '-I', '-c', QUESTION],
      { timeout: 20_000, windowsHide: true },
      (error, stdout, stderr) => {
        const [executable, version, implementation] = stdout.trim().split(/\r?\n/);
        if (error === null && executable && version && implementation) resolve({ executable, version, implementation });
        else if (error !== null && 'code' in error && error.code === 'ENOENT') reject(new Error('not found'));
        else if (error?.killed === true) reject(new Error('did not answer within 20 s'));
        else reject(new Error(`does not run (${stderr.trim().split('\n').at(-1) ?? ''})`));
      },
    );
  });
}

/** Our Python files: beside the bundle (`dist/python`), or where the sources are when run from them. */
export function pythonFolder(): string {
  const here = typeof __dirname === 'string' ? __dirname : import.meta.dirname;
  const folder = path.join(here, 'python');
  if (!existsSync(path.join(folder, 'server.py')))
    throw new Error(`The executor's Python files are not in ${folder}: the build is not complete.`);
  return folder;
}
