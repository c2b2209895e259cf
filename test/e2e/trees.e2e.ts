/**
 * The views of Midtrain: what they say when nothing is there, the models and benchmarks with what can be done to them, runs
 * in every state, and a run that somebody else works on.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HubServer } from '../catalog/hubServer.ts';
import { assertA11y } from './harness/accessibility.ts';
import { eventsOf, inTerminal, newPlace, runRow, smallModel, writeRun } from './harness/midtrain.ts';
import { installed, type VSCodeWindow, withVSCode } from './harness/window.ts';
import type { Theme } from './harness/workbench.ts';

/** What axe-core looks at. In it the workbench draws a row's label and description without a space between them. */
const views = { within: '.part.sidebar .pane-body', without: ['label-content-name-mismatch'] };

/** A picture of the window and axe-core on the views, in each theme. */
async function look(vs: VSCodeWindow, name: string, themes: readonly Theme[] = ['light', 'hc-dark', 'dark']) {
  for (const theme of themes) {
    await vs.page.mouse.move(900, 400);
    await vs.ui.setTheme(theme);
    await vs.screenshot(`artifacts/${name}-${theme}.png`);
    await assertA11y(vs.page, views);
  }
}

// What this file uses of the browser's elements, which are not part of the project's types.
interface Labelled {
  getAttribute(name: string): string | null;
}

