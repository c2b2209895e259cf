/**
 * Asks for an evaluation: few questions, each with the last answer first, and then everything that must be agreed to.
 */
import * as vscode from 'vscode';
import { describePlan, type DownloadPlan, formatBytes } from '../catalog/plan.ts';
import { isEvaluation } from '../client/followedRun.ts';
import type { RunFollower } from '../client/runFollower.ts';
import { commands } from '../contributions.ts';
import { UserError } from '../errors.ts';
import { BENCHMARKS } from '../evaluation/benchmarks/index.ts';
import { protocolsOf } from '../evaluation/protocols.ts';
import type { BenchmarkId } from '../evaluation/types.ts';
import { type EvaluationRequest, runsPrograms } from '../runner/types.ts';
import { addModel } from './addModel.ts';
import { findData, findModel, type KnownModel, knownModels } from './catalog.ts';
import { type Midtrain, register } from './context.ts';
import { needProgramConsent } from './programConsent.ts';
import { runFigures, runTitle } from './runLabels.ts';
import { readSettings } from './settings.ts';

/** The answers that are remembered. */
interface Answers {
  readonly model: string | null;
  readonly benchmark: BenchmarkId;
  /** Null: chat where the model has a chat template. */
  readonly protocol: string | null;
  readonly samples: number;
  readonly temperature: number;
  readonly limit: number | null;
}

const FIRST: Answers = {
  model: null,
  benchmark: 'humaneval',
  protocol: null,
  samples: 1,
  temperature: 0,
  limit: null,
};
const REMEMBERED = 'midtrain.answers';

export function activateEvaluate(midtrain: Midtrain, chosen: (argument: unknown) => RunFollower | null): void {
  const { globalState } = midtrain.extension;
  const remembered = (): Answers => ({ ...FIRST, ...globalState.get<Partial<Answers>>(REMEMBERED) });

  const start = async (answers: Answers): Promise<void> => {
    await globalState.update(REMEMBERED, answers);
    await startRun(midtrain, await requestOf(answers));
  };
  const quick = (benchmark: BenchmarkId) => async (argument?: unknown) => {
    const model = specOf(argument) ?? (await askModel(remembered().model));
    await start({ ...FIRST, model, benchmark });
  };
  register(midtrain, commands.evaluateHumanEval, quick('humaneval'));
  register(midtrain, commands.evaluateMbpp, quick('mbpp'));
  register(midtrain, commands.evaluate, async (argument?: unknown) => {
    await start(await askAll(remembered(), specOf(argument)));
  });
  register(midtrain, commands.runAgain, async (argument?: unknown, taskId?: unknown) => {
    const run = chosen(argument) ?? (await askRun(midtrain, 'Run which one again?', isEvaluation));
    if (!isEvaluation(run)) throw new UserError('A training goes on with Resume; start another from its config.');
    const { request } = run.description;
    // From the results panel: only the problem that is looked at.
    await startRun(midtrain, typeof taskId === 'string' ? { ...request, tasks: [taskId], limit: null } : request);
  });
  register(midtrain, commands.resume, async (argument?: unknown) => {
    const run =
      chosen(argument) ??
      (await askRun(midtrain, 'Resume which run?', (one) => midtrain.canResume(one), 'No run can be resumed.'));
    if (run.state.status === 'paused') {
      await run.control('resume');
      return;
    }
    if (runsPrograms(run.description.request)) await needProgramConsent(midtrain);
    await midtrain.launch(run);
  });
}

/** Starts a run of this request once everything it needs is agreed to. */
export async function startRun(midtrain: Midtrain, request: EvaluationRequest): Promise<void> {
  if (!vscode.workspace.isTrusted) throw new UserError('This workspace is not trusted, so nothing is run in it.');
  const [model, data] = await Promise.all([findModel(request.model.spec), findData(request.benchmark.id)]);
  const plans = [model.plan, data.plan].filter((plan) => plan !== null);
  if (plans.length > 0) await needDownloadConsent(plans);
  await needProgramConsent(midtrain);
  const path = model.here?.path ?? null;
  await midtrain.start({
    ...request,
    model: { ...request.model, path },
    benchmark: { ...request.benchmark, path: data.here },
  });
}

