/**
 * `midtrain control RUN VERB`: asks the process that works on a run to do something, as the editor's buttons do. The verb acts
 * between two steps of the model.
 */
import { Argument, type Command } from 'commander';
import * as v from 'valibot';
import { RunFollower } from '../../client/runFollower.ts';
import { UserError } from '../../errors.ts';
import { type Settings, settingsSchema, VERBS, type Verb } from '../../runner/events.ts';
import type { Context, Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, withCommonOptions } from '../options.ts';
import { folderOfRun } from '../runFolder.ts';

interface ControlOptions extends CommonOptions {
  readonly dryRun: boolean;
}

const KEYS = Object.keys(settingsSchema.entries);

const help = `
Verbs:
  pause            hold before the next step; the model stays in memory
  release          hold, and give the memory back
  resume           go on after pause or release
  stop             stop before the next step; a training goes on from its last checkpoint then
  stop-and-save    save a checkpoint and stop
  checkpoint       save a checkpoint before the next step
  sample           show what the live weights write
  set KEY=VALUE …  change what is to come: ${KEYS.join(', ')};
                   learningRate=null goes back to the schedule

A run that has no process is begun or resumed by the command that started it.`;

export function addControl(program: Command, run: Run): void {
  const command = program
    .command('control')
    .description('pause, resume, stop or change a run at work')
    .argument('<run>', 'its folder, or its name in the store')
    .addArgument(new Argument('<verb>', 'what is to be done').choices(VERBS))
    .argument('[settings...]', 'of set: such as learningRate=1e-4 thinkPenalty=0.1')
    .option('--dry-run', 'only say what would be done', false)
    .addHelpText('after', help);
  withCommonOptions(command).action(async (name: string, verb: Verb, settings: string[], options: ControlOptions) => {
    await run(options, (context) => control(name, verb, settings, context, options));
  });
}

async function control(
  name: string,
  verb: Verb,
  pairs: readonly string[],
  { output }: Context,
  { dryRun }: ControlOptions,
): Promise<ExitCode> {
  const isSet = verb === 'set';
  if (!isSet && pairs.length > 0)
    throw new UserError(`"${verb}" takes no settings: ${pairs.join(' ')} goes with "set".`);
  const settings = isSet ? settingsOf(pairs) : undefined;
  const follower = await RunFollower.open(await folderOfRun(name), { client: 'terminal' });
  try {
    const answer = await follower.control(verb, dryRun, settings);
    const did = answer.applied ? (dryRun ? 'Would be done' : 'Done') : 'Nothing was done';
    output.result('control', [`${did}: ${answer.detail}`], { verb, dryRun, ...answer });
    return answer.applied ? exitCodes.ok : exitCodes.failed;
  } finally {
    follower.close();
  }
}

/** @throws UserError for a key that there is not, or a value that is none of its */
function settingsOf(pairs: readonly string[]): Settings {
  const known = `Settings are ${KEYS.join(', ')}.`;
  if (pairs.length === 0) throw new UserError(`There is nothing to set: give KEY=VALUE. ${known}`);
  const given = pairs.map((pair) => {
    const [key = '', text = ''] = pair.split('=', 2);
    if (!KEYS.includes(key)) throw new UserError(`"${pair}" sets nothing that there is: write KEY=VALUE. ${known}`);
    return [key, text === 'null' ? null : text.trim() === '' ? NaN : Number(text)] as const;
  });
  const parsed = v.safeParse(settingsSchema, Object.fromEntries(given));
  if (parsed.success) return parsed.output;
  const [{ path, message }] = parsed.issues;
  throw new UserError(`"${String(path?.[0]?.key)}" is not as it should be: ${message}.`);
}
