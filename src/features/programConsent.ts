/**
 * Asks once a machine whether programs that a model wrote may run on it, and says what protects it. The headless command
 * asks the same and keeps the answer in the same place.
 */
import * as vscode from 'vscode';
import { allowPrograms, programsAllowed } from '../runner/programConsent.ts';
import type { Midtrain } from './context.ts';
import { type Finding, readFindings } from './environment.ts';
import { readSettings } from './settings.ts';

export async function needProgramConsent(midtrain: Midtrain): Promise<void> {
  const { cacheFolder } = readSettings();
  if (await programsAllowed(cacheFolder)) return;
  const findings = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: 'Midtrain: looking what protects this machine…' },
    () => readFindings(midtrain),
  );
  const yes = 'Run Programs';
  const answer = await vscode.window.showWarningMessage(
    'Scoring runs programs that a model wrote, on this machine and under your account.',
    { modal: true, detail: consentDetail(findings) },
    yes,
  );
  if (answer !== yes) throw new vscode.CancellationError();
  await allowPrograms(cacheFolder);
}

/** What is in force and what is not, in plain words. */
export function consentDetail(findings: readonly Finding[]): string {
  const layers = findings.filter(({ topic }) => topic === 'Sandbox');
  const inForce = layers.filter(({ status }) => status === 'ok').map(({ found }) => found.split(':')[0]!);
  const missing = layers.filter(({ status }) => status !== 'ok').map(({ found, mend }) => `• ${found}: ${mend}`);
  return [
    inForce.length > 0 ? `In force here: ${inForce.join(', ')}.` : 'Nothing is in force here.',
    ...(missing.length > 0 ? ['', 'Not in force:', ...missing] : []),
    '',
    'These layers stop accidents and common mischief. They are no virtual machine: for a model you do not trust use one.',
    '',
    'You are asked once on this machine. Check Environment says what each layer does.',
  ].join('\n');
}
