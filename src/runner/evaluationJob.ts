/**
 * One evaluation, from a request to a score: prompts, samples, programs, verdicts, all kept in the run's folder
 * (runFolder.ts), from which a second call goes on. Programs are judged while the model goes on sampling.
 * Knows nothing of processes, sockets, terminals or VS Code.
 */
import { availableParallelism, loadavg } from 'node:os';
import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { generate, type GenerationProgress } from '../engine/generation/generator.ts';
import type { Completion, GeneratedToken, GenerationRequest } from '../engine/generation/types.ts';
import { loadDecoder, type LoadedDecoder } from '../engine/languageModel.ts';
import type { ModelSource, TokenizerDefinition } from '../engine/model.ts';
import { renderChat } from '../engine/text/chatTemplate.ts';
import { createTokenizer, type Tokenizer } from '../engine/text/tokenizer.ts';
import { openModel } from '../engine/weights/open.ts';
import { UserError } from '../errors.ts';
import { loadBenchmark } from '../evaluation/benchmarks/index.ts';
import { selectProblems, type Benchmark } from '../evaluation/benchmarks/benchmark.ts';
import { evaluateSamples } from '../evaluation/evaluateSamples.ts';
import { createNativeExecutor } from '../evaluation/executor/native.ts';
import { extract, sampleOf } from '../evaluation/extraction.ts';
import { JsonLinesWriter } from '../evaluation/jsonl.ts';
import { buildPrompt, defaultProtocol, protocolById, type Protocol } from '../evaluation/protocols.ts';
import { readSamples, rowOfSample, sampleKey, type SampleRow } from '../evaluation/sampleFiles.ts';
import { score } from '../evaluation/score.ts';
import type { Executor, Problem, Verdict } from '../evaluation/types.ts';
import type { EventBody } from './events.ts';
import { ProgressTeller } from './progress.ts';
import { readDescription, refuseRequest, runPaths, writeDescription } from './runFolder.ts';
import type { EvaluationOutcome, ResolvedRequest } from './types.ts';

/** Sequences decoded together unless the request says: more are hardly faster on a CPU and take cache (docs/log.md). */
const DEFAULT_PLACES = 32;

export interface EvaluationWork {
  /** Holds `run.json`; the caller holds its lock. */
  readonly folder: string;
  /** What that says, with its files found. */
  readonly request: ResolvedRequest;
  readonly tell: (event: EventBody) => void;
  /** Aborted, the work stops before the next token. */
  readonly signal: AbortSignal;
  /** Awaited before each step of the model. */
  readonly gate: () => Promise<void>;
}

/** @throws UserError for what a user can mend; the samples and results so far are in the folder. */
export async function runEvaluation(evaluation: EvaluationWork): Promise<EvaluationOutcome> {
  const { folder, request, tell, signal, gate } = evaluation;
  const started = performance.now();
  const { samples: samplesFile, results: resultsFile } = runPaths(folder);
  const benchmark = await loadBenchmark(request.benchmark.id, request.benchmark.path);
  const selected = selectProblems(benchmark, request.selection);
  const problems = askedProblems(selected, request);
  const source = await openModel(request.model.path);
  try {
    const protocol =
      request.protocol === null
        ? defaultProtocol(request.benchmark.id, source.tokenizer.chatTemplate !== null)
        : protocolById(request.benchmark.id, request.protocol);
    await checkIdentity(folder, request, protocol, benchmark, source);
    const writer = await JsonLinesWriter.open(samplesFile);
    try {
      const progress = new ProgressTeller(tell, problems.length * request.samples);
      const earlier = (await readSamples(samplesFile, benchmark.problems, { tolerant: true })).samples;
      const wanted = earlier.filter(
        ({ taskId, sample }) => sample < request.samples && problems.some((problem) => problem.taskId === taskId),
      );
      progress.update({ generated: wanted.length, resumed: wanted.length });
      if (wanted.length > 0) progress.note(`${wanted.length} samples of an earlier call are taken over.`);

      const workers = request.workers ?? availableParallelism();
      const limits = { ...protocol.defaults, ...(request.timeLimit === null ? {} : { timeLimit: request.timeLimit }) };
      const executor = await createNativeExecutor({
        workers,
        strict: request.strict,
        ...(request.python === null ? {} : { python: request.python }),
      });
      try {
        noteSandbox(progress, executor);
        const queue = new Readable({ objectMode: true, read: () => undefined });
        for (const sample of wanted) queue.push(sample);
        const missing = missingSamples(problems, request.samples, wanted);
        const stop = new AbortController();
        const either = AbortSignal.any([signal, stop.signal]);
        const sampling = sampleModel({
          folder,
          request,
          protocol,
          benchmark,
          source,
          missing,
          writer,
          queue,
          progress,
          signal: either,
          gate,
        }).then(
          (result) => {
            queue.push(null);
            return result;
          },
          (error: unknown) => {
            queue.destroy(error as Error);
            throw error;
          },
        );
        const verdicts = new Map<string, { taskId: string; verdict: Verdict }>();
        let executing = 0;
        const judging = async (): Promise<void> => {
          const judged = evaluateSamples({
            problems: benchmark.problems,
            samples: queue as AsyncIterable<SampleRow>,
            executor,
            limits,
            concurrency: workers,
            resultsPath: resultsFile,
            leaveOut: ['tokens', 'answer'],
            signal,
          });
          for await (const { scored, resumed } of judged) {
            verdicts.set(sampleKey(scored.taskId, scored.sample), scored);
            if (!resumed) executing += scored.wallSeconds;
            progress.judged(scored.verdict);
          }
        };
        // Whichever fails first ends the other; its error is the one that is told.
        const results = await Promise.allSettled([
          sampling,
          judging().catch((error: unknown) => {
            stop.abort(error);
            throw error;
          }),
        ]);
        const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
        if (failures.length > 0 && !signal.aborted)
          throw failures.find((error) => error instanceof UserError) ?? failures[0];
        const sampled = results[0].status === 'fulfilled' ? results[0].value : null;
        return {
          status: signal.aborted ? 'stopped' : 'finished',
          score: score({
            asked: problems.map(({ taskId }) => taskId),
            samplesAsked: request.samples,
            problemsOfBenchmark: selected.length,
            results: verdicts.values(),
          }),
          protocol: protocol.id,
          device: sampled?.device ?? 'no device (nothing was left to sample)',
          folder,
          samplesFile,
          resultsFile,
          seconds: {
            load: sampled?.loadSeconds ?? 0,
            prefill: sampled?.work.prefillSeconds ?? 0,
            decode: sampled?.work.decodeSeconds ?? 0,
            execute: executing,
            total: (performance.now() - started) / 1000,
          },
          promptTokens: sampled?.work.promptTokens ?? 0,
          generatedTokens: sampled?.work.generatedTokens ?? 0,
        } satisfies EvaluationOutcome;
      } finally {
        progress.end();
        await executor.close();
      }
    } finally {
      await writer.close();
    }
  } finally {
    await source.close();
  }
}

