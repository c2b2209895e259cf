/**
 * Training by a run config: makes one, says what it needs and what its data become, starts it, and finds the run that goes on
 * with it.
 */
import { spawn } from 'node:child_process';
import { basename, dirname } from 'node:path';
import { createInterface } from 'node:readline';
import * as vscode from 'vscode';
import type { RunFollower } from '../client/runFollower.ts';
import { commands, editors } from '../contributions.ts';
import type { ResolvedModel } from '../catalog/models.ts';
import { UserError } from '../errors.ts';
import { ENDING, parseTrainingConfig, type ReadConfig, type TrainingConfig } from '../midtraining/config.ts';
import { runName } from '../runner/store.ts';
import { runsPrograms, type TrainingRequest } from '../runner/types.ts';
import { findData, findModel, type Found } from './catalog.ts';
import { type AskedTraining, chosenConfig, configPicks, readConfig, workspaceConfigs } from './configDocuments.ts';
import { newConfigText } from './configText.ts';
import { type Midtrain, register } from './context.ts';
import { needDownloadConsent } from './evaluate.ts';
import { needProgramConsent } from './programConsent.ts';
import { methodWords } from './runLabels.ts';
import { environmentOf, readSettings } from './settings.ts';
import { TextPage } from './textPage.ts';

export function activateTrain(midtrain: Midtrain): void {
  const page = new TextPage('midtrain-estimate', 'Estimate');
  const data = new TextPage('midtrain-data', 'Data');
  midtrain.extension.subscriptions.push(page, data);
  register(midtrain, commands.train, async (argument?: unknown) => {
    const spec = (argument as { spec?: unknown } | undefined)?.spec;
    const uri = typeof spec === 'string' ? await newConfig(midtrain, spec) : await configToTrainBy(midtrain);
    await vscode.commands.executeCommand('vscode.openWith', uri, editors.configForm);
  });
  register(midtrain, commands.newConfig, async () => {
    await vscode.window.showTextDocument(await newConfig(midtrain, null));
  });
  register(midtrain, commands.trainByConfig, async (argument?: unknown) => {
    await startTraining(midtrain, await chosenConfig(argument, 'Train by which config?'));
  });
  register(midtrain, commands.estimate, async (argument?: unknown) => {
    const uri = await chosenConfig(argument, 'Estimate which config?');
    const { summary, lines } = await askAbout(midtrain, uri, 'estimate');
    const show = 'Show Estimate';
    void vscode.window.showInformationMessage(`Midtrain: ${summary}`, show).then((answer) => {
      if (answer === show) void page.show(pageOf(uri, lines));
    });
  });
  register(midtrain, commands.previewData, async (argument?: unknown) => {
    const uri = await chosenConfig(argument, 'Preview the data of which config?');
    const { lines } = await askAbout(midtrain, uri, 'preview');
    await data.show(pageOf(uri, lines));
  });
}

/** Starts a run once its model is here or may be fetched. @throws UserError for what is wrong with the config or its model */
export async function startTraining(midtrain: Midtrain, uri: vscode.Uri): Promise<RunFollower> {
  if (!vscode.workspace.isTrusted) throw new UserError('This workspace is not trusted, so nothing is run in it.');
  const asked = await readConfig(uri);
  const { name, config, spec } = asked;
  const { here, plan } = await agreedModel(asked);
  const label = here?.label ?? plan?.what ?? spec;
  const { python } = readSettings();
  const request: TrainingRequest = { name, config, model: { path: here?.path ?? null, spec, label }, python };
  if (runsPrograms(request)) await needProgramConsent(midtrain);
  return midtrain.start(request);
}

/** The model, once it and the benchmark of the loop are here or may be fetched. */
async function agreedModel({ spec, config }: AskedTraining): Promise<Found<ResolvedModel>> {
  const model = await findModel(spec, { weightsOptional: config.initialWeights === 'random' });
  const data = config.passAt1 === null ? null : await findData(config.passAt1.benchmark);
  const plans = [model.plan, data?.plan ?? null].filter((plan) => plan !== null);
  if (plans.length > 0) await needDownloadConsent(plans);
  return model;
}

/** The latest run of this config that can go on, or null. */
export function resumableRun(midtrain: Midtrain, { name, config }: ReadConfig): RunFollower | null {
  const isOfConfig = ({ description }: RunFollower): boolean => {
    if (description.kind !== 'training' || description.request.name !== name) return false;
    const { request } = description;
    return runName(request) === runName({ ...request, config });
  };
  return midtrain.runs.runs.find((run) => isOfConfig(run) && midtrain.canResume(run)) ?? null;
}

/** What the headless command is asked about a config, and what it is at meanwhile. */
const QUESTIONS = { estimate: 'Estimating', preview: 'Reading the data of' } as const;

/** What `midtrain train CONFIG --estimate` or `--preview` said. */
export interface Said {
  /** The most important of it in a sentence. */
  readonly summary: string;
  readonly lines: readonly string[];
}

function pageOf(uri: vscode.Uri, lines: readonly string[]): string {
  return `${basename(uri.path)}\n\n${lines.join('\n')}\n`;
}

/**
 * Asks the headless command: an estimate takes some steps of the real trainer, a preview reads the data.
 * @throws UserError; CancellationError when it is left
 */
