/**
 * What every command is given: where to write, when to stop, whom to ask; and the two steps that most begin with.
 */
import { type BenchmarkOptions, resolveBenchmark, type ResolvedBenchmark } from '../catalog/datasets.ts';
import { resolveModel, type ResolvedModel, type ResolveOptions } from '../catalog/models.ts';
import type { BenchmarkId } from '../evaluation/types.ts';
import { type Asker, downloadConsent } from './consent.ts';
import type { ExitCode } from './exitCodes.ts';
import type { CommonOptions, ConsentOptions } from './options.ts';
import { interruptSignal } from './interrupt.ts';
import { Output } from './output.ts';

export type Context = Asker;

/** Gives a command its context and turns its outcome or error into the exit status. */
export type Run = (
  options: CommonOptions & Partial<ConsentOptions>,
  work: (context: Context) => Promise<ExitCode>,
) => Promise<void>;

export function createContext(options: CommonOptions & Partial<ConsentOptions>): Context {
  const output = new Output(options);
  const signal = interruptSignal(() => {
    output.note('Stopping. Press Ctrl-C again to end at once.');
  });
  const interactive = process.stdin.isTTY && process.stderr.isTTY && !options.json;
  return { output, signal, yes: options.yes ?? false, interactive };
}

/** Finds the model, asking and fetching where needed. */
export async function needModel(spec: string, context: Context, options: ResolveOptions = {}): Promise<ResolvedModel> {
  return resolveModel(spec, { ...fetching(`Fetching ${spec}`, context), ...options });
}

/** Finds the data set, asking and fetching where needed. */
export async function needBenchmark(
  id: BenchmarkId,
  file: string | null,
  context: Context,
): Promise<ResolvedBenchmark> {
  return resolveBenchmark(id, file, fetching(`Fetching ${id}`, context));
}

function fetching(title: string, context: Context): ResolveOptions & BenchmarkOptions {
  return {
    consent: downloadConsent(context),
    signal: context.signal,
    onProgress: (done, total) => {
      context.output.progress({ title, done, total, unit: 'bytes' });
    },
  };
}
