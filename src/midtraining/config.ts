/**
 * The run config `*.midtrain.json`: what one asks of a training run. Every key has a default, so `{}` runs; a key that is
 * none is refused with the nearest one there is. Knows nothing of how the run is done.
 */
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { LINEAR_LAYERS } from '../engine/training/method.ts';
import { messageOf, UserError } from '../errors.ts';

const whole = (least: number) => v.pipe(v.number(), v.safeInteger(), v.minValue(least));
const positive = v.pipe(v.number(), v.gtValue(0), v.finite());
const share = v.pipe(v.number(), v.minValue(0), v.ltValue(1));
const path = v.pipe(v.string(), v.nonEmpty());

const Sources = {
  /** Python files, in folders below too. */
  folder: v.strictObject({ kind: v.literal('folder'), path }),
  /** Rows with `text`, or with `prompt` and `code`. */
  jsonl: v.strictObject({ kind: v.literal('jsonl'), path }),
  /** Python files that git tracks. */
  workspace: v.strictObject({ kind: v.literal('workspace'), path: v.optional(path, '.') }),
  /** Generated functions; needs no files. */
  starter: v.strictObject({
    kind: v.literal('starter'),
    functions: v.optional(whole(1), 2000),
    seed: v.optional(whole(0), 0),
  }),
} as const;
const Source = v.variant(
  'kind',
  Object.values(Sources) as [(typeof Sources)['folder'], ...(typeof Sources)[keyof typeof Sources][]],
);

const Lora = v.strictObject({
  rank: v.optional(whole(1), 16),
  /** The update is scaled by alpha / rank. */
  alpha: v.optional(positive, 32),
  targets: v.optional(v.pipe(v.array(v.picklist(LINEAR_LAYERS)), v.minLength(1)), [...LINEAR_LAYERS]),
  /** Precision of the frozen linear layers; null: int8 on the processor, fp32 on WebGPU, which has no int8. */
  base: v.optional(v.nullable(v.picklist(['fp32', 'int8'])), null),
});

const Config = v.strictObject({
  /** For editors: where the JSON schema is. */
  $schema: v.optional(v.string()),
  /** A GGUF file or a folder, relative to the config; `starter:smollm2`; or a Hugging Face name. */
  model: v.optional(path, 'starter:smollm2'),
  /** `random`: the model's shape and tokenizer, but weights drawn by the seed. */
  initialWeights: v.optional(v.picklist(['model', 'random']), 'model'),
  data: v.optional(v.pipe(v.array(Source), v.minLength(1)), [{ kind: 'starter' }]),
  /** Share of the files held out. */
  heldOut: v.optional(share, 0.05),
  /** `ntp`: next-token prediction. */
  method: v.optional(v.literal('ntp'), 'ntp'),
  /** All parameters, or low-rank adapters. */
  train: v.optional(v.picklist(['full', 'lora']), 'lora'),
  lora: v.optional(Lora, {}),
  steps: v.optional(whole(1), 100),
  /** Tokens of a step, in rows of `context` tokens; rounded down to whole rows, at least one. */
  batchTokens: v.optional(whole(2), 2048),
  /** Tokens of a row, the longest snippet with its end. */
  context: v.optional(whole(32), 1024),
  /** The highest rate; null: 2e-4 with LoRA, 5e-5 in full. */
  learningRate: v.optional(v.nullable(positive), null),
  schedule: v.optional(v.picklist(['constant', 'linear', 'cosine']), 'cosine'),
  /** Steps over which the rate rises. */
  warmup: v.optional(whole(0), 10),
  /** The last rate as a part of the highest. */
  floor: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 0.1),
  weightDecay: v.optional(v.pipe(v.number(), v.minValue(0), v.finite()), 0.1),
  /** Largest norm of the gradients; null: not clipped. */
  clip: v.optional(v.nullable(positive), 1),
  /** Of the data's order, the held-out split, the adapters and random weights. */
  seed: v.optional(whole(0), 0),
  /** Steps between held-out losses; 0: none. */
  evaluationInterval: v.optional(whole(0), 50),
  /** Tokens of the held-out side that are evaluated, at most. */
  evaluationTokens: v.optional(whole(2), 32_768),
  /** Ends after so many evaluations without a lower held-out loss; null: never. */
  patience: v.optional(v.nullable(whole(1)), null),
  checkpointInterval: v.optional(whole(1), 50),
  /** Checkpoints kept, the latest; the best one is kept beside them. */
  keep: v.optional(whole(1), 2),
  /** `auto`: the processor, which is the device that was measured; `webgpu`: a GPU that keeps the state between steps. */
  device: v.optional(v.picklist(['auto', 'cpu', 'webgpu']), 'auto'),
  /** Threads of ONNX Runtime on the processor; 0: chosen by it. */
  threads: v.optional(whole(0), 0),
});

export type TrainingConfig = v.InferOutput<typeof Config>;
export const trainingConfigSchema = Config;

const ENDING = '.midtrain.json';

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
  const config = parseTrainingConfig(text, file);
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

/** @param where the file, for messages @throws UserError */
export function parseTrainingConfig(text: string, where: string): TrainingConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${where} is not JSON: ${messageOf(error)}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError(`${where}: a config is a JSON object, such as {} for all defaults.`);
  }
  const parsed = v.safeParse(Config, value);
  if (parsed.success) return parsed.output;
  const { issues } = parsed;
  // A key that is none explains another one that is missing.
  throw new UserError(`${where}: ${whatIsWrong(issues.find(isUnknownKey) ?? issues[0], value)}.`);
}

function isUnknownKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never';
}

function whatIsWrong(issue: v.BaseIssue<unknown>, config: unknown): string {
  const key = v.getDotPath(issue) ?? '';
  if (!isUnknownKey(issue)) return `"${key}" is not as it should be: ${issue.message}`;
  const own = key.split('.').at(-1)!;
  const known = knownKeys(issue, config);
  const nearest = [...known].sort((a, b) => distance(own, a) - distance(own, b))[0]!;
  const hint = distance(own, nearest) <= Math.max(2, own.length / 2) ? ` Did you mean "${nearest}"?` : '';
  return `there is no key "${key}".${hint} Keys are ${known.join(', ')}`;
}

/** The keys there are beside an unknown one. */
function knownKeys({ path: at }: v.BaseIssue<unknown>, config: unknown): string[] {
  const part = at?.[0]?.key;
  if (at?.length === 1) return Object.keys(Config.entries).filter((key) => key !== '$schema');
  if (part === 'lora') return Object.keys(Lora.entries);
  const index = at?.[1]?.key as number;
  const { kind } = (config as { data: { kind: keyof typeof Sources }[] }).data[index]!;
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
