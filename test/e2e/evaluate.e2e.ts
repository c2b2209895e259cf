/**
 * An evaluation from the palette to its score: questions, what must be agreed to, how the run shows while it works, and what
 * can be done with it then.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HubServer } from '../catalog/hubServer.ts';
import { newPlace, runRow, smallModel } from './harness/midtrain.ts';
import { installed, withVSCode } from './harness/window.ts';

const title = 'llama-gqa-tied on HumanEval';

describe.skipIf(installed('current').length === 0)('an evaluation', () => {
  let hub: HubServer;

  beforeAll(async () => {
    hub = await HubServer.start();
    hub.repositories.set('tiny/llama', {
      commit: 'b'.repeat(40),
      files: new Map(
        ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors'].map((name) => [
          name,
          readFileSync(join(smallModel, name)),
        ]),
      ),
    });
  });
  afterAll(async () => {
    await hub.stop();
  });

  it('asks little, starts when agreed to, is seen while it works, and can be stopped, resumed and run again', async () => {
    const place = newPlace({ seconds: 0.15, consent: false });
    const window = {
      name: 'evaluate',
      workspace: place.workspace,
      env: { ...place.env, HF_ENDPOINT: hub.endpoint },
      settings: { 'midtrain.models': [smallModel, 'tiny/llama'], 'midtrain.device': 'cpu' },
    };
    await withVSCode(window, async (vs) => {
      const { ui } = vs;
      const row = runRow(vs, title);
      const runs = () => readdirSync(place.runs).filter((name) => !name.startsWith('.'));
      await ui.viewContainer('Midtrain').click();

      await ui.runCommand('Midtrain: Evaluate…');
      await ui.quickInput.filter({ hasText: 'Which model? (1 of 5)' }).waitFor();
      expect(await ui.quickPickLabels()).toEqual([
        'llama-gqa-tied',
        'tiny/llama',
        'Midtrain starter (3 M)',
        'SmolLM2-135M-Instruct (Q4_1)',
        'Add Model…',
      ]);
      await vs.screenshot('artifacts/evaluate-model.png');
      await ui.pick('llama-gqa-tied');
      await ui.pick('HumanEval');
      await ui.pick('Automatic');
      await ui.pick('10 samples a problem at temperature 0.8');
      expect(await ui.quickPickLabels()).toEqual(['All', 'The first 16', 'The first 64', 'Other…']);
      await ui.pick('All');

      // What protects this machine is said before a program runs on it. Refused, nothing is there.
      const consent = 'Scoring runs programs that a model wrote';
      await ui.dialog(consent).waitFor({ timeout: 60_000 });
      expect(await ui.dialog(consent).innerText()).toMatch(
        /In force here: process for each program, [\s\S]*You are asked once/,
      );
      await vs.screenshot('artifacts/evaluate-consent.png');
      await ui.pressDialogButton(consent, 'Cancel');
      expect(runs()).toEqual([]);
      expect(existsSync(join(place.env['MIDTRAIN_HOME']!, 'consent.json'))).toBe(false);

      // The second time the last answers come first, so that Enter is enough.
      await ui.runCommand('Midtrain: Evaluate…');
      for (const [step, first] of [
        ['1 of 5', 'llama-gqa-tied'],
        ['2 of 5', 'HumanEval'],
        ['3 of 5', 'Automatic'],
        ['4 of 5', '10 samples a problem at temperature 0.8'],
        ['5 of 5', 'All'],
      ] as const) {
        await ui.quickInput.filter({ hasText: step }).waitFor();
        expect((await ui.quickPickLabels())[0]).toBe(first);
        await vs.page.keyboard.press('Enter');
      }
      await ui.dialog(consent).waitFor({ timeout: 60_000 });
      await ui.pressDialogButton(consent, 'Run Programs');
      await row.waitFor();
      expect(runs()).toHaveLength(1);

      // The status bar has how many are done, the score, the rate, how long it will take, and the device.
      const status = ui.statusBarItem('HumanEval');
      await status
        .filter({ hasText: /^\s*HumanEval \d+\/120 · pass@1 so far \d+\.\d % · \d+\/min · \d+ (s|min) left · cpu/ })
        .waitFor();
      await expect
        .poll(() => row.getAttribute('aria-label'))
        .toMatch(/of 120, pass@1 so far \d+\.\d %, (sampling|running programs)/);
      await vs.screenshot('artifacts/evaluate-running.png');
      expect(await vs.page.locator('.notification-toast').count()).toBe(0);

      // Stopped from the palette, resumed from there: what was done is not done again.
      await ui.runCommand('Midtrain: Stop');
      await row.filter({ hasText: 'stopped' }).waitFor();
      await status.waitFor({ state: 'detached' });
      const samples = () =>
        readFileSync(join(place.runs, runs()[0]!, 'samples.jsonl'), 'utf8')
          .split('\n')
          .filter(Boolean).length;
      await ui.runCommand('Midtrain: Resume');
      await ui.pick(title);
      await status.waitFor();
      await row.filter({ hasText: /pass@1 \d/ }).waitFor({ timeout: 60_000 });
      expect(samples()).toBe(120);
      await status.waitFor({ state: 'detached' });

      // The notice at its end; nothing opened by itself.
      await ui.notification(`${title}: pass@1 `).waitFor();
      await vs.screenshot('artifacts/evaluate-finished.png');
      expect(await vs.page.locator('.tabs-container .tab').count()).toBe(0);
      await ui.clearNotifications();
      expect(await ui.errors()).toEqual([]);
    });
  });

  it('says what must be fetched, checks the machine, and is silent where notices are switched off', async () => {
    const place = newPlace();
    const window = {
      name: 'evaluate-fetch',
      workspace: place.workspace,
      env: { ...place.env, HF_ENDPOINT: hub.endpoint },
      settings: { 'midtrain.models': ['tiny/llama'], 'midtrain.notices': 'none', 'midtrain.statusBar': false },
    };
    await withVSCode(window, async (vs) => {
      const { ui } = vs;
      await ui.viewContainer('Midtrain').click();
      const row = ui.view('Runs').getByRole('treeitem');
      await ui.view('Runs').getByText('No run yet.').waitFor();

      await ui.runCommand('Midtrain: Evaluate Model on HumanEval');
      await ui.pick('tiny/llama');
      const fetch = 'Midtrain needs 80.2 kB that are not here yet.';
      await ui.dialog(fetch).waitFor();
      expect(await ui.dialog(fetch).innerText()).toContain(`from ${hub.endpoint}`);
      await vs.screenshot('artifacts/evaluate-fetch.png');
      await ui.pressDialogButton(fetch, 'Cancel');
      expect(await row.count()).toBe(0);

      await ui.runCommand('Midtrain: Evaluate Model on HumanEval');
      await ui.pick('tiny/llama');
      await ui.pressDialogButton(fetch, 'Fetch');
      await row.filter({ hasText: /pass@1 \d/ }).waitFor({ timeout: 60_000 });
      expect(await row.count()).toBe(1);
      await ui.treeItem('Models', 'tiny/llama').filter({ hasText: '80.2 kB' }).waitFor();

      // The same again is another run.
      await ui.runCommand('Midtrain: Run Again');
      await ui.pick('tiny/llama on HumanEval');
      await ui.until(
        () => row.filter({ hasText: /pass@1 \d/ }).count(),
        (count) => count === 2,
        60_000,
      );
      expect(await vs.page.locator('.notification-toast').count()).toBe(0);

      await ui.runCommand('Midtrain: Stop');
      await ui.notification('No run is at work.').waitFor();
      await ui.clearNotifications();

      await ui.runCommand('Midtrain: Check Environment');
      await ui.tab('Midtrain Environment').waitFor({ timeout: 60_000 });
      await ui.until(
        () => ui.editorText(),
        (text) => text.includes('ok       Node') && text.includes('Sandbox'),
      );
      await vs.screenshot('artifacts/evaluate-environment.png');
      expect(vs.externalRequests).toEqual([]);
    });
  });

  it('that cannot start says why, once, and can be tried again', async () => {
    const place = newPlace();
    const broken = join(place.root, 'broken');
    const window = {
      name: 'evaluate-fails',
      workspace: place.workspace,
      env: place.env,
      settings: { 'midtrain.models': [smallModel], 'midtrain.python': broken },
    };
    await withVSCode(window, async (vs) => {
      const { ui } = vs;
      await ui.viewContainer('Midtrain').click();
      await ui.view('Runs').getByText('No run yet.').waitFor();
      await ui.runCommand('Midtrain: Evaluate Model on HumanEval');
      await ui.pick('llama-gqa-tied');
      await runRow(vs, title).filter({ hasText: 'failed' }).waitFor();
      await ui.notification(`${title} failed: `).waitFor();
      expect(await ui.errors()).toHaveLength(1);
      await vs.screenshot('artifacts/evaluate-failed.png');
      writeFileSync(broken, '#!/bin/sh\nexec python3 "$@"\n', { mode: 0o755 });
      await ui.pressNotificationButton(`${title} failed: `, 'Resume');
      await runRow(vs, title)
        .filter({ hasText: /pass@1 \d/ })
        .waitFor({ timeout: 60_000 });
    });
  });
});
