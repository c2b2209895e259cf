/**
 * The executor as the commands want it, and what protects this machine while it runs.
 */
import { availableParallelism } from 'node:os';
import { createNativeExecutor } from '../evaluation/executor/native.ts';
import type { Executor, SandboxLayer } from '../evaluation/types.ts';

export interface SandboxOptions {
  readonly strict?: boolean;
  readonly workers?: number;
  readonly python?: string;
}

export function workersOf(options: SandboxOptions): number {
  return options.workers ?? availableParallelism();
}

/** @throws UserError when there is no Python that can run programs. */
export async function openExecutor(options: SandboxOptions): Promise<Executor> {
  return createNativeExecutor({
    workers: workersOf(options),
    strict: options.strict ?? false,
    ...(options.python === undefined ? {} : { python: options.python }),
  });
}

/** Starts an executor only to ask it. */
export async function sandboxLayers(options: SandboxOptions): Promise<readonly SandboxLayer[]> {
  const executor = await openExecutor({ ...options, workers: 1 });
  try {
    return executor.layers;
  } finally {
    await executor.close();
  }
}
