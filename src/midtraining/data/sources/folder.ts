/**
 * Python files of a folder, with everything under it. Inside a git work tree what .gitignore names is left out; elsewhere,
 * and where the chosen folder is itself ignored, the folder is walked. Hidden folders, vendored ones and virtual environments are left out in both cases, and symbolic
 * links are not followed, so that loops cannot happen.
 */
import { existsSync } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { messageOf, UserError } from '../../../errors.ts';
import type { DropLog, SourceDocument } from '../document.ts';
import { GitError, gitPythonFiles, isIgnoredByGit } from './git.ts';
import { readTextFile } from './textFile.ts';

/** Names of folders that hold other people's code, or none. */
const VENDORED = new Set([
  ...['node_modules', 'site-packages', 'dist-packages', '__pycache__', 'venv', 'virtualenv'],
  ...['vendor', 'vendored', '_vendor', 'third_party', 'thirdparty'],
]);

/**
 * The folder's Python files in a fixed order, read one at a time; what cannot be used is told to `drops`.
 * @throws UserError: no such folder, or no Python file in it (with what to do)
 */
export async function* readFolder(folder: string, drops: DropLog): AsyncGenerator<SourceDocument> {
  const root = await folderAt(folder);
  let files = 0;
  for await (const name of pythonFiles(root, drops)) {
    files += 1;
    const file = await readTextFile(path.join(root, name));
    if ('text' in file) yield { name, splitKey: name, text: file.text };
    else drops.add({ ...file, where: name });
  }
  if (files === 0) {
    throw new UserError(
      `${folder}: no Python files (*.py), hidden, ignored and vendored folders left aside. ` +
        'Name a folder that holds Python sources, or a JSONL file with a field "text".',
    );
  }
}

/** The folder without symbolic links. @throws UserError */
export async function folderAt(folder: string): Promise<string> {
  let root;
  try {
    root = await realpath(folder);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new UserError(
      missing ? `${folder}: there is no such folder.` : `${folder}: cannot be read (${messageOf(error)}).`,
    );
  }
  if (!(await stat(root)).isDirectory()) throw new UserError(`${folder} is a file; a folder is expected.`);
  return root;
}

async function* pythonFiles(root: string, drops: DropLog): AsyncGenerator<string> {
  if (inWorkTree(root) && !(await isIgnoredByGit(root))) {
    try {
      for await (const name of gitPythonFiles(root, 'known')) if (!isLeftOut(name)) yield name;
      return;
    } catch (error) {
      if (!(error instanceof GitError)) throw error;
      throw new UserError(
        `${root} is in a git work tree, but git cannot list its files, so what .gitignore names is not known: ` +
          `${error.message}. Mend that, or copy the files to a folder outside of the work tree.`,
      );
    }
  }
  yield* walk(root, '', drops);
}

/** True when this folder or one above it holds `.git`. */
function inWorkTree(folder: string): boolean {
  for (let at = folder; ; at = path.dirname(at)) {
    if (existsSync(path.join(at, '.git'))) return true;
    if (at === path.dirname(at)) return false;
  }
}

/** True when a folder of the path is hidden, vendored or a virtual environment's, or the file is hidden. */
export function isLeftOut(name: string): boolean {
  return name.split('/').some((part, at, parts) => {
    return part.startsWith('.') || (at < parts.length - 1 && isVendored(part));
  });
}

function isVendored(folderName: string): boolean {
  return VENDORED.has(folderName) || folderName.endsWith('.egg-info');
}

async function* walk(root: string, folder: string, drops: DropLog): AsyncGenerator<string> {
  let entries;
  try {
    entries = await readdir(path.join(root, folder), { withFileTypes: true });
  } catch (error) {
    drops.add({ reason: 'unreadable', where: folder || '.', detail: messageOf(error) });
    return;
  }
  if (folder !== '' && entries.some(({ name }) => name === 'pyvenv.cfg')) return; // a virtual environment of any name
  entries.sort((a, b) => (a.name < b.name ? -1 : 1)); // by code units: the same order everywhere
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!isVendored(entry.name)) yield* walk(root, name, drops);
    } else if (entry.name.endsWith('.py')) yield name;
    else if (entry.isSymbolicLink() && (await leadsToFolder(path.join(root, name)))) {
      drops.add({ reason: 'link', where: name });
    }
  }
}

async function leadsToFolder(link: string): Promise<boolean> {
  try {
    return (await stat(link)).isDirectory();
  } catch {
    return false; // leads nowhere, or to itself
  }
}