describe.skipIf(installed('current').length === 0)('the views', () => {
  let hub: HubServer;

  beforeAll(async () => {
    hub = await HubServer.start();
    hub.repositories.set('tiny/llama', {
      commit: 'a'.repeat(40),
      files: new Map(
        ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors'].map((name) => [
          name,
          readFileSync(join(smallModel, name)),
        ]),
      ),
      cardData: { license: 'mit' },
    });
  });
  afterAll(async () => {
    await hub.stop();
  });

  it('say what to do where nothing is, and what is here', async () => {
    const place = newPlace();
    const window = {
      name: 'trees-empty',
      workspace: place.workspace,
      env: { ...place.env, HF_ENDPOINT: hub.endpoint },
      settings: { 'midtrain.models': [smallModel, 'tiny/llama', '/nowhere/model.gguf'] },
    };
    await withVSCode(window, async (vs) => {
      const { ui } = vs;
      await ui.viewContainer('Midtrain').click();
      await ui.view('Runs').getByText('No run yet.').waitFor();
      await ui.view('Runs').getByRole('button', { name: 'Evaluate Model on HumanEval' }).waitFor();

      const own = ui.treeItem('Models', 'llama-gqa-tied');
      await own.waitFor();
      expect(hub.requests, 'the view asked the hub by itself').toEqual([]);
      await expect.poll(() => own.getAttribute('aria-label')).toMatch(/^llama-gqa-tied, 10\d kB/);
      expect(await ui.treeItem('Models', '/nowhere/model.gguf').innerText()).toContain('not found');
      const starter = ui.treeItem('Models', 'SmolLM2-135M-Instruct (Q4_1)');
      await expect.poll(() => starter.getAttribute('aria-label')).toMatch(/not here yet, 92.9 MB, Apache-2.0$/);
      const humanEval = ui.treeItem('Benchmarks', 'HumanEval');
      expect(await humanEval.innerText()).toContain('a file of yours');
      expect(await humanEval.getByRole('button', { name: 'Fetch Benchmark' }).count()).toBe(0);
      await look(vs, 'trees-empty', ['light', 'hc-light', 'hc-dark', 'dark']);

      // A benchmark that is not here: what would come, from where, how large; refused, nothing happens.
      await ui.pressRowAction(ui.treeItem('Benchmarks', 'MBPP'), 'Fetch Benchmark');
      const asked = ui.dialog('Midtrain needs 564 kB that are not here yet.');
      await asked.waitFor();
      expect(await asked.innerText()).toContain('from https://raw.githubusercontent.com/');
      await vs.screenshot('artifacts/trees-fetch.png');
      await ui.pressDialogButton('Midtrain needs', 'Cancel');
      expect(existsSync(join(place.env['MIDTRAIN_HOME']!, 'benchmarks'))).toBe(false);

      // A model of the hub: fetched, it shows its size and hash, and can be removed.
      const fetched = ui.treeItem('Models', 'tiny/llama');
      expect(await fetched.innerText()).toContain('not here yet');
      await ui.pressRowAction(fetched, 'Fetch Model');
      await ui.dialog('Midtrain needs').waitFor();
      expect(await ui.dialog('Midtrain needs').innerText()).toContain(hub.endpoint);
      await ui.pressDialogButton('Midtrain needs', 'Fetch');
      await fetched.filter({ hasText: 'mit' }).waitFor();
      await fetched.hover();
      const hover = vs.page.locator('.monaco-hover:visible', { hasText: 'sha256:' });
      await hover.waitFor();
      expect(await hover.innerText()).toMatch(/size:\s80.2\skB/);
      await vs.screenshot('artifacts/trees-model-hover.png');
      await vs.page.keyboard.press('Escape');
      await ui.chooseInContextMenu(fetched, 'Remove Model');
      await ui.pressDialogButton('Remove tiny/llama', 'Remove');
      await fetched.filter({ hasText: 'not here yet' }).waitFor();
      await ui.chooseInContextMenu(fetched, 'Remove Model');
      await fetched.waitFor({ state: 'detached' });
      expect(await ui.errors()).toEqual([]);
      expect(vs.externalRequests).toEqual([]);
    });
  });

  it('show runs in every state, and what can be done to each', async () => {
    const place = newPlace();
    writeRun(place, { name: 'good', events: eventsOf('finished'), age: 1 });
    writeRun(place, {
      name: 'varied',
      events: eventsOf('finished', { done: 20 }),
      age: 2,
      request: { samples: 10, protocol: 'codex', limit: 2 },
    });
    writeRun(place, { name: 'halfway', events: eventsOf('stopped', { done: 9 }), age: 3 });
    writeRun(place, { name: 'killed', events: eventsOf(null, { done: 5 }), age: 4, log: 'Segmentation fault\n' });
    writeRun(place, { name: 'cut', events: eventsOf(null, { done: 6 }), age: 5, cut: '{"seq":6,"type":"done","st' });
    const why = 'The model needs 40 GB and 8 GB are free. Take a smaller one.';
    writeRun(place, { name: 'broken', events: eventsOf('failed', { done: 0, error: why }), age: 6 });
    writeRun(place, { name: 'waiting', events: [], age: 7 });
    writeRun(place, { name: 'later', events: [], age: 8, format: 99 });

    await withVSCode({ name: 'trees-runs', workspace: place.workspace, env: place.env }, async (vs) => {
      const { ui } = vs;
      await ui.viewContainer('Midtrain').click();
      const row = (name: string) => runRow(vs, `${name} on HumanEval`);
      await row('good').waitFor();
      const labels = await ui
        .view('Runs')
        .getByRole('treeitem')
        .evaluateAll((rows: Labelled[]) => rows.map((element) => element.getAttribute('aria-label')));
      const settings = 'codex, 2 × at 0.8';
      expect(labels).toEqual([
        `good on HumanEval, ${settings}, finished, pass@1 66.7 %`,
        'varied on HumanEval, codex, 10 × at 0.8, first 2, finished, pass@1 65.0 %',
        `halfway on HumanEval, ${settings}, stopped, 9 of 24, pass@1 so far 66.7 %`,
        `killed on HumanEval, ${settings}, crashed, 5 of 24, pass@1 so far 60.0 %`,
        `cut on HumanEval, ${settings}, crashed, 6 of 24, pass@1 so far 66.7 %`,
        `broken on HumanEval, ${settings}, failed`,
        `waiting on HumanEval, ${settings}, not started`,
        'later cannot be shown: later was made by a later version of Midtrain (format 99). Update Midtrain to open it.',
      ]);
      await look(vs, 'trees-runs');

      // The hover says why.
      await row('killed').hover();
      const hover = vs.page.locator('.monaco-hover:visible', { hasText: 'Segmentation fault' });
      await hover.waitFor();
      await vs.screenshot('artifacts/trees-run-hover.png');
      await vs.page.keyboard.press('Escape');

      // Inline actions and menus: what fits the state, and nothing else.
      const actions = async (name: string) => {
        await row(name).hover();
        const buttons = row(name).getByRole('button');
        await buttons.first().waitFor();
        return buttons.evaluateAll((found: Labelled[]) => found.map((button) => button.getAttribute('aria-label')));
      };
      expect(await actions('good')).toEqual(['Open Results']);
      expect(await actions('halfway')).toEqual(['Resume', 'Open Results']);
      expect(await actions('killed')).toEqual(['Resume', 'Open Results']);
      expect(await actions('waiting')).toEqual(['Resume', 'Open Results']);
      const menu = async (run: Locator) => {
        await run.click({ button: 'right' });
        const entries = vs.page.locator('.monaco-menu .action-label:not(.separator)');
        await entries.first().waitFor();
        const texts = (await entries.allInnerTexts()).filter((text) => text.trim() !== '');
        await vs.page.keyboard.press('Escape');
        return texts;
      };
      const ofGood = ['Open Results', 'Open Abstractions Panel', 'Open Run Folder', 'Run Again', 'Remove Run…'];
      expect(await menu(row('good'))).toEqual(ofGood);
      expect(await menu(ui.treeItem('Runs', 'later'))).toEqual(['Open Run Folder', 'Remove Run…']);

      // Removed by hand, it goes; removed through the menu, it asks first.
      rmSync(join(place.runs, 'varied'), { recursive: true });
      await row('varied').waitFor({ state: 'detached' });
      await ui.chooseInContextMenu(row('broken'), 'Remove Run…');
      await vs.screenshot('artifacts/trees-remove.png');
      await ui.pressDialogButton('Remove the run broken on HumanEval?', 'Remove');
      await row('broken').waitFor({ state: 'detached' });
      await ui.chooseInContextMenu(ui.treeItem('Runs', 'later'), 'Remove Run…');
      await ui.pressDialogButton('Remove the run', 'Remove');
      await ui.treeItem('Runs', 'later').waitFor({ state: 'detached' });
      expect(readdirSync(place.runs).filter((name) => ['broken', 'later'].includes(name))).toEqual([]);
      expect(await ui.errors()).toEqual([]);
    });
  });

  it('show a run of a terminal by themselves, live, and stop and resume it', async () => {
    const place = newPlace({ seconds: 0.2 });
    await withVSCode({ name: 'trees-terminal', workspace: place.workspace, env: place.env }, async (vs) => {
      const { ui } = vs;
      await ui.viewContainer('Midtrain').click();
      await ui.view('Runs').getByText('No run yet.').waitFor();
      const args = ['--model', smallModel, '--benchmark', 'humaneval', '--device', 'cpu', '--max-tokens', '24'];
      const terminal = inTerminal(place, 'evaluate', ...args, '-n', '20', '-t', '0.8', '--workers', '1');
      const ended = new Promise((resolve) => terminal.once('exit', resolve));

      const row = runRow(vs, 'llama-gqa-tied on HumanEval');
      await row.filter({ hasText: /[1-9]\d* of 240/ }).waitFor();
      const done = async () => Number(/(\d+) of 240/.exec(await row.innerText())?.[1] ?? 0);
      await vs.page.mouse.move(900, 400);
      const first = await done();
      await ui.until(done, (now) => now > first + 3);
      await vs.screenshot('artifacts/trees-live.png');
      await assertA11y(vs.page, views);

      await ui.pressRowAction(row, 'Pause');
      await row.filter({ hasText: 'paused' }).waitFor();
      await ui.pressRowAction(row, 'Resume');
      await row.filter({ hasNotText: 'paused' }).waitFor();
      await ui.pressRowAction(row, 'Stop');
      await row.filter({ hasText: 'stopped' }).waitFor();
      expect(await ended).not.toBe(0);

      // The window goes on with what the terminal began.
      const before = await done();
      await ui.pressRowAction(row, 'Resume');
      await row.filter({ hasNotText: 'stopped' }).waitFor();
      await ui.until(done, (now) => now > before);
      await ui.pressRowAction(row, 'Stop');
      await row.filter({ hasText: 'stopped' }).waitFor();
      expect(await ui.errors()).toEqual([]);
    });
  });
});
