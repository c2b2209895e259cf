/**
 * The commands on a training run, from its row, its panel or the palette: open it, and the verbs that only a training knows.
 * Each verb says what came of it where that cannot be seen.
 */
import * as vscode from 'vscode';
import { type FollowedTraining, isTraining } from '../client/followedRun.ts';
import type { RunFollower } from '../client/runFollower.ts';
import { type CommandId, commands } from '../contributions.ts';
import { UserError } from '../errors.ts';
import type { Settings, Verb } from '../runner/events.ts';
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
  const live = async (argument: unknown, title: string): Promise<Training> => {
    const isAtWork = (run: RunFollower): run is Training => isTraining(run) && isLive(run.state);
    const atWork = midtrain.runs.runs.filter(isAtWork);
    if (chosen(argument) === null && atWork.length === 0) throw new UserError('No training is at work.');
    return chosen(argument) === null && atWork.length === 1 ? atWork[0]! : training(argument, title, isAtWork);
  };
  const verb = (
    command: CommandId,
    name: Verb,
    title: string,
    settings?: (run: Training) => Promise<Settings>,
  ): void => {
    register(midtrain, command, async (argument?: unknown) => {
      const run = await live(argument, title);
      await say(await run.control(name, false, await settings?.(run)));
    });
  };
  verb(commands.pauseAndRelease, 'release', 'Pause which training, and release its memory?');
  verb(commands.stopAndSave, 'stop-and-save', 'Save a checkpoint of which training, and stop it?');
  verb(commands.saveCheckpoint, 'checkpoint', 'Save a checkpoint of which training?');
  verb(commands.sampleNow, 'sample', 'Sample the live weights of which training?');
  verb(commands.setLearningRate, 'set', 'Set the learning rate of which training?', askLearningRate);
  verb(commands.setEvaluationInterval, 'set', 'Set the evaluation interval of which training?', askInterval);
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

async function askLearningRate({ state }: Training): Promise<Settings> {
  const now = state.metric?.learningRate ?? null;
  const text = await ask(
    'The learning rate of the steps to come, such as 1e-4; empty: the schedule’s',
    now === null ? '' : String(Number(now.toPrecision(3))),
    (value) => value === '' || (Number.isFinite(Number(value)) && Number(value) > 0),
    'Write a number above 0, such as 0.0001 or 1e-4, or nothing.',
  );
  return { learningRate: text === '' ? null : Number(text) };
}

async function askInterval({ description }: Training): Promise<Settings> {
  const text = await ask(
    'Steps between evaluations; 0: none',
    String(description.request.config.evaluationInterval),
    (value) => /^\d{1,9}$/.test(value),
    'Write a whole number, such as 50.',
  );
  return { evaluationInterval: Number(text) };
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
