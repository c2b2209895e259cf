/**
 * One polite HTTP request: tried again when the network or the server falters, never for ever.
 * Knows nothing of files or of any site's protocol.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, UserError } from '../errors.ts';

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  /** Tries in all. */
  readonly attempts?: number | undefined;
  /** Milliseconds before the second try; doubled each time, up to 30 s. */
  readonly firstDelay?: number | undefined;
  /** Milliseconds without an answer, or without a byte of one, after which a connection counts as dead. */
  readonly stallTime?: number | undefined;
}

export const defaultRetry = { attempts: 5, firstDelay: 500, stallTime: 60_000 };
const longestDelay = 30_000;

/** Worth another try: the server is busy or ill, not of another opinion. */
function isPassing(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Milliseconds to wait before try `attempt` (1 is the second), the server's `Retry-After` respected up to 30 s.
 * https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
 */
export function retryDelay(attempt: number, firstDelay: number, retryAfter: string | null, now = Date.now()): number {
  const own = Math.min(firstDelay * 2 ** (attempt - 1), longestDelay);
  if (retryAfter === null || retryAfter.trim() === '') return own;
  const seconds = Number(retryAfter);
  const asked = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(retryAfter) - now;
  return Number.isFinite(asked) ? Math.min(Math.max(asked, own), longestDelay) : own;
}

/** Waits, and rejects with the signal's reason when it is aborted. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/**
 * `fetch` that tries again after network errors, 408, 425, 429 and 5xx. The last answer comes back whatever its status.
 * @throws UserError when no answer came at all; the signal's reason when aborted.
 */
export async function fetchPolitely(
  url: string | URL,
  init: Omit<RequestInit, 'signal'>,
  options: RetryOptions = {},
): Promise<Response> {
  const { attempts = defaultRetry.attempts, firstDelay = defaultRetry.firstDelay, signal } = options;
  const stallTime = options.stallTime ?? defaultRetry.stallTime;
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    // The body outlives this function, so the user's signal goes into the request and the time limit stops at its headers.
    const stalled = new AbortController();
    const timer = setTimeout(() => {
      stalled.abort(new Error(`no answer for ${stallTime / 1000} s`));
    }, stallTime);
    let wait: number;
    try {
      const both = signal === undefined ? stalled.signal : AbortSignal.any([signal, stalled.signal]);
      const response = await fetch(url, { ...init, signal: both });
      if (!isPassing(response.status) || attempt >= attempts) return response;
      await response.body?.cancel();
      wait = retryDelay(attempt, firstDelay, response.headers.get('retry-after'));
    } catch (error) {
      signal?.throwIfAborted();
      if (attempt >= attempts) throw unreachable(url, stalled.signal.aborted ? stalled.signal.reason : error);
      wait = retryDelay(attempt, firstDelay, null);
    } finally {
      clearTimeout(timer);
    }
    await pause(wait, signal);
  }
}

function unreachable(url: string | URL, error: unknown): UserError {
  const { host } = new URL(url);
  return new UserError(
    `No answer from ${host}: ${reasonOf(error)}. Check the connection` +
      ' (behind a proxy: Node 24 or later with NODE_USE_ENV_PROXY=1 and HTTPS_PROXY set), or fetch the files by other means and give their path.',
    { cause: error },
  );
}

/** Node's fetch says only "fetch failed"; the reason is in its cause. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? messageOf(error) : messageOf(cause) || messageOf(error);
}
