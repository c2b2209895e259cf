/**
 * The run config `*.midtrain.json`: what one asks of a training run. Every key has a default, so `{}` runs; a key that is
 * none is refused with the nearest one there is. Knows nothing of how the run is done.
 */
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { LINEAR_LAYERS } from '../engine/training/method.ts';
import { messageOf, UserError } from '../errors.ts';
import { BENCHMARKS } from '../evaluation/benchmarks/index.ts';
import type { BenchmarkId } from '../evaluation/types.ts';
import { STARTER_COMMENTS } from './starter/functions.ts';

const whole = (least: number) => v.pipe(v.number(), v.safeInteger(), v.minValue(least));
const positive = v.pipe(v.number(), v.gtValue(0), v.finite());
const share = v.pipe(v.number(), v.minValue(0), v.ltValue(1));
const path = v.pipe(v.string(), v.nonEmpty());

/** A schema with what a person reads of the key: hovers, completion and the form's fields show it. */
const about = <const Schema extends v.GenericSchema>(schema: Schema, text: string) =>
  v.pipe(schema, v.description(text));

const Sources = {
  folder: v.strictObject({
    kind: about(v.literal('folder'), 'Python files, in folders below too.'),
    path: about(path, 'The folder, relative to this file.'),
  }),
  jsonl: v.strictObject({
    kind: about(v.literal('jsonl'), 'Rows with `text`, or with `prompt` and `code`.'),
    path: about(path, 'The file, relative to this one.'),
  }),
  workspace: v.strictObject({
    kind: about(v.literal('workspace'), 'Python files that git tracks.'),
    path: v.optional(about(path, 'A folder in the repository, relative to this file.'), '.'),
  }),
  starter: v.strictObject({
    kind: about(v.literal('starter'), 'Generated functions; needs no files.'),
    functions: v.optional(about(whole(1), 'How many functions.'), 5000),
    seed: v.optional(about(whole(0), 'Other functions for another number.'), 0),
    comments: v.optional(
      about(
        v.picklist(STARTER_COMMENTS),
        'Which lines have one. `some`: a third of them. `none`. `steps`: the first line of each step, in the words of the docstring. `someSteps`: two in five of these.',
      ),
      'some',
    ),
  }),
} as const;
const Source = v.variant(
  'kind',
  Object.values(Sources) as [(typeof Sources)['folder'], ...(typeof Sources)[keyof typeof Sources][]],
);

const LoraEntries = {
  rank: v.optional(about(whole(1), 'Rank of the adapters: more learn more and take more memory.'), 16),
  alpha: v.optional(about(positive, 'The update is scaled by alpha / rank.'), 32),
  targets: v.optional(
    about(v.pipe(v.array(v.picklist(LINEAR_LAYERS)), v.minLength(1)), 'Layers that have an adapter.'),
    [...LINEAR_LAYERS],
  ),
  base: v.optional(
    about(
      v.nullable(v.picklist(['fp32', 'int8'])),
      'Precision of the frozen linear layers; null: int8 on the processor, fp32 on WebGPU, which has no int8.',
    ),
    null,
  ),
};

const PassAt1Entries = {
  benchmark: about(v.picklist(Object.keys(BENCHMARKS) as BenchmarkId[]), 'Whose problems.'),
  problems: v.optional(about(whole(1), 'Its first so many problems.'), 20),
  interval: v.optional(about(v.nullable(whole(1)), 'Steps between; null: with each held-out loss.'), null),
};
const PassAt1 = v.strictObject(PassAt1Entries);
export type PassAt1Config = v.InferOutput<typeof PassAt1>;

const orZero = v.pipe(v.number(), v.minValue(0), v.finite());

