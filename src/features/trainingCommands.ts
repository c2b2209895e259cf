/**
 * The commands on a training run, from its row, its panel or the palette: open it, and the verbs that only a training knows.
 * Each verb says what came of it where that cannot be seen.
 */
import * as vscode from 'vscode';
import * as v from 'valibot';
import { type FollowedTraining, hasEStep, isTraining } from '../client/followedRun.ts';
import type { RunFollower } from '../client/runFollower.ts';
import { type CommandId, commands } from '../contributions.ts';
import { UserError } from '../errors.ts';
import { type Settings, settingsSchema, type Verb } from '../runner/events.ts';
import { isLive } from '../runner/state.ts';
import { type Midtrain, register } from './context.ts';
import { askRun } from './evaluate.ts';
import { exportMetrics } from './exportMetrics.ts';
import { runChosenBy } from './runCommands.ts';

type Training = RunFollower & FollowedTraining;

export function activateTrainingCommands(midtrain: Midtrain, show: (run: FollowedTraining) => void): void {
  const chosen = runChosenBy(midtrain);
  const training = async (argument: unknown, title: string, which = isTraining<RunFollower>): Promise<Training> => {
    const run = chosen(argument) ?? (await askRun(midtrain, title, which, 'There is no such training run.'));
    if (!isTraining(run)) throw new UserError('An evaluation has results and no curves: open its results.');
    return run;
  };
  const live = async (argument: unknown, title: string, onlyEStep = false): Promise<Training> => {
    const isAtWork = (run: RunFollower): run is Training =>
      isTraining(run) && isLive(run.state) && (!onlyEStep || hasEStep(run));
    const atWork = midtrain.runs.runs.filter(isAtWork);
    if (chosen(argument) === null && atWork.length === 0) {
      throw new UserError(onlyEStep ? 'No training with an E-step is at work.' : 'No training is at work.');
    }
    return chosen(argument) === null && atWork.length === 1 ? atWork[0]! : training(argument, title, isAtWork);
  };
  const verb = (command: CommandId, name: Verb, title: string): void => {
    register(midtrain, command, async (argument?: unknown) => {
      await say(await (await live(argument, title)).control(name));
    });
  };
  verb(commands.pauseAndRelease, 'release', 'Pause which training, and release its memory?');
  verb(commands.stopAndSave, 'stop-and-save', 'Save a checkpoint of which training, and stop it?');
  verb(commands.saveCheckpoint, 'checkpoint', 'Save a checkpoint of which training?');
  verb(commands.sampleNow, 'sample', 'Sample the live weights of which training?');
  for (const setting of SETTINGS) {
    register(midtrain, setting.command, async (argument?: unknown) => {
      const run = await live(argument, `Set the ${setting.what} of which training?`, setting.hasEStep === true);
      await say(await run.control('set', false, await askSetting(run, setting)));
    });
  }
  register(midtrain, commands.openRun, async (argument?: unknown) => {
    show(await training(argument, 'Open which training run?'));
  });
  register(midtrain, commands.exportMetrics, async (argument?: unknown, format?: unknown) => {
    await exportMetrics(midtrain, await training(argument, 'Export the metrics of which training?'), format);
  });
}

/** What a verb came to: a passing word, or a notice where nothing was done. */
async function say({ applied, detail }: { readonly applied: boolean; readonly detail: string }): Promise<void> {
  if (applied) vscode.window.setStatusBarMessage(`Midtrain: ${detail}`, 8000);
  else await vscode.window.showWarningMessage(`Midtrain: nothing was done. ${detail}`);
}

/** Something that can be set while a run trains. Which values are right, and whether there may be none, the schema says. */
interface Setting {
  readonly command: CommandId;
  readonly key: keyof Settings;
  readonly what: string;
  readonly prompt: string;
  readonly hint: string;
  /** Only of trainings with an E-step. */
  readonly hasEStep?: boolean;
}

const SETTINGS: readonly Setting[] = [
  {
    command: commands.setLearningRate,
    key: 'learningRate',
    what: 'learning rate',
    prompt: 'The learning rate of the steps to come, such as 1e-4; empty: the schedule’s',
    hint: 'Write a number above 0, such as 0.0001 or 1e-4, or nothing.',
  },
  {
    command: commands.setEvaluationInterval,
    key: 'evaluationInterval',
    what: 'evaluation interval',
    prompt: 'Steps between evaluations; 0: none',
    hint: 'Write a whole number, such as 50.',
  },
  {
    command: commands.setThinkPenalty,
    key: 'thinkPenalty',
    what: 'think penalty',
    prompt: 'What a thought costs (c) in the updates to come, in nats: the higher, the rarer thoughts are',
    hint: 'Write a number from 0 on, such as 0.05.',
    hasEStep: true,
  },
  {
    command: commands.setTemperature,
    key: 'temperature',
    what: 'temperature',
    prompt: 'The temperature of the rollouts to come',
    hint: 'Write a number above 0, such as 0.8.',
    hasEStep: true,
  },
  {
    command: commands.setGroupSize,
    key: 'groupSize',
    what: 'group size',
    prompt: 'Rollouts of a snippet (G) in the updates to come',
    hint: 'Write a whole number from 2 on, such as 16.',
    hasEStep: true,
  },
  {
    command: commands.setUpdates,
    key: 'eUpdates',
    what: 'updates a round',
    prompt: 'Updates of q a round (E-step), in the rounds to come; 0: no E-step',
    hint: 'Write a whole number, such as 10.',
    hasEStep: true,
  },
  {
    command: commands.setSteps,
    key: 'mSteps',
    what: 'steps a round',
    prompt: 'Steps of the model a round (M-step), in the rounds to come',
    hint: 'Write a whole number from 1 on, such as 40.',
    hasEStep: true,
  },
];

async function askSetting(run: Training, { key, prompt, hint }: Setting): Promise<Settings> {
  const valueOf = (text: string): number | null => (text === '' ? null : Number(text));
  const now = currentOf(run, key);
  const text = await ask(
    prompt,
    now === null ? '' : String(Number(now.toPrecision(3))),
    (typed) => v.is(settingsSchema.entries[key], valueOf(typed)),
    hint,
  );
  return { [key]: valueOf(text) };
}

/** As it is at work now, as far as that is told. */
function currentOf({ state, description }: Training, key: keyof Settings): number | null {
  if (key === 'learningRate') return state.metric?.learningRate ?? null;
  const { evaluationInterval, abstractions } = description.request.config;
  return { evaluationInterval, ...abstractions, ...state.settings }[key] ?? null;
}

/** @throws CancellationError when it is left */
async function ask(prompt: string, value: string, isRight: (value: string) => boolean, hint: string): Promise<string> {
  const text = await vscode.window.showInputBox({
    prompt,
    value,
    ignoreFocusOut: true,
    validateInput: (typed) => (isRight(typed.trim()) ? null : hint),
  });
  if (text === undefined) throw new vscode.CancellationError();
  return text.trim();
}
