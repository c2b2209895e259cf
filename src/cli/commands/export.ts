/**
 * `midtrain export RUN`: writes what a run has trained in a form that other programs load. The work is the runner's; this
 * reads the options and shows the progress.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { formatBytes } from '../../catalog/plan.ts';
import { type CheckpointChoice, EXPORT_FORMATS, type ExportFormat } from '../../midtraining/exportFormats.ts';
import { exportRun } from '../../runner/exportRun.ts';
import type { Context, Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, withCommonOptions } from '../options.ts';
import { folderOfRun } from '../runFolder.ts';

interface ExportOptions extends CommonOptions {
  readonly format: ExportFormat;
  readonly checkpoint: CheckpointChoice;
  readonly out?: string;
  readonly overwrite: boolean;
}

export function addExport(program: Command, run: Run): void {
  const formats = Object.entries(EXPORT_FORMATS).map(([id, { title }]) => `  ${id.padEnd(10)} ${title}`);
  const command = program
    .command('export')
    .description('write what a run has trained as a model or an adapter that other programs load')
    .argument('<run>', 'the folder of a training run, or its name among the runs')
    .addOption(
      new Option('-f, --format <name>', 'what is written').choices(Object.keys(EXPORT_FORMATS)).makeOptionMandatory(),
    )
    .option(
      '-c, --checkpoint <step>',
      'a step, latest, best (lowest held-out loss), base (before training), or final: what the run ended with',
      checkpointChoice,
      'final',
    )
    .option('-o, --out <path>', "where it goes; default: in the run's folder, under exports")
    .option('--overwrite', 'what is at --out may go', false)
    .addHelpText('after', `\nFormats:\n${formats.join('\n')}`);
  withCommonOptions(command).action(async (name: string, options: ExportOptions) => {
    await run(options, (context) => exportOne(name, context, options));
  });
}

function checkpointChoice(text: string): CheckpointChoice {
  if (text === 'final' || text === 'latest' || text === 'best' || text === 'base') return text;
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a step, final, latest, best or base.');
}

async function exportOne(
  name: string,
  { output, signal }: Context,
  { format, checkpoint, out, overwrite }: ExportOptions,
): Promise<ExitCode> {
  const outcome = await exportRun(await folderOfRun(name), {
    format,
    checkpoint,
    out: out ?? null,
    overwrite,
    signal,
    onProgress: (done, total) => {
      output.progress({ title: 'Exporting', done, total, unit: 'tensors' });
    },
  });
  const { step, path, bytes } = outcome;
  const what = step === null ? 'the base' : `step ${step}`;
  output.result('export', [`${EXPORT_FORMATS[format].title} of ${what}, ${formatBytes(bytes)}`, path], outcome);
  return exitCodes.ok;
}
