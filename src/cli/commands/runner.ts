/**
 * `midtrain runner FOLDER`: works on a run that is there already, detached from whoever started it; what it tells goes into
 * the run's folder. The editor starts it; it is in no help text.
 */
import type { Command } from 'commander';
import { resolve } from 'node:path';
import type { Context, Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, withCommonOptions } from '../options.ts';

export function addRunner(program: Command, run: Run): void {
  const command = program.command('runner', { hidden: true }).argument('<folder>');
  withCommonOptions(command).action(async (folder: string, options: CommonOptions) => {
    await run(options, (context) => work(folder, context));
  });
}

async function work(folder: string, { signal }: Context): Promise<ExitCode> {
  process.on('SIGHUP', () => undefined); // the terminal or the window that it came from may go
  const { workOnRun } = await import('../../runner/work.ts');
  const { outcome } = await workOnRun(resolve(folder), { signal });
  return outcome.status === 'finished' ? exitCodes.ok : exitCodes.interrupted;
}