/** @throws CancellationError when it is refused */
export async function needDownloadConsent(plans: readonly DownloadPlan[]): Promise<void> {
  const bytes = plans.reduce((sum, plan) => sum + plan.bytes, 0);
  const yes = 'Fetch';
  const answer = await vscode.window.showInformationMessage(
    `Midtrain needs ${formatBytes(bytes)} that are not here yet.`,
    { modal: true, detail: plans.map((plan) => `• ${describePlan(plan)}`).join('\n') },
    yes,
  );
  if (answer !== yes) throw new vscode.CancellationError();
}

async function requestOf(answers: Answers): Promise<EvaluationRequest> {
  const { model: spec, benchmark, protocol, samples, temperature, limit } = answers;
  if (spec === null) throw new vscode.CancellationError();
  const settings = readSettings();
  const known = (await knownModels()).find((model) => model.spec === spec);
  return {
    model: { path: known?.path ?? null, spec, label: known?.label ?? spec },
    benchmark: { id: benchmark, path: null },
    selection: 'test',
    limit,
    tasks: null,
    samples,
    sampling: { temperature, topP: 1, topK: 0, minP: 0 },
    seed: 0,
    maxTokens: null,
    protocol,
    device: settings.device,
    precision: 'auto',
    batch: null,
    threads: settings.threads,
    strict: settings.strict,
    workers: settings.workers,
    timeLimit: null,
    python: settings.python,
  };
}

export interface Choice<T> extends vscode.QuickPickItem {
  readonly value: T;
}

/** One question. The choice that equals `last` comes first. @throws CancellationError when it is left */
export async function choose<T>(title: string, step: string, choices: readonly Choice<T>[], last: T): Promise<T> {
  const sorted = [...choices].sort((a, b) => Number(b.value === last) - Number(a.value === last));
  const picked = await vscode.window.showQuickPick(sorted, {
    title: step === '' ? title : `${title} (${step})`,
    matchOnDescription: true,
    ignoreFocusOut: true,
  });
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.value;
}

async function askModel(last: string | null, step = ''): Promise<string> {
  const models = await knownModels();
  const other = '\u0000other';
  const choices = [
    ...models.map((model): Choice<string> => ({
      value: model.spec,
      label: `$(symbol-class) ${model.label}`,
      description: modelDescription(model),
      detail: model.path ?? '',
    })),
    { value: other, label: '$(add) Add Model…', description: 'a GGUF file, a folder, or a Hugging Face name' },
  ];
  const spec = await choose('Which model?', step, choices, last ?? models[0]?.spec ?? other);
  if (spec !== other) return spec;
  return addModel();
}

export function modelDescription({ path, canFetch, bytes, licence, origin }: KnownModel): string {
  const size = bytes === null ? '' : formatBytes(bytes);
  const where = path === null ? (canFetch ? 'not here yet' : 'not found') : origin === 'built in' ? origin : '';
  return [where, size, licence ?? ''].filter((part) => part !== '').join(' · ');
}

async function askAll(last: Answers, spec: string | null): Promise<Answers> {
  const model = spec ?? (await askModel(last.model, '1 of 5'));
  const benchmark = await choose(
    'Which benchmark?',
    '2 of 5',
    Object.values(BENCHMARKS).map((one) => ({ value: one.id, label: one.title, description: `${one.size} problems` })),
    last.benchmark,
  );
  const protocol = await choose<string | null>(
    'Which protocol? It says how the model is asked and how its answer is read.',
    '3 of 5',
    [
      { value: null, label: 'Automatic', description: 'chat where the model has a chat template, else plain' },
      ...protocolsOf(benchmark).map(({ id, title }) => ({ value: id, label: id, description: title })),
    ],
    last.protocol,
  );
  const sampling = await askSampling(last);
  const limit = await askLimit(last.limit);
  return { model, benchmark, protocol, ...sampling, limit };
}

