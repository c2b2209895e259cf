/**
 * Finds a run by what a user calls it.
 */
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { UserError } from '../errors.ts';
import { listRuns, runsFolder } from '../runner/store.ts';

/** @throws UserError when neither a folder nor the store has such a run, or the store has several */
export async function folderOfRun(name: string): Promise<string> {
  const path = resolve(name);
  if (await isFile(join(path, 'run.json'))) return path;
  const store = runsFolder();
  const found = (await listRuns(store)).filter((folder) => basename(folder) === name);
  if (found.length === 1) return found[0]!;
  throw new UserError(
    found.length === 0
      ? `There is no run "${name}": neither a folder of that path nor a run of that name in ${store}.`
      : `Several runs are called "${name}": ${found.join(', ')}. Name the folder.`,
  );
}

function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
