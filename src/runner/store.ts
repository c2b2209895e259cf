/**
 * Where runs are kept: one folder for each in the user's own data folder, wherever they were started from, so that the
 * editor and the terminal see the same ones. Knows nothing of what is in a run but its description.
 *
 *     NAME/         a run
 *     NAME.link     a run kept elsewhere (`midtrain evaluate --out FOLDER`): the path, and nothing else
 */
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { UserError, whyNotWritten } from '../errors.ts';
import { holderOf } from './lock.ts';
import { NoRunError, readDescription, RUN_FORMAT, type RunDescription, writeDescription } from './runFolder.ts';
import { type EvaluationRequest, isTraining, type RunRequest, type TrainingRequest } from './types.ts';

/**
 * `MIDTRAIN_RUNS`, or else the platform's place for data: `$XDG_DATA_HOME/midtrain/runs` or `~/.local/share/midtrain/runs`
 * on Linux, `~/Library/Application Support/midtrain/runs` on macOS, `%LOCALAPPDATA%\midtrain\runs` on Windows.
 */
export function runsFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  const chosen = env['MIDTRAIN_RUNS'];
  if (chosen) return resolve(chosen);
  if (platform === 'win32') return join(env['LOCALAPPDATA'] ?? join(home, 'AppData', 'Local'), 'midtrain', 'runs');
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'midtrain', 'runs');
  const xdg = env['XDG_DATA_HOME'];
  return join(xdg && isAbsolute(xdg) ? xdg : join(home, '.local', 'share'), 'midtrain', 'runs');
}

/**
 * A name for the run of this request: the same for every request that asks for the same samples or losses, so that a
 * command given again finds its run.
 */
export function runName(request: RunRequest): string {
  const [words, identity] = isTraining(request) ? trainingName(request) : evaluationName(request);
  const hash = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 8);
  const plain = words
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(0, 80);
  return `${plain}-${hash}`;
}

function evaluationName(request: EvaluationRequest): [words: string, identity: unknown] {
  const { model, benchmark, batch, threads, workers, python, ...rest } = request; // the four say how, not what
  return [`${benchmark.id}-${model.label}`, [model.path ?? model.spec, benchmark.id, benchmark.path, rest]];
}

function trainingName({ name, model, config }: TrainingRequest): [words: string, identity: unknown] {
  const { $schema, threads, keep, checkpointInterval, passAt1, checkpointing, ...rest } = config; // these say how, not what
  return [`train-${name}-${model.label}`, ['training', model.path ?? model.spec, rest]];
}

/** Makes a new run, which no process works on yet. @returns its folder @throws UserError when it cannot be kept there */
export async function createRun(store: string, request: RunRequest): Promise<string> {
  const name = runName(request);
  for (let number = 1; ; number += 1) {
    const folder = join(store, number === 1 ? name : `${name}-${number}`);
    try {
      await mkdir(store, { recursive: true });
      await mkdir(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw new UserError(`No run can be kept in ${store}: ${whyNotWritten(error)}.`);
    }
    try {
      await describeRun(folder, request);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
    return folder;
  }
}

/**
 * The run in this folder, made unless it is there. What only says how the work is done is taken from the new request.
 * @throws UserError when a run of another kind is there
 */
export async function openRun(folder: string, request: RunRequest): Promise<void> {
  try {
    const there = await readDescription(folder);
    if ((there.kind === 'training') !== isTraining(request)) {
      const [is, wanted] =
        there.kind === 'training' ? ['a training', 'an evaluation'] : ['an evaluation', 'a training'];
      throw new UserError(`${folder} holds ${is}, and ${wanted} was asked for. Name another folder with --out.`);
    }
    const before = there.identity === undefined ? {} : { before: there.before ?? there.request };
    await writeDescription(folder, { ...there, ...before, request } as RunDescription);
  } catch (error) {
    if (!(error instanceof NoRunError)) throw error;
    await describeRun(folder, request);
  }
}

async function describeRun(folder: string, request: RunRequest): Promise<void> {
  const common = { format: RUN_FORMAT, created: Date.now() };
  await writeDescription(
    folder,
    isTraining(request) ? { ...common, kind: 'training', request } : { ...common, kind: 'evaluation', request },
  );
}

/** Notes a run kept elsewhere, so that it is listed too. */
export async function linkRun(store: string, folder: string): Promise<void> {
  const path = resolve(folder);
  if (dirname(path) === resolve(store)) return;
  const name = `${basename(path).slice(0, 80)}-${createHash('sha256').update(path).digest('hex').slice(0, 8)}`;
  await mkdir(store, { recursive: true });
  await writeFile(join(store, `${name}.link`), `${path}\n`);
}

/** A file in the store that changes whenever a process begins or ends its work on a run, for those who watch the store. */
export const ACTIVITY = '.activity';

/** Says to whoever watches the store that this run has begun or ended. A store that cannot be written is no reason to fail. */
export async function announceActivity(store: string, folder: string): Promise<void> {
  await mkdir(store, { recursive: true })
    .then(() => writeFile(join(store, ACTIVITY), `${Date.now()} ${folder}\n`))
    .catch(() => undefined);
}

/** Folders of all runs, in no order. A link whose folder is gone is left out. */
export async function listRuns(store: string): Promise<string[]> {
  const entries = await readdir(store, { withFileTypes: true }).catch(() => []);
  const folders = await Promise.all(
    entries.map(async (entry) => {
      if (entry.isDirectory()) return join(store, entry.name);
      if (!entry.isFile() || !entry.name.endsWith('.link')) return null;
      const path = (await readFile(join(store, entry.name), 'utf8').catch(() => '')).trim();
      if (!isAbsolute(path)) return null;
      return lstat(path).then(
        (found) => (found.isDirectory() ? path : null),
        () => null,
      );
    }),
  );
  return [...new Set(folders.filter((folder) => folder !== null))];
}

/**
 * Removes a run for good; of one kept elsewhere only the note, its folder is the user's own.
 * @throws UserError when a process works on it
 */
export async function removeRun(store: string, folder: string): Promise<void> {
  if ((await holderOf(folder)) !== null) throw new UserError(`${basename(folder)} is running. Stop it first.`);
  if (dirname(resolve(folder)) === resolve(store)) {
    await rm(folder, { recursive: true, force: true });
    return;
  }
  for (const name of await readdir(store)) {
    if (!name.endsWith('.link')) continue;
    const path = (await readFile(join(store, name), 'utf8').catch(() => '')).trim();
    if (path === resolve(folder)) await rm(join(store, name), { force: true });
  }
}
