/**
 * `midtrain reader`: the process that reads code for an editor, which starts it. It is in no help text.
 */
import type { Command } from 'commander';
import type { Context, Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, seconds, withCommonOptions } from '../options.ts';

interface ReaderOptions extends CommonOptions {
  readonly idle: number;
}

export function addReader(program: Command, run: Run): void {
  const command = program
    .command('reader', { hidden: true })
    .option('--idle <seconds>', 'how long a model stays loaded that nobody asks for', seconds, 300);
  withCommonOptions(command).action(async (options: ReaderOptions) => {
    await run(options, (context) => serve(context, options));
  });
}

async function serve({ signal }: Context, { idle }: ReaderOptions): Promise<ExitCode> {
  const { serveReader } = await import('../../runner/readerServer.ts');
  await serveReader({ input: process.stdin, output: process.stdout, idleMilliseconds: 1000 * idle, signal });
  return exitCodes.ok;
}
