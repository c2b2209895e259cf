/**
 * The extension as VS Code sees it: it is there, it starts, and does what its manifest says. Knows nothing of what its
 * commands do.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'mocha';
import * as vscode from 'vscode';
import { skip } from './skip.ts';

interface Manifest {
  readonly main?: string;
  readonly contributes: { readonly commands?: readonly { readonly command: string }[] };
}

/** The slowest activation that passes. The aim is far lower; a busy machine with two cores must not fail this. */
const slowest = 2000;

suite('the extension', () => {
  const extension = vscode.extensions.getExtension('midtrain.midtrain');
  const manifest = extension?.packageJSON as Manifest | undefined;

  test('is found', () => {
    assert.ok(extension, 'midtrain.midtrain is not among the extensions');
  });

  test('activates', async function () {
    if (manifest?.main === undefined) skip(this, 'package.json names no `main` yet');
    await extension?.activate();
    assert.equal(extension?.isActive, true);
  });

  test('registers the commands that package.json lists', async function () {
    const listed = manifest?.contributes.commands?.map(({ command }) => command) ?? [];
    if (listed.length === 0) skip(this, 'package.json lists no command yet');
    await extension?.activate();
    const registered = new Set(await vscode.commands.getCommands(true));
    assert.deepEqual(
      listed.filter((command) => !registered.has(command)),
      [],
    );
  });

  test('says how long its activation took', async function () {
    const exports = (await extension?.activate()) as { readonly activationMilliseconds?: number } | undefined;
    const taken = exports?.activationMilliseconds;
    if (taken === undefined) skip(this, 'the extension does not export `activationMilliseconds` yet');
    console.log(`      ${taken.toFixed(1)} ms`);
    assert.ok(taken >= 0 && taken < slowest, `activation took ${taken} ms`);
  });
});
