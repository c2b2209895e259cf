/**
 * A VS Code server with everything of its own: user data, extensions, home folder, folder for temporary files, and an
 * environment as after a fresh login. Knows nothing of windows.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { VSCodeHost } from '../tools/vscodeHost.mjs';
import { endMarked, type MarkedProcess, markedProcesses, markOf, signalMarked } from './processes.ts';

export interface ServerOptions {
  readonly host: VSCodeHost;
  /** Packages to install. */
  readonly vsix?: readonly string[];
  /** Folders of extensions, used in place as if they were installed. */
  readonly linked?: readonly string[];
  /** User settings, over `quiet`. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Variables that the extension host gets too. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Settings with which the workbench asks nothing, moves nothing and stays offline. */
const quiet = {
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.enableExperiments': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.reduceMotion': 'on',
  'workbench.editor.enablePreview': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'security.workspace.trust.enabled': false,
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'chat.disableAIFeatures': true,
  'chat.commandCenter.enabled': false,
  'git.enabled': false,
  'github.gitAuthentication': false,
  'npm.fetchOnlinePackageInfo': false,
  'typescript.disableAutomaticTypeAcquisition': true,
  'window.confirmBeforeClose': 'never',
  'files.hotExit': 'off',
  'editor.minimap.enabled': false,
  'editor.cursorBlinking': 'solid',
};

/** What the environment keeps of ours; a test runner's variables must not reach the extension. */
const kept = ['PATH', 'LANG', 'LC_ALL', 'TZ', 'USER', 'LOGNAME', 'SHELL'];

/** Servers that run, by their mark; ended with this process however it ends. */
const running = new Map<string, string>();

function endAll(): void {
  for (const [mark, root] of running) {
    signalMarked(mark, 'SIGKILL');
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
  running.clear();
}
process.on('exit', endAll);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    endAll();
    process.kill(process.pid, signal);
  });
}

export class Server {
  /** Holds everything of this server. Its path is short: that of a Unix socket below it may have 107 bytes. */
  readonly root = mkdtempSync(join(tmpdir(), 'mt-'));
  readonly userData = join(this.root, 'd');
  /** The environment of what belongs to this server. */
  readonly env: Readonly<Record<string, string>>;
  readonly #mark = randomUUID();
  readonly #log = join(this.root, 'server.log');
  readonly #host: VSCodeHost;
  #process: ChildProcess | null = null;
  #port = 0;

  private constructor({ host, env }: ServerOptions) {
    this.#host = host;
    const home = join(this.root, 'h');
    const temporary = join(this.root, 't');
    for (const folder of [
      home,
      temporary,
      join(this.userData, 'User'),
      join(this.userData, 'Machine'),
      this.#extensions,
    ]) {
      mkdirSync(folder, { recursive: true });
    }
    this.env = {
      ...Object.fromEntries(kept.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
      HOME: home,
      TMPDIR: temporary,
      XDG_RUNTIME_DIR: this.root,
      EXTENSIONS_GALLERY: '{"serviceUrl":""}',
      ...env,
    };
    running.set(this.#mark, this.root);
  }

  static async start(options: ServerOptions): Promise<Server> {
    const server = new Server(options);
    try {
      await server.#start(options);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** Such as `127.0.0.1:40123`. */
  get authority(): string {
    return `127.0.0.1:${this.#port}`;
  }

  log(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, 'utf8') : '';
  }

  /** Those of the server, of its extension hosts and of what these started. */
  processes(): MarkedProcess[] {
    return markedProcesses(this.#mark);
  }

  /** Ends everything. @returns the detached processes that outlived the server. */
  async stop(): Promise<MarkedProcess[]> {
    const group = this.#process?.pid;
    let left: MarkedProcess[] = [];
    if (group !== undefined && this.#process?.exitCode === null) {
      const ended = new Promise((resolve) => this.#process?.once('exit', resolve));
      process.kill(-group, 'SIGTERM');
      await Promise.race([ended, sleep(5000, undefined, { ref: false })]);
      left = this.processes().filter((one) => one.group !== group);
    }
    await endMarked(this.#mark);
    running.delete(this.#mark);
    rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
    return left;
  }

  get #extensions(): string {
    return join(this.root, 'x');
  }

  async #start({ vsix = [], linked = [], settings = {} }: ServerOptions): Promise<void> {
    const { node, server } = this.#host;
    const config = join(this.root, 'config.yaml');
    writeFileSync(config, ''); // without one the server writes its own into the home folder
    writeFileSync(join(this.userData, 'User', 'settings.json'), JSON.stringify({ ...quiet, ...settings }));
    // A server takes settings with the scope `machine` from here.
    writeFileSync(join(this.userData, 'Machine', 'settings.json'), JSON.stringify(settings));
    const env = { ...this.env, ...markOf(this.#mark) };
    const folders = ['--config', config, '--user-data-dir', this.userData, '--extensions-dir', this.#extensions];
    for (const folder of linked) {
      const { publisher, name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        publisher: string;
        name: string;
        version: string;
      };
      symlinkSync(resolve(folder), join(this.#extensions, `${publisher}.${name}-${version}`.toLowerCase()));
    }
    for (const file of vsix) {
      await promisify(execFile)(node, [server, ...folders, '--install-extension', resolve(file)], { env });
    }

    const options = ['--bind-addr', '127.0.0.1:0', '--auth', 'none', '--ignore-last-opened'];
    options.push('--disable-telemetry', '--disable-update-check', '--disable-getting-started-override');
    if (settings['security.workspace.trust.enabled'] !== true) options.push('--disable-workspace-trust');
    // setpriv ends the server when this process is killed and cannot do it itself.
    const command = ['setpriv', '--pdeathsig', 'TERM', node, server, ...folders, ...options];
    const log = openSync(this.#log, 'w');
    const child = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', log, log],
      detached: true,
      cwd: this.root,
      env,
    });
    closeSync(log);
    this.#process = child;
    const failures: Error[] = [];
    child.once('error', (error) => failures.push(error));
    for (const deadline = Date.now() + 60_000; ;) {
      const port = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(this.log())?.[1];
      if (port !== undefined) {
        this.#port = Number(port);
        return;
      }
      if (failures.length > 0 || child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`VS Code's server did not start\n${this.log().slice(-3000)}`, { cause: failures[0] });
      }
      await sleep(50);
    }
  }
}
