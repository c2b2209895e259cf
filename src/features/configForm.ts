/**
 * A run config as a form: another way to edit the same file, so that undo, saving and the text beside it work as with any
 * document. What is drawn is in src/webviews/configForm.
 */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { commands, editors } from '../contributions.ts';
import { messageOf } from '../errors.ts';
import { checkTrainingConfig, ENDING, resolveConfig } from '../midtraining/config.ts';
import { type Action, parseFromPanel, type Path, type ToPanel } from '../webviews/configForm/messages.ts';
import { formSections } from './configFields.ts';
import { editsFor, objectIn } from './configText.ts';
import type { Midtrain } from './context.ts';
import { askAbout, resumableRun } from './train.ts';
import { drawPage } from './webviewPage.ts';

export function activateConfigForm(midtrain: Midtrain): void {
  midtrain.extension.subscriptions.push(
    vscode.window.registerCustomEditorProvider(editors.configForm, new ConfigForms(midtrain)),
  );
}

class ConfigForms implements vscode.CustomTextEditorProvider {
  readonly #midtrain: Midtrain;

  constructor(midtrain: Midtrain) {
    this.#midtrain = midtrain;
  }

  resolveCustomTextEditor(document: vscode.TextDocument, panel: vscode.WebviewPanel): void {
    const form = new ConfigForm(this.#midtrain, document, panel.webview);
    panel.onDidDispose(() => {
      form.dispose();
    });
    drawPage(panel.webview, this.#midtrain.extension.extensionUri, 'configForm', 'Training');
  }
}

class ConfigForm implements vscode.Disposable {
  readonly #midtrain: Midtrain;
  readonly #document: vscode.TextDocument;
  readonly #webview: vscode.Webview;
  readonly #subscriptions: vscode.Disposable[];
  /** Edits follow one another: each is computed on the text that the one before has left. */
  #edits: Promise<unknown> = Promise.resolve();
  /** What was sent last: a run tells much that changes nothing here. */
  #sent = '';

  constructor(midtrain: Midtrain, document: vscode.TextDocument, webview: vscode.Webview) {
    this.#midtrain = midtrain;
    this.#document = document;
    this.#webview = webview;
    this.#subscriptions = [
      webview.onDidReceiveMessage((message: unknown) => {
        this.#receive(message);
      }),
      vscode.workspace.onDidChangeTextDocument((event) => {
        if (event.document === document && event.contentChanges.length > 0) this.#sendConfig();
      }),
      vscode.workspace.onDidGrantWorkspaceTrust(() => {
        this.#sendConfig();
      }),
      midtrain.onDidChangeRuns((run) => {
        if (run === null || run.description.kind === 'training') this.#sendConfig();
      }),
    ];
  }

  dispose(): void {
    for (const one of this.#subscriptions) one.dispose();
  }

  #receive(value: unknown): void {
    const message = parseFromPanel(value);
    switch (message?.type) {
      case 'ready':
        this.#sent = '';
        this.#post({ type: 'form', sections: formSections() });
        this.#sendConfig();
        return;
      case 'set':
        this.#edits = this.#edits
          .then(() => this.#set(message.path, message.value))
          .catch((error: unknown) => {
            void vscode.window.showErrorMessage(`Midtrain: the config could not be changed: ${messageOf(error)}`);
          });
        return;
      case 'action':
        void this.#edits.then(() => this.#act(message.action));
        return;
      case undefined:
    }
  }

  #post(message: ToPanel): void {
    void this.#webview.postMessage(message);
  }

  #sendConfig(): void {
    const { uri } = this.#document;
    const written = this.#document.getText();
    const { config, problems } = checkTrainingConfig(written);
    const canResume = config !== null && resumableRun(this.#midtrain, resolveConfig(config, uri.fsPath)) !== null;
    const work: Action[] = vscode.workspace.isTrusted
      ? ['run', ...(canResume ? ['resume' as const] : []), 'estimate']
      : [];
    const message: ToPanel = {
      type: 'config',
      name: basename(uri.path).slice(0, -ENDING.length),
      values: objectIn(written),
      problems: problems.map(({ path, sentence }) => ({ path: [...path], sentence })),
      actions: [...work, 'openText'],
    };
    const text = JSON.stringify(message);
    if (text === this.#sent) return;
    this.#sent = text;
    this.#post(message);
  }

  async #set(path: Path, value: unknown): Promise<void> {
    const document = this.#document;
    const { tabSize, insertSpaces } = layoutOf(document);
    const edit = new vscode.WorkspaceEdit();
    for (const { offset, length, content } of editsFor(document.getText(), path, value, { tabSize, insertSpaces })) {
      const range = new vscode.Range(document.positionAt(offset), document.positionAt(offset + length));
      edit.replace(document.uri, range, content);
    }
    await vscode.workspace.applyEdit(edit);
  }

  async #act(action: Action): Promise<void> {
    const { uri } = this.#document;
    switch (action) {
      case 'run':
        await vscode.commands.executeCommand(commands.trainByConfig, uri);
        return;
      case 'resume': {
        const { config } = checkTrainingConfig(this.#document.getText());
        const run = config && resumableRun(this.#midtrain, resolveConfig(config, uri.fsPath));
        if (run) await vscode.commands.executeCommand(commands.resume, run.folder);
        return;
      }
      case 'openText':
        await vscode.commands.executeCommand('vscode.openWith', uri, 'default', vscode.ViewColumn.Active);
        return;
      case 'estimate':
        await this.#estimate();
        return;
    }
  }

  async #estimate(): Promise<void> {
    this.#post({ type: 'estimate', working: true, lines: [], error: '' });
    try {
      const { lines } = await askAbout(this.#midtrain, this.#document.uri, 'estimate');
      this.#post({ type: 'estimate', working: false, lines: [...lines], error: '' });
    } catch (error) {
      const left = error instanceof vscode.CancellationError;
      this.#post({ type: 'estimate', working: false, lines: [], error: left ? '' : messageOf(error) });
    }
  }
}

/** As the document is indented, else as its settings say. */
function layoutOf(document: vscode.TextDocument): { tabSize: number; insertSpaces: boolean } {
  const indent = /^([ \t]+)"/m.exec(document.getText())?.[1];
  if (indent !== undefined) return { tabSize: indent.length, insertSpaces: !indent.includes('\t') };
  const settings = vscode.workspace.getConfiguration('editor', document);
  return { tabSize: settings.get('tabSize', 2), insertSpaces: settings.get('insertSpaces', true) };
}
