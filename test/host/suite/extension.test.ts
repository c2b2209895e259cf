/**
 * The extension as VS Code sees it: it is there, it starts, and does what its manifest says. Knows nothing of what its
 * commands do.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'mocha';
import * as vscode from 'vscode';
import type { Exports } from '../../../src/extension.ts';
import { skip } from './skip.ts';

interface Manifest {
  readonly main?: string;
  readonly contributes: { readonly commands?: readonly { readonly command: string }[] };
}

/** Milliseconds that still pass. The aims are 50 to activate and 300 to read; a busy machine with two cores must not fail. */
const slowest = 5000;

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

  test('is quick with many runs in the store', async () => {
    const { activationMilliseconds, runsRead } = (await extension?.activate()) as Exports;
    const { runs, latestMilliseconds, milliseconds } = await runsRead;
    console.log(
      `      ${runs} runs: activated in ${activationMilliseconds.toFixed(1)} ms, the latest read in ${latestMilliseconds.toFixed(0)} ms, all in ${milliseconds.toFixed(0)} ms`,
    );
    assert.equal(runs, Number(process.env['MIDTRAIN_TEST_RUNS']));
    assert.ok(activationMilliseconds < slowest, `activation took ${activationMilliseconds} ms`);
    assert.ok(milliseconds < slowest, `reading the runs took ${milliseconds} ms`);
  });
});
