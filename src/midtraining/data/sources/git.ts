/**
 * The files of a folder as git sees them. Runs the `git` command; reads nothing but names.
 */
import { execFile, spawn } from 'node:child_process';
import { messageOf } from '../../../errors.ts';

/** `known`: tracked ones, and new ones that .gitignore does not name. `tracked`: only those. */
export type GitSelection = 'known' | 'tracked';

/** A `git` that is not there or that refuses; the message is git's own. */
export class GitError extends Error {
  override readonly name = 'GitError';
}

/** fsmonitor names a program that git would start; a repository's own configuration must not start one here. */
const SAFELY = ['-c', 'core.fsmonitor=false'];

/** True when the repository around the folder ignores the folder as a whole. */
export function isIgnoredByGit(folder: string): Promise<boolean> {
  return new Promise((resolve) => {
    execFile('git', [...SAFELY, 'check-ignore', '--quiet', '.'], { cwd: folder, windowsHide: true }, (error) => {
      resolve(error === null);
    });
  });
}

/**
 * Paths of Python files under `folder`, relative to it, `/` between names, in git's order (the same for the same tree).
 * Submodules are not entered. @throws GitError where git is missing, or the folder is not in a work tree
 */
export async function* gitPythonFiles(folder: string, selection: GitSelection): AsyncGenerator<string> {
  const others = selection === 'known' ? ['--others', '--exclude-standard'] : [];
  const args = [...SAFELY, 'ls-files', '-z', '--cached', ...others, '--', '*.py'];
  const git = spawn('git', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
  let complaint = '';
  git.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-2000)));
  const ended = new Promise<number | Error>((resolve) => {
    git.once('error', resolve);
    git.once('close', (code) => {
      resolve(code ?? 1);
    });
  });
  try {
    let rest = '';
    let last = '';
    for await (const chunk of git.stdout.setEncoding('utf8')) {
      const names = (rest + (chunk as string)).split('\0');
      rest = names.pop()!;
      for (const name of names) {
        if (name !== last) yield name; // a file with merge conflicts is listed once for each side
        last = name;
      }
    }
    const code = await ended;
    if (code instanceof Error) throw new GitError(`git could not be started (${messageOf(code)})`);
    if (code !== 0) throw new GitError(complaint.trim().split('\n').at(-1) ?? `git ended with status ${code}`);
  } finally {
    git.kill(); // where the reader stopped early
  }
}