/** How latents come about. Symbols as in the RA3 paper (arXiv 2509.25810): q writes latents, pi is the model that is trained. */
const AbstractionsEntries = {
  eUpdates: v.optional(about(whole(0), 'Updates of q in a round (E-step).'), 20),
  mSteps: v.optional(about(whole(1), 'Steps of the model in a round (M-step).'), 50),
  warmup: v.optional(
    about(
      whole(0),
      'Steps of the model on latents of the untrained q before the first E-step, so that it can use them.',
    ),
    50,
  ),
  groupSize: v.optional(about(whole(2), 'Rollouts of a snippet: G.'), 8),
  snippets: v.optional(about(whole(1), 'Snippets rolled out for an update.'), 16),
  temperature: v.optional(about(positive, 'Of the rollouts.'), 1),
  maxLatentTokens: v.optional(about(whole(1), 'Tokens of a latent, `#` among them.'), 24),
  thinkPenalty: v.optional(about(orZero, 'What a thought costs (c), in nats.'), 0.05),
  penaltyWarmup: v.optional(about(whole(0), 'Updates over which c rises from 0.'), 0),
  formatPenalty: v.optional(about(orZero, 'What a latent that is none costs besides, in nats.'), 1),
  baseline: v.optional(
    about(
      v.picklist(['mean', 'leaveOneOut']),
      'What a return is compared with: the mean of its group (GRPO), or of the others in it (RLOO).',
    ),
    'leaveOneOut',
  ),
  normalise: v.optional(
    about(v.boolean(), "Divide advantages by the group's standard deviation, as GRPO does."),
    false,
  ),
  clip: v.optional(about(positive, 'Probability ratios of stale rollouts are clipped to 1 ± this.'), 0.2),
  entropy: v.optional(about(orZero, 'Weight of a bonus for entropy.'), 0),
  kl: v.optional(about(orZero, 'Weight of KL(q || base).'), 0.01),
  learningRate: v.optional(about(v.nullable(positive), "Of q; null: a tenth of the model's."), null),
  asynchronous: v.optional(
    about(v.boolean(), 'Roll out in a second process while q is updated. Faster, and not repeatable to the bit.'),
    false,
  ),
  maxStaleness: v.optional(about(whole(1), 'Updates that a rollout may be behind, where it is asynchronous.'), 2),
  evaluationSnippets: v.optional(
    about(whole(0), 'Held-out snippets that are rolled out at the end of each E-step; 0: none.'),
    32,
  ),
  writer: v.optional(
    about(
      v.nullable(path),
      'Of `synthetic`: the model that writes the comments, named as `model` is; null: those in the data are taken.',
    ),
    null,
  ),
};

/** The model that comes with Midtrain: small enough to train in two minutes. */
export const STARTER_MODEL = 'starter:midtrain';

