/**
 * Whether the user has agreed, once for this machine, that programs written by a model run on it. Kept in the cache folder.
 * Knows nothing of how the user is asked.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../catalog/cacheFolder.ts';

const fileIn = (home: string): string => join(home, 'consent.json');

export async function programsAllowed(home = cacheFolder()): Promise<boolean> {
  const kept = await readFile(fileIn(home), 'utf8').catch(() => '');
  return kept.includes('"runPrograms":true');
}

export async function allowPrograms(home = cacheFolder()): Promise<void> {
  await mkdir(home, { recursive: true });
  await writeFile(fileIn(home), '{"runPrograms":true}\n');
}
