/**
 * A reading of a file of 2,000 lines in the abstractions panel, alone and beside another, measured in the browser: when its code is
 * painted, how scrolling and the threshold feel. Times are printed, not judged: the machine may be busy. What must hold whatever
 * the machine is asserted: all rows are there, only those on the screen are drawn, and both sides are at the same line.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Frame } from 'playwright-core';
import { afterAll, describe, expect, it } from 'vitest';
import { handmadeReading, longCode } from '../webviews/handmadeReading.ts';
import { installed, withVSCode } from './harness/window.ts';

const workspace = mkdtempSync(join(tmpdir(), 'mt-l-'));
afterAll(() => {
  rmSync(workspace, { recursive: true, force: true, maxRetries: 5 });
});

// What runs in the panel's frame uses a browser's globals, which are not part of the project's types.
interface Element_ {
  scrollTop: number;
  value: string;
  readonly scrollHeight: number;
  readonly shadowRoot: Root;
  dispatchEvent(event: object): void;
}
interface Root {
  querySelector(selector: string): Element_ | null;
  querySelectorAll(selector: string): ArrayLike<Element_>;
}
declare const document: Pick<Root, 'querySelector'>;
declare function requestAnimationFrame(callback: () => void): void;

/** In a browser: frames while all of the code is scrolled through, and while the threshold moves; rows drawn at a time, at most. */
async function measure(): Promise<{ scroll: number[]; slide: number[]; drawn: number; tops: number[] }> {
  const app = document.querySelector('midtrain-abstractions')!.shadowRoot;
  const views = Array.from(app.querySelectorAll('midtrain-reading'), ({ shadowRoot }) => shadowRoot);
  const scrollers = views.map((view) => view.querySelector('.code')!);
  let drawn = 0;
  const frames = async (count: number, act: (share: number) => void): Promise<number[]> => {
    const times: number[] = [];
    let last = performance.now();
    for (let step = 0; step < count; step += 1) {
      act(step / (count - 1));
      await new Promise<void>((resolve) => {
        requestAnimationFrame(resolve);
      });
      times.push(performance.now() - last);
      last = performance.now();
      drawn = Math.max(drawn, views[0]!.querySelectorAll('.body .row').length);
    }
    return times.sort((a, b) => a - b);
  };
  const scroll = await frames(120, (share) => {
    scrollers[0]!.scrollTop = share * (scrollers[0]!.scrollHeight / 2);
  });
  await frames(3, () => undefined);
  const tops = scrollers.map(({ scrollTop }) => scrollTop);
  const slider = app.querySelector('[aria-label="Threshold of P(think)"]')!;
  const slide = await frames(60, (share) => {
    slider.value = String(share);
    slider.dispatchEvent(new Event('input'));
  });
  return { scroll, slide, drawn, tops };
}

describe.skipIf(installed('current').length === 0)('a file of 2,000 lines', () => {
  it('is shown and scrolled through, alone and beside another', { timeout: 300_000 }, async () => {
    const text = longCode(2000);
    const rows = text.split('\n').length;
    const readings = await Promise.all(
      [1, 2].map((step) => handmadeReading(text, { name: 'long.py', step, seed: step })),
    );
    const json = JSON.stringify(readings);
    writeFileSync(join(workspace, 'long.reading.json'), json);
    await withVSCode({ name: 'large-reading', workspace }, async (vs) => {
      // Too large for an editor of text; the panel opens it from the explorer.
      const file = vs.page.locator('.explorer-folders-view .monaco-list-row', { hasText: 'long.reading.json' });
      await vs.ui.chooseInContextMenu(file, 'Open Abstractions Panel');
      const asked = performance.now();
      const panel: Frame = await vs.ui.webview();
      await panel.locator('midtrain-reading .row').first().waitFor();
      const shown = performance.now() - asked;
      const one = await panel.evaluate(measure);
      const code = panel.getByRole('group', { name: /^Code of long\.py/ });
      await code.focus();
      await vs.page.keyboard.press('End');
      await panel.locator('midtrain-reading .row.unit').first().waitFor();
      await panel.getByRole('button', { name: 'Compare With…' }).click();
      await vs.ui.pick('The Same, at Another Step or with Other Latents');
      await panel.locator('midtrain-reading').nth(1).locator('.row').first().waitFor();
      const two = await panel.evaluate(measure);
      await vs.screenshot('artifacts/large-reading.png');
      const words = (frames: readonly number[]): string =>
        `${frames[frames.length >> 1]!.toFixed(0)} ms a frame (second slowest of ${frames.length}: ${frames.at(-2)!.toFixed(0)} ms)`;
      console.log(
        `${rows} rows with latents, ${readings[0]!.tokens.length} tokens, ${(json.length / 1e6).toFixed(1)} MB of JSON for two readings: shown ${shown.toFixed(0)} ms after it was chosen; ` +
          `scrolling ${words(one.scroll)}, threshold ${words(one.slide)}; two beside each other: scrolling ${words(two.scroll)}, threshold ${words(two.slide)}`,
      );
      for (const { drawn } of [one, two]) {
        expect(drawn).toBeGreaterThan(5);
        expect(drawn).toBeLessThan(120);
      }
      expect(two.tops[0]).toBeGreaterThan(5000);
      expect(two.tops[1]).toBe(two.tops[0]);
    });
  });
});
