/**
 * The Python of a workspace: what its git tracks, so that scratch files, ignored ones and those of virtual environments
 * stay out. Secrets are looked for in every document by `documentFilter.ts`; here a file's name is enough.
 */
import path from 'node:path';
import { UserError } from '../../../errors.ts';
import type { DropLog, SourceDocument } from '../document.ts';
import { folderAt, isLeftOut } from './folder.ts';
import { GitError, gitPythonFiles } from './git.ts';
import { readTextFile } from './textFile.ts';

/**
 * The tracked Python files in git's order, as they are in the work tree.
 * @throws UserError: no such folder, no git there, or no tracked Python (with what to do)
 */
export async function* readWorkspace(folder: string, drops: DropLog): AsyncGenerator<SourceDocument> {
  const root = await folderAt(folder);
  let files = 0;
  try {
    for await (const name of gitPythonFiles(root, 'tracked')) {
      if (isLeftOut(name)) continue;
      files += 1;
      const file = await readTextFile(path.join(root, name));
      if ('text' in file) yield { name, splitKey: name, text: file.text };
      else drops.add({ ...file, where: name });
    }
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    throw new UserError(
      `${folder}: the workspace's files cannot be listed by git: ${error.message}. ` +
        'Commit its files to a git repository, or choose the folder as data instead of the workspace.',
    );
  }
  if (files === 0) {
    throw new UserError(
      `${folder}: git tracks no Python files (*.py) here. Add some to git, or choose a folder or a JSONL file as data.`,
    );
  }
}