interface Sampling {
  readonly folder: string;
  readonly request: ResolvedRequest;
  readonly protocol: Protocol;
  readonly benchmark: Benchmark;
  readonly source: ModelSource;
  readonly missing: ReadonlyMap<Problem, number[]>;
  readonly writer: JsonLinesWriter;
  readonly queue: Readable;
  readonly progress: ProgressTeller;
  readonly signal: AbortSignal;
  readonly gate: () => Promise<void>;
}

interface Sampled {
  readonly device: string;
  readonly loadSeconds: number;
  readonly work: Omit<GenerationProgress, 'phase' | 'active'>;
}

/** Generates what is missing; each sample is on the disk before it is judged. Null when nothing is missing. */
async function sampleModel(sampling: Sampling): Promise<Sampled | null> {
  const { folder, request, protocol, benchmark, source, missing, writer, queue, progress, signal, gate } = sampling;
  if (missing.size === 0) return null;
  const start = performance.now();
  progress.phase('load');
  const tokenizer = createTokenizer(source.tokenizer);
  const requests = [...missing].map(([problem, samples]): GenerationRequest => ({
    ...request.sampling,
    id: problem.taskId,
    prompt: promptTokens(protocol, problem, benchmark.problems, source.tokenizer, tokenizer),
    samples,
    maxTokens: request.maxTokens ?? protocol.defaults.maxTokens,
    seed: request.seed,
    stop: protocol.stop,
  }));
  const loaded = await loadDecoder(source, {
    device: request.device,
    signal,
    precision: request.precision,
    places: Math.min(request.batch ?? DEFAULT_PLACES, [...missing.values()].flat().length),
    threads: request.threads,
    contextLength: Math.max(...requests.map(({ prompt, maxTokens }) => prompt.length + maxTokens)),
  });
  const { decoder } = loaded;
  try {
    await recordEngine(folder, loaded);
    progress.engine(deviceLabel(loaded));
    for (const { device, verdict, detail } of loaded.report) progress.note(`${device}: ${verdict} (${detail})`);
    const loadSeconds = (performance.now() - start) / 1000;
    let work: Sampled['work'] = { promptTokens: 0, generatedTokens: 0, prefillSeconds: 0, decodeSeconds: 0 };
    const onProgress = (now: GenerationProgress): void => {
      work = now;
      progress.generation(now);
    };
    for await (const completion of generate(decoder, tokenizer, requests, { onProgress, signal, gate })) {
      if (completion.finish === 'cancelled') continue;
      const problem = benchmark.problems.find(({ taskId }) => taskId === completion.id)!;
      const sample = sampleOf(problem, completion.sample, extract(protocol, problem, completion.text));
      const row = rowOfSample(sample, completionRecord(completion));
      await writer.append(row);
      queue.push({ ...sample, row } satisfies SampleRow);
      progress.update({ generated: progress.generated + 1 });
    }
    progress.phase('judge');
    return { device: deviceLabel(loaded), loadSeconds, work };
  } finally {
    await decoder.close();
  }
}

