/**
 * Ctrl-C and termination as an AbortSignal: the first asks for a clean stop, the second ends the process at once.
 */
import { exitCodes } from './exitCodes.ts';

/** The reason of the signal when the user, or the system, wants the command to end. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/** `notify` is called at the first signal, to say that it was heard. */
export function interruptSignal(notify: () => void): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    notify();
    controller.abort(new InterruptedError('interrupted'));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}
