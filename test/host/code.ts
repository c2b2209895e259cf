/**
 * Stands in for the desktop program `code` that @vscode/test-electron starts: takes the part of its command line that is
 * about tests, and runs the same in a VS Code server and a browser. Ends with status 0 when the tests passed.
 *
 * `MIDTRAIN_TEST_HOST` says which VS Code to use (a VSCodeHost as JSON); the variables that begin with `MIDTRAIN_` reach
 * the extension host.
 */
import { join } from 'node:path';
import { format, parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import type { VSCodeHost } from '../tools/vscodeHost.mjs';
import { launchBrowser, openWorkbench, saveEvidence } from './browser.ts';
import { Server } from './server.ts';

const outOfTime = 300_000;

/** What the workbench prints around the output of the tests. Two of its native modules are not compiled; it does without. */
const noise =
  /^((Error: )?Cannot find module '\.\/build\/Release\/watchdog'|Error: Could not locate the bindings file|Resolv(ing|ed) connection token|Creating a socket|\[reconnection-grace-time\]|Updating additional builtin|Ignoring fetching additional|\[Service Worker\]|\[AgentHost|\[AccountPolicyGate|\[driver\])/;

/**
 * Switches on what lets a page name extensions and tests in its address. Notifications and dialogs do not work with it, so
 * this is not for tests of the user interface.
 */
async function allowTests(page: Page, server: Server): Promise<void> {
  // Chromium does not know where an answer given here comes from, and then asks before it may reach this machine.
  await page.context().grantPermissions(['local-network-access']);
  await page.route(`http://${server.authority}/?*`, async (route) => {
    const response = await route.fetch();
    const html = await response.text();
    const options = '&quot;developmentOptions&quot;:{';
    await route.fulfill({ response, body: html.replace(options, `${options}&quot;enableSmokeTestDriver&quot;:true,`) });
  });
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { extensionDevelopmentPath: { type: 'string' }, extensionTestsPath: { type: 'string' } },
    allowPositionals: true,
    strict: false, // the other options are about the desktop
  });
  const { extensionDevelopmentPath: development, extensionTestsPath: tests } = values;
  if (typeof development !== 'string' || typeof tests !== 'string')
    throw new Error('This runs tests of extensions only.');

  const host = JSON.parse(process.env['MIDTRAIN_TEST_HOST'] ?? '') as VSCodeHost;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('MIDTRAIN_')));
  const server = await Server.start({ host, env: env as Record<string, string> });
  try {
    const browser = await launchBrowser(host, server);
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, locale: 'en-US' });
    const said: string[] = [];
    const status = new Promise<number>((resolve) => {
      setTimeout(() => {
        console.error(`The tests in VS Code ${host.vscode} did not end within ${outOfTime / 1000} s.`);
        resolve(1);
      }, outOfTime).unref();
      page.on('crash', () => {
        console.error('The browser page crashed.');
        resolve(1);
      });
      void page.exposeFunction('codeAutomationExit', (code: number) => {
        resolve(code);
      });
    });
    await page.exposeFunction('codeAutomationLog', (_: string, args: unknown[]) => {
      const line = format(...args);
      said.push(line);
      if (!noise.test(line)) console.log(line);
    });
    await allowTests(page, server);
    await openWorkbench(page, server, { workspace: positionals[0], development, tests });
    const code = await status;
    if (code !== 0) {
      const folder = join(development, 'artifacts', `extension-host-${host.vscode}`);
      await saveEvidence(folder, page, server, said);
      console.error(`Picture and logs: ${folder}`);
    }
    await browser.close();
    return code;
  } finally {
    await server.stop();
  }
}

process.exit(await main());
