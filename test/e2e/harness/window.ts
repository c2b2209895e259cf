/**
 * Windows of a real VS Code for tests of the user interface.
 *
 *     await withVSCode({ name: 'tree', workspace: folder }, async (vs) => {
 *       await vs.ui.runCommand('Midtrain: Evaluate');     // the title that a user sees
 *       await vs.ui.pick('HumanEval');
 *       const panel = await vs.ui.webview('Results');     // a Playwright Frame
 *       await panel.getByRole('button', { name: 'Stop' }).click();
 *       await assertA11y(panel);
 *       await vs.screenshot('artifacts/results.png');
 *     });
 *
 * `vs.ui` (workbench.ts) has what a user does, `vs.page` is the Playwright page. A window has its own user data,
 * extensions, home folder and folder for temporary files, and of our environment little more than PATH. When the
 * function fails, a picture and the logs stay in `artifacts/NAME-VERSION`.
 */
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { inject } from 'vitest';
import { launchBrowser, openWorkbench, saveEvidence } from '../../host/browser.ts';
import type { MarkedProcess } from '../../host/processes.ts';
import { Server } from '../../host/server.ts';
import type { NoVSCodeHost, Release, VSCodeHost } from '../../tools/vscodeHost.mjs';
import { type Theme, themes, Workbench } from './workbench.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** By vitest.host.config.ts. */
    hosts: Record<Release, VSCodeHost | NoVSCodeHost>;
  }
}

export const projectRoot = resolve(import.meta.dirname, '../../..');

export interface WindowOptions {
  /** Names what a failure leaves. */
  readonly name: string;
  /** Default `current`. */
  readonly version?: Release;
  /** A folder or a .code-workspace file; an empty window without it. */
  readonly workspace?: string;
  /** Folder of an extension that is used in place. Default: this project, unless `vsix` is given. */
  readonly extension?: string;
  /** A packaged extension that is installed. */
  readonly vsix?: string;
  /** Default `dark`. */
  readonly theme?: Theme;
  /** User settings. With `security.workspace.trust.enabled` true, workspaces begin untrusted. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Variables that the extension host gets, such as MIDTRAIN_HOME. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default 1280 x 800. */
  readonly size?: { readonly width: number; readonly height: number };
}

/** The releases among these that are installed, for `describe.each`. */
export function installed(...releases: readonly Release[]): Release[] {
  const hosts = inject('hosts');
  return releases.filter((release) => !('reason' in hosts[release]));
}

/** Opens a window, hands it to `use`, and ends everything that belongs to it. @returns what `use` returns */
export async function withVSCode<T>(options: WindowOptions, use: (vs: VSCodeWindow) => Promise<T>): Promise<T> {
  const vs = await VSCodeWindow.open(options);
  try {
    await vs.start();
    return await use(vs);
  } catch (error) {
    const folder = await vs.saveFailure();
    if (error instanceof Error) error.message += `\n(picture and logs: ${folder})`;
    throw error;
  } finally {
    await vs.close();
  }
}

export class VSCodeWindow {
  readonly page: Page;
  /** What a user sees and does. */
  readonly ui: Workbench;
  /** Addresses outside this machine that the window asked for. */
  readonly externalRequests: string[] = [];
  readonly #options: WindowOptions;
  readonly #server: Server;
  readonly #browser: Browser;
  readonly #console: string[] = [];
  #closing: Promise<MarkedProcess[]> | null = null;

