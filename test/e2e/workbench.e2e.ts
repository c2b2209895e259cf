/**
 * VS Code with the extension in it: the window opens, nothing complains, the extension's icon is there.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { installed, projectRoot, withVSCode } from './harness/window.ts';

interface Manifest {
  readonly contributes: { readonly viewsContainers?: { readonly activitybar?: readonly { readonly title: string }[] } };
}

const manifest = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as Manifest;
const workspace = mkdtempSync(join(tmpdir(), 'midtrain-e2e-'));

afterAll(() => {
  rmSync(workspace, { recursive: true, force: true });
});

describe.each(installed('current', 'oldest'))('the workbench of the %s VS Code', (version) => {
  it('opens with the extension, without an error and without the network', async () => {
    await withVSCode({ name: 'workbench', version, workspace }, async (vs) => {
      for (const { title } of manifest.contributes.viewsContainers?.activitybar ?? []) {
        await vs.ui.viewContainer(title).click();
      }
      expect(await vs.ui.errors()).toEqual([]);
      expect(vs.externalRequests).toEqual([]);
      await vs.screenshot(`artifacts/workbench-${version}.png`);
      expect(await vs.close()).toEqual([]);
    });
  });
});