/** All keys but `$schema`, as the form shows them. A new one shows there, in hovers and in completion by being here. */
const sections = {
  Model: {
    model: v.optional(
      about(
        path,
        'A GGUF file or a folder, relative to this file; `starter:midtrain`, `starter:smollm2`; or a Hugging Face name.',
      ),
      STARTER_MODEL,
    ),
    initialWeights: v.optional(
      about(
        v.picklist(['model', 'random']),
        "Where training begins: the model's own weights, or weights drawn by the seed in the model's shape.",
      ),
      'model',
    ),
  },
  Data: {
    data: v.optional(about(v.pipe(v.array(Source), v.minLength(1)), 'What is trained on, one source after another.'), [
      { kind: 'starter' },
    ]),
    heldOut: v.optional(about(share, 'Share of the files that is held out, to take the loss on.'), 0.05),
    seed: v.optional(about(whole(0), "Of the data's order, the held-out split, the adapters and random weights."), 0),
  },
  Method: {
    method: v.optional(
      about(
        v.picklist(['ntp', 'ra3', 'brite', 'synthetic']),
        '`ntp`: next-token prediction. `ra3`: latents found by RL, returns over the whole snippet. `brite`: each latent judged by its own line. `synthetic`: given comments.',
      ),
      'ntp',
    ),
    train: v.optional(
      about(
        v.picklist(['full', 'lora']),
        '`full`: all parameters. `lora`: low-rank adapters beside them, for models of 100 million and more.',
      ),
      'full',
    ),
    switchBack: v.optional(
      about(
        v.boolean(),
        'Where `train` is `full`: linear layers take outputs and input gradients in 8 bits (SwitchBack, arXiv 2304.13013). Faster, and less exact; on the processor alone.',
      ),
      false,
    ),
    lora: v.optional(about(v.strictObject(LoraEntries), 'The adapters, where `train` is `lora`.'), {}),
    abstractions: v.optional(
      about(v.strictObject(AbstractionsEntries), 'The latents, where `method` is not `ntp`.'),
      {},
    ),
  },
  Training: {
    steps: v.optional(about(whole(1), 'Steps of the optimizer.'), 250),
    batchTokens: v.optional(
      about(whole(2), 'Tokens of a step, in rows of `context` tokens; rounded down to whole rows, at least one.'),
      2048,
    ),
    context: v.optional(
      about(whole(32), "Tokens of a row: the longest snippet with its end. No more than the model's own context."),
      512,
    ),
    learningRate: v.optional(
      about(v.nullable(positive), 'The highest rate; null: 2e-4 with LoRA, 5e-5 in full, 1e-3 for the starter model.'),
      null,
    ),
    schedule: v.optional(
      about(v.picklist(['constant', 'linear', 'cosine']), 'How the rate falls after the warm-up.'),
      'cosine',
    ),
    warmup: v.optional(about(whole(0), 'Steps over which the rate rises.'), 10),
    floor: v.optional(
      about(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 'The last rate as a part of the highest.'),
      0.1,
    ),
    weightDecay: v.optional(
      about(v.pipe(v.number(), v.minValue(0), v.finite()), 'Decay of matrices towards 0, times the rate, each step.'),
      0.1,
    ),
    clip: v.optional(about(v.nullable(positive), 'Largest norm of the gradients; null: not clipped.'), 1),
  },
  Evaluation: {
    evaluationInterval: v.optional(
      about(whole(0), 'Steps between evaluations: held-out loss, and pass@1 where it is asked for; 0: none.'),
      50,
    ),
    evaluationTokens: v.optional(about(whole(2), 'Tokens of the held-out side that are evaluated, at most.'), 32_768),
    passAt1: v.optional(
      about(v.nullable(PassAt1), 'Programs of the weights as they are, judged by running them; null: none.'),
      null,
    ),
    patience: v.optional(
      about(v.nullable(whole(1)), 'Ends after so many evaluations without a lower held-out loss; null: never.'),
      null,
    ),
  },
  Checkpoints: {
    checkpointInterval: v.optional(about(whole(1), 'Steps between checkpoints.'), 50),
    keep: v.optional(about(whole(1), 'Checkpoints kept, the latest; the best one is kept beside them.'), 2),
  },
  Device: {
    device: v.optional(
      about(
        v.picklist(['auto', 'cpu', 'webgpu']),
        '`auto`: the processor. `webgpu`: a GPU, which keeps all state between steps; tested on a software device only.',
      ),
      'auto',
    ),
    threads: v.optional(about(whole(0), 'Threads of ONNX Runtime; 0: chosen by it.'), 0),
    checkpointing: v.optional(
      about(
        v.boolean(),
        "Keep each layer's input alone and compute the layer again for its gradients: less memory, a third more work.",
      ),
      false,
    ),
  },
} as const;

const Config = v.strictObject({
  $schema: v.optional(about(v.string(), 'For editors: where the JSON schema is.')),
  ...sections.Model,
  ...sections.Data,
  ...sections.Method,
  ...sections.Training,
  ...sections.Evaluation,
  ...sections.Checkpoints,
  ...sections.Device,
});

export type TrainingConfig = v.InferOutput<typeof Config>;
export const trainingConfigSchema = Config;

/** Titles of the parts of a config, with the keys of each. */
export const configSections: readonly { readonly title: string; readonly keys: readonly string[] }[] = Object.entries(
  sections,
).map(([title, entries]) => ({ title, keys: Object.keys(entries) }));

/** Of a config's file. */
export const ENDING = '.midtrain.json';

export interface ReadConfig {
  /** The file's name without its ending. */
  readonly name: string;
  /** Paths of data are absolute. */
  readonly config: TrainingConfig;
}

