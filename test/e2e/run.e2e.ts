/**
 * The run panel in a real VS Code, over trainings that were written for it: everything it shows, in every kind of theme, by
 * mouse and by keyboard, beside another run, after a reload, and what it says of runs that have no curve.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Frame } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type { EventBody } from '../../src/runner/events.ts';
import { parseToPanel } from '../../src/webviews/run/messages.ts';
import { assertA11y } from './harness/accessibility.ts';
import { metricOf, newPlace, writeTraining } from './harness/midtrain.ts';
import { installed, withVSCode } from './harness/window.ts';
import { eStepOf, explored } from '../runner/exploration.ts';

/** With MIDTRAIN_SCREENSHOTS=1 the pictures of the documentation are written. */
const pictures = process.env['MIDTRAIN_SCREENSHOTS'] === '1' ? 'media/screenshots' : 'artifacts/screenshots';
const STEPS = 400;

const launch: EventBody = { type: 'launch', pid: 1, version: '0.1.0', host: 'here' };
const control = (verb: 'pause' | 'resume' | 'checkpoint' | 'set', detail: string, more: object = {}): EventBody => ({
  type: 'control',
  verb,
  client: 'vscode',
  detail,
  ...more,
});

/** A training in which everything has happened: paused, killed and resumed, its rate changed, sampled. */
function eventful(seed: number, end: 'finished' | 'failed' = 'finished'): EventBody[] {
  const metrics = (from: number, to: number): EventBody[] =>
    Array.from({ length: to - from + 1 }, (_, i) => metricOf(from + i, STEPS, seed));
  const sample = (step: number, verdict: string | null): EventBody => ({
    type: 'sample',
    step,
    taskId: verdict === null ? null : 'starter/7',
    prompt: 'def total(values):\n    """ Sum of the values. """\n',
    completion: `    result = 0\n    for value in values:  # step ${step}\n        result += value\n    return result\n`,
    verdict,
  });
  return [
    launch,
    { type: 'engine', device: 'cpu, fp32, 2 × 512 tokens at a time' },
    { type: 'note', level: 'warning', text: 'Not on this machine, so the data were not compared with it: MBPP.' },
    { type: 'phase', phase: 'train' },
    ...metrics(0, 120),
    control('pause', 'Training holds before the next step; the model stays in memory.'),
    control('resume', 'Training goes on.'),
    sample(120, 'failed'),
    ...metrics(121, 200),
    control('checkpoint', 'It saves a checkpoint before the next step.'),
    ...metrics(201, 210),
    { type: 'launch', pid: 2, version: '0.1.0', host: 'here' },
    { type: 'phase', phase: 'train' },
    ...metrics(201, 300),
    control('set', 'From step 301 on the learning rate is 0.0002.', { settings: { learningRate: 0.0002 }, step: 300 }),
    sample(300, 'passed'),
    sample(300, null),
    ...metrics(301, STEPS),
    {
      type: 'done',
      status: end,
      score: null,
      seconds: { total: 200 },
      error: end === 'failed' ? 'Training diverges.' : '',
    },
  ];
}

