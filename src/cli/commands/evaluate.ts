/**
 * `midtrain evaluate`: samples a model on a benchmark, runs the programs and says the score. The work is the runner's, in
 * this process; this finds the files, shows the progress and words the outcome.
 */
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { modelForms } from '../../catalog/models.ts';
import { BENCHMARKS, benchmarkId } from '../../evaluation/benchmarks/index.ts';
import { formatScore, formatVerdicts } from '../../evaluation/score.ts';
import type { Phase, RunEvent } from '../../runner/events.ts';
import { linkRun, openRun, runName, runsFolder } from '../../runner/store.ts';
import type { EvaluationOutcome, EvaluationRequest } from '../../runner/types.ts';
import { executionConsent } from '../consent.ts';
import { type Context, needBenchmark, needModel, type Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import {
  type CommonOptions,
  type ConsentOptions,
  pythonOption,
  type SamplingOptions,
  seconds,
  wholeNumber,
  withCommonOptions,
  withConsentOptions,
  withSamplingOptions,
} from '../options.ts';
import type { Output } from '../output.ts';
import { formatDuration } from '../progress.ts';
import { sandboxLayers } from '../sandbox.ts';

export interface EvaluateOptions extends CommonOptions, ConsentOptions, SamplingOptions {
  readonly model: string;
  readonly benchmark: string;
  readonly data?: string;
  readonly selection: string;
  readonly limit?: number;
  readonly maxTokens?: number;
  readonly protocol?: string;
  readonly batch?: number;
  readonly out?: string;
  readonly strict: boolean;
  readonly workers?: number;
  readonly timeLimit?: number;
  readonly python?: string;
}

export function addEvaluate(program: Command, run: Run): void {
  const command = program
    .command('evaluate')
    .description('sample a model on a benchmark, run the programs and say the score')
    .requiredOption('-m, --model <model>', modelForms)
    .requiredOption('-b, --benchmark <name>', Object.keys(BENCHMARKS).join(' or '))
    .option('--data <file>', "the benchmark's own file, JSONL or JSONL.gz, instead of the one fetched")
    .option('--selection <part>', "test or all; MBPP's test part has 500 of its 974 problems", 'test')
    .option('-l, --limit <problems>', 'only the first so many problems', wholeNumber(1))
    .option('--max-tokens <count>', "longest completion; default: the protocol's", wholeNumber(1))
    .option('-p, --protocol <id>', 'how the model is asked; default: chat where it has a chat template')
    .option('--batch <count>', 'sequences decoded together', wholeNumber(1))
    .option('-o, --out <folder>', 'where the run is kept; the same folder goes on with an unfinished run')
    .option('--strict', 'judge and candidate in two processes', false)
    .option('--workers <count>', 'programs run at a time', wholeNumber(1))
    .option('--time-limit <seconds>', "for one program; default: the protocol's", seconds)
    .addOption(pythonOption());
  withConsentOptions(withCommonOptions(withSamplingOptions(command, 'each problem'))).action(
    async (options: EvaluateOptions) => {
      await run(options, (context) => evaluate(context, options));
    },
  );
}

async function evaluate(context: Context, options: EvaluateOptions): Promise<ExitCode> {
  const { output } = context;
  const id = benchmarkId(options.benchmark);
  await executionConsent(context, () => sandboxLayers(options));
  const benchmark = await needBenchmark(id, options.data ?? null, context);
  const model = await needModel(options.model, context);
  const { path, label } = model;
  const request = evaluationRequest(options, { id, path: benchmark.path }, { path, spec: options.model, label });
  const store = runsFolder();
  const folder = resolve(options.out ?? join(store, runName(request)));
  output.note(`${label} on ${BENCHMARKS[id].title}, run in ${folder}`);
  await openRun(folder, request);
  await linkRun(store, folder);
  const { workOn } = await import('../../runner/work.ts');
  const outcome = await workOn(folder, { onEvent: shower(output), signal: context.signal });
  output.result('evaluation', outcomeLines(outcome), outcome);
  if (outcome.status === 'stopped') return exitCodes.interrupted;
  return outcome.score.final ? exitCodes.ok : exitCodes.notFinal;
}

/** What the options ask for. */
export function evaluationRequest(
  options: EvaluateOptions,
  benchmark: EvaluationRequest['benchmark'],
  model: EvaluationRequest['model'],
): EvaluationRequest {
  return {
    model,
    benchmark,
    selection: options.selection,
    limit: options.limit ?? null,
    tasks: null,
    samples: options.samples,
    sampling: { temperature: options.temperature, topP: options.topP, topK: options.topK, minP: options.minP },
    seed: options.seed,
    maxTokens: options.maxTokens ?? null,
    protocol: options.protocol ?? null,
    device: options.device,
    precision: options.precision,
    strict: options.strict,
    timeLimit: options.timeLimit ?? null,
    batch: options.batch ?? null,
    threads: options.threads ?? null,
    workers: options.workers ?? null,
    python: options.python ?? null,
  };
}

const phases: Partial<Record<Phase, string>> = {
  fetch: 'fetching',
  load: 'loading the model',
  sample: 'sampling',
  judge: 'running programs',
};

/** A listener that shows what a run tells. */
function shower(output: Output): (event: RunEvent) => void {
  let phase = '';
  return (event) => {
    if (event.type === 'phase') {
      phase = phases[event.phase] ?? event.phase;
      if (event.phase === 'load') output.note('Loading the model.');
    } else if (event.type === 'note') {
      if (event.level === 'warning') output.warning(event.text);
      else output.note(event.text);
    } else if (event.type === 'control') {
      output.note(`${event.verb} (${event.client}): ${event.detail}`);
    } else if (event.type === 'progress' && event.total > 0) {
      const { done, total, passed, tokensPerSecond } = event;
      const speed = tokensPerSecond > 0 ? ` · ${tokensPerSecond.toFixed(0)} tokens/s` : '';
      const detail = `${passed} passed${speed} · ${phase}`;
      output.progress({ title: 'Evaluating', done, total, unit: 'samples', detail });
    }
  };
}

/** What a person reads at the end. */
export function outcomeLines(outcome: EvaluationOutcome): string[] {
  const { seconds: spent, promptTokens, generatedTokens } = outcome;
  const lines = [...formatScore(outcome.score).split('\n'), formatVerdicts(outcome.score.verdicts)];
  const rate = spent.decode > 0 ? ` (${(generatedTokens / spent.decode).toFixed(0)} tokens/s)` : '';
  lines.push(
    `${formatDuration(spent.total)}: load ${formatDuration(spent.load)}, prompts ${formatDuration(spent.prefill)}, ` +
      `sampling ${formatDuration(spent.decode)}${rate}, programs ${formatDuration(spent.execute)} beside it; ` +
      `${promptTokens} tokens read, ${generatedTokens} written; ${outcome.protocol} protocol on ${outcome.device}`,
    `samples  ${outcome.samplesFile}`,
    `results  ${outcome.resultsFile}`,
  );
  if (outcome.status === 'stopped') lines.push('Stopped before the end: the same command goes on from here.');
  return lines.filter((line) => line !== ''); // no verdicts where nothing was judged
}
