/** Run configs as VS Code sees them: squiggles that say what the headless command says, the schema, the lenses. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, suiteSetup, suiteTeardown, test } from 'mocha';
import * as vscode from 'vscode';
import { readTrainingConfig } from '../../../src/midtraining/config.ts';

suite('a run config', () => {
  let folder: string;

  suiteSetup(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mt-config-'));
    await vscode.extensions.getExtension('midtrain.midtrain')?.activate();
  });
  suiteTeardown(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const opened = async (name: string, text: string): Promise<vscode.TextDocument> => {
    const file = join(folder, name);
    writeFileSync(file, text);
    const document = await vscode.workspace.openTextDocument(file);
    await vscode.window.showTextDocument(document);
    return document;
  };
  const until = async <T>(read: () => T | Promise<T>, accept: (value: T) => boolean): Promise<T> => {
    for (const deadline = Date.now() + 30_000; ;) {
      const value = await read();
      if (accept(value)) return value;
      if (Date.now() > deadline) throw new Error(`Still not so: ${JSON.stringify(value)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const headless = (file: string): Promise<string> =>
    readTrainingConfig(file).then(
      () => '',
      (error: unknown) => (error as Error).message,
    );

  test('with a wrong key has one squiggle, at the key, with the sentence of the headless command', async () => {
    const document = await opened('wrong.midtrain.json', '{\n  "steps": 5,\n  "lora": { "rnk": 4 }\n}\n');
    const of = (): vscode.Diagnostic[] => vscode.languages.getDiagnostics(document.uri);
    const [found] = await until(of, (list) => list.length > 0);
    assert.equal(document.getText(found!.range), '"rnk"');
    assert.equal(`${document.uri.fsPath}: ${found!.message}`, await headless(document.uri.fsPath));
    assert.equal(found!.source, 'midtrain');

    // What the schema tells is told once, too.
    const edit = new vscode.WorkspaceEdit();
    edit.replace(document.uri, new vscode.Range(2, 2, 2, 22), '"steps": 0, "seed": 1');
    edit.delete(document.uri, new vscode.Range(1, 0, 2, 0));
    await vscode.workspace.applyEdit(edit);
    const now = await until(of, (list) => list.some(({ source }) => source !== 'midtrain'));
    assert.equal(now.length, 1, JSON.stringify(now));
  });

  test('is completed and explained by the schema', async () => {
    const document = await opened('complete.midtrain.json', '{\n  "steps": 3,\n  \n}\n');
    const items = await until(
      async () => {
        const at = new vscode.Position(2, 2);
        const list = await vscode.commands.executeCommand<vscode.CompletionList>(
          'vscode.executeCompletionItemProvider',
          document.uri,
          at,
        );
        return list.items.map(({ label }) => (typeof label === 'string' ? label : label.label));
      },
      (labels) => labels.includes('warmup'),
    );
    assert.ok(items.includes('checkpointing'));
    const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
      'vscode.executeHoverProvider',
      document.uri,
      new vscode.Position(1, 5),
    );
    const text = hovers.flatMap(({ contents }) => contents.map((one) => (one as vscode.MarkdownString).value));
    assert.match(text.join('\n'), /Steps of the optimizer/);
  });

  test('has lenses, and no other JSON has', async () => {
    const titles = async (document: vscode.TextDocument): Promise<string[]> => {
      const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>(
        'vscode.executeCodeLensProvider',
        document.uri,
      );
      return lenses.map(({ command }) => command?.title.replace(/^\$\([a-z-]+\) /, '') ?? '');
    };
    assert.deepEqual(await titles(await opened('lenses.midtrain.json', '{}')), [
      'Run',
      'Estimate',
      'Preview Data',
      'Form',
    ]);
    assert.deepEqual(await titles(await opened('other.json', '{}')), []);
  });
});
