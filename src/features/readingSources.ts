/**
 * What the abstractions panel can read: a file of readings, a file of code, typed code, the samples of a run. Each is opened by
 * its address, which the panel keeps over a reload. Knows nothing of VS Code, and of models only that a service reads with them.
 */
import { basename } from 'node:path';
import { isEvaluation, isTraining, type FollowedRun } from '../client/followedRun.ts';
import { MetricsFile } from '../client/metricsFile.ts';
import { ResultsFile } from '../client/resultsFile.ts';
import { BenchmarkLoader, sampleDetail } from '../client/sampleDetail.ts';
import { SamplesFile } from '../client/samplesFile.ts';
import { messageOf, UserError } from '../errors.ts';
import type { CodeReading } from '../midtraining/abstractions/reading.ts';
import { type Address, type Choice, type Latents, LATENTS, parseReading } from '../webviews/abstractions/messages.ts';
import { runTitle } from './runLabels.ts';

/** Called as a reading goes on; `share` is null where it cannot be told. */
export type Progress = (text: string, share: number | null) => void;

export interface ReadingSource {
  readonly title: string;
  /** What there is to read, one at least; a name for each. */
  readonly items: readonly string[];
  /** Steps of the checkpoints that can read it, in order; empty: there is one model only. */
  readonly steps: readonly number[];
  /** What latents a reading can be asked for with; the first is the usual one. */
  readonly latents: readonly Latents[];
  /** @throws UserError when it cannot be read; the signal's reason when it is aborted */
  read(choice: Choice & { readonly signal: AbortSignal }, progress: Progress): Promise<CodeReading>;
}

export interface CodeRequest extends Pick<Choice, 'step' | 'latents'> {
  readonly code: string;
  /** Names what is read, in titles. */
  readonly name: string;
  /** What one writes after `--model`, or the folder of a training run. */
  readonly model: string;
  readonly signal: AbortSignal;
}

/** Reads code with models. */
export interface ReadingService {
  /** Steps of the checkpoints that a model has, in order; none where it is no run. @throws UserError when there is no such model */
  stepsOf(model: string): Promise<readonly number[]>;
  /** @throws UserError when it cannot; the signal's reason when it is aborted */
  read(request: CodeRequest, progress: Progress): Promise<CodeReading>;
}

export interface SourceParts {
  /** The text at an address of the editor, as it is there now. @throws Error when there is none */
  readonly readText: (uri: string) => Promise<string>;
  /** Null where the store has no such run. */
  readonly openRun: (folder: string) => Promise<FollowedRun | null>;
  readonly service: ReadingService;
}

/** @throws UserError when there is nothing at the address, or nothing that can be read */
export async function openSource(address: Address, parts: SourceParts): Promise<ReadingSource> {
  if (address.kind === 'readings') {
    return readingsSource(titleOf(address), await textAt(address.uri, parts));
  }
  const { service } = parts;
  switch (address.kind) {
    case 'file':
      return codeSource(service, address.model, {
        title: titleOf(address),
        items: [titleOf(address)],
        codeOf: () => textAt(address.uri, parts),
      });
    case 'text':
      return codeSource(service, address.model, {
        title: titleOf(address),
        items: [titleOf(address)],
        codeOf: () => Promise.resolve(address.text),
      });
    case 'samples': {
      const run = await parts.openRun(address.folder);
      if (run === null) throw new UserError(`${address.folder} holds no run: it was removed or moved.`);
      const { model, ...samples } = await samplesOf(run);
      return codeSource(service, address.model ?? model, samples);
    }
  }
}

/** What a panel is called that shows this; a run is named once it is open. */
export function titleOf(address: Address): string {
  switch (address.kind) {
    case 'readings':
    case 'file':
      return decoded(basename(new URL(address.uri).pathname));
    case 'text':
      return 'Typed Code';
    case 'samples':
      return basename(address.folder);
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // it is not encoded
  }
}

async function textAt(uri: string, { readText }: SourceParts): Promise<string> {
  try {
    return await readText(uri);
  } catch (error) {
    throw new UserError(`${decoded(uri)} cannot be read: ${messageOf(error)}`);
  }
}

/**
 * Readings of a file: one, a list, or one a line. What has the same name and model is one item, read at several steps or with
 * several kinds of latents.
 * @throws UserError when the file holds no readings
 */
