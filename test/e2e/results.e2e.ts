/**
 * The results panel in a real VS Code: everything it shows of a run, in every kind of theme, by mouse and by keyboard, and
 * what becomes of it when its run is gone.
 */
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Frame } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRun } from '../../src/runner/store.ts';
import { workOn } from '../../src/runner/work.ts';
import { parseToPanel } from '../../src/webviews/results/messages.ts';
import { smallRequest, temporaryFolder, writeProblems } from '../runner/smallRun.ts';
import { assertA11y } from './harness/accessibility.ts';
import { installed, type VSCodeWindow, withVSCode } from './harness/window.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
const env = { MIDTRAIN_RUNS: store, MIDTRAIN_HOME: join(home, 'cache') };
let folder: string;

beforeAll(async () => {
  process.env['MIDTRAIN_RUNS'] = store;
  folder = await createRun(store, smallRequest(writeProblems(home, 40), { samples: 3 }));
  await workOn(folder, { signal: new AbortController().signal });
});

afterAll(() => {
  delete process.env['MIDTRAIN_RUNS'];
});

async function openResults(vs: VSCodeWindow): Promise<Frame> {
  await vs.ui.showView('View: Show Midtrain', 'Runs');
  await vs.ui.treeItem('Runs', 'HumanEval').click();
  const panel = await vs.ui.webview();
  await panel.getByText('120 samples').waitFor();
  return panel;
}

declare const window: { postMessage(message: unknown): void };

/** Anything, and what looks like a message of the extension and is none. */
function malformedMessages(): unknown[] {
  const type = fc.constantFrom<unknown>('run', 'rows', 'file', 'detail', 'gone', 'eval', null);
  const near = fc.record(
    {
      type,
      header: fc.jsonValue(),
      reset: fc.boolean(),
      numbers: fc.jsonValue(),
      tasks: fc.jsonValue(),
      request: fc.integer(),
      detail: fc.jsonValue(),
      error: fc.jsonValue(),
      text: fc.oneof(fc.integer(), fc.constant(null)),
      read: fc.constantFrom(-1, 'x', null),
    },
    { requiredKeys: ['type'] },
  );
  const messages = fc.sample(fc.oneof(fc.jsonValue(), near), { numRuns: 10_000, seed: 6 });
  return messages.filter((message) => parseToPanel(message) === null);
}

const selected = (panel: Frame): Promise<string> => panel.locator('midtrain-rows .row.selected').innerText();

describe.each(installed('current', 'oldest'))('the results panel in the %s VS Code', (version) => {
  it('shows a run, by mouse and by keyboard, and is kept over a reload', async () => {
    await withVSCode({ name: 'results', version, env }, async (vs) => {
      let panel = await openResults(vs);
      await panel.getByText('pass@1').waitFor();
      await panel.getByRole('img', { name: /^Verdicts: \d+ passed, \d+ failed/ }).waitFor();

      // Filter by verdict, search, sort.
      await panel.getByRole('button', { name: /^failed/ }).click();
      await panel.getByText(/^\d+ of 120 samples$/).waitFor();
      expect(await panel.locator('midtrain-rows .body .row').first().innerText()).toContain('failed');
      await panel.getByRole('button', { name: /^failed/ }).click();
      await panel.getByRole('searchbox').or(panel.getByLabel('Search problems and reasons')).first().fill('eval/39');
      await panel.getByText('3 of 120 samples').waitFor();
      await panel.getByRole('searchbox').or(panel.getByLabel('Search problems and reasons')).first().fill('');
      await panel.getByText('120 samples', { exact: true }).waitFor();
      await panel.getByRole('button', { name: 'Problem' }).click();
      expect(await panel.locator('midtrain-rows .body .row').first().innerText()).toContain('HumanEval/39');
      await panel.getByRole('button', { name: 'Problem' }).click();

      // By keyboard through the table, to the next failure, through the tokens.
      await panel.getByRole('grid').focus();
      await vs.page.keyboard.press('Home');
      expect(await selected(panel)).toContain('HumanEval/0');
      await vs.page.keyboard.press('End');
      await vs.ui.until(
        () => selected(panel),
        (text) => text.includes('HumanEval/39'),
      );
      await vs.page.keyboard.press('Alt+ArrowDown');
      await vs.ui.until(
        () => selected(panel),
        (text) => text.includes('failed') && text.includes('HumanEval/0'),
      );
      await panel.getByRole('heading', { name: 'HumanEval/0 sample' }).waitFor();
      await panel.getByRole('group', { name: /^Completion/ }).focus();
      await vs.page.keyboard.press('ArrowRight');
      await vs.page.keyboard.press('ArrowRight');
      await panel.getByRole('tooltip').getByText('entropy').waitFor();
      await vs.page.keyboard.press('Escape');
      await panel.getByRole('tooltip').waitFor({ state: 'hidden' });

      // The program that ran, and where it failed.
      await panel.getByRole('tab', { name: 'Program' }).click();
      await panel.locator('.marked').first().waitFor();
      expect(await panel.locator('.marked').first().getAttribute('data-mark')).toBe('◀ failed here');
      await panel.getByRole('tab', { name: 'Outcome' }).click();
      await panel.getByLabel('Traceback').getByText('<check>').first().waitFor();

      for (const theme of ['light', 'hc-dark', 'hc-light', 'dark'] as const) {
        await vs.ui.setTheme(theme);
        panel = await vs.ui.webview();
        await assertA11y(panel);
      }

      // 10,000 malformed messages: what is shown stays, and works on.
      await panel.evaluate((messages) => {
        for (const message of messages) window.postMessage(message);
      }, malformedMessages());
      await vs.page.waitForTimeout(500);
      await panel.getByText('120 samples', { exact: true }).waitFor();
      await panel.getByRole('grid').focus();
      await vs.page.keyboard.press('End');
      await panel.getByRole('heading', { name: 'HumanEval/39 sample 2' }).waitFor();
      await vs.page.keyboard.press('Home');
      await panel.getByRole('heading', { name: 'HumanEval/0 sample' }).waitFor();

      await vs.reloadWindow();
      panel = await vs.ui.webview();
      await panel.getByRole('heading', { name: 'HumanEval/0 sample' }).waitFor();
      await panel.getByLabel('Traceback').waitFor(); // the tab that was open
      await panel.getByRole('tab', { name: 'Program' }).click();
      await panel.getByRole('button', { name: 'Open as File' }).click();
      await vs.ui.editor.waitFor();
      await vs.ui.until(
        () => vs.ui.editorText(),
        (text) => text.includes('check(f0)'),
      );
      expect(await vs.ui.errors()).toEqual([]);
      expect(vs.externalRequests).toEqual([]);
    });
  });

  it('whose run was removed says so after a reload, in one place', async () => {
    const other = join(store, 'removed-later');
    cpSync(folder, other, { recursive: true });
    rmSync(folder, { recursive: true });
    try {
      await withVSCode({ name: 'results-removed', version, env }, async (vs) => {
        await openResults(vs);
        rmSync(other, { recursive: true });
        await vs.reloadWindow();
        const panel = await vs.ui.webview();
        await panel.getByText('These results are no longer here.').waitFor();
        await assertA11y(panel);
        expect(await vs.ui.errors()).toEqual([]);
      });
    } finally {
      folder = await createRun(store, smallRequest(writeProblems(home, 40), { samples: 3 }));
      await workOn(folder, { signal: new AbortController().signal });
    }
  });
});
