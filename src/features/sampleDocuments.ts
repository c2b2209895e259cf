/**
 * Parts of a sample as read-only documents: the program that ran, what the model wrote, its prompt. A document's address
 * says which, so that it is there again after the window was reloaded; nothing is written to the disk.
 */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { ResultsFile } from '../client/resultsFile.ts';
import { BenchmarkLoader, type SampleDetail, sampleDetail } from '../client/sampleDetail.ts';
import { SamplesFile } from '../client/samplesFile.ts';
import { readDescription } from '../runner/runFolder.ts';
import { PARTS, type Part } from '../webviews/results/messages.ts';
import { failingLines } from '../webviews/results/traceback.ts';
import { joinedProgram, partOf } from './resultsSession.ts';

const scheme = 'midtrain-sample';

export function activateSampleDocuments(context: vscode.ExtensionContext): void {
  const failing = vscode.window.createTextEditorDecorationType({
    isWholeLine: true,
    backgroundColor: new vscode.ThemeColor('diffEditor.removedLineBackground'),
    overviewRulerColor: new vscode.ThemeColor('testing.iconFailed'),
    overviewRulerLane: vscode.OverviewRulerLane.Full,
    outline: '1px solid',
    outlineColor: new vscode.ThemeColor('contrastActiveBorder'),
  });
  const mark = (editors: readonly vscode.TextEditor[]): void => {
    for (const editor of editors) {
      if (editor.document.uri.scheme !== scheme) continue;
      const { line } = addressOf(editor.document.uri);
      if (line === null) continue;
      const range = editor.document.lineAt(Math.min(line, editor.document.lineCount) - 1).range;
      editor.setDecorations(failing, [{ range, hoverMessage: 'The program failed here.' }]);
    }
  };
  context.subscriptions.push(
    failing,
    vscode.workspace.registerTextDocumentContentProvider(scheme, { provideTextDocumentContent: contentOf }),
    vscode.window.onDidChangeVisibleTextEditors(mark),
  );
  mark(vscode.window.visibleTextEditors);
}

/** Opens a part of a sample beside the panel's tab; a failed program at the line that failed. */
export async function showSample(folder: string, detail: SampleDetail, part: Part): Promise<void> {
  const line = part === 'program' && detail.program !== null ? failingLine(detail) : null;
  const uri = uriOf({ folder, taskId: detail.taskId, sample: detail.sample, part, line });
  const document = await vscode.workspace.openTextDocument(uri);
  const place = line === null ? undefined : document.lineAt(Math.min(line, document.lineCount) - 1).range;
  await vscode.window.showTextDocument(document, {
    preview: false,
    ...(place === undefined ? {} : { selection: new vscode.Range(place.start, place.start) }),
  });
}

/** From 1, in the joined program; null where the traceback names none. */
function failingLine({ program, traceback }: SampleDetail): number | null {
  if (program === null) return null;
  const { check, candidate } = failingLines(traceback);
  if (check !== null) return joinedProgram(program).checkLine - 1 + check;
  return candidate;
}

interface Address {
  readonly folder: string;
  readonly taskId: string;
  readonly sample: number;
  readonly part: Part;
  /** From 1. */
  readonly line: number | null;
}

function uriOf(address: Address): vscode.Uri {
  const { taskId, sample, part, folder } = address;
  const ending = part === 'program' || part === 'completion' ? 'py' : 'txt';
  const name = `${taskId.replace(/[^\w.-]+/g, '-')}.${sample}.${part}.${ending}`;
  return vscode.Uri.from({ scheme, path: `/${basename(folder)}/${name}`, query: JSON.stringify(address) });
}

/** What the address says; everything in it may be anybody's. */
function addressOf(uri: vscode.Uri): Address {
  const { folder, taskId, sample, part, line } = JSON.parse(uri.query) as Record<keyof Address, unknown>;
  if (typeof folder !== 'string' || typeof taskId !== 'string' || !Number.isInteger(sample))
    throw new Error('no sample');
  const known = PARTS.find((one) => one === part);
  if (known === undefined) throw new Error('no part of a sample');
  return {
    folder,
    taskId,
    sample: sample as number,
    part: known,
    line: Number.isInteger(line) ? (line as number) : null,
  };
}

async function contentOf(uri: vscode.Uri): Promise<string> {
  const { folder, taskId, sample, part } = addressOf(uri);
  const description = await readDescription(folder);
  const results = new ResultsFile(folder);
  await results.update(() => undefined);
  const sources = { description, results, samples: new SamplesFile(folder), benchmarks: new BenchmarkLoader() };
  const detail = await sampleDetail(sources, taskId, sample);
  if (detail === null) throw new Error(`The run has no result of sample ${sample} of ${taskId} any more.`);
  return partOf(detail, part);
}
