/**
 * One writer a run. The lock is a file in the run's folder that names the process holding it and where it listens; it
 * counts for as long as that very process lives, so a kill at any moment frees it and a reused process id does not hold it.
 * Good for one machine: a process of another that shares the disk is taken for gone only if its host's name is this one's.
 */
import { link, lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { isMissing, UserError, whyNotWritten } from '../errors.ts';
import { processIdentity } from './processes.ts';

/** Who holds a run, and how to reach it. */
export interface Holder {
  readonly pid: number;
  /** As {@link processIdentity} tells it. */
  readonly identity: string;
  readonly host: string;
  /** Unix socket or named pipe. */
  readonly socket: string;
  /** What a client must show: the file can be read by its owner only. */
  readonly token: string;
}

export interface RunLock {
  readonly holder: Holder;
  release(): Promise<void>;
}

/** The run is held by a living process. */
export class RunBusyError extends UserError {
  readonly holder: Holder;

  constructor(folder: string, holder: Holder) {
    const where = holder.host === hostname() ? '' : ` on ${holder.host}`;
    super(`Process ${holder.pid}${where} is working on ${folder}. Stop it first, or follow it in the Runs view.`);
    this.holder = holder;
  }
}

const holderSchema = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  identity: v.string(),
  host: v.string(),
  socket: v.string(),
  token: v.string(),
});

const NAME = /^lock\.(\d{1,9})$/;
const nameOf = (generation: number): string => `lock.${generation}`;

/**
 * Takes the run. Locks are numbered: whoever finds the highest one's process gone makes the next, which only one can, and
 * then looks again, in case a higher one came up meanwhile. No lock of somebody else is ever taken away before one's own
 * is the highest, so two can never both go on.
 * @throws RunBusyError when a living process holds it; UserError when the folder cannot be written
 */
export async function lockRun(folder: string, address: Pick<Holder, 'socket' | 'token'>): Promise<RunLock> {
  await mkdir(folder, { recursive: true });
  const identity = await processIdentity(process.pid);
  if (identity === null) throw new Error('this process is not found among those that run');
  const { socket, token } = address;
  const holder: Holder = { pid: process.pid, identity, host: hostname(), socket, token };
  const aside = join(folder, `lock.${process.pid}.new`);
  try {
    await writeFile(aside, `${JSON.stringify(holder)}\n`, { mode: 0o600 }).catch((error: unknown) => {
      throw new UserError(`${folder} cannot be written: ${whyNotWritten(error)}.`);
    });
    for (;;) {
      const found = await generations(folder);
      const highest = found.at(-1) ?? 0;
      const busy = highest > 0 ? await livingHolder(folder, highest) : null;
      if (busy !== null) throw new RunBusyError(folder, busy);
      const own = join(folder, nameOf(highest + 1));
      try {
        await link(aside, own);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
        throw error;
      }
      if ((await generations(folder)).at(-1) === highest + 1) {
        for (const old of found) await discard(folder, old);
        return { holder, release: () => rm(own, { force: true }) };
      }
      await rm(own, { force: true });
    }
  } finally {
    await rm(aside, { force: true });
  }
}

/** The living process that holds the run, or null. */
export async function holderOf(folder: string): Promise<Holder | null> {
  const highest = (await generations(folder)).at(-1);
  return highest === undefined ? null : livingHolder(folder, highest);
}

/** Numbers of the locks there are, the highest last. */
async function generations(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  return names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

async function readHolder(folder: string, generation: number): Promise<Holder | null> {
  try {
    const parsed = v.safeParse(holderSchema, JSON.parse(await readFile(join(folder, nameOf(generation)), 'utf8')));
    return parsed.success ? parsed.output : null;
  } catch {
    return null; // given back meanwhile, or not ours
  }
}

async function livingHolder(folder: string, generation: number): Promise<Holder | null> {
  const holder = await readHolder(folder, generation);
  if (holder === null) return null;
  if (holder.host !== hostname()) return holder; // cannot be seen from here
  return (await processIdentity(holder.pid)) === holder.identity ? holder : null;
}

/** Takes away a lock whose process is gone, and the socket it left behind: nothing that is no socket, whatever the file names. */
async function discard(folder: string, generation: number): Promise<void> {
  const holder = await readHolder(folder, generation);
  if (holder !== null && (await lstat(holder.socket).catch(() => null))?.isSocket() === true) {
    await rm(holder.socket, { force: true });
  }
  await rm(join(folder, nameOf(generation)), { force: true });
}
