/**
 * How much memory there still is for a process here, whatever bounds it. Knows nothing of what it is for.
 */
import { readFile } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/** Of what macOS has, processes can have so much: it compresses and swaps, and calls little of it free. */
const SHARE_OF_MAC = 0.75;

export interface MachineFiles {
  /** Where control groups are mounted. */
  readonly cgroups: string;
  /** `/proc/self/cgroup`. */
  readonly own: string;
}

const SYSTEM: MachineFiles = { cgroups: '/sys/fs/cgroup', own: '/proc/self/cgroup' };

/** Bytes: what the system can give without swapping, at most what each control group of the process still allows. */
export async function freeMemory(files: MachineFiles = SYSTEM): Promise<number> {
  if (process.platform === 'darwin') return SHARE_OF_MAC * totalmem();
  if (process.platform !== 'linux') return freemem();
  return Math.min(freemem(), await allowedByGroups(files));
}

/** Of control groups (version 2), the tightest; Infinity without one. Pages of files count as free: the kernel drops them. */
export async function allowedByGroups({ cgroups, own }: MachineFiles): Promise<number> {
  const path = /^0::(\/.*)$/m.exec(await textOf(own))?.[1];
  if (path === undefined) return Infinity;
  let least = Infinity;
  for (let group = path; ; group = dirname(group)) {
    const folder = join(cgroups, group);
    const most = Number.parseInt(await textOf(join(folder, 'memory.max')), 10); // `max` is none
    if (Number.isFinite(most)) {
      const used = Number.parseInt(await textOf(join(folder, 'memory.current')), 10);
      const files = /^file (\d+)$/m.exec(await textOf(join(folder, 'memory.stat')))?.[1] ?? '0';
      least = Math.min(least, Math.max(0, most - Math.max(0, used - Number(files))));
    }
    if (group === '/') return least;
  }
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}