// What runs in the panel's frame uses a browser's globals, which are not part of the project's types.
declare const window: { postMessage(message: unknown): void };
declare function createImageBitmap(blob: Blob): Promise<{ readonly width: number; readonly height: number }>;
declare class OffscreenCanvas {
  constructor(width: number, height: number);
  getContext(kind: '2d'): {
    drawImage(image: object, x: number, y: number): void;
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
}
declare class DOMParser {
  parseFromString(
    text: string,
    type: string,
  ): {
    querySelector(selector: string): object | null;
    querySelectorAll(selector: string): ArrayLike<{ getAttribute(name: string): string | null }>;
  };
}

/** Anything, and what looks like a message of the extension and is none. */
function malformedMessages(): unknown[] {
  const near = fc.record(
    {
      type: fc.constantFrom<unknown>(
        ...[
          'run',
          'metrics',
          'updates',
          'marks',
          'samples',
          'sample',
          'groups',
          'rollouts',
          'overlays',
          'file',
          'gone',
        ],
        null,
      ),
      header: fc.jsonValue(),
      run: fc.jsonValue(),
      from: fc.integer(),
      places: fc.jsonValue(),
      updates: fc.jsonValue(),
      rollouts: fc.array(fc.jsonValue(), { minLength: 1 }),
      request: fc.nat({ max: 3 }),
      values: fc.jsonValue(),
      marks: fc.array(fc.jsonValue(), { minLength: 1 }),
      samples: fc.array(fc.jsonValue(), { minLength: 1 }),
      runs: fc.array(fc.jsonValue(), { minLength: 1 }),
      text: fc.constantFrom<unknown>(3, null),
      read: fc.constantFrom<unknown>(-1, 'x', null),
    },
    { requiredKeys: ['type'] },
  );
  const messages = fc.sample(fc.oneof(fc.jsonValue(), near), { numRuns: 10_000, seed: 6 });
  return messages.filter((message) => parseToPanel(message) === null);
}

/** In a browser: a picture's width, height, and how many colours it has. @param png in base64 */
async function readPicture(png: string): Promise<[width: number, height: number, colours: number]> {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return [bitmap.width, bitmap.height, new Set(new Uint32Array(data.buffer)).size];
}

/** In a browser: how many points each curve of an SVG document has. Throws where it is no XML. */
function readLines(text: string): number[] {
  const found = new DOMParser().parseFromString(text, 'image/svg+xml');
  if (found.querySelector('parsererror') !== null) throw new Error('no XML');
  return Array.from(found.querySelectorAll('polyline'), (line) => line.getAttribute('points')!.split(' ').length);
}

const reading = (panel: Frame): Promise<string> => panel.locator('[data-reading]').innerText();

describe.each(installed('current', 'oldest'))('the run panel in the %s VS Code', (version) => {
  it(
    'shows a training, by mouse and by keyboard, beside another one, and is kept over a reload',
    { timeout: 400_000 },
    async () => {
      const place = newPlace();
      writeTraining(place, { name: 'other', events: eventful(3), age: 90, config: { steps: STEPS } });
      writeTraining(place, { name: 'mine', events: eventful(0), config: { steps: STEPS } });
      await withVSCode({ name: 'run', version, workspace: place.workspace, env: place.env }, async (vs) => {
        const { ui, page } = vs;
        await ui.showView('View: Show Midtrain', 'Runs');
        await ui.treeItem('Runs', 'Training mine').click();
        let panel = await ui.webview();
        await panel.getByRole('heading', { name: 'Training mine: tiny' }).waitFor();
        await panel.getByText(`step ${STEPS} of ${STEPS}`).waitFor();
        await panel.getByRole('group', { name: /^Loss: train/ }).waitFor();
        for (const name of ['pass@1', 'Learning rate', 'Gradient norm', 'Speed', 'Memory']) {
          await panel.getByRole('group', { name: new RegExp(`^${name}`) }).waitFor();
        }

        // Marks say what they are, on hover and on focus.
        const set = panel.getByRole('button', { name: /^Step 300\. Set: .*0\.0002/ });
        await set.hover();
        await panel.getByRole('tooltip').getByText('learning rate is 0.0002').waitFor();
        await page.mouse.move(5, 5);
        await panel.getByRole('tooltip').waitFor({ state: 'hidden' });
        await panel.getByRole('button', { name: /Step 210\. Resumed/ }).focus();
        await panel.getByRole('tooltip').getByText('Resumed on here').waitFor();

        // The keyboard reads values, a step at a time, and zooms.
        const loss = panel.getByRole('group', { name: /^Loss:/ });
        await loss.focus();
        await page.keyboard.press('Home');
        expect(await reading(panel)).toMatch(/^Step 0, 0 tokens/);
        await page.keyboard.press('ArrowRight');
        await page.keyboard.press('ArrowRight');
        await ui.until(
          () => reading(panel),
          (text) => /^Step 2, 2048 tokens, .* loss \d\.\d+, smoothed/.test(text),
        );
        await panel.locator('[aria-live=polite]').first().getByText('Step 2,').waitFor({ state: 'attached' });
        await page.keyboard.press('End');
        await page.keyboard.press('+');
        await page.keyboard.press('+');
        await panel.locator('vscode-button:not([disabled])', { hasText: 'Show All' }).waitFor();
        expect(await set.count()).toBe(0);
        await page.keyboard.press('0');
        await set.waitFor();

        // The mouse reads, drags a part out, and goes back.
        const box = (await loss.boundingBox())!;
        await page.mouse.move(box.x + 0.3 * box.width, box.y + 100);
        await ui.until(
          () => reading(panel),
          (text) => /^Step 1[0-9]{2},/.test(text),
        );
        await page.mouse.down();
        await page.mouse.move(box.x + 0.6 * box.width, box.y + 120, { steps: 4 });
        await page.mouse.up();
        await panel.locator('vscode-button:not([disabled])', { hasText: 'Show All' }).waitFor();
        await page.mouse.dblclick(box.x + 0.5 * box.width, box.y + 100);
        await panel.locator('vscode-button[disabled]', { hasText: 'Show All' }).waitFor();
        await page.mouse.click(box.x + 0.5 * box.width, box.y + 100);
        await page.mouse.wheel(0, -300);
        await panel.locator('vscode-button:not([disabled])', { hasText: 'Show All' }).waitFor();
        await panel.getByRole('button', { name: 'Show All' }).click();

        // Another run beside it.
        await panel.getByRole('button', { name: 'Draw Other Runs Too…' }).click();
        await ui.quickInput.locator('.quick-input-list .monaco-list-row', { hasText: 'Training other' }).click();
        await page.keyboard.press('Enter');
        await panel.getByText('B train, smoothed').waitFor();
        await panel.getByText('Log scale').click();
        await panel.getByRole('slider', { name: 'Smoothing' }).focus();
        await page.keyboard.press('ArrowRight');
        await panel.getByText('0.91', { exact: true }).waitFor();
        await panel.getByRole('combobox', { name: 'Axis' }).selectOption('tokens');

        // What the live weights wrote.
        await panel.getByText('After step 300, not judged').waitFor();
        await panel.getByRole('listbox', { name: 'Samples of the live weights' }).selectOption({ index: 0 });
        await panel.getByText('After step 120, starter/7, failed').waitFor();

        await page.mouse.move(5, 5);
        for (const theme of version === 'current' ? (['light', 'hc-dark', 'hc-light', 'dark'] as const) : []) {
          await ui.setTheme(theme);
          panel = await ui.webview();
          await panel.getByText('B train, smoothed').waitFor();
          await assertA11y(panel);
          await vs.screenshot(`${pictures}/run-${theme}.png`);
        }

        // Saved where the dialog proposes: a picture that a browser reads, and a row a step.
        const saved = async (button: string): Promise<Buffer> => {
          const name = `mine.${button.toLowerCase()}`;
          await panel.getByRole('button', { name: button, exact: true }).click();
          const proposed = (): Promise<string> => ui.quickInput.locator('input.input').first().inputValue();
          await ui.until(proposed, (path) => path.endsWith(name));
          await ui.quickInput.getByText('OK', { exact: true }).click();
          const written = (): Promise<Buffer> => readFile(join(place.workspace, name)).catch(() => Buffer.alloc(0));
          return ui.until(written, ({ length }) => length > 0);
        };
        const png = await saved('PNG');
        const [width, height, colours] = await panel.evaluate(readPicture, png.toString('base64'));
        expect(Math.min(width, height)).toBeGreaterThan(600);
        expect(colours).toBeGreaterThan(20);
        const svg = (await saved('SVG')).toString('utf8');
        const lines = await panel.evaluate(readLines, svg);
        expect(lines.length).toBeGreaterThan(10); // of both runs, in six charts
        expect(Math.max(...lines)).toBeGreaterThan(STEPS - 10);
        const csv = (await saved('CSV')).toString('utf8').trim().split('\n');
        expect(csv[0]).toMatch(/^step,/);
        expect(csv.length).toBe(STEPS + 2);

        await vs.reloadWindow();
        panel = await ui.webview();
        await panel.getByText('B train, smoothed').waitFor();
        await panel.getByText('After step 120, starter/7, failed').waitFor();
        await panel.getByText('0.91', { exact: true }).waitFor();
        expect(await panel.getByRole('checkbox', { name: 'Log scale' }).getAttribute('checked')).not.toBeNull();
        expect(await panel.getByRole('combobox', { name: 'Axis' }).inputValue()).toBe('tokens');
        await panel.getByRole('button', { name: 'Remove Training other: tiny' }).click();
        await panel.getByText('B train, smoothed').waitFor({ state: 'detached' });
        expect(await ui.errors()).toEqual([]);
        expect(vs.externalRequests).toEqual([]);
      });
    },
  );
});

describe.skipIf(installed('current').length === 0)('the run panel', () => {
  it('shows the E-step of an RA3 run, its rollouts line by line, and exports both', { timeout: 400_000 }, async () => {
    const place = newPlace();
    const ra3 = (seed: number): EventBody[] => {
      const rounds = explored({ rounds: 4, eUpdates: 20, mSteps: 25, seed });
      const half = rounds.length / 2;
      return [
        launch,
        ...rounds.slice(0, half),
        control('set', 'From step 51 on a thought costs 0.1.', { settings: { thinkPenalty: 0.1 }, step: 50 }),
        ...rounds.slice(half),
        { type: 'done', status: 'finished', score: null, seconds: { total: 200 }, error: '' },
      ];
    };
    writeTraining(place, { name: 'brite', events: ra3(5), age: 90, config: { method: 'brite', steps: 100 } });
    writeTraining(place, { name: 'ra3', events: ra3(0), config: { method: 'ra3', steps: 100 } });
    await withVSCode({ name: 'run-ra3', workspace: place.workspace, env: place.env }, async (vs) => {
      const { ui, page } = vs;
      await ui.showView('View: Show Midtrain', 'Runs');
      await ui.treeItem('Runs', 'Training ra3').click();
      let panel = await ui.webview();
      const eStep = panel.locator('midtrain-charts.updates');
      await eStep.getByRole('heading', { name: 'E-step: updates of q' }).waitFor();
      const headings = await eStep.getByRole('heading', { level: 3 }).allInnerTexts();
      expect(headings).toHaveLength(18);
      await panel.getByRole('group', { name: /^Loss by part: code \d\.\d+, latents/ }).waitFor();
      expect(await eStep.locator('[data-reading]').innerText()).toMatch(
        /^Last: Update 80, return with penalties -\d+\.\d+, without .* gain \+\d/,
      );

      // The keyboard reads an update at a time, and zooms the E-step alone.
      const returns = panel.getByRole('group', { name: /^Return of a snippet/ });
      await returns.focus();
      await page.keyboard.press('Home');
      await page.keyboard.press('ArrowRight');
      await ui.until(
        () => eStep.locator('[data-reading]').innerText(),
        (text) =>
          text.startsWith(`Update 2, return with penalties ${Number(eStepOf(2, 80).returnWith.toPrecision(4))}`),
      );
      await page.keyboard.press('+');
      await eStep.locator('vscode-button:not([disabled])', { hasText: 'Show All' }).waitFor();
      await panel
        .locator('midtrain-charts.steps')
        .locator('vscode-button[disabled]', { hasText: 'Show All' })
        .waitFor();
      await page.keyboard.press('0');
      await page.keyboard.press('Escape');
      await eStep.getByRole('button', { name: /^Step 50\. Set: .* a thought costs 0\.1/ }).hover();
      await eStep.getByRole('tooltip').getByText('a thought costs 0.1').waitFor();

      // Another run beside it, in the charts of both.
      await panel.getByRole('button', { name: 'Draw Other Runs Too…' }).click();
      await ui.quickInput.locator('.quick-input-list .monaco-list-row', { hasText: 'Training brite' }).click();
      await page.keyboard.press('Enter');
      await eStep.getByText('B with penalties').first().waitFor();

      // The latest group, then one that is chosen by keyboard; line by line, side by side and stacked.
      await panel.getByText('Update 80, snippet 241: 4 rollouts').waitFor();
      const groups = panel.getByRole('listbox', { name: 'Groups of rollouts' });
      await groups.focus();
      await page.keyboard.press('ArrowDown');
      await panel.getByText('Update 80, snippet 240: 4 rollouts').waitFor();
      const grid = panel.getByRole('grid', { name: 'Rollouts, line by line' });
      await grid.getByText('It does not end within 24 tokens.').first().waitFor();
      await grid.getByText('# keep the sum <b>so far</b> 合計 🧮').first().waitFor();
      expect(await grid.getByRole('columnheader').count()).toBe(5);
      await grid.focus();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowRight');
      expect(await grid.getAttribute('aria-activedescendant')).toBe('cell-1-1');
      await page.mouse.move(5, 5);
      for (const theme of ['light', 'hc-dark', 'hc-light', 'dark'] as const) {
        await ui.setTheme(theme);
        panel = await ui.webview();
        await panel.getByText('B with penalties').first().waitFor();
        await assertA11y(panel);
        for (const [name, part] of [
          ['e-step', eStep],
          ['rollouts', panel.getByRole('heading', { name: 'Rollouts of q' })],
        ] as const) {
          await part.evaluate((element: { scrollIntoView(): void }) => {
            element.scrollIntoView();
          });
          const folder = theme === 'dark' ? pictures : 'artifacts/screenshots';
          await vs.screenshot(`${folder}/${name}-${theme}.png`);
        }
      }
      await panel.getByText('Stacked', { exact: true }).click();
      await ui.until(
        () => grid.getByRole('columnheader').count(),
        (count) => count === 2,
      );
      await grid.getByText('over never thinking: return').first().waitFor();
      await vs.screenshot(`artifacts/screenshots/rollouts-stacked-dark.png`);
      await assertA11y(panel);

      // 10,000 malformed messages: what is shown stays, and works on.
      await panel.evaluate((messages) => {
        for (const message of messages) window.postMessage(message);
      }, malformedMessages());
      await returns.focus();
      await page.keyboard.press('Home');
      await ui.until(
        () => eStep.locator('[data-reading]').innerText(),
        (text) => text.startsWith('Update 1, return'),
      );
      await page.keyboard.press('Escape');
      await groups.focus();
      await page.keyboard.press('End');
      await panel.getByText('Update 5, snippet 15: 4 rollouts').waitFor();
      await panel.getByRole('button', { name: 'Follow the Latest' }).click();
      await panel.getByText('Update 80, snippet 241: 4 rollouts').waitFor();

      await eStep.getByRole('button', { name: 'CSV' }).click();
      const proposed = (): Promise<string> => ui.quickInput.locator('input.input').first().inputValue();
      await ui.until(proposed, (path) => path.endsWith('ra3.e-step.csv'));
      await ui.quickInput.getByText('OK', { exact: true }).click();
      const csv = await ui.until(
        () => readFile(join(place.workspace, 'ra3.e-step.csv'), 'utf8').catch(() => ''),
        (text) => text !== '',
      );
      expect(csv.trim().split('\n')).toHaveLength(81);
      await panel.getByRole('button', { name: 'SVG', exact: true }).click();
      await ui.until(proposed, (path) => path.endsWith('ra3.svg'));
      await ui.quickInput.getByText('OK', { exact: true }).click();
      const svg = await ui.until(
        () => readFile(join(place.workspace, 'ra3.svg'), 'utf8').catch(() => ''),
        (text) => text.includes('</svg>'),
      );
      for (const heading of headings) expect(svg).toContain(heading);
      expect((await panel.evaluate(readLines, svg)).length).toBeGreaterThan(40); // of both runs, in all charts

      await vs.reloadWindow();
      panel = await ui.webview();
      await panel.getByText('B with penalties').first().waitFor();
      await panel.getByText('Update 80, snippet 241: 4 rollouts').waitFor();
      expect(await panel.getByRole('checkbox', { name: 'Stacked' }).getAttribute('checked')).not.toBeNull();
      expect(await ui.errors()).toEqual([]);
      expect(vs.externalRequests).toEqual([]);
    });
  });
});
