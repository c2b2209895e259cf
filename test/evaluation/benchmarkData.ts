/**
 * Where the tests find the benchmark files, none of which is part of the project: the folder named by MIDTRAIN_BENCHMARKS,
 * or `../shared/benchmarks` beside the project.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env['MIDTRAIN_BENCHMARKS'] ?? join(import.meta.dirname, '../../../shared/benchmarks');

/** The file's path, or undefined with a printed reason, for `describe.skipIf`. */
export function benchmarkFile(name: string): string | undefined {
  const path = join(folder, name);
  if (existsSync(path)) return path;
  console.warn(`skipped: no ${name} in ${folder}; set MIDTRAIN_BENCHMARKS to the folder that holds it`);
  return undefined;
}
