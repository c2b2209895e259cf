/**
 * A training of a million steps in its panel, measured in the browser: when the curves are there, how long a frame takes while
 * they are moved and zoomed, what they hold in memory. Times are printed, not judged: the machine may be busy. What must hold
 * whatever the machine is asserted: all steps are there, and what is drawn does not grow with them.
 */
import { describe, expect, it } from 'vitest';
import type { EventBody } from '../../src/runner/events.ts';
import { metricOf, newPlace, writeTraining } from './harness/midtrain.ts';
import { installed, withVSCode } from './harness/window.ts';

const STEPS = 1_000_000;

// What runs in the panel's frame uses a browser's globals, which are not part of the project's types.
interface Chart {
  stretch: readonly [number, number];
  readonly curves: readonly { readonly values: { readonly count: number } }[];
  readonly updateComplete: Promise<boolean>;
}
interface Root {
  querySelectorAll(selector: string): ArrayLike<Chart>;
  querySelector(selector: string): { readonly shadowRoot: Root } | null;
}
declare const document: Pick<Root, 'querySelector'>;
declare function requestAnimationFrame(callback: () => void): void;

describe.skipIf(installed('current').length === 0)('a million steps', () => {
  it('are drawn, moved and zoomed smoothly, in bounded memory', async () => {
    const place = newPlace();
    const events: EventBody[] = [
      { type: 'launch', pid: 1, version: '0.1.0', host: 'here' },
      ...Array.from({ length: STEPS }, (_, i) => metricOf(i + 1, STEPS)),
      { type: 'done', status: 'finished', score: null, seconds: null, error: '' },
    ];
    writeTraining(place, { name: 'large', events, config: { steps: STEPS } });
    await withVSCode({ name: 'large-run', workspace: place.workspace, env: place.env }, async (vs) => {
      const { ui } = vs;
      await ui.viewContainer('Midtrain').click();
      const row = ui.treeItem('Runs', 'Training large');
      await row.waitFor();
      const clicked = performance.now();
      await row.click();
      const panel = await ui.webview();
      await panel.getByRole('group', { name: /^Loss:/ }).waitFor({ timeout: 120_000 });
      const first = performance.now() - clicked;
      await panel.getByText(`Last: Step ${STEPS},`).waitFor({ timeout: 150_000 });
      const all = performance.now() - clicked;

      const figures = await panel.evaluate(async (steps) => {
        const group = document.querySelector('midtrain-run')!.shadowRoot.querySelector('midtrain-charts')!;
        const found = group.shadowRoot.querySelectorAll('midtrain-curves');
        const charts = Array.from({ length: found.length }, (_, i) => found[i]!);
        const frames: number[] = [];
        let last = performance.now();
        for (let n = 0; n < 120; n += 1) {
          // All charts at once, over ever smaller parts of the axis.
          const width = steps * 0.96 ** n;
          const from = (steps - width) * (n / 119);
          for (const chart of charts) chart.stretch = [from, from + width];
          await new Promise<void>((resolve) => {
            requestAnimationFrame(resolve);
          });
          frames.push(performance.now() - last);
          last = performance.now();
        }
        const { memory } = performance as unknown as { readonly memory: { readonly usedJSHeapSize: number } };
        frames.sort((a, b) => a - b);
        return {
          median: frames[60]!,
          slowest: frames[118]!,
          heap: memory.usedJSHeapSize,
          charts: charts.length,
          points: charts.flatMap(({ curves }) => curves.map(({ values }) => values.count)),
        };
      }, STEPS);
      const milliseconds = (value: number): string => `${value.toFixed(0)} ms`;
      console.log(
        `1,000,000 steps: first curves ${milliseconds(first)} after the click, all after ${milliseconds(all)}; ` +
          `${figures.charts} charts moved at once in ${milliseconds(figures.median)} a frame (second slowest of 120: ${milliseconds(figures.slowest)}); ` +
          `${(figures.heap / 1e6).toFixed(0)} MB of heap in the panel`,
      );
      expect(figures.charts).toBe(6);
      expect(Math.max(...figures.points)).toBe(STEPS);
      expect(figures.heap).toBeLessThan(400e6);
      await vs.screenshot('artifacts/large-run.png');
      expect(await ui.errors()).toEqual([]);
    });
  });
});
