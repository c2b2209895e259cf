/**
 * Check Environment: what the headless command's `doctor` found on this machine, as a page that can be read and searched but
 * not changed.
 */
import { execFile } from 'node:child_process';
import * as vscode from 'vscode';
import { UserError } from '../errors.ts';
import { commands } from '../contributions.ts';
import { type Midtrain, register } from './context.ts';
import { environmentOf, readSettings } from './settings.ts';
import { TextPage } from './textPage.ts';

/** As `midtrain doctor --json` says it. */
export interface Finding {
  readonly topic: string;
  readonly status: 'ok' | 'note' | 'missing';
  readonly found: string;
  /** What to do about it, or ''. */
  readonly mend: string;
}

export function activateEnvironment(midtrain: Midtrain): void {
  const page = new TextPage('midtrain-environment', 'Midtrain Environment');
  midtrain.extension.subscriptions.push(page);
  register(midtrain, commands.checkEnvironment, async () => {
    const findings = await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: 'Midtrain: looking at this machine…' },
      () => readFindings(midtrain),
    );
    await page.show(environmentText(findings));
    const missing = findings.filter(({ status }) => status === 'missing');
    if (missing.length === 0) void vscode.window.showInformationMessage('Midtrain: everything it needs is here.');
    else {
      const { topic, mend } = missing[0]!;
      void vscode.window.showWarningMessage(`Midtrain: ${topic} is missing. ${mend}`);
    }
  });
}

/** A line for each finding, and below it what to do about it. What is missing comes first. */
export function environmentText(findings: readonly Finding[]): string {
  const missingFirst = [...findings].sort((a, b) => Number(b.status === 'missing') - Number(a.status === 'missing'));
  const indent = 'missing  '.length + Math.max(...findings.map(({ topic }) => topic.length)) + 2;
  const lines = missingFirst.flatMap(({ topic, status, found, mend }) => {
    const [first = '', ...more] = [...wrapped(found), ...wrapped(mend)];
    const start = `${status.padEnd('missing  '.length)}${topic}`;
    return [start.padEnd(indent) + first, ...more.map((line) => ' '.repeat(indent) + line)];
  });
  return `What Midtrain found on this machine\n\n${lines.join('\n')}\n`;
}

/** An editor does not break the lines of such a page. */
function wrapped(text: string): string[] {
  return text.split('\n').flatMap((line) => line.match(/\S.{0,69}(?=\s|$)|\S{70,}/g) ?? []);
}

/** Asks `midtrain doctor`. @throws UserError when it cannot be run */
export async function readFindings({ command }: Midtrain): Promise<Finding[]> {
  if (!vscode.workspace.isTrusted) throw new UserError('This workspace is not trusted, so nothing is run in it.');
  const env = { ...process.env, ...environmentOf(readSettings()), ELECTRON_RUN_AS_NODE: '1' };
  const text = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, [command, 'doctor', '--json'], { env, timeout: 60_000 }, (error, stdout, stderr) => {
      // It exits with 1 where something is missing, and has said what.
      if (stdout.includes('"findings"')) resolve(stdout);
      else
        reject(new UserError(`The check of this machine failed: ${stderr.trim() || (error?.message ?? 'no answer')}`));
    });
  });
  for (const line of text.split('\n')) {
    try {
      const row = JSON.parse(line) as { findings?: Finding[] };
      if (Array.isArray(row.findings)) return row.findings;
    } catch {
      // not the row with the findings
    }
  }
  throw new UserError('The check of this machine gave no answer.');
}
