/**
 * `midtrain control RUN VERB`: asks the process that works on a run to do something, as the editor's buttons do. The verb acts
 * between two steps of the model.
 */
import { Argument, type Command, InvalidArgumentError } from 'commander';
import { RunFollower } from '../../client/runFollower.ts';
import { UserError } from '../../errors.ts';
import { type Settings, VERBS, type Verb } from '../../runner/events.ts';
import type { Context, Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, wholeNumber, withCommonOptions } from '../options.ts';
import { folderOfRun } from '../runFolder.ts';

interface ControlOptions extends CommonOptions {
  /** Null: back to the schedule. */
  readonly learningRate?: number | null;
  readonly evaluationInterval?: number;
  readonly dryRun: boolean;
}

const help = `
Verbs:
  pause            hold before the next step; the model stays in memory
  release          hold, and give the memory back
  resume           go on after pause or release
  stop             stop before the next step; a training goes on from its last checkpoint then
  stop-and-save    save a checkpoint and stop
  checkpoint       save a checkpoint before the next step
  sample           show what the live weights write
  set              change --learning-rate or --evaluation-interval for the steps to come

A run that has no process is begun or resumed by the command that started it.`;

export function addControl(program: Command, run: Run): void {
  const command = program
    .command('control')
    .description('pause, resume, stop or change a run at work')
    .argument('<run>', 'its folder, or its name in the store')
    .addArgument(new Argument('<verb>', 'what is to be done').choices(VERBS))
    .option('--learning-rate <rate>', 'with set: for the steps to come; "schedule" goes back to it', learningRate)
    .option('--evaluation-interval <steps>', 'with set: steps between evaluations; 0: none', wholeNumber(0))
    .option('--dry-run', 'only say what would be done', false)
    .addHelpText('after', help);
  withCommonOptions(command).action(async (name: string, verb: Verb, options: ControlOptions) => {
    await run(options, (context) => control(name, verb, context, options));
  });
}

async function control(
  name: string,
  verb: Verb,
  { output }: Context,
  { learningRate: rate, evaluationInterval, dryRun }: ControlOptions,
): Promise<ExitCode> {
  const settings: Settings = {
    ...(rate === undefined ? {} : { learningRate: rate }),
    ...(evaluationInterval === undefined ? {} : { evaluationInterval }),
  };
  const isSet = verb === 'set';
  if (isSet !== Object.keys(settings).length > 0) {
    throw new UserError(
      isSet
        ? 'There is nothing to set: give --learning-rate or --evaluation-interval.'
        : `"${verb}" takes no settings: --learning-rate and --evaluation-interval go with "set".`,
    );
  }
  const follower = await RunFollower.open(await folderOfRun(name), { client: 'terminal' });
  try {
    const answer = await follower.control(verb, dryRun, isSet ? settings : undefined);
    const did = answer.applied ? (dryRun ? 'Would be done' : 'Done') : 'Nothing was done';
    output.result('control', [`${did}: ${answer.detail}`], { verb, dryRun, ...answer });
    return answer.applied ? exitCodes.ok : exitCodes.failed;
  } finally {
    follower.close();
  }
}

function learningRate(text: string): number | null {
  if (text === 'schedule') return null;
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('It must be a number above 0, such as 1e-4, or "schedule".');
}
