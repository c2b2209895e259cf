/**
 * Finds a Python that can run pip. Knows nothing of packages.
 */
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { UserError } from '../errors.ts';

export interface Python {
  /** Command and first arguments, `['py', '-3']`. */
  readonly command: readonly [string, ...string[]];
  readonly executable: string;
  /** Its folder, the environment's for a virtual one: what tells two Pythons apart. */
  readonly prefix: string;
  /** `3.11.7`. */
  readonly version: string;
  /** `23.2.1`, or null when pip is not installed for it. */
  readonly pip: string | null;
}

const oldest = [3, 9] as const;

const question = `
import json, sys
try:
    import pip
    version = pip.__version__
except Exception:
    version = None
print(json.dumps({"executable": sys.executable, "prefix": sys.prefix, "version": "%d.%d.%d" % sys.version_info[:3], "pip": version}))
`;

/** Commands tried, in order. `MIDTRAIN_PYTHON` alone where it is set. */
export function pythonCommands(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): (readonly [string, ...string[]])[] {
  const chosen = env['MIDTRAIN_PYTHON'];
  if (chosen) return [[chosen]];
  // On Windows `python3` may be the Store's stub, which only opens the Store.
  return platform === 'win32' ? [['python'], ['py', '-3'], ['python3']] : [['python3'], ['python']];
}

/** Every Python found, whatever its version; duplicates left out. */
export async function findPythons(commands = pythonCommands()): Promise<Python[]> {
  const found: Python[] = [];
  for (const command of commands) {
    const python = await ask(command);
    if (python !== null && !found.some(({ prefix }) => prefix === python.prefix)) found.push(python);
  }
  return found;
}

/** The first Python of at least 3.9 that has pip. @throws UserError saying what was found and how to mend it. */
export async function findPip(commands = pythonCommands()): Promise<Python> {
  const found = await findPythons(commands);
  const recent = found.filter(({ version }) => isRecent(version));
  const python = recent.find(({ pip }) => pip !== null);
  if (python !== undefined) return python;
  const [without] = recent;
  if (without !== undefined) {
    throw new UserError(
      `Python ${without.version} (${without.executable}) has no pip. Run "${without.command.join(' ')} -m ensurepip --user", ` +
        'or on Debian and Ubuntu "sudo apt install python3-pip", and try again.',
    );
  }
  const tried = commands.map((command) => command.join(' ')).join(', ');
  const [old] = found;
  throw new UserError(
    (old === undefined
      ? `No Python was found (tried ${tried}).`
      : `Python ${old.version} (${old.executable}) is too old.`) +
      ` Install Python ${oldest.join('.')} or later from your system or from python.org, or set MIDTRAIN_PYTHON to its path.`,
  );
}

export function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}

async function ask([file, ...first]: readonly [string, ...string[]]): Promise<Python | null> {
  const text = await new Promise<string | null>((resolve) => {
    // Python imports from the working folder first, so that must not be one where strangers' files lie.
    const options = { timeout: 20_000, windowsHide: true, cwd: dirname(process.execPath) };
    execFile(file, [...first, '-c', question], options, (error, stdout) => {
      resolve(error === null ? stdout : null);
    });
  });
  if (text === null) return null;
  try {
    const { executable, prefix, version, pip } = JSON.parse(text) as Omit<Python, 'command'>;
    return { command: [file, ...first], executable, prefix, version, pip };
  } catch {
    return null;
  }
}
