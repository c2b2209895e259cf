/**
 * Abstractions of a file in a real VS Code, read by the starter model: shown, explained, shortened by an edit, the model's
 * latents inserted and undone to the byte, latents stripped. `MIDTRAIN_SCREENSHOTS=1` writes the pictures to
 * media/screenshots.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { describe, expect, it } from 'vitest';
import { newPlace } from './harness/midtrain.ts';
import { installed, withVSCode } from './harness/window.ts';

const pictures = process.env['MIDTRAIN_SCREENSHOTS'] === '1' ? 'media/screenshots' : 'artifacts/screenshots';

/** The starter model writes one latent of its own, above the first `if`. */
const CODE = `def totals(numbers):
    """Add up the numbers, the even ones alone."""
    total = 0
    for number in numbers:
        if number % 2 == 0:
            total += number
    return total


# take the largest
def largest(numbers):
    best = numbers[0]
    # look at each
    for number in numbers[1:]:
        if number > best:
            best = number
    return best  # 🎉
`.replaceAll('\n', '\r\n');

// What this file uses of a browser's globals, which are not part of the project's types.
declare function getComputedStyle(
  element: unknown,
  pseudo?: string,
): { readonly content: string; readonly opacity: string };
declare const document: { querySelectorAll(selector: string): Iterable<unknown> };

describe.skipIf(installed('current').length === 0)('abstractions in the editor', () => {
  it('are shown, explained, inserted, undone and stripped', { timeout: 400_000 }, async () => {
    const place = newPlace();
    const file = join(place.workspace, 'code.py');
    writeFileSync(file, CODE);
    const settings = {
      'midtrain.device': 'cpu',
      'editor.minimap.enabled': false,
      'files.autoSave': 'off',
      'editor.hover.delay': 100,
    };
    const window = { name: 'fileAbstractions', workspace: place.workspace, env: place.env, settings };
    await withVSCode(window, async (vs) => {
      const { ui, page } = vs;
      const onDisk = (wanted: string | RegExp): Promise<string> =>
        ui.until(
          () => Promise.resolve(readFileSync(file, 'utf8')),
          (text) => (typeof wanted === 'string' ? text === wanted : wanted.test(text)),
        );
      const goTo = async (line: number): Promise<void> => {
        await page.keyboard.press('ControlOrMeta+G');
        await ui.fillInput(`:${line}`);
        await ui.quickInput.waitFor({ state: 'hidden' });
      };
      const save = (): Promise<void> => page.keyboard.press('ControlOrMeta+S');
      /** The latents that are drawn before rows. */
      const drawn = (wanted: (text: string) => boolean): Promise<string> => ui.until(() => drawnText(), wanted, 60_000);
      const drawnText = (): Promise<string> =>
        page.evaluate(() => {
          // They are pseudo-elements: their text is in no element.
          return [...document.querySelectorAll('.view-line span span')]
            .map((span) => getComputedStyle(span, '::before').content)
            .filter((content) => content !== 'none' && content !== 'normal')
            .join('\n');
        });
      const boundaries = page.locator('.editor-instance .view-overlays .cdr[class*=ced-]');

      await ui.openFile('code.py');
      await ui.runCommand('Midtrain: Show Abstractions in This File');
      await ui.quickInput.filter({ hasText: 'Which model reads? (1 of 2)' }).waitFor();
      await ui.pick('Midtrain starter (3 M)');
      await ui.pick("The Model's");
      await drawn((text) => text.includes('# count the numbers'));
      await boundaries.first().waitFor();
      await ui.statusBarItem('1 latent by the model, read by Midtrain starter (3 M)').waitFor();
      for (const theme of ['light', 'hc-dark', 'dark'] as const) {
        await ui.setTheme(theme);
        await vs.screenshot(`${pictures}/abstractions-editor-${theme}.png`);
      }

      // Explain: the hover of the line at the cursor.
      await goTo(5);
      await ui.runCommand("Midtrain: Explain This Line's Surprise");
      const hover = page.locator('.monaco-hover:visible', { hasText: 'Surprise' }).first();
      await hover.getByText(/the most surprising token\. Likeliest: /).waitFor();
      await hover.getByText(/Latent in force, the model's: .* worth [+−]\d+\.\d\d nats over 9 lines\./).waitFor();
      await hover.getByText(/P\(think\) 5\d %/).waitFor();
      await ui.until(
        () => hover.evaluate((element) => getComputedStyle(element).opacity),
        (opacity) => opacity === '1',
      );
      await vs.screenshot(`${pictures}/explain-dark.png`);
      await page.keyboard.press('Escape');

      // The model's latents as comments, beside those that the file has; and back.
      await ui.runCommand("Midtrain: Insert the Model's Latents as Comments");
      await ui.until(
        () => ui.editorText(),
        (text) => text.includes('        # count the numbers\n'),
        60_000,
      );
      await save();
      const infused = await onDisk(/count the numbers/);
      expect(infused).toBe(CODE.replace('        if number %', '        # count the numbers\r\n        if number %'));
      await drawn((text) => !text.includes('# count'));
      await ui.runCommand('Undo');
      await save();
      await onDisk(CODE);

      // Shown anew with the latents that stand in the file; an edit takes away what follows it.
      await ui.runCommand('Midtrain: Choose Model for Abstractions…');
      await ui.pick('Midtrain starter (3 M)');
      await ui.pick("The File's");
      await ui.runCommand('Midtrain: Show Abstractions in This File');
      await ui.statusBarItem('2 latents in the file, read by').waitFor({ timeout: 60_000 });
      await vs.screenshot('artifacts/abstractions-in-the-file.png');
      const before = await boundaries.count();
      await goTo(12);
      await page.keyboard.press('End');
      await page.keyboard.type('  ');
      await ui.until(
        () => boundaries.count(),
        (count) => count > 0 && count < before,
      );
      await ui.runCommand('Midtrain: Hide Abstractions');
      await ui.until(
        () => boundaries.count(),
        (count) => count === 0,
      );
      await ui.runCommand('Undo');

      await ui.runCommand('Midtrain: Strip Latents');
      await ui.until(
        () => ui.editorText(),
        (text) => !text.includes('# look at each'),
      );
      await save();
      await onDisk(CODE.replace('# take the largest\r\n', '').replace('    # look at each\r\n', ''));
      await ui.runCommand('Undo');
      await save();
      await onDisk(CODE);

      expect(vs.processes().filter(({ command }) => command.includes('midtrain.cjs'))).toHaveLength(1);
      await vs.reloadWindow();
      await ui.until(
        () => Promise.resolve(vs.processes().filter(({ command }) => command.includes('midtrain.cjs')).length),
        (count) => count === 0,
      );
      expect(await ui.errors()).toEqual([]);
      expect(vs.externalRequests).toEqual([]);
    });
  });
});
