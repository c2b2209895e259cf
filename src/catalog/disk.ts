/**
 * Room on a disk, and what its errors mean to a user.
 */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, UserError, whatIsFull } from '../errors.ts';
import { formatBytes } from './plan.ts';

/** Left free beyond what is asked for, so that the rest of the system can go on writing. */
const margin = 64 * 2 ** 20;

/** Bytes an unprivileged user can still write where `folder` is or will be; null where the system does not tell. */
export async function freeBytes(folder: string): Promise<number | null> {
  for (let at = folder; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch {
      if (dirname(at) === at) return null;
    }
  }
}

/** @throws UserError when `bytes` more would not fit. */
export async function checkSpace(folder: string, bytes: number, free = freeBytes): Promise<void> {
  const left = await free(folder);
  if (left === null || left >= bytes + margin) return;
  throw new UserError(
    `Not enough space in ${folder}: ${formatBytes(bytes + margin)} needed, ${formatBytes(left)} free. ` +
      'Make room there, or set MIDTRAIN_HOME to a folder on a larger disk.',
  );
}

/** A failed write as a user error that says what to do; anything else as it was. */
export function explainWriteError(error: unknown, path: string): unknown {
  const full = whatIsFull(error);
  if (full !== null) {
    return new UserError(
      `${path} cannot be written: ${full}. What was fetched so far is kept: make room and run the same command again, ` +
        'or set MIDTRAIN_HOME to a folder on a larger disk.',
      { cause: error },
    );
  }
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new UserError(
      `Not allowed to write ${path} (${messageOf(error)}). Mend the folder's permissions, or set MIDTRAIN_HOME to a folder of your own.`,
      { cause: error },
    );
  }
  return error;
}
