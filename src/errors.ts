/**
 * The error class for what a user can mend: a broken file, a wrong setting, something missing.
 * Its message says what happened, where, and what to do; it is shown without a stack.
 * Anything else that is thrown is a defect of ours and shows its log.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** The message of anything thrown, for putting inside another message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of an error of the system, such as `ENOENT`; '' where it has none. */
function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | null)?.code ?? '';
}

/** Whether there is no such file, or no such folder on the way to it. */
export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(codeOf(error));
}

const FULL: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
};

/** What is full, for a person, where a write failed for want of room; null where it failed otherwise. */
export function whatIsFull(error: unknown): string | null {
  return FULL[codeOf(error)] ?? null;
}

/** Why a file could not be written, and what to do where that is plain; goes on from `… cannot be written: `. */
export function whyNotWritten(error: unknown): string {
  const full = whatIsFull(error);
  return full === null ? messageOf(error) : `${full}. Make room and start again; what was kept before is safe`;
}