async function askSampling(last: Answers): Promise<Pick<Answers, 'samples' | 'temperature'>> {
  const usual = [
    { samples: 1, temperature: 0, description: 'pass@1, the same each time' },
    { samples: 10, temperature: 0.2, description: 'pass@1 and pass@10' },
    { samples: 10, temperature: 0.8, description: 'pass@1 and pass@10, more varied' },
  ];
  const own = !usual.some(({ samples, temperature }) => samples === last.samples && temperature === last.temperature);
  const offered = own ? [{ ...last, description: 'as last time' }, ...usual] : usual;
  const word = (samples: number, temperature: number): string =>
    temperature === 0 ? 'One greedy sample a problem' : `${samples} samples a problem at temperature ${temperature}`;
  const key = await choose(
    'How many samples, and at which temperature?',
    '4 of 5',
    [
      ...offered.map(({ samples, temperature, description }) => ({
        value: `${samples} ${temperature}`,
        label: word(samples, temperature),
        description,
      })),
      { value: '', label: 'Other…', description: 'a number of samples and a temperature' },
    ],
    `${last.samples} ${last.temperature}`,
  );
  const text =
    key !== ''
      ? key
      : await askText(
          'Samples a problem and temperature, such as "20 0.8"',
          `${last.samples} ${last.temperature}`,
          (value) => (/^\s*[1-9]\d{0,3}\s+\d(\.\d+)?\s*$/.test(value) ? null : 'Write two numbers, such as "20 0.8".'),
        );
  const [samples = 1, temperature = 0] = text.trim().split(/\s+/).map(Number);
  return { samples, temperature };
}

async function askLimit(last: number | null): Promise<number | null> {
  const limits = [...new Set([null, 16, 64, last])];
  const limit = await choose<number | null>(
    'How many problems?',
    '5 of 5',
    [
      ...limits.map((value) => ({
        value,
        label: value === null ? 'All' : `The first ${value}`,
        description: value === null ? 'a score that can be compared' : 'a quick look; the score is marked as partial',
      })),
      { value: 0, label: 'Other…', description: 'the first so many' },
    ],
    last,
  );
  if (limit !== 0) return limit;
  const text = await askText('How many problems, from the first on?', '32', (value) =>
    /^[1-9]\d{0,4}$/.test(value.trim()) ? null : 'Write a whole number of at least 1.',
  );
  return Number(text);
}

async function askText(prompt: string, value: string, wrong: (value: string) => string | null): Promise<string> {
  const text = await vscode.window.showInputBox({ prompt, value, validateInput: wrong, ignoreFocusOut: true });
  if (text === undefined) throw new vscode.CancellationError();
  return text;
}

/** @throws CancellationError when it is left; UserError when there is none to choose */
export async function askRun(
  midtrain: Midtrain,
  title: string,
  which: (run: RunFollower) => boolean,
  none = 'There is no run yet.',
): Promise<RunFollower> {
  await midtrain.runs.loadAll();
  const runs = midtrain.runs.runs.filter(which);
  if (runs.length === 0) throw new UserError(none);
  const picked = await vscode.window.showQuickPick(
    runs.map((run) => ({
      run,
      label: runTitle(run.description),
      description: runFigures(run.state),
      detail: new Date(run.description.created).toLocaleString(),
    })),
    { title, matchOnDescription: true },
  );
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.run;
}

/** A row of the Models view. */
function specOf(argument: unknown): string | null {
  const spec = (argument as { spec?: unknown } | undefined)?.spec;
  return typeof spec === 'string' ? spec : null;
}
