/**
 * `midtrain abstractions`: what a model makes of a piece of code, with its latents written into it, or with those it has taken
 * out. The work is the runner's and the parser's; this reads the options and prints.
 */
import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import { modelForms } from '../../catalog/models.ts';
import type { PrecisionChoice } from '../../engine/languageModel.ts';
import { UserError } from '../../errors.ts';
import type { CodeReading } from '../../midtraining/abstractions/reading.ts';
import type { ReaderModel } from '../../runner/reader.ts';
import { type DeviceChoice } from '../../runner/types.ts';
import { type Context, needModel, type Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import {
  type CommonOptions,
  type ConsentOptions,
  numberBetween,
  wholeNumber,
  withCommonOptions,
  withConsentOptions,
  withEngineOptions,
} from '../options.ts';
import { readingLines } from '../readingLines.ts';
import { readText } from '../readText.ts';
import { folderOfRun } from '../runFolder.ts';

interface AbstractionsOptions extends CommonOptions, ConsentOptions {
  readonly model?: string;
  readonly run?: string;
  readonly step?: number;
  readonly latents: CodeReading['latents'];
  readonly threshold: number;
  readonly infuse: boolean;
  readonly strip: boolean;
  readonly device: DeviceChoice;
  readonly precision: PrecisionChoice;
  readonly threads?: number;
}

export function addAbstractions(program: Command, run: Run): void {
  const command = program
    .command('abstractions')
    .description(
      'what a model makes of a piece of Python: where it would think, what its thoughts are worth, what surprises it',
    )
    .argument('<file>', 'the code; -: stdin')
    .option('-m, --model <model>', modelForms)
    .option('-r, --run <run>', 'instead of a model a training run, by its folder or its name among the runs')
    .option('-s, --step <step>', 'which checkpoint of the run; default: what it ended with', wholeNumber(0))
    .addOption(
      new Option('-l, --latents <whose>', 'comments in the text, those that the model writes, or none')
        .choices(['text', 'model', 'none'])
        .default('text'),
    )
    .option('--threshold <probability>', 'the model writes where P(think) is at least this', numberBetween(0, 1), 0.5)
    .option('--infuse', "write the code with the model's latents, in place of those it has, and nothing else", false)
    .option('--strip', 'write the code without its latents and nothing else; needs no model', false);
  withConsentOptions(withCommonOptions(withEngineOptions(command))).action(
    async (file: string, options: AbstractionsOptions) => {
      await run(options, (context) => (options.strip ? strip(file, context) : read(file, context, options)));
    },
  );
}

async function strip(file: string, context: Context): Promise<ExitCode> {
  const text = await readText(file, context);
  const [{ pythonParser }, { stripLatents }] = await Promise.all([
    import('../../midtraining/data/pythonGrammar.ts'),
    import('../../midtraining/abstractions/latents.ts'),
  ]);
  const parser = await pythonParser();
  writeCode(stripLatents(parser, text), context);
  parser.delete();
  return exitCodes.ok;
}

async function read(file: string, context: Context, options: AbstractionsOptions): Promise<ExitCode> {
  const { output, signal } = context;
  const { infuse, threshold, device, precision, threads = null } = options;
  const asked = await modelOf(context, options);
  const text = await readText(file, context);
  // Loaded here, so that the other commands do not wait for ONNX Runtime.
  const [{ openReader }, { readCode }, { infuseLatents }] = await Promise.all([
    import('../../runner/reader.ts'),
    import('../../midtraining/rollouts/readCode.ts'),
    import('../../midtraining/abstractions/latents.ts'),
  ]);
  const { reader, model, close } = await openReader(asked, { device, precision, threads, signal });
  try {
    const name = file === '-' ? 'stdin' : basename(file);
    const latents = infuse ? 'model' : options.latents;
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      output.progress({ title: `Reading ${name}`, done, total, unit: 'tokens' });
    };
    const reading = await readCode(reader, { name, text, latents, threshold, model }, { signal, onProgress });
    if (infuse) {
      const written = reading.lines.map(({ latent }) => latent?.text ?? null);
      writeCode(infuseLatents(reader.parser, text, written), context);
    } else output.result('abstractions', readingLines(reading), reading);
  } finally {
    await close();
  }
  return exitCodes.ok;
}

/** As it is, with no newline more than it has. */
function writeCode(code: string, { output }: Context): void {
  if (output.json) output.result('code', [], { code });
  else {
    output.close();
    process.stdout.write(code);
  }
}

async function modelOf(context: Context, { model, run, step }: AbstractionsOptions): Promise<ReaderModel> {
  if (run !== undefined) {
    if (model !== undefined) throw new UserError('Name a model or a run, not both: a run has a model of its own.');
    return { run: await folderOfRun(run), checkpoint: step ?? 'final' };
  }
  if (step !== undefined) throw new UserError('A step is that of a run: name the run with --run.');
  if (model === undefined)
    throw new UserError('Name what reads the code: a model with --model, or a training with --run.');
  const { path, label } = await needModel(model, context);
  return { path, label };
}
