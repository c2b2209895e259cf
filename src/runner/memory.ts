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
 * Collects garbage now, twice: what the finalizers of the first collection let go of goes with the second. WebAssembly
 * memories and tensors count little for the collector, and a process that waits makes no garbage that would call it: without
 * this, what was let go of would stay for hours.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
}

/**
 * For the environment of a process that is to give memory back: large blocks go to the system when they are freed. Left to
 * itself the GNU C library takes blocks of up to 32 MB from its heap once it has freed some, and keeps the heap: of a 135 M
 * model in float32 1.4 GB stayed after its session was closed (docs/log.md). Others than this library do not know the name.
 */
export const RETURNING_MEMORY = { MALLOC_MMAP_THRESHOLD_: String(2 ** 20) } as const;
