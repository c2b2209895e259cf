/**
 * A training that is at work, in a real VS Code: found in the Runs view, opened, and every verb used on it, from the palette,
 * the tree and the panel. The window is reloaded in between; the learning rate that was set stays, on the curve and in the
 * run that goes on.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMetrics } from '../../src/client/metricsExport.ts';
import { listRuns } from '../../src/runner/store.ts';
import { smallConfig, writeTinyModel } from '../runner/smallTraining.ts';
import { assertA11y } from './harness/accessibility.ts';
import { inTerminal, newPlace } from './harness/midtrain.ts';
import { installed, withVSCode } from './harness/window.ts';

const pictures = process.env['MIDTRAIN_SCREENSHOTS'] === '1' ? 'media/screenshots' : 'artifacts/screenshots';

describe.skipIf(installed('current').length === 0)('a training at work', () => {
  it('is followed and obeys every verb, over a reload of the window', { timeout: 400_000 }, async () => {
    const place = newPlace();
    const model = await writeTinyModel(place.root);
    const config = join(place.workspace, 'live.midtrain.json');
    const change = {
      model,
      steps: 1_000_000,
      evaluationInterval: 20,
      checkpointInterval: 10_000,
      schedule: 'constant',
    };
    writeFileSync(config, JSON.stringify({ ...smallConfig, ...change }));
    inTerminal(place, 'train', config);

    await withVSCode({ name: 'training', workspace: place.workspace, env: place.env }, async (vs) => {
      const { ui } = vs;
      await ui.showView('View: Show Midtrain', 'Runs');
      const row = ui.treeItem('Runs', 'Training live');
      await ui.openRun('Training live');
      let panel = await ui.webview();
      const state = (text: RegExp | string) => panel.locator('.state', { hasText: text });
      const press = (name: string) => panel.getByRole('button', { name, exact: true }).click();
      const mark = (words: RegExp) => panel.getByRole('button', { name: words }).first();
      const stepOf = async (): Promise<number> => {
        const words = await panel.locator('.state').innerText();
        return Number(/step (\d+) of/.exec(words)?.[1] ?? -1);
      };
      const goesOn = async (): Promise<void> => {
        const before = await stepOf();
        await ui.until(stepOf, (step) => step > before, 60_000);
      };
      await panel.getByRole('group', { name: /^Loss: train/ }).waitFor({ timeout: 90_000 });
      await state(
        /^Running · (training|taking the held-out loss) for \d+ s · step \d+ of 1000000 · about .* left · cpu/,
      ).waitFor({ timeout: 60_000 });
      await goesOn();

      // Pause from the tree, and go on from the panel.
      await ui.pressRowAction(row, 'Pause');
      await state('Paused').waitFor();
      const held = await stepOf();
      await press('Resume');
      await state('Running').waitFor();
      await ui.until(stepOf, (step) => step > held, 60_000);
      await mark(/Paused: .*Asked for by vscode/).waitFor();

      await press('Checkpoint Now');
      await mark(/Checkpoint: It saves a checkpoint/).waitFor();

      // From the palette: one training is at work, so nobody asks which.
      await ui.runCommand('Midtrain: Set Learning Rate…');
      await ui.fillInput('-1', { title: 'learning rate' });
      await ui.quickInput.getByText('Write a number above 0').waitFor();
      await ui.fillInput('0.00123'); // the hint stands where the question was
      await mark(/Set: From step \d+ on the learning rate is 0\.00123/).waitFor();

      await vs.reloadWindow();
      panel = await ui.webview();
      await mark(/Set: From step \d+ on the learning rate is 0\.00123/).waitFor({ timeout: 60_000 });
      await goesOn();
      const rate = (): Promise<string> => panel.locator('[data-reading]').innerText();
      await ui.until(rate, (text) => text.includes('learning rate 1.23e-3'), 60_000);

      await press('Set Evaluation Interval…');
      await ui.fillInput('7', { title: 'Steps between evaluations' });
      await mark(/Set: From step \d+ on every 7 steps are evaluated/).waitFor();

      await press('Sample Now');
      await mark(/Sampled: /).waitFor();
      await panel.getByRole('listbox', { name: 'Samples of the live weights' }).waitFor({ timeout: 60_000 });
      await panel.getByText(/^After step \d+, /).waitFor();

      await press('Pause and Release Memory');
      await mark(/Paused, memory released: /).waitFor();
      await state('Paused').waitFor();
      await panel.getByText(/The memory is given back: \d+ MB/).waitFor({ state: 'attached', timeout: 60_000 });
      await press('Resume');
      await state('Running').waitFor();
      await goesOn();
      expect(await ui.notification('nothing was done').count()).toBe(0);
      await assertA11y(panel);
      await vs.screenshot(`${pictures}/training-dark.png`);

      // Saved and stopped, it goes on from there in a process of its own, at the rate that was set.
      await ui.pressRowAction(row, 'Stop and Save');
      await state(/^Stopped/).waitFor({ timeout: 60_000 });
      const stopped = await stepOf();
      await press('Resume');
      await state('Running').waitFor({ timeout: 90_000 });
      await ui.until(stepOf, (step) => step > stopped, 90_000);
      await mark(/Resumed: Resumed on /).waitFor();
      expect(await rate()).toContain('learning rate 1.23e-3');
      await ui.runCommand('Midtrain: Stop');
      await state(/^Stopped/).waitFor({ timeout: 60_000 });

      const [folder] = await listRuns(place.runs);
      const metrics = await readMetrics(folder!);
      const steps = metrics.rows.column('step');
      expect([...steps]).toEqual(Array.from(steps, (_, i) => i)); // none is missing, none there twice
      expect(metrics.rows.column('learningRate').at(-1)).toBe(0.00123);
      expect(await ui.errors()).toEqual([]);
      expect(vs.externalRequests).toEqual([]);
    });
  });

  it(
    'of RA3 shows its E-step, whose settings are set from palette, panel and terminal',
    { timeout: 400_000 },
    async () => {
      const place = newPlace();
      const model = await writeTinyModel(place.root);
      const config = join(place.workspace, 'latents.midtrain.json');
      const change = {
        ...{ model, method: 'ra3', steps: 100_000, evaluationInterval: 0, checkpointInterval: 10_000 },
        abstractions: {
          ...{
            eUpdates: 3,
            mSteps: 2,
            warmup: 0,
            groupSize: 2,
            snippets: 2,
            maxLatentTokens: 6,
            evaluationSnippets: 1,
          },
        },
      };
      writeFileSync(config, JSON.stringify({ ...smallConfig, ...change }));
      await withVSCode({ name: 'training-ra3', workspace: place.workspace, env: place.env }, async (vs) => {
        const { ui } = vs;
        await ui.viewContainer('Midtrain').click();
        await ui.openFile('latents.midtrain.json');
        await vs.page.locator('.codelens-decoration a', { hasText: 'Run' }).first().click();
        const row = ui.treeItem('Runs', 'Training latents');
        await ui.openRun('Training latents');
        let panel = await ui.webview();
        const eStep = () => panel.locator('midtrain-charts.updates');
        const mark = (words: RegExp) => eStep().getByRole('button', { name: words }).first();
        const reading = (): Promise<string> => eStep().locator('[data-reading]').innerText();
        await eStep().waitFor({ timeout: 120_000 });
        await panel.getByRole('grid', { name: 'Rollouts, line by line' }).waitFor({ timeout: 60_000 });

        await ui.runCommand('Midtrain: Set Think Penalty…');
        await ui.fillInput('-1', { title: 'What a thought costs' });
        await ui.quickInput.getByText('Write a number from 0 on').waitFor();
        await ui.fillInput('0.25');
        await mark(/Set: From update \d+ of q on a thought costs 0\.25 nats/).waitFor({ timeout: 60_000 });
        await ui.until(reading, (text) => text.includes(', c 0.25,'), 60_000);

        await vs.reloadWindow();
        panel = await ui.webview();
        await mark(/a thought costs 0\.25 nats/).waitFor({ timeout: 60_000 });
        await panel.getByRole('button', { name: 'Set Group Size…' }).click();
        await ui.fillInput('3', { title: 'Rollouts of a snippet' });
        await mark(/a group has 3 rollouts/).waitFor({ timeout: 60_000 });
        await panel.getByText(/: 3 rollouts, on average/).waitFor({ timeout: 60_000 });
        const [folder] = await listRuns(place.runs);
        inTerminal(place, 'control', folder!, 'set', 'temperature=0.5', 'mSteps=4', 'eUpdates=1');
        await mark(/rollouts have temperature 0\.5, and a round has 1 updates of q, and a round has 4 steps/).waitFor({
          timeout: 60_000,
        });
        // What is set is what is asked about next time.
        await ui.chooseInContextMenu(row, 'Set Think Penalty…');
        expect(await ui.quickInput.locator('input.input').first().inputValue()).toBe('0.25');
        await vs.page.keyboard.press('Escape');
        await assertA11y(panel);
        await vs.screenshot('artifacts/screenshots/training-ra3-dark.png');
        await ui.pressRowAction(row, 'Stop and Save');
        await row.filter({ hasText: 'stopped' }).waitFor({ timeout: 60_000 });
        expect(await panel.getByRole('button', { name: 'Set Group Size…' }).count()).toBe(0);

        const { updates } = await readMetrics(folder!);
        const numbers = updates.column('update');
        expect([...numbers]).toEqual(Array.from(numbers, (_, i) => i + 1));
        expect(updates.last('thinkPenalty')).toBe(0.25);
        expect(await ui.errors()).toEqual([]);
        expect(vs.externalRequests).toEqual([]);
      });
    },
  );
});
