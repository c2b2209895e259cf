/**
 * Abstractions in the editor: commands that show a file's segments, latents and surprises, explain a line, write the model's
 * latents as comments and take latents away. What is shown of a file goes where it is edited (`fileReading.ts`).
 */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { colors, commands, contextKeys } from '../contributions.ts';
import { UserError } from '../errors.ts';
import type { CodeReading } from '../midtraining/abstractions/reading.ts';
import { type Midtrain, register } from './context.ts';
import { FileReading } from './fileReading.ts';
import type { Reader, Readings } from './readings.ts';
import { explainLine, explainToken, readerName } from './readingText.ts';

/** Characters of a latent that are drawn in a line. */
const MOST_DRAWN = 100;

interface Read {
  readonly reader: Reader;
  readonly file: FileReading;
  /** Decorations are drawn; else it is only explained. */
  shown: boolean;
}

export function activateFileAbstractions(midtrain: Midtrain, readings: Readings): void {
  const files = new FileAbstractions();
  midtrain.extension.subscriptions.push(files);

  const reading = async (document: vscode.TextDocument, reader: Reader): Promise<FileReading> => {
    const { version } = document;
    const file = new FileReading(
      await vscode.window.withProgress(
        { location: vscode.ProgressLocation.Notification, title: 'Midtrain', cancellable: true },
        async (progress, token) => {
          const stop = new AbortController();
          token.onCancellationRequested(() => {
            stop.abort(new vscode.CancellationError());
          });
          let before = 0;
          const name = basename(document.uri.path);
          // Rows and columns stay, and code that models have learnt from ends its rows so.
          const code = document.getText().replaceAll('\r\n', '\n');
          const request = { ...reader, name, code, step: null, signal: stop.signal };
          return readings.readText(request, (message, share) => {
            const part = 100 * (share ?? 0);
            progress.report({ message: `${name}: ${message}`, increment: Math.max(0, part - before) });
            before = Math.max(before, part);
          });
        },
      ),
    );
    if (document.version !== version) {
      throw new UserError(`${basename(document.uri.path)} was edited while it was read. Ask again.`);
    }
    return file;
  };

  register(midtrain, commands.showAbstractions, async () => {
    const { document } = activeEditor();
    const reader = await readings.chosen();
    const file = await reading(document, reader);
    files.set(document, { reader, file, shown: true });
    const { latents, hasError } = file.reading;
    const count = file.reading.lines.filter(({ latent }) => latent !== null).length;
    const whose = latents === 'model' ? ' by the model' : latents === 'text' ? ' in the file' : '';
    const error = hasError ? ' It has syntax errors: lines are told as well as can be.' : '';
    vscode.window.setStatusBarMessage(
      `Midtrain: ${count === 1 ? '1 latent' : `${count} latents`}${whose}, read by ${readerName(file.reading)}.${error}`,
      8000,
    );
  });
  register(midtrain, commands.hideAbstractions, () => {
    files.delete(activeEditor().document);
  });
  register(midtrain, commands.explainSurprise, async () => {
    const editor = activeEditor();
    const { document } = editor;
    const row = editor.selection.active.line;
    const isKnown = files.get(document)?.file.lineAt(row) != null;
    if (!isKnown) {
      const reader = await readings.chosen();
      const file = await reading(document, reader);
      if (file.lineAt(row) === null)
        throw new UserError('There is no code in this row. Put the cursor on a line of code.');
      files.set(document, { reader, file, shown: files.get(document)?.shown ?? false });
    }
    await vscode.window.showTextDocument(document, editor.viewColumn);
    await vscode.commands.executeCommand('editor.action.showHover', { focus: 'focusIfVisible' });
  });
  register(midtrain, commands.insertLatents, async () => {
    const editor = activeEditor();
    const { document } = editor;
    const reader: Reader = { ...(await readings.chosen()), latents: 'model' };
    const known = files.get(document);
    const isFresh = known?.reader.latents === 'model' && known.file.lines.length === known.file.reading.lines.length;
    const file = isFresh ? known.file : await reading(document, reader);
    await insertLatents(editor, file);
  });
  register(midtrain, commands.stripLatents, async () => {
    await stripLatents(activeEditor());
  });
  register(midtrain, commands.chooseReader, async () => {
    await readings.choose();
  });
}

