/**
 * Two windows on one store of a thousand runs, and a run that both see: what is done in one shows in the other.
 */
import { describe, expect, it } from 'vitest';
import { eventsOf, inTerminal, newPlace, runRow, smallModel, writeRun } from './harness/midtrain.ts';
import { installed, type VSCodeWindow, withVSCode } from './harness/window.ts';

const title = 'llama-gqa-tied on HumanEval';

describe.skipIf(installed('current').length === 0)('two windows', () => {
  it('show the same run, and what either does to it', async () => {
    const place = newPlace({ seconds: 0.2 });
    for (let i = 0; i < 1000; i++) writeRun(place, { name: `run-${i}`, events: eventsOf('finished'), age: 2 + i });
    const options = { workspace: place.workspace, env: place.env };
    await withVSCode({ ...options, name: 'windows-first' }, async (first) => {
      await openView(first);
      await withVSCode({ ...options, name: 'windows-second' }, async (second) => {
        await openView(second);
        const model = ['--model', smallModel, '--device', 'cpu', '--max-tokens', '24'];
        inTerminal(place, 'evaluate', '--benchmark', 'humaneval', ...model, '-n', '20', '-t', '0.8', '--workers', '1');
        const rows = [first, second].map((vs) => runRow(vs, title)) as [
          ReturnType<typeof runRow>,
          ReturnType<typeof runRow>,
        ];
        for (const row of rows) await row.filter({ hasText: /[1-9]\d* of 240/ }).waitFor();

        await second.ui.pressRowAction(rows[1], 'Pause');
        for (const row of rows) await row.filter({ hasText: 'paused' }).waitFor();
        await first.ui.statusBarItem(/paused/).waitFor();
        await first.ui.pressRowAction(rows[0], 'Resume');
        for (const row of rows) await row.filter({ hasNotText: 'paused' }).waitFor();
        await second.ui.pressRowAction(rows[1], 'Stop');
        for (const row of rows) await row.filter({ hasText: 'stopped' }).waitFor();

        // Resumed in the first, it is seen and stopped in the second.
        await first.ui.pressRowAction(rows[0], 'Resume');
        for (const row of rows) await row.filter({ hasText: /[1-9]\d* of 240/, hasNotText: 'stopped' }).waitFor();
        await second.ui.pressRowAction(rows[1], 'Stop');
        for (const row of rows) await row.filter({ hasText: 'stopped' }).waitFor();
        for (const vs of [first, second]) expect(await vs.ui.errors()).toEqual([]);
      });
    });
  });
});

/** Opens the views and says how long it took until the runs were there. */
/** In a window that has settled: what the extension and VS Code take then, from the click to the first row. */
async function openView(vs: VSCodeWindow): Promise<void> {
  const icon = vs.ui.viewContainer('Midtrain');
  await icon.waitFor();
  await vs.ui.runCommand('Midtrain: Refresh'); // activates the extension, and is over when the runs are read
  await vs.page.waitForTimeout(3000);
  const started = performance.now();
  await icon.click();
  await runRow(vs, 'run-0 on HumanEval').waitFor();
  console.log(`the Runs view with 1000 runs opened in ${(performance.now() - started).toFixed(0)} ms`);
  await vs.ui.view('Runs').getByRole('tree').focus();
  await vs.page.keyboard.press('End');
  await vs.ui.view('Runs').getByText('936 older runs').waitFor();
  await vs.page.keyboard.press('Home');
}
