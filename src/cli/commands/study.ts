/**
 * `midtrain study FILE`: trains a model by several methods with several seeds, evaluates each result on the same problems and
 * writes what came of it. Every training and evaluation is a run of its own in the study's folder; the same command goes on
 * where it was stopped.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { specIn } from '../../catalog/models.ts';
import { BENCHMARKS, loadBenchmark } from '../../evaluation/benchmarks/index.ts';
import { type Counts, readCounts } from '../../evaluation/compare.ts';
import { readStudy, type Study } from '../../midtraining/study.ts';
import { type MethodResults, studyMarkdown, studySvg, summarizeStudy } from '../../midtraining/studyReport.ts';
import { readEvents, runPaths } from '../../runner/runFolder.ts';
import { openRun } from '../../runner/store.ts';
import type { EvaluationRequest, FoundModel, RunRequest } from '../../runner/types.ts';
import { executionConsent } from '../consent.ts';
import { type Context, needBenchmark, needModel, type Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, type ConsentOptions, withCommonOptions, withConsentOptions } from '../options.ts';
import { formatDuration } from '../progress.ts';
import { sandboxLayers } from '../sandbox.ts';

interface StudyOptions extends CommonOptions, ConsentOptions {
  readonly out?: string;
  readonly report?: string;
}

export function addStudy(program: Command, run: Run): void {
  const command = program
    .command('study')
    .description('train by several methods and seeds, and evaluate each result on the same problems')
    .argument('<study>', 'a *.study.json')
    .option('-o, --out <folder>', "where its runs are kept; default: the study's name")
    .option('--report <file>', 'the Markdown that is written, with a picture beside it; default: in the folder');
  withConsentOptions(withCommonOptions(command)).action(async (file: string, options: StudyOptions) => {
    await run(options, (context) => study(file, context, options));
  });
}

async function study(file: string, context: Context, options: StudyOptions): Promise<ExitCode> {
  const { output } = context;
  const asked = await readStudy(file);
  await executionConsent(context, () => sandboxLayers({}));
  const benchmark = await needBenchmark(asked.benchmark, null, context);
  const tasks = (await loadBenchmark(asked.benchmark, benchmark.path)).problems
    .slice(...(asked.problems ?? [0]))
    .map(({ taskId }) => taskId);
  const spec = await specIn(dirname(resolve(file)), asked.model);
  const { path, label } = await needModel(spec, context);
  const out = resolve(options.out ?? asked.name);
  await mkdir(out, { recursive: true });
  const runs = new StudyRuns(context, { out, asked, model: { path, label, spec }, benchmark: benchmark.path, tasks });
  const methods = await runs.all();
  if (methods === null) return exitCodes.interrupted;

  const summaries = summarizeStudy(methods, asked.reference);
  const report = resolve(options.report ?? join(out, 'study.md'));
  const picture = report.replace(/\.md$/, '') + '.svg';
  const shownOut = options.out === undefined ? '' : ` --out ${relative(process.cwd(), out)}`;
  const markdown = studyMarkdown({
    ...{ title: `Study: ${asked.name}`, summaries, reference: asked.reference, problems: tasks.length },
    ...{ benchmark: BENCHMARKS[asked.benchmark].title, picture: basename(picture), seconds: runs.seconds },
    command: `midtrain study ${relative(process.cwd(), resolve(file))}${shownOut}`,
    machine: `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? process.arch})`,
  });
  await writeFile(report, markdown);
  await writeFile(picture, studySvg(summaries));
  await writeFile(join(out, 'study.json'), `${JSON.stringify({ problems: tasks.length, summaries }, null, 2)}\n`);
  output.result('study', [...markdown.split('\n').filter((line) => line.startsWith('|')), `report   ${report}`], {
    summaries,
    report,
  });
  return exitCodes.ok;
}

interface StudyParts {
  readonly out: string;
  readonly asked: Study;
  readonly model: FoundModel;
  readonly benchmark: string;
  readonly tasks: readonly string[];
}

/** The runs of a study, those done before among them. */
class StudyRuns {
  readonly #context: Context;
  readonly #parts: StudyParts;
  /** Of all trainings and evaluations. */
  seconds = 0;

  constructor(context: Context, parts: StudyParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Seed by seed, so that what is there compares all methods. @returns null when it was stopped */
  async all(): Promise<MethodResults[] | null> {
    const { asked, model } = this.#parts;
    const results = new Map(asked.methods.map(({ name }) => [name, [] as MethodResults['seeds'][number][]]));
    for (const [number, seed] of asked.seeds.entries()) {
      for (const { name, configOf } of asked.methods) {
        if (configOf === null) {
          if (number > 0) continue;
          const counts = await this.#evaluate(name, model);
          if (counts === null) return null;
          results.get(name)!.push({ seed: null, counts, seconds: null });
          continue;
        }
        const at = `${name}-${seed}`;
        const { config } = configOf(seed);
        const trained = await this.#run(at, { name: at, config, model });
        if (trained === null) return null;
        const counts = await this.#evaluate(`${at}-evaluated`, {
          ...{ path: runPaths(trained.folder).model, label: at, spec: runPaths(trained.folder).model },
        });
        if (counts === null) return null;
        results.get(name)!.push({ seed, counts, seconds: trained.seconds });
      }
    }
    return [...results].map(([name, seeds]) => ({ name, seeds }));
  }

  async #evaluate(name: string, model: FoundModel): Promise<Counts | null> {
    const { asked, benchmark, tasks } = this.#parts;
    const request: EvaluationRequest = {
      ...{ model, benchmark: { id: asked.benchmark, path: benchmark }, selection: 'test', limit: null, tasks },
      ...{ samples: 1, sampling: { temperature: 0, topP: 1, topK: 0, minP: 0 }, seed: 0, maxTokens: null },
      ...{ protocol: 'plain', device: 'cpu', precision: 'fp32', strict: false, timeLimit: null, batch: null },
      ...{ threads: null, workers: null, python: null },
    };
    const run = await this.#run(name, request);
    return run === null ? null : readCounts(runPaths(run.folder).results);
  }

  /** Runs it, goes on with it, or takes it as it is where it is done. @returns null when it was stopped */
  async #run(name: string, request: RunRequest): Promise<{ folder: string; seconds: number } | null> {
    const { output, signal } = this.#context;
    const folder = join(this.#parts.out, name);
    const before = await secondsOf(folder);
    if (before === null) {
      output.note(`${name} …`);
      await openRun(folder, request);
      const { trainOn, workOn } = await import('../../runner/work.ts');
      const options = { signal };
      const { status } = await ('config' in request ? trainOn(folder, options) : workOn(folder, options));
      if (status === 'stopped') return null;
    }
    const seconds = (await secondsOf(folder)) ?? 0;
    output.note(`${name}: ${before === null ? 'done' : 'was done'} in ${formatDuration(seconds)}.`);
    this.seconds += seconds;
    return { folder, seconds };
  }
}

/** Wall seconds of all launches of a run that is finished; null of any other. */
async function secondsOf(folder: string): Promise<number | null> {
  const events = await readEvents(folder, 0).then(
    (read) => read.events,
    () => [],
  );
  const ends = events.flatMap((event) => (event.type === 'done' ? [event] : []));
  if (ends.at(-1)?.status !== 'finished') return null;
  return ends.reduce((sum, { seconds }) => sum + (seconds?.total ?? 0), 0);
}
