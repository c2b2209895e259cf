/**
 * Reads code with a model, for whatever shows it: one process a window does the work (`client/readerProcess.ts`), a model is
 * asked for once and remembered. Nothing is read in an untrusted workspace.
 */
import * as vscode from 'vscode';
import { isTraining } from '../client/followedRun.ts';
import { ReaderProcess } from '../client/readerProcess.ts';
import type { RunFollower } from '../client/runFollower.ts';
import { UserError } from '../errors.ts';
import type { CodeReading } from '../midtraining/abstractions/reading.ts';
import { listCheckpoints } from '../midtraining/checkpoint.ts';
import type { ReadAnswer, ReaderProgress, ReadingModel } from '../runner/readerProtocol.ts';
import { runPaths } from '../runner/runFolder.ts';
import { addModel } from './addModel.ts';
import { knownModels } from './catalog.ts';
import type { Midtrain } from './context.ts';
import { choose, type Choice, modelDescription } from './evaluate.ts';
import { fetchedModel } from './modelsTree.ts';
import type { CodeRequest, Progress, ReadingService } from './readingSources.ts';
import { runTitle } from './runLabels.ts';
import { environmentOf, readSettings } from './settings.ts';

/** Who reads the files of this user, and with whose latents. */
export interface Reader extends Pick<CodeReading, 'latents'> {
  readonly model: string;
}

const REMEMBERED = 'midtrain.reader';
/** The model writes a latent where it would rather than not. */
const THRESHOLD = 0.5;

export class Readings implements vscode.Disposable, ReadingService {
  readonly #midtrain: Midtrain;
  readonly #process: ReaderProcess;

  constructor(midtrain: Midtrain) {
    this.#midtrain = midtrain;
    this.#process = new ReaderProcess({ command: midtrain.command, env: () => environmentOf(readSettings()) });
  }

  /** @throws UserError when it cannot be read; the signal's reason when it is aborted */
  async read(request: CodeRequest, progress: Progress): Promise<CodeReading> {
    return (await this.readText(request, progress)).reading;
  }

  /** The same with the rows of the text in which its lines begin. */
  async readText(request: CodeRequest, progress: Progress): Promise<ReadAnswer> {
    if (!vscode.workspace.isTrusted) throw new UserError('This workspace is not trusted, so no model is run in it.');
    const { code: text, name, latents, signal } = request;
    const model = await this.#modelOf(request);
    const { device, threads } = readSettings();
    return this.#process.read(
      { model, name, text, latents, threshold: THRESHOLD, device, threads },
      {
        signal,
        onProgress: (told) => {
          progress(wordsOf(told), told.total === 0 ? null : told.done / told.total);
        },
      },
    );
  }

  /** Steps of the checkpoints of a run, in order; none where the model is no run. */
  async stepsOf(model: string): Promise<readonly number[]> {
    const run = await this.#runOf(model);
    if (run === null) return [];
    const checkpoints = await listCheckpoints(runPaths(run.folder).checkpoints);
    return checkpoints.map(({ step }) => step).reverse();
  }

  /** The reader that was chosen last; asks where none was, or it is gone. @throws CancellationError when it is left */
  async chosen(): Promise<Reader> {
    const last = this.#remembered();
    const isThere = last !== null && ((await this.#runOf(last.model)) !== null || (await isKnownModel(last.model)));
    return isThere ? last : this.choose();
  }

  /** Asks who reads, and with whose latents, the last answers first. @throws CancellationError when it is left */
  async choose(): Promise<Reader> {
    const last = this.#remembered();
    const model = await this.chooseModel(' (1 of 2)');
    const latents = await choose<CodeReading['latents']>(
      'Which latents? (2 of 2)',
      '',
      [
        { value: 'model', label: "The Model's", description: 'written where it would rather think than go on' },
        { value: 'text', label: "The File's", description: 'comments right above the code they explain' },
        { value: 'none', label: 'None', description: 'only what the code itself is to the model' },
      ],
      last?.latents ?? 'model',
    );
    const reader = { model, latents };
    await this.#midtrain.extension.globalState.update(REMEMBERED, reader);
    return reader;
  }

  /** @returns what one writes after `--model`, or the folder of a training. @throws CancellationError when it is left */
  async chooseModel(step = ''): Promise<string> {
    const [models] = await Promise.all([knownModels(), this.#midtrain.runs.loadAll()]);
    const other = '\u0000other';
    const trainings = this.#midtrain.runs.runs.filter((run) => isTraining(run));
    const read: Choice<string>[] = [];
    for (const run of trainings) {
      const [latest] = await listCheckpoints(runPaths(run.folder).checkpoints);
      if (latest === undefined) continue;
      const description = `the checkpoint of step ${latest.step}`;
      read.push({ value: run.folder, label: `$(mortar-board) ${runTitle(run.description)}`, description });
    }
    const choices = [
      ...models.map((model): Choice<string> => ({
        value: model.spec,
        label: `$(symbol-class) ${model.label}`,
        description: modelDescription(model),
      })),
      ...read,
      { value: other, label: '$(add) Add Model…', description: 'a GGUF file, a folder, or a Hugging Face name' },
    ];
    const chosen = await choose(`Which model reads?${step}`, '', choices, this.#remembered()?.model ?? models[0]!.spec);
    return chosen === other ? addModel() : chosen;
  }

  dispose(): void {
    this.#process.close();
  }

  #remembered(): Reader | null {
    const last = this.#midtrain.extension.globalState.get<Partial<Reader>>(REMEMBERED);
    const { model, latents } = last ?? {};
    return model === undefined || latents === undefined ? null : { model, latents };
  }

  async #runOf(model: string): Promise<RunFollower | null> {
    await this.#midtrain.runs.loadAll();
    return this.#midtrain.runs.runs.find(({ folder }) => folder === model) ?? null;
  }

  async #modelOf({ model, step }: Pick<CodeRequest, 'model' | 'step'>): Promise<ReadingModel> {
    const run = await this.#runOf(model);
    if (run === null) {
      const { path, label } = await fetchedModel(model);
      return { path, label };
    }
    const latest = step ?? (await this.stepsOf(model)).at(-1);
    if (latest === undefined) {
      throw new UserError(`${runTitle(run.description)} has kept no checkpoint yet. Let it keep one first.`);
    }
    return { run: run.folder, step: latest };
  }
}

async function isKnownModel(model: string): Promise<boolean> {
  return (await knownModels()).some(({ spec, path, canFetch }) => spec === model && (path !== null || canFetch));
}

function wordsOf({ phase, done, total }: ReaderProgress): string {
  if (phase === 'wait') return 'another file is read first…';
  if (phase === 'load') return 'loading the model…';
  return total === 0 ? 'reading…' : `reading, ${Math.floor((100 * done) / total)} %`;
}
