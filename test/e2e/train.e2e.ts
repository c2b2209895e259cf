/**
 * Run configs in a real VS Code: squiggles, completion and hovers, the lenses and what they start, and the form, which is
 * another way to edit the same file. `MIDTRAIN_SCREENSHOTS=1` writes the pictures to media/screenshots.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { Frame } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { smallConfig, writeTinyModel } from '../runner/smallTraining.ts';
import { assertA11y } from './harness/accessibility.ts';
import { newPlace } from './harness/midtrain.ts';
import { installed, type VSCodeWindow, withVSCode } from './harness/window.ts';

const pictures = process.env['MIDTRAIN_SCREENSHOTS'] === '1' ? 'media/screenshots' : 'artifacts/screenshots';

const lens = ({ page }: VSCodeWindow, title: string) =>
  page.locator('.codelens-decoration a', { hasText: title }).first();
const field = (form: Frame, key: string) => form.locator(`.field[data-key="${key}"]`);
const input = (form: Frame, key: string) => field(form, key).locator('vscode-textfield input');

describe.each(installed('current', 'oldest'))('a run config in the %s VS Code', (version) => {
  const place = newPlace();
  const file = join(place.workspace, 'tiny.midtrain.json');

  it('is explained, run, resumed and edited as text and as a form', { timeout: 400_000 }, async () => {
    await writeTinyModel(place.workspace);
    writeFileSync(file, `${JSON.stringify({ ...smallConfig, model: 'tiny-1', steps: 8 }, null, 2)}\n`);
    writeFileSync(join(place.workspace, 'wrong.midtrain.json'), '{\n  "stepz": 5\n}\n');
    const options = { name: 'train', version, workspace: place.workspace, env: place.env };
    await withVSCode(options, async (vs) => {
      const { ui, page } = vs;
      await ui.viewContainer('Midtrain').click();

      // A key that there is not: one squiggle, with our sentence.
      await ui.openFile('wrong.midtrain.json');
      await page.locator('.squiggly-error').first().waitFor();
      await page.keyboard.press('F8');
      await page.getByText('there is no key "stepz". Did you mean "steps"?').first().waitFor();
      expect(await page.locator('.squiggly-warning').count()).toBe(0);
      await page.keyboard.press('Escape');

      // Completion from the schema.
      await page.keyboard.press('ControlOrMeta+Home');
      await page.keyboard.press('End');
      await page.keyboard.press('Enter');
      await page.keyboard.type('"warm');
      await page.keyboard.press('ControlOrMeta+Space');
      await page.locator('.suggest-widget .monaco-list-row', { hasText: 'warmup' }).first().waitFor();
      await page.keyboard.press('Escape');
      await ui.runCommand('File: Revert File');

      // The lenses: Run starts a run, which trains.
      await ui.openFile('tiny.midtrain.json');
      await lens(vs, 'Estimate').waitFor();
      expect(await lens(vs, 'Resume').count()).toBe(0);
      await vs.screenshot(`artifacts/train-lenses-${version}.png`);
      await lens(vs, 'Run').click();
      const row = ui.view('Runs').locator('[role=treeitem]', { hasText: 'Training tiny' }).first();
      await row.filter({ hasText: 'step 8 of 8' }).waitFor({ timeout: 120_000 });
      expect(existsSync(place.runs)).toBe(true);

      // The form.
      await lens(vs, 'Form').click();
      let form = await ui.webview();
      await form.getByRole('heading', { name: 'Training', exact: true }).waitFor();
      expect(await input(form, 'steps').inputValue()).toBe('8');
      expect(await input(form, 'seed').getAttribute('placeholder')).toBe('0');
      await input(form, 'seed').fill('7');
      await input(form, 'seed').press('Enter');
      await ui.until(
        () => field(form, 'seed').getAttribute('class'),
        (classes) => classes?.includes('changed') === true,
      );
      await input(form, 'steps').fill('many');
      await input(form, 'steps').press('Tab');
      await field(form, 'steps').getByText('Expected number but received "many"').waitFor();
      await page.keyboard.press('ControlOrMeta+S');
      await ui.until(
        () => Promise.resolve(readFileSync(file, 'utf8')),
        (text) => text.includes('"seed": 7') && text.includes('"steps": "many"'),
      );

      // Undone as any edit.
      await form.getByRole('heading', { name: 'tiny', exact: true }).click();
      await ui.runCommand('Undo');
      form = await ui.webview();
      await ui.until(
        () => input(form, 'steps').inputValue(),
        (value) => value === '8',
      );

      // A default is not written; a list is.
      await input(form, 'seed').fill('0');
      await input(form, 'seed').press('Enter');
      await form.getByRole('button', { name: 'Add Data' }).click();
      await form.getByText('"data.1.path" is missing').first().waitFor();
      await input(form, 'data.1.path').fill('code');
      await input(form, 'data.1.path').press('Enter');
      await form.getByText('"data.1.path" is missing').first().waitFor({ state: 'detached' });

      for (const theme of ['light', 'hc-dark', 'hc-light', 'dark'] as const) {
        await ui.setTheme(theme);
        form = await ui.webview();
        await assertA11y(form);
        if (theme !== 'hc-light') await vs.screenshot(`${pictures}/form-${theme}.png`);
      }

      // The text follows, and the form follows the text.
      await form.getByRole('button', { name: 'Open as JSON' }).click();
      await ui.editor.waitFor();
      const text = await ui.until(
        () => ui.editorText(),
        (shown) => shown.includes('"kind": "folder"'),
      );
      expect(text).toContain('"path": "code"');
      expect(text).not.toContain('"seed"');
      expect(await ui.errors()).toEqual([]);
      expect(vs.externalRequests).toEqual([]);
    });
  });
});

describe.skipIf(installed('current').length === 0)('training', () => {
  it(
    'is begun from a model by a method, estimated, previewed, resumed and exported',
    { timeout: 400_000 },
    async () => {
      const place = newPlace();
      const model = await writeTinyModel(place.workspace);
      writeFileSync(
        join(place.workspace, 'tiny.midtrain.json'),
        JSON.stringify({ ...smallConfig, model: 'tiny-1', steps: 100_000, schedule: 'constant' }, null, 2),
      );
      const options = {
        name: 'train-model',
        workspace: place.workspace,
        env: place.env,
        settings: { 'midtrain.models': [model] },
      };
      await withVSCode(options, async (vs) => {
        const { ui } = vs;
        await ui.viewContainer('Midtrain').click();

        // From a model's row: the method is asked for, and what it needs is in the form.
        await ui.chooseInContextMenu(ui.treeItem('Models', 'tiny-1'), 'Train…');
        await ui.pick('RA3');
        await ui.fillInput('latents', { title: 'New Training Config' });
        let form = await ui.webview();
        await form.getByRole('heading', { name: 'latents', exact: true }).waitFor();
        const latents = form.getByRole('group', { name: 'Abstractions' });
        await latents.getByRole('heading', { name: 'Abstractions' }).waitFor();
        expect(await input(form, 'abstractions.thinkPenalty').inputValue()).toBe('0.05');
        expect(await field(form, 'lora.rank').count()).toBe(0);
        expect(await field(form, 'abstractions.writer').count()).toBe(0);
        const written = (): Record<string, unknown> =>
          JSON.parse(readFileSync(join(place.workspace, 'latents.midtrain.json'), 'utf8')) as Record<string, unknown>;
        expect(written()).toMatchObject({ model, method: 'ra3', abstractions: { groupSize: 8, thinkPenalty: 0.05 } });
        for (const theme of ['light', 'hc-dark', 'hc-light', 'dark'] as const) {
          await ui.setTheme(theme);
          form = await ui.webview();
          await latents.waitFor();
          await assertA11y(form);
          await latents.evaluate((element: { scrollIntoView(): void }) => {
            element.scrollIntoView();
          });
          await vs.screenshot(`artifacts/screenshots/form-abstractions-${theme}.png`);
        }
        // With another method only what is in the file is left, and by hand it can be taken away.
        await field(form, 'method').locator('vscode-single-select').click();
        await form.getByRole('option', { name: 'synthetic' }).click();
        await field(form, 'abstractions.writer').waitFor();
        await field(form, 'abstractions.kl').waitFor({ state: 'detached' });
        expect(await field(form, 'abstractions.thinkPenalty').count()).toBe(1);
        await vs.page.keyboard.press('ControlOrMeta+S');

        // Its keys are explained in the text too.
        await form.getByRole('button', { name: 'Open as JSON' }).click();
        await ui.editor.waitFor();
        await vs.page
          .locator('.view-line span', { hasText: /^"thinkPenalty"$/ })
          .last()
          .hover();
        await vs.page.locator('.monaco-hover:visible', { hasText: 'What a thought costs (c), in nats.' }).waitFor();

        // The lenses over a config: what it needs, and what its data become.
        await ui.openFile('tiny.midtrain.json');
        await lens(vs, 'Estimate').click();
        await ui.notification(/memory/).waitFor({ timeout: 90_000 });
        await ui.pressNotificationButton(/memory/, 'Show Estimate');
        const estimate = await ui.until(
          () => ui.editorText(),
          (text) => text.includes('tiny.midtrain.json') && text.includes('memory'),
        );
        expect(estimate).toMatch(/\d MB/);
        await ui.clearNotifications();
        await ui.openFile('tiny.midtrain.json');
        await lens(vs, 'Preview Data').click();
        await ui.until(
          () => ui.editorText(),
          (text) => /tiny\.midtrain\.json[^]*tokens/.test(text),
          90_000,
        );

        // Run, stop, and go on by the lens.
        await ui.openFile('tiny.midtrain.json');
        await lens(vs, 'Run').click();
        const row = ui.view('Runs').locator('[role=treeitem]', { hasText: 'Training tiny' }).first();
        await row.filter({ hasText: /step [1-9]\d* of 100000/ }).waitFor({ timeout: 120_000 });
        await ui.pressRowAction(row, 'Stop and Save');
        await row.filter({ hasText: 'stopped' }).waitFor({ timeout: 60_000 });
        const step = async (): Promise<number> => Number(/step (\d+) of/.exec(await row.innerText())?.[1] ?? 0);
        const stopped = await step();
        await lens(vs, 'Resume').click();
        await row.filter({ hasNotText: 'stopped' }).waitFor({ timeout: 90_000 });
        await ui.until(step, (now) => now > stopped, 90_000);
        await lens(vs, 'Resume').waitFor({ state: 'detached' });
        await ui.pressRowAction(row, 'Stop and Save');
        await row.filter({ hasText: 'stopped' }).waitFor({ timeout: 60_000 });

        // Exported where the dialog proposes.
        await ui.chooseInContextMenu(row, 'Export Model…');
        await ui.quickInput.getByText('Export which checkpoint? (1/2)').waitFor();
        await vs.page.keyboard.press('Enter');
        await ui.pick('GGUF, F16');
        const proposed = (): Promise<string> => ui.quickInput.locator('input.input').first().inputValue();
        const target = await ui.until(proposed, (path) => path.endsWith('-f16.gguf'));
        await vs.page.keyboard.press('Enter');
        await ui.notification('GGUF, F16 written to').waitFor({ timeout: 90_000 });
        expect(readFileSync(target).subarray(0, 4).toString()).toBe('GGUF');
        expect(await ui.errors()).toEqual([]);
        expect(vs.externalRequests).toEqual([]);
      });
    },
  );
});
