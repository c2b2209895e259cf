/**
 * Squiggles of run configs: what a run would say of the config, word for word, at the key that it is about. What the JSON
 * schema tells already, VS Code's JSON says in its own words; it would be twice on the screen, so it is left to that.
 */
import * as vscode from 'vscode';
import { checkTrainingConfig, type ConfigProblem } from '../midtraining/config.ts';
import { configDocuments } from './configDocuments.ts';
import { placeOf } from './configText.ts';

export function activateConfigDiagnostics({ subscriptions }: vscode.ExtensionContext): void {
  const diagnostics = vscode.languages.createDiagnosticCollection('midtrain');
  const check = (document: vscode.TextDocument): void => {
    if (vscode.languages.match(configDocuments, document) > 0) diagnostics.set(document.uri, diagnosticsOf(document));
  };
  subscriptions.push(
    diagnostics,
    vscode.workspace.onDidOpenTextDocument(check),
    vscode.workspace.onDidChangeTextDocument(({ document }) => {
      check(document);
    }),
    vscode.workspace.onDidCloseTextDocument(({ uri }) => {
      diagnostics.delete(uri);
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('json.validate')) vscode.workspace.textDocuments.forEach(check);
    }),
  );
  vscode.workspace.textDocuments.forEach(check);
}

function diagnosticsOf(document: vscode.TextDocument): vscode.Diagnostic[] {
  const text = document.getText();
  const schemaTells = vscode.workspace.getConfiguration('json', document).get<boolean>('validate.enable', true);
  return checkTrainingConfig(text)
    .problems.filter(({ kind }) => kind === 'key' || !schemaTells)
    .map((problem) => diagnosticOf(document, text, problem));
}

function diagnosticOf(document: vscode.TextDocument, text: string, problem: ConfigProblem): vscode.Diagnostic {
  const { offset, length } = placeOf(text, problem);
  const range = new vscode.Range(document.positionAt(offset), document.positionAt(offset + length));
  const diagnostic = new vscode.Diagnostic(range, problem.sentence, vscode.DiagnosticSeverity.Error);
  diagnostic.source = 'midtrain';
  return diagnostic;
}
