/**
 * The abstractions panel in a real VS Code, over readings that were made for it: everything it shows, in every kind of theme, by
 * mouse and by keyboard, two beside each other, over a reload.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Frame, Locator } from 'playwright-core';
import { afterAll, describe, expect, it } from 'vitest';
import { parseReading, parseToPanel } from '../../src/webviews/abstractions/messages.ts';
import { smallConfig, writeTinyModel } from '../runner/smallTraining.ts';
import { handmadeReading, variedCode } from '../webviews/handmadeReading.ts';
import { assertA11y } from './harness/accessibility.ts';
import { eventsOf, inTerminal, newPlace, writeRun } from './harness/midtrain.ts';
import { installed, withVSCode } from './harness/window.ts';

/** With MIDTRAIN_SCREENSHOTS=1 the pictures of the documentation are written. */
const pictures = process.env['MIDTRAIN_SCREENSHOTS'] === '1' ? 'media/screenshots' : 'artifacts/screenshots';

const workspace = mkdtempSync(join(tmpdir(), 'mt-a-'));
afterAll(() => {
  rmSync(workspace, { recursive: true, force: true, maxRetries: 5 });
});

async function writeReadings(): Promise<void> {
  const kinds = ['text', 'model', 'none'] as const;
  const readings = await Promise.all([
    ...[100, 200, 300].flatMap((step, i) =>
      kinds.map((latents, k) => handmadeReading(variedCode, { name: 'words.py', step, latents, seed: 1 + i + 10 * k })),
    ),
    handmadeReading('# the sum of all\nprint(sum(range(10)))\n', { name: 'short.py', step: 300 }),
  ]);
  writeFileSync(join(workspace, 'words.reading.json'), JSON.stringify(readings));
}

// What runs in the panel's frame uses a browser's globals, which are not part of the project's types.
declare const window: { postMessage(message: unknown): void };
declare class DOMParser {
  parseFromString(
    text: string,
    type: string,
  ): { querySelector(selector: string): object | null; querySelectorAll(selector: string): ArrayLike<Element_> };
}
interface Element_ {
  readonly textContent: string;
}
declare function createImageBitmap(blob: Blob): Promise<{ readonly width: number; readonly height: number }>;

/** Anything, and what looks like a message of the extension and is none. */
function malformedMessages(): unknown[] {
  const near = fc.record(
    {
      type: fc.constantFrom<unknown>('source', 'progress', 'reading', 'failed', 'gone', 'eval', null),
      side: fc.constantFrom<unknown>(-1, 2, '0', null),
      address: fc.jsonValue(),
      items: fc.integer(),
      steps: fc.jsonValue(),
      reading: fc.jsonValue(),
      summary: fc.jsonValue(),
      text: fc.constantFrom<unknown>(3, null),
      share: fc.constantFrom<unknown>(2, 'x'),
    },
    { requiredKeys: ['type', 'side'] },
  );
  const messages = fc.sample(fc.oneof(fc.jsonValue(), near), { numRuns: 10_000, seed: 6 });
  return messages.filter((message) => parseToPanel(message) === null);
}

/** In a browser: the rows of text of an SVG document, and whether it has a script. Throws where it is no XML. */
function readPicture(text: string): [rows: string[], hasScript: boolean] {
  const found = new DOMParser().parseFromString(text, 'image/svg+xml');
  if (found.querySelector('parsererror') !== null) throw new Error('no XML');
  const rows = Array.from(found.querySelectorAll('text'), ({ textContent }) => textContent);
  return [rows, found.querySelector('script') !== null];
}

/** In a browser. @param png in base64 */
async function sizeOf(png: string): Promise<[width: number, height: number]> {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const { width, height } = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  return [width, height];
}

const details = (panel: Frame): Locator => panel.getByRole('region', { name: 'Details' }).first();
/** The row of the code with the words. */
const row = (panel: Frame, words: string): Locator =>
  panel.locator('midtrain-reading').first().locator('.row', { hasText: words }).first();

