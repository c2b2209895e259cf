/**
 * Puts a file or a folder in its place only when it is whole: written aside, flushed, renamed. Whatever goes wrong, what was
 * there before is as it was. Knows nothing of what is written.
 */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UserError, whyNotWritten } from '../../errors.ts';

/**
 * @param path what is there goes when the new one is whole
 * @param what it is called in messages: `The model`
 * @param write writes it, flushed, at the path that it is given
 * @throws UserError when it cannot be written; what `write` throws, where that is no error of the system
 */
export async function writtenAside(path: string, what: string, write: (aside: string) => Promise<void>): Promise<void> {
  const aside = `${path}.new`;
  const old = `${path}.old`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await rm(aside, { recursive: true, force: true });
    await write(aside);
    await rm(old, { recursive: true, force: true });
    // A folder is not renamed over one that has files in it.
    await rename(path, old).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
    await rename(aside, path).catch(async (error: unknown) => {
      await rename(old, path).catch(() => undefined);
      throw error;
    });
    await flushFolder(dirname(path));
    await rm(old, { recursive: true, force: true });
  } catch (error) {
    await rm(aside, { recursive: true, force: true }).catch(() => undefined);
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    throw new UserError(`${what} cannot be written to ${path}: ${whyNotWritten(error)}.`);
  }
}

/** So that the names in it are on the disk too. Windows knows no such thing. */
export async function flushFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
