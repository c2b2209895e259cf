/** What there is to say of one sample of a real run: the very program that ran, and notes where something cannot be found. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { ResultsFile } from '../../src/client/resultsFile.ts';
import { BenchmarkLoader, type DetailSources, type SampleDetail, sampleDetail } from '../../src/client/sampleDetail.ts';
import { SamplesFile } from '../../src/client/samplesFile.ts';
import { programMark } from '../../src/evaluation/extraction.ts';
import { protocolById } from '../../src/evaluation/protocols.ts';
import { readEvaluation, runPaths, writeDescription } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import type { EvaluationRequest } from '../../src/runner/types.ts';
import { workOn } from '../../src/runner/work.ts';
import { smallRequest, temporaryFolder, writeProblems } from '../runner/smallRun.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
process.env['MIDTRAIN_RUNS'] = store;
const problems = writeProblems(home, 4);
let finished: string;

async function run(change: Partial<EvaluationRequest>): Promise<string> {
  const folder = await createRun(store, smallRequest(problems, change));
  await workOn(folder, { signal: new AbortController().signal });
  return folder;
}

/** A copy of the finished run, to be broken. */
function copy(): string {
  const folder = join(mkdtempSync(join(home, 'copy-')), 'run');
  cpSync(finished, folder, { recursive: true });
  return folder;
}

async function sourcesOf(folder: string): Promise<DetailSources> {
  const results = new ResultsFile(folder);
  await results.update(() => undefined);
  const [description, samples] = [await readEvaluation(folder), new SamplesFile(folder)];
  return { description, results, samples, benchmarks: new BenchmarkLoader() };
}

async function detailOf(folder: string, taskId = 'HumanEval/0', sample = 0): Promise<SampleDetail> {
  const detail = await sampleDetail(await sourcesOf(folder), taskId, sample);
  expect(detail).not.toBeNull();
  return detail!;
}

