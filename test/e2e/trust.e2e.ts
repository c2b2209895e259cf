/**
 * A workspace that is not trusted: nothing is run in it, and that is said; runs that are there can be looked at.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { eventsOf, newPlace, runRow, smallModel, writeRun } from './harness/midtrain.ts';
import { installed, withVSCode } from './harness/window.ts';

describe.skipIf(installed('current').length === 0)('an untrusted workspace', () => {
  it('runs nothing, says so, and shows what is there', async () => {
    const place = newPlace();
    const window = {
      name: 'trust',
      workspace: place.workspace,
      env: place.env,
      settings: {
        'security.workspace.trust.enabled': true,
        'security.workspace.trust.startupPrompt': 'never',
        'workbench.editor.useModal': 'off',
        'midtrain.models': [smallModel],
      },
    };
    await withVSCode(window, async (vs) => {
      const { ui, page } = vs;
      await ui.viewContainer('Midtrain').click();
      await ui.view('Runs').getByText('This workspace is not trusted, so Midtrain runs nothing here').waitFor();
      await vs.screenshot('artifacts/trust-empty.png');

      // What would run something is not in the palette, and no button starts it.
      await page.keyboard.press('F1');
      await ui.quickInput.locator('input.input').first().fill('>Midtrain: ');
      await ui.quickPickRow('Midtrain: Open Results').waitFor();
      const offered = (await ui.quickPickLabels()).filter((label) => label.startsWith('Midtrain: '));
      const running = [
        'Evaluate',
        'Run Again',
        'Resume',
        'Fetch',
        'Check Environment',
        'Show Abstr',
        'Explain',
        'Insert',
      ];
      expect(offered.filter((label) => running.some((name) => label.includes(name)))).toEqual([]);
      await page.keyboard.press('Escape');

      writeRun(place, { name: 'good', events: eventsOf('finished'), age: 1 });
      writeRun(place, { name: 'halfway', events: eventsOf('stopped', { done: 9 }), age: 2 });
      await runRow(vs, 'good on HumanEval').waitFor();
      await ui.view('Runs').getByText('runs can be looked at, and nothing is run').waitFor();
      const halfway = runRow(vs, 'halfway on HumanEval');
      await halfway.hover();
      const resume = halfway.getByRole('button', { name: 'Resume' });
      await resume.waitFor();
      expect(await resume.getAttribute('aria-disabled')).toBe('true');
      await halfway.locator('.label-name').click();
      await vs.screenshot('artifacts/trust-runs.png');
      expect(await ui.errors()).toEqual([]);

      // Trusted, it can do everything, without a reload.
      await ui.runCommand('Workspaces: Manage Workspace Trust');
      await page.locator('.workspace-trust-editor').getByRole('button', { name: 'Trust', exact: true }).click();
      await halfway.hover();
      await ui.until(
        () => resume.getAttribute('aria-disabled'),
        (disabled) => disabled !== 'true',
      );
      await ui.view('Runs').getByText('nothing is run').waitFor({ state: 'hidden' });
      expect(
        readdirSync(place.runs)
          .filter((name) => !name.startsWith('.'))
          .sort(),
      ).toEqual(['good', 'halfway']);
      expect(vs.processes().filter(({ command }) => command.includes('midtrain.cjs'))).toEqual([]);
    });
  });
});
