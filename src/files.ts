/**
 * What the standard library lacks for files that must survive a power cut. Knows nothing of what is in them.
 */
import { open } from 'node:fs/promises';

/** Flushes a folder, so that the names in it are on the disk too. Windows knows no such thing, and needs none. */
export async function flushFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
