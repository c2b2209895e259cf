/**
 * Tells one process from a later one with the same number: process ids are used again, start times are not.
 * Knows nothing of runs.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/**
 * A text that names this process among all that ever had its number on this machine, or null when there is none (one that
 * has ended and only waits for its parent counts as none). Linux: boot id and start tick; macOS: start time; Windows: start
 * time as PowerShell tells it.
 * @throws Error when the system cannot be asked
 */
export async function processIdentity(
  pid: number,
  platform: NodeJS.Platform = process.platform,
): Promise<string | null> {
  if (platform === 'linux') return linuxIdentity(pid);
  if (platform === 'win32') {
    const ask = `(Get-Process -Id ${pid} -ErrorAction SilentlyContinue).StartTime.ToFileTimeUtc()`;
    const { stdout } = await execute('powershell.exe', ['-NoProfile', '-NonInteractive', '-Command', ask]).catch(
      () => ({ stdout: '' }),
    );
    return stdout.trim() === '' ? null : `${pid}@${stdout.trim()}`;
  }
  // `ps` fails when there is no such process.
  const { stdout } = await execute('ps', ['-o', 'state=,lstart=', '-p', String(pid)], {
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
  }).catch(() => ({ stdout: '' }));
  const [state = 'Z', ...started] = stdout.trim().split(/\s+/);
  return state.startsWith('Z') ? null : `${pid}@${started.join(' ')}`;
}

/** proc(5): the second field is the command in parentheses and may hold anything, so fields count from its end. */
async function linuxIdentity(pid: number): Promise<string | null> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const startTick = fields[22 - 3]; // field 22 of the manual, the third one being the first here
  if (state === 'Z' || state === 'X') return null;
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
  return `${pid}@${startTick}/${boot}`;
}