/** Token ids of what the model is to go on from. */
export function promptTokens(
  protocol: Protocol,
  problem: Problem,
  problems: readonly Problem[],
  definition: TokenizerDefinition,
  tokenizer: Tokenizer,
): number[] {
  const prompt = buildPrompt(protocol, problem, problems);
  if (prompt.kind === 'raw') return tokenizer.encode(prompt.text, { parseSpecial: false });
  const { messages, prefill } = prompt;
  // A fixed date: some templates show it, and a prompt must not change from day to day.
  const date = new Date(Date.UTC(2024, 6, 26));
  const text = renderChat(definition, messages, { addGenerationPrompt: true, prefill, date });
  return tokenizer.encode(text, { addSpecialTokens: false });
}

/** Our own fields of a row of samples.jsonl: the whole answer, why it ended, and its tokens, an array for each quantity. */
function completionRecord({ text, finish, tokens }: Completion): Record<string, unknown> {
  const round = (value: number): number => Math.round(value * 1e4) / 1e4;
  const column = <T>(of: (token: GeneratedToken) => T): T[] => tokens.map(of);
  return {
    answer: text,
    finish,
    tokens: {
      ids: column(({ id }) => id),
      texts: column((token) => token.text),
      log_probabilities: column(({ logProbability }) => round(logProbability)),
      entropies: column(({ entropy }) => round(entropy)),
      alternatives: column(({ top }) => top.map((token) => [token.id, token.text, round(token.logProbability)])),
    },
  };
}

function missingSamples(
  problems: readonly Problem[],
  samples: number,
  present: readonly SampleRow[],
): Map<Problem, number[]> {
  const done = new Set(present.map(({ taskId, sample }) => sampleKey(taskId, sample)));
  const missing = new Map<Problem, number[]>();
  for (const problem of problems) {
    const lacking = Array.from({ length: samples }, (_, i) => i).filter((i) => !done.has(sampleKey(problem.taskId, i)));
    if (lacking.length > 0) missing.set(problem, lacking);
  }
  return missing;
}

/** The problems that the request names, in the file's order. @throws UserError for a task that is not among them */
function askedProblems(selected: readonly Problem[], { tasks, limit, selection }: ResolvedRequest): readonly Problem[] {
  if (tasks === null) return selected.slice(0, limit ?? undefined);
  const unknown = tasks.find((id) => !selected.some(({ taskId }) => taskId === id));
  if (unknown !== undefined) throw new UserError(`There is no task ${unknown} in the part "${selection}".`);
  return selected.filter(({ taskId }) => tasks.includes(taskId)).slice(0, limit ?? undefined);
}

/**
 * Keeps in `run.json` what makes samples comparable, or checks that it is what the earlier ones were made with: the number
 * of problems and samples may change, and what only says how the work is done (threads, workers, batch, Python).
 * @throws UserError when the folder holds samples of another kind
 */
async function checkIdentity(
  folder: string,
  request: ResolvedRequest,
  protocol: Protocol,
  benchmark: Benchmark,
  source: ModelSource,
): Promise<void> {
  const identity = {
    model: await source.hash(),
    benchmark: benchmark.contentSha256,
    protocol,
    sampling: request.sampling,
    seed: request.seed,
    maxTokens: request.maxTokens,
    precision: request.precision,
    device: request.device,
  };
  const description = await readDescription(folder);
  const written: unknown = JSON.parse(JSON.stringify(identity));
  if (description.identity !== undefined && !isDeepStrictEqual(description.identity, written)) {
    await refuseRequest(folder, description);
    throw new UserError(
      `${folder} holds samples of another model, protocol or sampling. Name another folder with --out, or remove this one.`,
    );
  }
  const host = { cores: availableParallelism(), load: loadavg()[0], platform: `${process.platform}-${process.arch}` };
  const { before, ...accepted } = description;
  await writeDescription(folder, { ...accepted, identity, host });
}

async function recordEngine(folder: string, loaded: LoadedDecoder): Promise<void> {
  const { device, report, precision, threads, decoder } = loaded;
  const engine = { device, report, precision, threads, batch: decoder.places };
  await writeDescription(folder, { ...(await readDescription(folder)), engine });
}

function deviceLabel({ device, precision, threads, decoder }: LoadedDecoder): string {
  const size = (decoder.weightBytes / 1e6).toFixed(0);
  return `${device}, ${precision} (${size} MB of weights), ${threads} threads, batch ${decoder.places}`;
}

function noteSandbox(progress: ProgressTeller, executor: Executor): void {
  const missing = executor.layers.filter(({ inForce }) => !inForce);
  if (missing.length === 0) return;
  progress.note(`Not in force on this machine: ${missing.map(({ name }) => name).join(', ')}.`, 'warning');
}
