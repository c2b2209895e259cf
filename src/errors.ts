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
