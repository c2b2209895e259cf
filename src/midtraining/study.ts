/**
 * A study `*.study.json`: trainings that differ in what is studied and in their seed, each evaluated on the same problems.
 * Knows nothing of how they are run.
 */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import * as v from 'valibot';
import { BENCHMARKS } from '../evaluation/benchmarks/index.ts';
import type { BenchmarkId } from '../evaluation/types.ts';
import { messageOf, UserError } from '../errors.ts';
import { parseTrainingConfig, type ReadConfig, resolveConfig } from './config.ts';

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const config = v.record(v.string(), v.unknown());

const Study = v.strictObject({
  $schema: v.optional(v.string()),
  /** Keys of a run config that all trainings share. */
  common: v.optional(config, {}),
  /** What each method has besides, by its name; null: the model as it is, not trained. */
  methods: v.pipe(
    v.record(v.pipe(v.string(), v.regex(/^[\w .+-]+$/)), v.nullable(config)),
    v.check((methods) => Object.keys(methods).length > 1, 'a study compares two methods or more'),
  ),
  /** The method that the others are compared with. */
  reference: v.string(),
  seeds: v.pipe(v.array(whole), v.minLength(1)),
  benchmark: v.picklist(Object.keys(BENCHMARKS) as BenchmarkId[]),
  /** Problems by their place in the benchmark: from, and before which. */
  problems: v.optional(v.nullable(v.tuple([whole, whole])), null),
});

export interface StudyMethod {
  readonly name: string;
  /** Null: not trained. */
  readonly configOf: ((seed: number) => ReadConfig) | null;
}

export interface Study {
  readonly name: string;
  readonly methods: readonly StudyMethod[];
  readonly reference: string;
  readonly seeds: readonly number[];
  readonly benchmark: BenchmarkId;
  readonly problems: readonly [from: number, to: number] | null;
  /** The model that all begin from, as the config says it. */
  readonly model: string;
}

/** @throws UserError naming the file and what is wrong in it */
export async function readStudy(file: string): Promise<Study> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new UserError(`The study ${file} cannot be read: ${messageOf(error)}. Check the path, and that it is JSON.`);
  }
  const parsed = v.safeParse(Study, value);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const key = v.getDotPath(issue);
    throw new UserError(`${file}: ${key === null ? '' : `"${key}": `}${issue.message}.`);
  }
  const { common, methods, reference, ...study } = parsed.output;
  if (!(reference in methods)) {
    throw new UserError(`${file}: "reference" is ${reference}, which is none of ${Object.keys(methods).join(', ')}.`);
  }
  const configOf = (own: Record<string, unknown>, seed: number): ReadConfig =>
    resolveConfig(parseTrainingConfig(JSON.stringify({ ...merged(common, own), seed }), file), file);
  return {
    ...study,
    name: basename(file).replace(/(?:\.study)?\.json$/, ''),
    reference,
    model: configOf({}, 0).config.model,
    methods: Object.entries(methods).map(([name, own]) => {
      if (own === null) return { name, configOf: null };
      configOf(own, 0); // said before anything is run
      return { name, configOf: (seed) => configOf(own, seed) };
    }),
  };
}

/** Keys of `over`, those of objects within them too. */
function merged(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = result[key];
    result[key] = isObject(before) && isObject(value) ? merged(before, value) : value;
  }
  return result;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
