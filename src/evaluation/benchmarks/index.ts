/**
 * The benchmarks there are, by id.
 */
import { UserError } from '../../errors.ts';
import type { BenchmarkId } from '../types.ts';
import { type Benchmark, type BenchmarkDefinition, loadBenchmarkFile } from './benchmark.ts';
import { humaneval } from './humaneval.ts';
import { mbpp } from './mbpp.ts';
import { starter } from './starter.ts';

export const BENCHMARKS: Readonly<Record<BenchmarkId, BenchmarkDefinition>> = { humaneval, mbpp, starter };

/** The id as it was typed, if it is one. @throws UserError listing the benchmarks */
export function benchmarkId(text: string): BenchmarkId {
  const id = text.toLowerCase();
  if (Object.hasOwn(BENCHMARKS, id)) return id as BenchmarkId;
  throw new UserError(`There is no benchmark "${text}". There are: ${Object.keys(BENCHMARKS).join(', ')}.`);
}

/** Loads a benchmark from a local file, plain or gzip. @throws UserError as `loadBenchmarkFile` */
export function loadBenchmark(id: BenchmarkId, path: string): Promise<Benchmark> {
  return loadBenchmarkFile(BENCHMARKS[id], path);
}
