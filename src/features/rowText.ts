/**
 * What a row of a tree says beside its label: its hover, and what a screen reader reads.
 */
import * as vscode from 'vscode';

/** A title and a line for each fact that is known. Nothing of it is read as Markdown. */
export function factsTooltip(title: string, facts: Readonly<Record<string, string | null>>): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendMarkdown('**').appendText(title).appendMarkdown('**');
  for (const [name, value] of Object.entries(facts)) {
    if (value !== null && value !== '') text.appendMarkdown('  \n').appendText(`${name}: ${value}`);
  }
  return text;
}

/** The parts of a row, with pauses between them. */
export function spoken(...parts: readonly (string | boolean | undefined)[]): string {
  return parts
    .filter((part) => typeof part === 'string' && part !== '')
    .join(', ')
    .replaceAll(' · ', ', ');
}
