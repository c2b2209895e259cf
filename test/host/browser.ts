/**
 * The browser in which VS Code is shown, and what a failed test leaves of it. Knows nothing of what a test does there.
 */
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { VSCodeHost } from '../tools/vscodeHost.mjs';
import type { Server } from './server.ts';

/** Starts a headless Chromium, whose home folder is the server's. */
export async function launchBrowser(host: VSCodeHost, server: Server): Promise<Browser> {
  return chromium.launch({
    executablePath: host.browser,
    env: server.env,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-sync'],
  });
}

export interface Opened {
  /** A folder or a .code-workspace file; an empty window without it. */
  readonly workspace?: string | undefined;
  /** Folder of an extension under development. */
  readonly development?: string;
  /** A module whose `run()` is called in the extension host. */
  readonly tests?: string;
}

/** Goes to the workbench's address. */
export async function openWorkbench(
  page: Page,
  server: Server,
  { workspace, development, tests }: Opened,
): Promise<void> {
  const remote = (path: string): string => `vscode-remote://${server.authority}${resolve(path)}`;
  const payload = [
    ...(development === undefined ? [] : [['extensionDevelopmentPath', remote(development)]]),
    ...(tests === undefined ? [] : [['extensionTestsPath', remote(tests)]]),
  ];
  const query = new URLSearchParams({ payload: JSON.stringify(payload) });
  if (workspace === undefined) query.set('ew', 'true');
  else query.set(workspace.endsWith('.code-workspace') ? 'workspace' : 'folder', resolve(workspace));
  const response = await page.goto(`http://${server.authority}/?${query.toString()}`, { timeout: 60_000 });
  if (response?.ok() !== true) {
    throw new Error(`The workbench answered with status ${response?.status() ?? 'none'}\n${server.log().slice(-3000)}`);
  }
}

/** Writes a picture, the browser's console and all logs into a folder. */
export async function saveEvidence(
  folder: string,
  page: Page,
  server: Server,
  browserLog: readonly string[],
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, 'window.png'), timeout: 10_000 }).catch(() => undefined); // it may be gone
  writeFileSync(join(folder, 'browser.log'), browserLog.join('\n'));
  writeFileSync(join(folder, 'server.log'), server.log());
  const logs = join(server.userData, 'logs');
  if (existsSync(logs)) cpSync(logs, join(folder, 'logs'), { recursive: true });
}
