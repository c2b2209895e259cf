/**
 * What `npm start` and `npm test` share: a clean clone becomes one that can be built. Node's own modules only, since
 * nothing else need be installed yet.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const cli = join(root, 'dist', 'midtrain.cjs');

/** @returns the exit code; 130 when a signal ended it. */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', ...options });
    child.once('error', (error) => {
      console.error(`${command} could not be started: ${error.message}`);
      resolve(1);
    });
    child.once('close', (code) => resolve(code ?? 130));
  });
}

/** Runs a command and keeps what it says. @returns {Promise<{ code: number, text: string }>} */
export async function capture(command, args, options = {}) {
  const pieces = [];
  const code = await new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    child.stdout.on('data', (data) => pieces.push(data));
    child.stderr.on('data', (data) => pieces.push(data));
    child.once('error', (error) => {
      pieces.push(Buffer.from(error.message));
      resolve(1);
    });
    child.once('close', (status) => resolve(status ?? 130));
  });
  return { code, text: Buffer.concat(pieces).toString() };
}

/** Ends the process with a sentence when this Node is too old. */
export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`Node 20.19 or later is needed, this is ${process.versions.node}. Get it from https://nodejs.org.`);
  process.exit(1);
}

/** How npm is started: a command, its first arguments, and options of `spawn`. */
export function npmCommand() {
  // npm tells its scripts where it is; that file runs under any shell and on Windows too.
  const npm = process.env['npm_execpath'];
  if (npm !== undefined && existsSync(npm)) return [process.execPath, [npm], {}];
  return ['npm', [], { shell: process.platform === 'win32' }];
}

/** True when node_modules holds every package of package-lock.json in its version; npm keeps a list of what it put there. */
function isInstalled() {
  try {
    const packagesOf = (...path) => JSON.parse(readFileSync(join(root, ...path), 'utf8')).packages;
    const here = packagesOf('node_modules', '.package-lock.json');
    return Object.entries(packagesOf('package-lock.json')).every(
      ([path, { version, optional }]) => path === '' || optional === true || here[path]?.version === version,
    );
  } catch {
    return false;
  }
}

/** Installs what package-lock.json names, unless it is there. Ends the process when that fails. */
export async function install() {
  if (isInstalled()) return;
  console.log('Installing what package-lock.json names (npm ci) ...');
  const [command, prefix, options] = npmCommand();
  const code = await run(command, [...prefix, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], options);
  if (code === 0) return;
  console.error(
    'npm could not install the packages; its reason is above. Check the connection and its settings, then try again.',
  );
  process.exit(code === 130 ? 130 : 1);
}