/** @throws UserError naming file and key: not there, not JSON, a wrong key or value */
export async function readTrainingConfig(file: string): Promise<ReadConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new UserError(`The config ${file} cannot be read: ${messageOf(error)}. Check the path.`);
  }
  return resolveConfig(parseTrainingConfig(text, file), file);
}

/** What a config in this file asks for. */
export function resolveConfig(config: TrainingConfig, file: string): ReadConfig {
  const folder = dirname(resolve(file));
  const name = basename(file);
  return {
    name: name.endsWith(ENDING) ? name.slice(0, -ENDING.length) : name.replace(/\.json$/, ''),
    config: {
      ...config,
      data: config.data.map((source) =>
        'path' in source ? { ...source, path: resolve(folder, source.path) } : source,
      ),
    },
  };
}

/** @param where the file, for messages @throws UserError with the first problem there is */
export function parseTrainingConfig(text: string, where: string): TrainingConfig {
  const { config, problems } = checkTrainingConfig(text);
  if (config === null) throw new UserError(`${where}: ${problems[0]!.sentence}`);
  return config;
}

/** Something wrong in a config. */
export interface ConfigProblem {
  /** Keys and places down to what is wrong; none: the whole file. */
  readonly path: readonly (string | number)[];
  /** `key`: there is no such key, which the JSON schema leaves to us. `value`: it is not as it should be. */
  readonly kind: 'text' | 'key' | 'value';
  /** What is wrong, and for a key what is meant. */
  readonly sentence: string;
}

export type CheckedConfig =
  | { readonly config: TrainingConfig; readonly problems: readonly [] }
  | { readonly config: null; readonly problems: readonly ConfigProblem[] };

/** What the text says, or all that is wrong with it, the worst first. */
export function checkTrainingConfig(text: string): CheckedConfig {
  const unreadable = (sentence: string): CheckedConfig => {
    return { config: null, problems: [{ path: [], kind: 'text', sentence }] };
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return unreadable(`it is not JSON: ${messageOf(error)}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return unreadable('a config is a JSON object, such as {} for all defaults.');
  }
  const parsed = v.safeParse(Config, value);
  if (parsed.success) return { config: parsed.output, problems: [] };
  const problems = parsed.issues.map((issue) => problemOf(issue, value));
  // A key that is none explains another one that is missing.
  return { config: null, problems: problems.sort((a, b) => Number(b.kind === 'key') - Number(a.kind === 'key')) };
}

function problemOf(issue: v.BaseIssue<unknown>, config: object): ConfigProblem {
  const path = (issue.path ?? []).map(({ key }) => key as string | number);
  const key = path.join('.');
  if (issue.type !== 'strict_object' || issue.expected !== 'never') {
    if (issue.input === undefined) return { path, kind: 'value', sentence: `"${key}" is missing.` };
    return { path, kind: 'value', sentence: `"${key}" is not as it should be: ${issue.message}.` };
  }
  const own = String(path.at(-1));
  const known = keysBeside(path, config);
  const nearest = [...known].sort((a, b) => distance(own, a) - distance(own, b))[0]!;
  const hint = distance(own, nearest) <= Math.max(2, own.length / 2) ? ` Did you mean "${nearest}"?` : '';
  return { path, kind: 'key', sentence: `there is no key "${key}".${hint} Keys are ${known.join(', ')}.` };
}

/** The keys there are beside an unknown one. */
function keysBeside([part, index]: ConfigProblem['path'], config: object): string[] {
  if (index === undefined) return Object.keys(Config.entries).filter((key) => key !== '$schema');
  if (part === 'lora') return Object.keys(LoraEntries);
  if (part === 'abstractions') return Object.keys(AbstractionsEntries);
  if (part === 'passAt1') return Object.keys(PassAt1Entries);
  const { kind } = (config as { data: { kind: keyof typeof Sources }[] }).data[index as number]!;
  return Object.keys(Sources[kind].entries);
}

/** Letters to insert, leave out or replace (Levenshtein), whatever their case. */
function distance(a: string, b: string): number {
  const [from, to] = [a.toLowerCase(), b.toLowerCase()];
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[to.length]!;
}