export async function askAbout(midtrain: Midtrain, uri: vscode.Uri, question: keyof typeof QUESTIONS): Promise<Said> {
  if (!vscode.workspace.isTrusted) throw new UserError('This workspace is not trusted, so nothing is run in it.');
  await agreedModel(await readConfig(uri));
  const title = `${QUESTIONS[question]} ${basename(uri.path)}`;
  return vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    (progress, token) =>
      ask(midtrain, uri.fsPath, question, token, (message) => {
        progress.report({ message });
      }),
  );
}

async function ask(
  { command }: Midtrain,
  file: string,
  question: string,
  token: vscode.CancellationToken,
  tell: (message: string) => void,
): Promise<Said> {
  const child = spawn(process.execPath, [command, 'train', file, `--${question}`, '--json', '--yes'], {
    env: { ...process.env, ...environmentOf(readSettings()), ELECTRON_RUN_AS_NODE: '1' },
    stdio: ['ignore', 'pipe', 'ignore'],
    windowsHide: true,
  });
  token.onCancellationRequested(() => child.kill());
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  const read = async (): Promise<Said> => {
    let said: Said | null = null;
    let error = 'It ended without an answer.';
    for await (const line of createInterface(child.stdout)) {
      const row = JSON.parse(line) as { type: string; text?: string; message?: string } & Said;
      if (row.type === 'note') tell(row.text ?? '');
      if (row.type === 'error') error = row.message ?? error;
      if (row.type === question) said = row;
    }
    if (token.isCancellationRequested) throw new vscode.CancellationError();
    if (said === null) throw new UserError(error);
    return said;
  };
  return Promise.race([read(), failed]);
}

/** One of the workspace's configs, or a new one. */
async function configToTrainBy(midtrain: Midtrain): Promise<vscode.Uri> {
  const configs = await workspaceConfigs();
  if (configs.length === 0) return newConfig(midtrain, null);
  const another = { label: '$(add) New Training Config…', description: '', uri: null };
  const picked = await vscode.window.showQuickPick([...configPicks(configs), another], {
    title: 'Train by which config?',
  });
  if (picked === undefined) throw new vscode.CancellationError();
  return picked.uri ?? newConfig(midtrain, null);
}

type Method = TrainingConfig['method'];

/** What each method does with latents, as few words as there is room for. */
const methodDetails: Readonly<Record<Method, string>> = {
  ntp: 'The code as it is.',
  ra3: 'Thoughts above lines are found by RL and trained on: each is judged by all that follows it.',
  brite: 'The same, with each thought judged by its own line.',
  synthetic: 'Comments that the data have, or that a model of your choice writes.',
};
/** The method that was chosen last. */
const LAST_METHOD = 'trainingMethod';

async function askMethod({ extension }: Midtrain): Promise<Method> {
  const last = extension.globalState.get<Method>(LAST_METHOD);
  const methods = (Object.keys(methodDetails) as Method[]).sort((a, b) => Number(b === last) - Number(a === last));
  const picked = await vscode.window.showQuickPick(
    methods.map((method) => {
      const words = methodWords[method];
      const description = method === last ? 'chosen last' : '';
      return { method, label: words[0]!.toUpperCase() + words.slice(1), description, detail: methodDetails[method] };
    }),
    { title: 'Train by which method?' },
  );
  if (picked === undefined) throw new vscode.CancellationError();
  await extension.globalState.update(LAST_METHOD, picked.method);
  return picked.method;
}

/** Writes a config with the defaults, for this model where one is named. @returns where @throws CancellationError */
async function newConfig(midtrain: Midtrain, spec: string | null): Promise<vscode.Uri> {
  const method = await askMethod(midtrain);
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const uri = folder === undefined ? await askPlace() : await askName(folder);
  const { model, data, train, steps, abstractions } = parseTrainingConfig('{}', ENDING);
  const { eUpdates, mSteps, groupSize, thinkPenalty } = abstractions;
  const text = newConfigText({
    ...{ model: spec ?? model, data: data.map(({ kind }) => ({ kind })), method, train, steps },
    ...(method === 'ra3' || method === 'brite' ? { abstractions: { eUpdates, mSteps, groupSize, thinkPenalty } } : {}),
  });
  await vscode.workspace.fs.writeFile(uri, Buffer.from(text));
  return uri;
}

async function askName(folder: vscode.Uri): Promise<vscode.Uri> {
  const place = (name: string): vscode.Uri => vscode.Uri.joinPath(folder, `${name.trim()}${ENDING}`);
  const exists = (uri: vscode.Uri): Thenable<boolean> =>
    vscode.workspace.fs.stat(uri).then(
      () => true,
      () => false,
    );
  const name = await vscode.window.showInputBox({
    title: 'New Training Config',
    prompt: `Its name, which its runs have too. It is kept as NAME${ENDING} in ${basename(folder.path)}.`,
    value: 'training',
    validateInput: async (value) => {
      if (!/^[\w.-]+$/.test(value.trim())) return 'Write a name of letters, digits, points and dashes.';
      return (await exists(place(value))) ? `There is a ${value.trim()}${ENDING} already.` : null;
    },
  });
  if (name === undefined) throw new vscode.CancellationError();
  return place(name);
}

/** Without a folder that is open. */
async function askPlace(): Promise<vscode.Uri> {
  const uri = await vscode.window.showSaveDialog({
    title: 'New Training Config',
    filters: { 'Midtrain run config': [ENDING.slice(1)] },
  });
  if (uri === undefined) throw new vscode.CancellationError();
  return uri.path.endsWith(ENDING)
    ? uri
    : vscode.Uri.joinPath(vscode.Uri.file(dirname(uri.fsPath)), `${basename(uri.path)}${ENDING}`);
}
