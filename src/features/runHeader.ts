/**
 * What the head of a run panel says of a training: how it stands, how long it will take, what can be done, and the facts of
 * its config. Pure; knows nothing of panels or of VS Code.
 */
import { type FollowedTraining, hasEStep } from '../client/followedRun.ts';
import type { MetricsFile } from '../client/metricsFile.ts';
import { canResume, isLive } from '../runner/state.ts';
import type { Action, Header } from '../webviews/run/messages.ts';
import { duration, methodWords, phaseWords, runTitle, runVariant } from './runLabels.ts';

export function headerOf(run: FollowedTraining, metrics: MetricsFile): Header {
  const { state, description, folder } = run;
  const { status, phase, phaseSince, metric } = state;
  const step = metric?.step ?? 0;
  const steps = metric?.steps ?? description.request.config.steps;
  const { pace, device, notes } = metrics;
  return {
    title: [runTitle(description), runVariant(description)].join(', '),
    folder,
    status,
    words: wordsOf(run),
    phase: isLive(state) && phase !== null ? { words: phaseWords[phase], since: phaseSince } : null,
    step,
    steps,
    left: status === 'running' && pace !== null ? pace * (steps - step) : null,
    device: device ?? '',
    error: state.error,
    facts: factsOf(run, metrics),
    notes: notes.map(({ level, text }) => ({ level, text })),
    actions: actionsOf(run, metrics),
  };
}

function wordsOf({ state }: FollowedTraining): string {
  const { status, metric, launched, ended } = state;
  const took = launched === null || ended === null ? '' : ` after ${duration(ended - launched)}`;
  switch (status) {
    case 'asked':
      return 'Not started yet: no process has taken it.';
    case 'running':
      return metric === null ? 'Running: nothing is trained yet.' : 'Running';
    case 'paused':
      return 'Paused: it holds between two steps.';
    case 'finished':
      return `Finished${took}`;
    case 'stopped':
      return `Stopped${took}. Resume goes on from its last checkpoint.`;
    case 'failed':
      return `Failed${took}. Resume goes on from its last checkpoint.`;
    case 'crashed':
      return 'Crashed. Resume goes on from its last checkpoint.';
  }
}

function actionsOf(run: FollowedTraining, { rows, updates }: MetricsFile): Action[] {
  const { state } = run;
  const { status } = state;
  const live = isLive(state);
  const possible: readonly (readonly [isPossible: boolean, ...actions: Action[]])[] = [
    [status === 'running', 'pause'],
    [status === 'paused' || canResume(state), 'resume'],
    [live, 'release', 'stop', 'stopAndSave', 'checkpoint', 'sample', 'setLearningRate', 'setEvaluationInterval'],
    [live && hasEStep(run), 'setThinkPenalty', 'setTemperature', 'setGroupSize', 'setUpdates', 'setSteps'],
    [true, 'openFolder'],
    [rows.count > 0, 'exportCsv'],
    [updates.count > 0, 'exportEStepCsv'],
    [rows.count + updates.count > 0, 'exportTensorBoard'],
  ];
  return possible.flatMap(([isPossible, ...actions]) => (isPossible ? actions : []));
}

/** Names and values, in the order in which they are shown. What is not known yet is left out. */
function factsOf(run: FollowedTraining, { device, settings }: MetricsFile): Header['facts'] {
  const { description, folder } = run;
  const { request, identity = {}, host = {}, created } = description;
  const { config, model } = request;
  const { lora, abstractions } = config;
  const set = { ...abstractions, ...settings };
  const eStep: [name: string, value: unknown][] = [
    ['Think penalty', `${set.thinkPenalty} nats`],
    ['Rollouts', `${set.groupSize} of each of ${abstractions.snippets} snippets, at temperature ${set.temperature}`],
    ['Round', `${set.eUpdates} updates of q, ${set.mSteps} steps of the model`],
  ];
  const facts: [name: string, value: unknown][] = [
    ['Config', request.name],
    ['Model', model.spec],
    ['Model hash', identity['model']],
    ['Method', methodWords[config.method]],
    ...(hasEStep(run) ? eStep : []),
    ['Trained', config.train === 'lora' ? `LoRA, rank ${lora.rank}, alpha ${lora.alpha}` : 'all parameters'],
    ['Data', config.data.map((source) => ('path' in source ? source.path : source.kind)).join(', ')],
    ['Steps', config.steps],
    ['Tokens a step', config.batchTokens],
    ['Context', config.context],
    ['Learning rate', config.learningRate ?? identity['learningRate']],
    ['Schedule', `${config.schedule}, ${config.warmup} steps of warm-up`],
    ['Weight decay', config.weightDecay],
    ['Clipped at', config.clip ?? 'not clipped'],
    ['Evaluated', config.evaluationInterval === 0 ? 'never' : `every ${config.evaluationInterval} steps`],
    ['Checkpoint', `every ${config.checkpointInterval} steps, the last ${config.keep} and the best are kept`],
    ['Early stopping', config.patience === null ? 'off' : `after ${config.patience} evaluations without gain`],
    ['Seed', config.seed],
    ['Device', device],
    ['Machine', host['platform'] === undefined ? '' : `${str(host['platform'])}, ${str(host['cores'])} cores`],
    ['Asked for', new Date(created).toLocaleString()],
    ['Folder', folder],
  ];
  return facts.map(([name, value]) => ({ name, value: str(value) })).filter(({ value }) => value !== '');
}

function str(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