function rowsOf(path: string): Record<string, unknown>[] {
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

function changeRows(path: string, change: (row: Record<string, unknown>) => unknown): void {
  writeFileSync(
    path,
    rowsOf(path)
      .map((row) => `${JSON.stringify(change(row))}\n`)
      .join(''),
  );
}

beforeAll(async () => {
  finished = await run({});
});

describe('a sample of a run', () => {
  it('comes with the program that ran, to the letter, whatever the protocol, strictness and limits', async () => {
    const evalplus = await run({ protocol: 'evalplus-base', strict: true, timeLimit: null, samples: 1 });
    for (const folder of [finished, evalplus]) {
      const sources = await sourcesOf(folder);
      const { request } = sources.description;
      const { defaults } = protocolById('humaneval', request.protocol!);
      const rows = rowsOf(runPaths(folder).results);
      expect(rows).toHaveLength(4 * request.samples);
      for (const row of rows) {
        const detail = await sampleDetail(sources, String(row['task_id']), Number(row['sample']));
        expect(detail).toMatchObject({ notes: [], verdict: row['verdict'], result: row['result'] });
        const limits = { timeLimit: request.timeLimit ?? defaults.timeLimit, memoryLimit: defaults.memoryLimit };
        const program = { id: '', entryPoint: '', ...detail!.program!, ...limits };
        expect(programMark(program, request.strict)).toBe(row['program']);
        expect(detail!.timeLimit).toBe(limits.timeLimit);
      }
    }
  });

  it('comes with what the model was given and wrote, token by token, and what came of it', async () => {
    const sample = rowsOf(runPaths(finished).samples).find((row) => row['task_id'] === 'HumanEval/0')!;
    const result = rowsOf(runPaths(finished).results).find(
      (row) => row['task_id'] === 'HumanEval/0' && row['sample'] === sample['sample'],
    )!;
    const detail = await detailOf(finished, 'HumanEval/0', Number(sample['sample']));
    expect(detail.prompt).toBe(rowsOf(problems)[0]!['prompt']);
    expect(detail.before).toBe(detail.prompt);
    expect(detail.completion).toBe(sample['answer']);
    expect(detail.finish).toBe(sample['finish']);
    expect(detail.traceback).toBe(result['traceback']);
    expect(detail.wallSeconds).toBe(result['wall_seconds']);
    const tokens = sample['tokens'] as Record<string, unknown[]>;
    expect(detail.tokens!.texts).toEqual(tokens['texts']);
    expect(detail.tokens!.texts.join('')).toContain(detail.completion.slice(0, 10));
    expect(detail.tokens!.logProbabilities).toEqual(tokens['log_probabilities']);
    expect(detail.tokens!.alternatives[0]![0]).toEqual((tokens['alternatives']![0] as unknown[][])[0]!.slice(1));
  });

  it('is null where there is none, or its row was replaced since', async () => {
    const folder = copy();
    const sources = await sourcesOf(folder);
    expect(await sampleDetail(sources, 'HumanEval/0', 9)).toBeNull();
    expect(await sampleDetail(sources, 'HumanEval/99', 0)).toBeNull();
    const { results } = runPaths(folder);
    writeFileSync(results, readFileSync(results, 'utf8').slice(3));
    expect(await sampleDetail(sources, 'HumanEval/0', 0)).toBeNull();
    rmSync(results);
    await expect(sampleDetail(sources, 'HumanEval/0', 0)).rejects.toThrow(/ENOENT/);
  });
});

describe('what cannot be found is said, and the rest is shown', () => {
  /** The detail in a copy of the run that asks for another file of problems. */
  async function withBenchmark(path: string): Promise<SampleDetail> {
    const folder = copy();
    const description = await readEvaluation(folder);
    const { request } = description;
    await writeDescription(folder, { ...description, request: { ...request, benchmark: { id: 'humaneval', path } } });
    return detailOf(folder);
  }

  it('when the benchmark is gone, broken or lacks the task', async () => {
    const gone = await withBenchmark(join(home, 'gone.jsonl'));
    expect(gone).toMatchObject({ program: null, prompt: '', before: '', verdict: 'failed' });
    expect(gone.notes).toEqual([expect.stringMatching(/cannot be rebuilt: No data set at .*gone\.jsonl\.$/)]);
    expect(gone.tokens).not.toBeNull();
    const broken = join(home, 'broken.jsonl');
    writeFileSync(broken, 'nope\n');
    expect((await withBenchmark(broken)).notes[0]).toMatch(/cannot be rebuilt: .*line 1/);
    const other = join(home, 'other.jsonl');
    writeFileSync(other, readFileSync(problems, 'utf8').split('\n').slice(1).join('\n'));
    expect((await withBenchmark(other)).notes[0]).toMatch(/has no task HumanEval\/0/);
  });

  it('when the benchmark has changed, so that the program is not the one that ran', async () => {
    const changed = join(home, 'changed.jsonl');
    cpSync(problems, changed);
    changeRows(changed, (row) => ({ ...row, test: `${String(row['test'])}\n` }));
    const detail = await withBenchmark(changed);
    expect(detail.notes).toEqual([expect.stringMatching(/not exactly the program that ran/)]);
    expect(detail.program).not.toBeNull();
  });

  it('when samples.jsonl is gone, lacks the sample, or its tokens are wrong', async () => {
    const folder = copy();
    const { samples } = runPaths(folder);
    changeRows(samples, (row) => ({ ...row, tokens: { ...(row['tokens'] as object), entropies: [1] } }));
    expect((await detailOf(folder)).notes).toEqual([expect.stringMatching(/tokens of this sample are not as/)]);
    writeFileSync(samples, '');
    const without = await detailOf(folder);
    expect(without.notes).toEqual([expect.stringMatching(/has no row of this sample/)]);
    expect(without).toMatchObject({ tokens: null, finish: '' });
    const row = rowsOf(runPaths(folder).results).find((one) => one['task_id'] === 'HumanEval/0' && one['sample'] === 0);
    expect(without.completion).toBe(row!['completion']);
    rmSync(samples);
    expect((await detailOf(folder)).notes).toEqual([expect.stringMatching(/has no row of this sample/)]);
  });

  it('when the row holds no code, or run.json knows no protocol', async () => {
    const folder = copy();
    changeRows(runPaths(folder).results, ({ completion, ...row }) => row);
    expect(await detailOf(folder)).toMatchObject({
      program: null,
      notes: [expect.stringMatching(/neither completion nor solution/)],
    });
    const other = copy();
    const { identity, ...description } = await readEvaluation(other);
    const request = { ...description.request, protocol: null };
    await writeDescription(other, { ...description, request });
    const detail = await detailOf(other);
    expect(detail).toMatchObject({ program: null, notes: [expect.stringMatching(/does not say by which protocol/)] });
    expect(detail.prompt).not.toBe('');
  });

  it('whatever stands in run.json as its protocol and in the rows', async () => {
    const folder = copy();
    const whole = rowsOf(runPaths(folder).results).find((row) => row['task_id'] === 'HumanEval/0')!;
    const description = await readEvaluation(folder);
    const benchmarks = new BenchmarkLoader();
    const fields = fc.constantFrom('completion', 'solution', 'program', 'traceback', 'wall_seconds', 'retried');
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), fields, fc.jsonValue(), async (protocol, field, value) => {
        writeFileSync(runPaths(folder).results, `${JSON.stringify({ ...whole, sample: 0, [field]: value })}\n`);
        const identity = { protocol: { ...(description.identity!['protocol'] as object), prompt: protocol } };
        const sources = { ...(await sourcesOf(folder)), benchmarks, description: { ...description, identity } };
        const detail = await sampleDetail(sources, 'HumanEval/0', 0);
        expect(detail === null || detail.taskId === 'HumanEval/0').toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

describe('a loader of benchmarks', () => {
  it('loads again what was put back, and takes one benchmark for no other', async () => {
    const loader = new BenchmarkLoader();
    const description = await readEvaluation(finished);
    const asking = (id: 'humaneval' | 'mbpp', path: string): Promise<unknown> =>
      loader.load({ ...description, request: { ...description.request, benchmark: { id, path } } });
    const path = join(home, 'later.jsonl');
    await expect(asking('humaneval', path)).rejects.toThrow(/No data set/);
    cpSync(problems, path);
    const first = await asking('humaneval', path);
    expect(await asking('humaneval', path)).toBe(first);
    await expect(asking('mbpp', path)).rejects.toThrow();
  });
});
