/**
 * Parts of a sample as read-only documents: the program that ran, what the model wrote, its prompt. A document's address
 * says which, so that it is there again after the window was reloaded; nothing is written to the disk.
 */
import { basename } from 'node:path';
import * as v from 'valibot';
import * as vscode from 'vscode';
import { ResultsFile } from '../client/resultsFile.ts';
import { BenchmarkLoader, type SampleDetail, sampleDetail } from '../client/sampleDetail.ts';
import { SamplesFile } from '../client/samplesFile.ts';
import { readEvaluation } from '../runner/runFolder.ts';
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
      const { document } = editor;
      const ranges = addressOf(document.uri).lines.map((line) => lineIn(document, line));
      editor.setDecorations(failing, ranges);
    }
  };
  context.subscriptions.push(
    failing,
    vscode.workspace.registerTextDocumentContentProvider(scheme, { provideTextDocumentContent: contentOf }),
    vscode.window.onDidChangeVisibleTextEditors(mark),
  );
  mark(vscode.window.visibleTextEditors);
}

/** Opens a part of a sample; a failed program at the line that failed, in its candidate or in its check. */
export async function showSample(folder: string, detail: SampleDetail, part: Part): Promise<void> {
  const lines = part === 'program' ? linesThatFailed(detail) : [];
  const uri = uriOf({ folder, taskId: detail.taskId, sample: detail.sample, part, lines });
  const document = await vscode.workspace.openTextDocument(uri);
  const innermost = lines[0] === undefined ? undefined : lineIn(document, lines[0]).start;
  await vscode.window.showTextDocument(document, {
    preview: false,
    ...(innermost === undefined ? {} : { selection: new vscode.Range(innermost, innermost) }),
  });
}

function lineIn(document: vscode.TextDocument, line: number): vscode.Range {
  return document.lineAt(Math.max(0, Math.min(line, document.lineCount) - 1)).range;
}

/** From 1, in the joined program, the innermost first. */
function linesThatFailed({ program, traceback }: SampleDetail): number[] {
  if (program === null) return [];
  const { check, candidate, innermost } = failingLines(traceback);
  const inCheck = check === null ? [] : [joinedProgram(program).checkLine - 1 + check];
  const inCandidate = candidate === null ? [] : [candidate];
  return innermost === 'check' ? [...inCheck, ...inCandidate] : [...inCandidate, ...inCheck];
}

interface Address {
  readonly folder: string;
  readonly taskId: string;
  readonly sample: number;
  readonly part: Part;
  /** Lines to be marked, from 1. */
  readonly lines: readonly number[];
}

function uriOf(address: Address): vscode.Uri {
  const { taskId, sample, part, folder } = address;
  const ending = part === 'program' || part === 'completion' ? 'py' : 'txt';
  const name = `${taskId.replace(/[^\w.-]+/g, '-')}.${sample}.${part}.${ending}`;
  return vscode.Uri.from({ scheme, path: `/${basename(folder)}/${name}`, query: JSON.stringify(address) });
}

const addressSchema = v.object({
  folder: v.string(),
  taskId: v.string(),
  sample: v.pipe(v.number(), v.integer(), v.minValue(0)),
  part: v.picklist(PARTS),
  lines: v.array(v.pipe(v.number(), v.integer(), v.minValue(1))),
});

/** @throws Error when it is no address of ours: it may be anybody's */
function addressOf(uri: vscode.Uri): Address {
  return v.parse(addressSchema, JSON.parse(uri.query));
}

async function contentOf(uri: vscode.Uri): Promise<string> {
  const { folder, taskId, sample, part } = addressOf(uri);
  const description = await readEvaluation(folder);
  const results = new ResultsFile(folder);
  await results.update(() => undefined);
  const sources = { description, results, samples: new SamplesFile(folder), benchmarks: new BenchmarkLoader() };
  const detail = await sampleDetail(sources, taskId, sample);
  if (detail === null) throw new Error(`The run has no result of sample ${sample} of ${taskId} any more.`);
  return partOf(detail, part);
}