describe.each(installed('current'))('the abstractions panel in the %s VS Code', (version) => {
  it(
    'shows a reading, by mouse and by keyboard, beside another one, and is kept over a reload',
    { timeout: 400_000 },
    async () => {
      await writeReadings();
      await withVSCode({ name: 'abstractions', version, workspace }, async (vs) => {
        const { ui, page } = vs;
        await ui.openFile('words.reading.json');
        await ui.runCommand('Midtrain: Open Abstractions Panel');
        await ui.tab('Abstractions: words.reading.json').waitFor();
        await ui.runCommand('View: Close Primary Side Bar');
        let panel = await ui.webview();
        await panel.getByRole('heading', { name: 'words.py by tiny, step 300' }).waitFor();
        await panel.getByText('think rate').waitFor();
        await panel.locator('dl.figures').getByText('32 %', { exact: true }).waitFor();

        // Code stays text; latents stand above what they govern, with what they are worth.
        expect(await row(panel, 'Words of a text').innerText()).toContain("<script>alert('in code')</script>");
        expect(await row(panel, '# remember what was computed').locator('.worth').innerText()).toMatch(
          /nats, 7 tokens/,
        );
        expect(await row(panel, '# remember what was computed').getAttribute('class')).toMatch(/odd.*boundary/);

        // The pointer says what a line and a token are.
        await row(panel, 'Words of a text').locator('[data-token]', { hasText: 'script' }).first().hover();
        await details(panel).getByText('Lines 8 to 11').waitFor();
        await details(panel).getByText('2 of 8, lines 6 to 11, τ = 3').waitFor();
        await details(panel)
          .getByText(/^\s*Token/)
          .waitFor();
        expect(await details(panel).getByRole('table').locator('tr').count()).toBe(5);
        await page.mouse.move(5, 5);
        await details(panel).getByText('Point at a line').waitFor();

        // The keyboard steps by line, boundary and token; what is looked at may be larger.
        const code = panel.getByRole('group', { name: /^Code of words\.py/ });
        await code.focus();
        await page.keyboard.press('Home');
        await details(panel).getByText('Line 3', { exact: true }).waitFor();
        await page.keyboard.press(']');
        await details(panel).getByText('Line 6', { exact: true }).waitFor();
        await page.keyboard.press('ArrowDown');
        await page.keyboard.press('ArrowRight');
        await page.keyboard.press('ArrowRight');
        await details(panel)
          .getByText(/^\s*Token/)
          .waitFor();
        await panel.locator('[aria-live=polite]').getByText('Likeliest:').waitFor({ state: 'attached' });
        await panel.getByRole('button', { name: 'segment' }).click();
        await details(panel).getByText('Segment, lines 6 to 11').waitFor();
        await panel.getByRole('button', { name: 'statement' }).click();
        await details(panel)
          .getByText(/^Statement, lines 6 to \d+/)
          .waitFor();
        await panel.getByRole('button', { name: 'token', exact: true }).click();
        await panel.getByText('below 1 %').waitFor();
        expect(await panel.locator('midtrain-reading .p3, midtrain-reading .p4').count()).toBeGreaterThan(3);
        await panel.getByRole('button', { name: 'line' }).click();

        // The threshold says how many lines would think.
        const thinkers = panel.locator('[data-thinkers]');
        const threshold = panel.getByRole('slider', { name: 'Threshold of P(think)' });
        expect(await thinkers.innerText()).toMatch(/^would think: \d+ of 22 lines$/);
        await threshold.focus();
        await page.keyboard.press('Home');
        await thinkers.getByText('22 of 22 lines').waitFor();
        await page.keyboard.press('End');
        await thinkers.getByText('0 of 22 lines').waitFor();
        await threshold.fill('0.4');

        // Search: by button and by key.
        await code.focus();
        await page.keyboard.press('Control+f');
        await page.keyboard.type('sorted');
        await panel.locator('[data-found]').getByText('1 line').waitFor();
        await page.keyboard.press('Enter');
        await panel.locator('[data-found]').getByText('1 of 1 line').waitFor();
        await details(panel).getByText('# the longest first').waitFor();
        expect(await panel.locator('midtrain-reading .found').first().innerText()).toBe('sorted');
        await panel.getByRole('searchbox').fill('');

        // The latents, by what they are worth; a click goes there.
        await panel.getByText('Latents (7)').click();
        await panel.getByRole('button', { name: /# counts by word/ }).click();
        await details(panel)
          .getByText('def __init__')
          .or(details(panel).getByText('# counts by word'))
          .first()
          .waitFor();
        await panel.getByText('Latents (7)').click();

        // The step slider, and another kind of latents.
        const steps = panel.getByRole('slider', { name: 'Step of the checkpoint' });
        await steps.focus();
        await page.keyboard.press('Home');
        await panel.getByRole('heading', { name: 'words.py by tiny, step 100' }).waitFor();
        await panel.getByRole('combobox', { name: 'Latents' }).selectOption('none');
        await panel.locator('dl.figures').getByText('0 %', { exact: true }).first().waitFor();
        await panel.getByRole('combobox', { name: 'Latents' }).selectOption('model');
        await row(panel, '# counts by word').getByText('the model’s').waitFor();
        await panel.getByRole('button', { name: 'Next Sample' }).click();
        await panel.getByRole('alert').getByText('has no reading of short.py at step 100').waitFor();
        await page.keyboard.press('Escape');
        await panel.getByRole('button', { name: 'Previous Sample' }).click();
        await panel.getByText('think rate').waitFor();

        // 10,000 malformed messages: what is shown stays, and works on.
        await panel.evaluate((messages) => {
          for (const message of messages) window.postMessage(message);
        }, malformedMessages());
        await code.focus();
        await page.keyboard.press('Home');
        await details(panel).getByText('Line 3', { exact: true }).waitFor();

        // Another step beside it: they scroll together, and what is looked at in one is shown in the other.
        await panel.getByRole('button', { name: 'Compare With…' }).click();
        await ui.pick('The Same, at Another Step or with Other Latents');
        const right = panel.getByRole('region', { name: 'Right' });
        await right.getByText('think rate').waitFor();
        await right.getByRole('slider', { name: 'Step of the checkpoint' }).focus();
        await page.keyboard.press('End');
        await right.getByRole('heading', { name: 'words.py by tiny, step 300' }).waitFor();
        await right.getByRole('combobox', { name: 'Latents' }).selectOption('none');
        await right.locator('dl.figures').getByText('0 %', { exact: true }).first().waitFor();
        await code.first().focus();
        await page.keyboard.press('End');
        await panel.getByRole('region', { name: 'Details' }).nth(1).getByText('Line 34', { exact: true }).waitFor();
        await right.locator('midtrain-reading .row.unit', { hasText: 'return self' }).waitFor();
        expect(await right.locator('midtrain-reading .latent').count()).toBe(0);
        await code.first().focus();
        await page.keyboard.press(']');
        await page.mouse.move(5, 5);

        for (const theme of ['hc-light', 'dark'] as const) {
          await ui.setTheme(theme);
          panel = await ui.webview();
          await panel.getByText('think rate').first().waitFor();
          await assertA11y(panel);
          await vs.screenshot(`${pictures}/abstractions-two-${theme}.png`);
        }

        // Saved where the dialog proposes: pictures that a browser reads, and a reading that can be opened again.
        const saved = async (button: string, name: string): Promise<Buffer> => {
          await panel.getByRole('button', { name: button }).first().click();
          const proposed = (): Promise<string> => ui.quickInput.locator('input.input').first().inputValue();
          await ui.until(proposed, (path) => path.endsWith(name));
          await ui.quickInput.getByText('OK', { exact: true }).click();
          const written = (): Promise<Buffer> => readFile(join(workspace, name)).catch(() => Buffer.alloc(0));
          return ui.until(written, ({ length }) => length > 0);
        };
        const [texts, hasScript] = await panel.evaluate(
          readPicture,
          (await saved('SVG…', 'words.py.svg')).toString('utf8'),
        );
        expect(hasScript).toBe(false);
        expect(texts.some((text) => text.includes("<script>alert('in code')</script>"))).toBe(true);
        expect(texts).toContain('    # and keep 日本語 whole');
        const png = (await saved('PNG…', 'words.py.png')).toString('base64');
        const [width, height] = await panel.evaluate(sizeOf, png);
        expect(Math.min(width, height)).toBeGreaterThan(600);
        const json = await saved('Save JSON…', 'words.py.reading.json');
        expect(parseReading(JSON.parse(json.toString('utf8')))).toMatchObject({
          latents: 'model',
          model: { step: 100 },
        });

        await vs.reloadWindow();
        panel = await ui.webview();
        await panel.getByRole('heading', { name: 'words.py by tiny, step 100' }).waitFor();
        await panel.getByRole('heading', { name: 'words.py by tiny, step 300' }).waitFor();
        await panel.getByRole('button', { name: 'Close' }).click();
        await panel.getByText('think rate').waitFor();
        await panel.locator('midtrain-reading .row').first().waitFor();
        for (const theme of ['light', 'hc-dark', 'hc-light', 'dark'] as const) {
          await ui.setTheme(theme);
          panel = await ui.webview();
          await panel.getByText('think rate').waitFor();
          await panel.getByRole('group', { name: /^Code of words\.py/ }).focus();
          await page.keyboard.press('Home');
          await row(panel, 'parts = re').click();
          await panel.getByRole('button', { name: theme === 'light' ? 'token' : 'line', exact: true }).click();
          await page.mouse.move(5, 5);
          await assertA11y(panel);
          await vs.screenshot(`${pictures}/abstractions-${theme}.png`);
        }
        expect(await ui.errors()).toEqual([]);
        expect(vs.externalRequests).toEqual([]);
      });
    },
  );

  it('whose file was removed says so, and what is no reading is refused with a sentence', async () => {
    const file = join(workspace, 'broken.reading.json');
    writeFileSync(file, '{"code": "x = 1"}');
    await withVSCode({ name: 'abstractions-broken', version, workspace }, async (vs) => {
      await vs.ui.openFile('broken.reading.json');
      await vs.ui.runCommand('Midtrain: Open Abstractions Panel');
      let panel = await vs.ui.webview();
      await panel.getByRole('alert').getByText('What it holds is no reading of code').waitFor();
      await assertA11y(panel);
      writeFileSync(file, JSON.stringify(await handmadeReading('x = 1\n', { name: 'mended.py' })));
      await panel.getByRole('button', { name: 'Read Again' }).click();
      await panel.getByRole('heading', { name: 'mended.py' }).waitFor();
      rmSync(file);
      await vs.reloadWindow();
      panel = await vs.ui.webview();
      await panel.getByRole('alert').getByText('cannot be read').waitFor();
      expect(await vs.ui.errors()).toEqual([]);
    });
  });

  it('has a file, typed code and the samples of a run read by a model', { timeout: 400_000 }, async () => {
    const place = newPlace();
    writeFileSync(
      join(place.workspace, 'code.py'),
      'def total(numbers):\r\n\tresult = 0  # 🎉\r\n\t# look at each\r\n\tfor n in numbers:\r\n\t\tresult += n\r\n\treturn result\r\n',
    );
    const folder = writeRun(place, { name: 'judged', events: eventsOf('finished') });
    const results = [0, 1, 2].map((i) => ({
      ...{ task_id: `HumanEval/${i}`, completion: ` y${i}\n`, sample: 0, passed: false, result: 'failed: x' },
      verdict: 'failed',
    }));
    writeFileSync(join(folder, 'results.jsonl'), results.map((one) => `${JSON.stringify(one)}\n`).join(''));
    const config = join(place.workspace, 'small.midtrain.json');
    const change = { model: await writeTinyModel(place.root), steps: 8, checkpointInterval: 4 };
    writeFileSync(config, JSON.stringify({ ...smallConfig, ...change }));
    const trained = inTerminal(place, 'train', config);
    await new Promise((resolve) => trained.once('exit', resolve));
    const settings = { 'midtrain.device': 'cpu' };
    const options = { name: 'abstractions-model', version, workspace: place.workspace, env: place.env, settings };
    await withVSCode(options, async (vs) => {
      const { ui, page } = vs;
      await ui.openFile('code.py');
      await ui.runCommand('Midtrain: Open Abstractions Panel');
      await ui.pick('Midtrain starter (3 M)');
      let panel = await ui.webview();
      await panel.getByRole('heading', { name: 'code.py by Midtrain starter' }).waitFor({ timeout: 60_000 });
      expect(await row(panel, '# look at each').getByText('in the text').count()).toBe(1);
      await panel.getByRole('combobox', { name: 'Latents' }).selectOption('none');
      await panel.locator('dl.figures').getByText('0 %', { exact: true }).first().waitFor();
      await row(panel, 'result = 0').click();
      await details(panel)
        .getByText(/^log pi/)
        .first()
        .waitFor();
      expect(await details(panel).getByRole('table').locator('tr').count()).toBe(5);

      // The checkpoints of a training beside it.
      await panel.getByRole('button', { name: 'Compare With…' }).click();
      await ui.pick('The Same, by Another Model…');
      await ui.pick('Training small: tiny-1');
      const right = panel.getByRole('region', { name: 'Right' });
      await right.getByRole('heading', { name: /^code\.py by .*step 8$/ }).waitFor({ timeout: 60_000 });
      await right.getByRole('slider', { name: 'Step of the checkpoint' }).focus();
      await page.keyboard.press('Home');
      await right.getByRole('heading', { name: /^code\.py by .*step 4$/ }).waitFor({ timeout: 60_000 });
      await details(panel).getByText('Line 2', { exact: true }).waitFor();
      await panel.getByRole('region', { name: 'Details' }).nth(1).getByText('Line 2', { exact: true }).waitFor();
      await vs.screenshot('artifacts/screenshots/abstractions-models.png');
      await panel.getByRole('button', { name: 'Close' }).click();

      // Typed code, which is there again after a reload.
      await panel.getByRole('button', { name: 'Open Other…' }).click();
      await ui.pick('Code That I Type');
      await ui.pick('Midtrain starter (3 M)');
      await panel.getByRole('textbox', { name: 'Code to read' }).waitFor();
      expect(await panel.getByRole('alert').count()).toBe(0);
      await assertA11y(panel);
      await panel.getByRole('textbox', { name: 'Code to read' }).fill('for x in range(3):\n    print(x)\n');
      await vs.screenshot('artifacts/screenshots/abstractions-typed.png');
      await panel.getByRole('button', { name: 'Read', exact: true }).click();
      await row(panel, 'print(x)').waitFor({ timeout: 60_000 });
      await vs.reloadWindow();
      panel = await ui.webview();
      await row(panel, 'print(x)').waitFor({ timeout: 60_000 });
      await panel.getByRole('button', { name: 'Edit the Code' }).click();
      expect(await panel.getByRole('textbox', { name: 'Code to read' }).inputValue()).toContain('range(3)');

      // All samples of a run, one after the other.
      await ui.showView('View: Show Midtrain', 'Runs');
      await ui.chooseInContextMenu(ui.treeItem('Runs', 'HumanEval'), 'Open Abstractions Panel');
      await ui.tab('Abstractions: judged on HumanEval').waitFor({ timeout: 60_000 });
      panel = await ui.webview('Abstractions: judged on HumanEval').catch(() => ui.webview());
      await panel.getByRole('heading', { name: 'HumanEval/0, sample 0 (failed)' }).waitFor({ timeout: 60_000 });
      await panel.getByRole('button', { name: 'Next Sample' }).click();
      await panel.getByRole('heading', { name: 'HumanEval/1, sample 0 (failed)' }).waitFor();
      await panel.getByRole('button', { name: '2 of 3' }).click();
      await ui.pick('HumanEval/2, sample 0 (failed)');
      await row(panel, 'return x  # y2').waitFor();
      await vs.screenshot('artifacts/screenshots/abstractions-samples.png');
      await page.keyboard.press('Escape');
      expect(await ui.errors()).toEqual([]);
    });
  });
});