/** Comments that a file has stay; where it has none the model's are written. One step to undo. */
async function insertLatents(editor: vscode.TextEditor, file: FileReading): Promise<void> {
  const { document } = editor;
  const { lines, hasError } = file.reading;
  const insertions = lines.flatMap(({ latent }, i) => {
    if (latent === null || file.latentRows(i) > 0) return [];
    return [{ line: i, row: file.rowOf(i), text: latent.text }];
  });
  if (insertions.length === 0) {
    void vscode.window.showInformationMessage(
      `Midtrain: ${readerName(file.reading)} would rather write the code of this file than a comment, at each line that has none.`,
    );
    return;
  }
  if (hasError) await needLinesToStay(document.getText(), lines, insertions);
  const newline = document.eol === vscode.EndOfLine.CRLF ? '\r\n' : '\n';
  await edit(editor, (builder) => {
    for (const { row, text } of insertions) {
      const { text: line, firstNonWhitespaceCharacterIndex: width } = document.lineAt(row);
      const comment = text
        .split('\n')
        .map((part) => line.slice(0, width) + part + newline)
        .join('');
      builder.insert(new vscode.Position(row, 0), comment);
    }
  });
}

/** @throws UserError when errors in the code hide where its lines begin */
async function needLinesToStay(
  text: string,
  lines: CodeReading['lines'],
  insertions: readonly { readonly line: number; readonly text: string }[],
): Promise<void> {
  const { infuseLatents, parseLatents, parser } = await pythonTools();
  try {
    const latents = [...parseLatents(parser, text).latents];
    for (const insertion of insertions) latents[insertion.line] = insertion.text;
    infuseLatents(parser, text, latents.slice(0, lines.length));
  } finally {
    parser.delete();
  }
}

async function stripLatents(editor: vscode.TextEditor): Promise<void> {
  const { parseLatents, parser } = await pythonTools();
  const { rows, latents } = (() => {
    try {
      return parseLatents(parser, editor.document.getText());
    } finally {
      parser.delete();
    }
  })();
  if (latents.every((latent) => latent === null)) {
    void vscode.window.showInformationMessage(
      'Midtrain: this file has no latents: no comment right above the code that it explains.',
    );
    return;
  }
  await edit(editor, (builder) => {
    latents.forEach((latent, i) => {
      if (latent !== null) builder.delete(new vscode.Range(rows[i]! - latent.split('\n').length, 0, rows[i]!, 0));
    });
  });
}

/** The grammar is loaded when it is first needed. */
async function pythonTools() {
  const [{ pythonParser }, latents] = await Promise.all([
    import('../midtraining/data/pythonGrammar.ts'),
    import('../midtraining/abstractions/latents.ts'),
  ]);
  return { ...latents, parser: await pythonParser() };
}

async function edit(editor: vscode.TextEditor, change: (builder: vscode.TextEditorEdit) => void): Promise<void> {
  if (!(await editor.edit(change)))
    throw new UserError('The file could not be edited: it is read-only, or was changed.');
}

function activeEditor(): vscode.TextEditor {
  const editor = vscode.window.activeTextEditor;
  if (editor === undefined) throw new UserError('No file is open in an editor. Open the Python file that is meant.');
  return editor;
}

