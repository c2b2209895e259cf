/** Skips a test and says why, which mocha has no place for. */
import type { Context } from 'mocha';

export function skip(context: Context, reason: string): never {
  if (context.test) context.test.title += `: ${reason}`;
  return context.skip();
}
