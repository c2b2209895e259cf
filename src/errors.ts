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

/** Why a file could not be written, and what to do where that is plain; goes on from `… cannot be written: `. */
export function whyNotWritten(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  const full =
    code === 'ENOSPC' ? 'no space is left on the disk' : code === 'EDQUOT' ? 'the disk quota is used up' : null;
  return full === null ? messageOf(error) : `${full}. Make room and start again; what was kept before is safe`;
}