/** What was read of the documents that are open: drawn in their editors, told in hovers. */
class FileAbstractions implements vscode.Disposable, vscode.HoverProvider {
  readonly #files = new Map<string, Read>();
  readonly #types = {
    even: whole({ backgroundColor: new vscode.ThemeColor(colors.evenSegmentBackground) }),
    odd: whole({ backgroundColor: new vscode.ThemeColor(colors.oddSegmentBackground) }),
    boundary: whole({
      ...{ borderColor: new vscode.ThemeColor(colors.segmentBorder), borderStyle: 'solid', borderWidth: '1px 0 0 0' },
      overviewRulerColor: new vscode.ThemeColor(colors.segmentBorder),
      overviewRulerLane: vscode.OverviewRulerLane.Left,
    }),
    written: vscode.window.createTextEditorDecorationType({}),
    standing: vscode.window.createTextEditorDecorationType({
      color: new vscode.ThemeColor(colors.latentForeground),
      fontStyle: 'italic',
    }),
  };
  readonly #subscriptions: vscode.Disposable;

  constructor() {
    this.#subscriptions = vscode.Disposable.from(
      ...Object.values(this.#types),
      vscode.languages.registerHoverProvider('*', this),
      vscode.window.onDidChangeVisibleTextEditors(() => {
        this.#draw();
      }),
      vscode.window.onDidChangeActiveTextEditor(() => {
        this.#tell();
      }),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0)
          this.#cut(document, Math.min(...contentChanges.map(({ range }) => range.start.line)));
      }),
      vscode.workspace.onDidCloseTextDocument((document) => {
        this.delete(document);
      }),
    );
  }

  get({ uri }: vscode.TextDocument): Read | undefined {
    return this.#files.get(uri.toString());
  }

  set({ uri }: vscode.TextDocument, read: Read): void {
    this.#files.set(uri.toString(), read);
    this.#draw();
  }

  delete({ uri }: vscode.TextDocument): void {
    if (this.#files.delete(uri.toString())) this.#draw();
  }

  provideHover(document: vscode.TextDocument, { line: row, character }: vscode.Position): vscode.Hover | null {
    const file = this.get(document)?.file;
    const line = file?.lineAt(row) ?? null;
    if (file === undefined || line === null) return null;
    const token = file.tokenAt(row, character);
    const texts = [explainLine(file, line), ...(token === null ? [] : [explainToken(token, file.reading)])];
    return new vscode.Hover(texts.map((paragraphs) => new vscode.MarkdownString(paragraphs.join('\n\n'))));
  }

  dispose(): void {
    this.#subscriptions.dispose();
  }

  #cut(document: vscode.TextDocument, row: number): void {
    const read = this.get(document);
    if (read?.file.cut(row) !== true) return;
    if (read.file.lines.length === 0) this.delete(document);
    else this.#draw();
  }

  #draw(): void {
    for (const editor of vscode.window.visibleTextEditors) {
      const read = this.get(editor.document);
      const drawn = read?.shown === true ? decorationsOf(read.file, editor.document) : NOTHING;
      for (const [name, type] of Object.entries(this.#types)) {
        editor.setDecorations(type, drawn[name as keyof typeof drawn]);
      }
    }
    this.#tell();
  }

  #tell(): void {
    const document = vscode.window.activeTextEditor?.document;
    const isShown = document !== undefined && this.get(document)?.shown === true;
    void vscode.commands.executeCommand('setContext', contextKeys.abstractionsShown, isShown);
  }
}

function whole(options: vscode.DecorationRenderOptions): vscode.TextEditorDecorationType {
  return vscode.window.createTextEditorDecorationType({ ...options, isWholeLine: true });
}

interface Decorations {
  readonly even: vscode.Range[];
  readonly odd: vscode.Range[];
  readonly boundary: vscode.Range[];
  /** Latents that the model wrote, before their line. */
  readonly written: vscode.DecorationOptions[];
  /** Latents that stand in the file. */
  readonly standing: vscode.Range[];
}

const NOTHING: Decorations = { even: [], odd: [], boundary: [], written: [], standing: [] };

function decorationsOf(file: FileReading, document: vscode.TextDocument): Decorations {
  const drawn: Decorations = { even: [], odd: [], boundary: [], written: [], standing: [] };
  for (const [i, { latent, firstRow, codeRow, endRow }] of file.segments().entries()) {
    drawn[i % 2 === 0 ? 'even' : 'odd'].push(new vscode.Range(firstRow, 0, endRow - 1, 0));
    if (i > 0) drawn.boundary.push(new vscode.Range(firstRow, 0, firstRow, 0));
    if (latent === null) continue;
    if (latent.origin === 'text') {
      const end = document.lineAt(codeRow - 1).range.end;
      drawn.standing.push(new vscode.Range(new vscode.Position(firstRow, 0), end));
      continue;
    }
    const column = document.lineAt(codeRow).firstNonWhitespaceCharacterIndex;
    const text = latent.text.replaceAll('\n', ' ↵ ');
    drawn.written.push({
      range: new vscode.Range(codeRow, column, codeRow, column),
      renderOptions: {
        before: {
          contentText: text.length > MOST_DRAWN ? `${text.slice(0, MOST_DRAWN)}…` : text,
          color: new vscode.ThemeColor(colors.latentForeground),
          backgroundColor: new vscode.ThemeColor(colors.latentBackground),
          border: '1px solid',
          borderColor: new vscode.ThemeColor(colors.latentBorder),
          fontStyle: 'italic',
          margin: '0 1ch 0 0',
        },
      },
    });
  }
  return drawn;
}