export function readingsSource(title: string, text: string): ReadingSource {
  const readings = readingsIn(title, text);
  const names = [...new Set(readings.map(({ name, model }) => JSON.stringify([name, model.name])))];
  const itemOf = ({ name, model }: CodeReading): number => names.indexOf(JSON.stringify([name, model.name]));
  const hasModels = new Set(readings.map(({ model }) => model.name)).size > 1;
  const items = names.map((key) => {
    const [name, model] = JSON.parse(key) as [string, string];
    return hasModels ? `${name}, by ${model}` : name;
  });
  const steps = [...new Set(readings.flatMap(({ model: { step } }) => (step === null ? [] : [step])))];
  return {
    title,
    items,
    steps: steps.sort((a, b) => a - b),
    latents: LATENTS.filter((one) => readings.some(({ latents }) => latents === one)),
    read: ({ item, step, latents }) => {
      const found = readings.find(
        (one) => itemOf(one) === item && one.latents === latents && (steps.length === 0 || one.model.step === step),
      );
      if (found !== undefined) return Promise.resolve(found);
      const which = `${items[item]}${step === null ? '' : ` at step ${step}`} (latents: ${latents})`;
      return Promise.reject(new UserError(`${title} has no reading of ${which}. Choose another one.`));
    },
  };
}

function readingsIn(title: string, text: string): CodeReading[] {
  const what = 'It should hold what Copy as JSON or `midtrain abstractions --json` gives.';
  let values: unknown[];
  try {
    const trimmed = text.trim();
    const isLines = trimmed.startsWith('{') && /\}\r?\n\{/.test(trimmed);
    const value: unknown = JSON.parse(isLines ? `[${trimmed.split(/\r?\n/).join(',')}]` : trimmed);
    values = Array.isArray(value) ? value : [value];
  } catch (error) {
    throw new UserError(`${title} is not JSON: ${messageOf(error)} ${what}`);
  }
  const readings = values.map(parseReading);
  const broken = readings.indexOf(null);
  if (broken >= 0) {
    const which = values.length === 1 ? 'What it holds' : `Entry ${broken + 1} of ${values.length}`;
    throw new UserError(`${title} cannot be shown. ${which} is no reading of code. ${what}`);
  }
  if (readings.length === 0) throw new UserError(`${title} holds no reading of code. ${what}`);
  return readings as CodeReading[];
}

interface Codes {
  readonly title: string;
  readonly items: readonly string[];
  readonly codeOf: (item: number) => Promise<string>;
}

async function codeSource(
  service: ReadingService,
  model: string,
  { title, items, codeOf }: Codes,
): Promise<ReadingSource> {
  return {
    title,
    items,
    steps: await service.stepsOf(model),
    latents: LATENTS,
    read: async ({ item, step, latents, signal }, progress) => {
      const code = await codeOf(item);
      signal.throwIfAborted();
      return service.read({ code, name: items[item]!, model, step, latents, signal }, progress);
    },
  };
}

/** The samples of a run, and the model that wrote them. @throws UserError when it has none */
async function samplesOf(run: FollowedRun): Promise<Codes & { readonly model: string }> {
  const { folder, description } = run;
  const title = runTitle(description);
  const none = new UserError(`${title} has no samples yet.`);
  if (isTraining(run)) {
    const metrics = new MetricsFile(folder);
    await metrics.update(() => undefined);
    if (metrics.samples.length === 0) throw none;
    return {
      title,
      model: folder,
      items: metrics.samples.map(({ step, taskId }) => `${taskId ?? 'a prompt'}, sampled at step ${step}`),
      codeOf: async (item) => {
        const event = await metrics.sample(item);
        if (event === null) throw new UserError('The run has no such sample any more.');
        return event.prompt + event.completion;
      },
    };
  }
  if (!isEvaluation(run)) throw none;
  const results = new ResultsFile(folder);
  await results.update(() => undefined);
  if (results.count === 0) throw none;
  const rows = Array.from({ length: results.count }, (_, i) => results.row(i));
  const sources = {
    description: run.description,
    results,
    samples: new SamplesFile(folder),
    benchmarks: new BenchmarkLoader(),
  };
  return {
    title,
    model: run.description.request.model.spec,
    items: rows.map(({ taskId, sample, verdict }) => `${taskId}, sample ${sample} (${verdict})`),
    codeOf: async (item) => {
      const { taskId, sample } = rows[item]!;
      const detail = await sampleDetail(sources, taskId, sample);
      if (detail === null) throw new UserError(`The run has no result of sample ${sample} of ${taskId} any more.`);
      return detail.program?.candidate ?? detail.before + detail.completion;
    },
  };
}
