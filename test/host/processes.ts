/**
 * Finds the processes that a test has started, detached ones too, by a mark in their environment. Knows nothing of what
 * they are. Linux: reads /proc.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const variable = 'MIDTRAIN_TEST_MARK';

export interface MarkedProcess {
  readonly pid: number;
  readonly group: number;
  readonly command: string;
}

/** Goes into the environment of the first process; its children inherit it. */
export function markOf(mark: string): Record<string, string> {
  return { [variable]: mark };
}

/** Zombies are not counted. */
export function markedProcesses(mark: string): MarkedProcess[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${variable}=${mark}`)) return [];
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z') return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return [{ pid, group: Number(group), command }];
    } catch {
      return []; // it has ended, or is another user's
    }
  });
}

export function signalMarked(mark: string, signal: NodeJS.Signals): void {
  for (const { pid } of markedProcesses(mark)) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended by itself.
    }
  }
}

/** Ends all of them: asks first, and kills those that are there two seconds later. */
export async function endMarked(mark: string): Promise<void> {
  signalMarked(mark, 'SIGTERM');
  for (const deadline = Date.now() + 2000; Date.now() < deadline;) {
    if (markedProcesses(mark).length === 0) return;
    await sleep(50);
  }
  signalMarked(mark, 'SIGKILL');
}
