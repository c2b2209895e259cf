/**
 * Lets one process at a time work on a path. The lock is a file with the holder's process id; one left by a process
 * that is gone counts for nothing. Good for one machine: it cannot see processes of another that shares the disk.
 */
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pause } from './http.ts';

const held = new Set<string>();

/** Runs `work` while holding `PATH.lock`, waiting for whoever holds it. Rejects with the signal's reason when aborted. */
export async function withLock<T>(path: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const file = `${path}.lock`;
  await mkdir(dirname(file), { recursive: true });
  while (!(await take(file))) await pause(200, signal);
  try {
    return await work();
  } finally {
    held.delete(file);
    await rm(file, { force: true });
  }
}

async function take(file: string): Promise<boolean> {
  if (held.has(file)) return false;
  held.add(file);
  let taken = false;
  try {
    const handle = await open(file, 'wx');
    await handle.writeFile(String(process.pid));
    await handle.close();
    taken = true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (!(await holderLives(file))) await rm(file, { force: true });
  } finally {
    if (!taken) held.delete(file);
  }
  return taken;
}

async function holderLives(file: string): Promise<boolean> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const pid = Number(text);
  // An empty file is one just being written, or left by a process that died in that very moment: give it a while.
  if (text === '') {
    await pause(1000, undefined);
    if ((await readFile(file, 'utf8').catch(() => 'gone')) === '') return false;
    return true;
  }
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return false; // our own id, but not in `held`: reused
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