  private constructor(options: WindowOptions, server: Server, browser: Browser, page: Page) {
    this.#options = options;
    this.#server = server;
    this.#browser = browser;
    this.page = page;
    this.ui = new Workbench(page);
    page.setDefaultTimeout(30_000);
    page.on('console', (message) => this.#console.push(`${message.type()}: ${message.text()}`));
    page.on('request', (request) => {
      if (!isLocal(request.url(), server)) this.externalRequests.push(request.url());
    });
  }

  /** Use `withVSCode`. */
  static async open(options: WindowOptions): Promise<VSCodeWindow> {
    const { version = 'current', vsix, theme = 'dark', settings, env, size = { width: 1280, height: 800 } } = options;
    const host = inject('hosts')[version];
    if ('reason' in host) throw new Error(host.reason);
    const extension = options.extension ?? (vsix === undefined ? projectRoot : undefined);
    const server = await Server.start({
      host,
      vsix: vsix === undefined ? [] : [vsix],
      linked: extension === undefined ? [] : [extension],
      settings: { 'workbench.colorTheme': themes[theme].setting, ...settings },
      ...(env && { env }),
    });
    try {
      const browser = await launchBrowser(host, server);
      const page = await browser.newPage({ viewport: size, reducedMotion: 'reduce', locale: 'en-US' });
      return new VSCodeWindow(options, server, browser, page);
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** Use `withVSCode`. */
  async start(): Promise<void> {
    await openWorkbench(this.page, this.#server, this.#options);
    await this.ui.ready();
    await this.ui.setTheme(this.#options.theme ?? 'dark');
  }

  /** The home folder of everything that runs in this window. */
  get home(): string {
    return join(this.#server.root, 'h');
  }

  /** Where an extension (such as `midtrain.midtrain`) keeps its global storage. */
  globalStorage(extension: string): string {
    return join(this.#server.userData, 'User', 'globalStorage', extension.toLowerCase());
  }

  /** All processes of this window, detached children of the extension too. */
  processes(): MarkedProcess[] {
    return this.#server.processes();
  }

  /** "Developer: Reload Window": `deactivate()` runs. Waits for the new workbench and its new extension host. */
  async reloadWindow(): Promise<void> {
    const old = this.#extensionHosts();
    const reloaded = this.page.waitForEvent('domcontentloaded');
    await this.ui.runCommand('Developer: Reload Window');
    await reloaded;
    await this.ui.ready();
    await this.#extensionHostReplaced(old);
  }

  /** Kills the extension host, so that `deactivate()` does not run. VS Code starts another, at most three times in five minutes. */
  async crashExtensionHost(): Promise<void> {
    const old = this.#extensionHosts();
    for (const pid of old) process.kill(pid, 'SIGKILL');
    await this.#extensionHostReplaced(old);
  }

  /** @param file a path, taken from the project's root unless absolute */
  async screenshot(file: string): Promise<void> {
    const path = resolve(projectRoot, file);
    mkdirSync(dirname(path), { recursive: true });
    await this.page.screenshot({ path });
  }

  /** Saves a picture and the logs. @returns their folder */
  async saveFailure(): Promise<string> {
    const { name, version = 'current' } = this.#options;
    const folder = join(projectRoot, 'artifacts', `${name}-${version}`.replace(/[^\w.-]+/g, '-'));
    await saveEvidence(folder, this.page, this.#server, this.#console);
    return folder;
  }

  /**
   * Ends everything that belongs to the window; a second call changes nothing.
   *
   * @returns the detached processes that outlived it, which it has ended too
   */
  async close(): Promise<MarkedProcess[]> {
    this.#closing ??= (async () => {
      await this.#browser.close().catch(() => undefined); // it may have crashed
      return this.#server.stop();
    })();
    return this.#closing;
  }

  #extensionHosts(): number[] {
    return this.processes()
      .filter(({ command }) => command.includes('--type=extensionHost'))
      .map(({ pid }) => pid);
  }

  async #extensionHostReplaced(old: readonly number[], timeout = 60_000): Promise<void> {
    for (const deadline = Date.now() + timeout; ;) {
      const now = this.#extensionHosts();
      if (now.length > 0 && !now.some((pid) => old.includes(pid))) return;
      if (Date.now() > deadline)
        throw new Error(`The extension host was not replaced: ${old.join()}, now ${now.join()}`);
      await sleep(100);
    }
  }
}

function isLocal(address: string, server: Server): boolean {
  if (/^(data|blob|about):/.test(address)) return true;
  const { host, hostname } = new URL(address);
  // Files of a webview have addresses of this kind, which its service worker answers.
  return host === server.authority || hostname.endsWith('.vscode-resource.vscode-cdn.net');
}
