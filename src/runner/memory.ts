/**
 * The memory of this process. Knows nothing of what it is used for.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes that are in main memory, libraries included. */
export function residentBytes(): number {
  return process.memoryUsage.rss();
}

/**
 * Collects garbage now. WebAssembly memories and tensors count little for the collector, and a process that waits makes no
 * garbage that would call it: without this, what was let go of would stay for hours.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
