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
      await form.getByText('is not as it should be').first().waitFor();
      await form.getByRole('textbox', { name: 'Path' }).first().fill('code');
      await form.getByRole('textbox', { name: 'Path' }).first().press('Enter');
      await form.getByText('is not as it should be').first().waitFor({ state: 'detached' });

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
