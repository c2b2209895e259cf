/**
 * Check Environment: what the headless command's `doctor` found on this machine, in the log's channel.
 */
import { execFile } from 'node:child_process';
import * as vscode from 'vscode';
import { UserError } from '../errors.ts';
import { commands } from '../contributions.ts';
import { type Midtrain, register } from './context.ts';
import { environmentOf, readSettings } from './settings.ts';

/** As `midtrain doctor --json` says it. */
export interface Finding {
  readonly topic: string;
  readonly status: 'ok' | 'note' | 'missing';
  readonly found: string;
  /** What to do about it, or ''. */
  readonly mend: string;
}

export function activateEnvironment(midtrain: Midtrain): void {
  const channel = vscode.window.createOutputChannel('Midtrain Environment');
  midtrain.extension.subscriptions.push(channel);
  register(midtrain, commands.checkEnvironment, async () => {
    const findings = await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: 'Midtrain: looking at this machine…' },
      () => readFindings(midtrain),
    );
    channel.clear();
    const marks = { ok: '✓', note: '·', missing: '✗' };
    for (const { topic, status, found, mend } of findings) {
      channel.appendLine(`${marks[status]} ${topic.padEnd(13)} ${found}`);
      if (mend !== '') channel.appendLine(`${' '.repeat(16)}→ ${mend}`);
    }
    channel.show();
    const missing = findings.filter(({ status }) => status === 'missing');
    if (missing.length === 0) void vscode.window.showInformationMessage('Midtrain: everything it needs is here.');
    else {
      const { topic, mend } = missing[0]!;
      void vscode.window.showWarningMessage(`Midtrain: ${topic} is missing. ${mend}`);
    }
  });
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
