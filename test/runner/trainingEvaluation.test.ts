/** Programs judged while a model is trained: as `midtrain evaluate` would, without a trace in the losses, resumed. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSamples } from '../../src/evaluation/sampleFiles.ts';
import { loadBenchmark } from '../../src/evaluation/benchmarks/index.ts';
import type { MetricEvent, RunEvent } from '../../src/runner/events.ts';
import { readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import type { TrainingOutcome, TrainingRequest } from '../../src/runner/types.ts';
import { workOn } from '../../src/runner/work.ts';
import { smallRequest, temporaryFolder, writeProblems } from './smallRun.ts';
import { lossesOf, smallTraining, train, writeTinyModel } from './smallTraining.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
const benchmarks = join(home, 'benchmarks');
const file = join(benchmarks, 'HumanEval.jsonl');
Object.assign(process.env, {
  ...{ MIDTRAIN_RUNS: store, MIDTRAIN_HOME: join(home, 'cache'), MIDTRAIN_BENCHMARKS: benchmarks },
});
const CHANGE = { steps: 12, passAt1: { benchmark: 'humaneval', problems: 5 } };
let model: string;
let judged: string;
let outcome: TrainingOutcome;

beforeAll(async () => {
  mkdirSync(benchmarks);
  renameSync(writeProblems(home, 8), file);
  model = await writeTinyModel(home);
  judged = await createRun(store, smallTraining(model, CHANGE));
  outcome = await train(judged);
});

const eventsOf = async (folder: string): Promise<RunEvent[]> => (await readEvents(folder, 0)).events;
/** Of each step the last row. */
async function judgedSteps(folder: string): Promise<[step: number, passAt1: MetricEvent['passAt1']][]> {
  const rows = new Map<number, MetricEvent['passAt1']>();
  for (const event of await eventsOf(folder)) if (event.type === 'metric') rows.set(event.step, event.passAt1);
  return [...rows].filter(([, passAt1]) => passAt1 !== undefined);
}

describe('programs judged in the loop', () => {
  it('come with each held-out loss and leave no trace in the losses', async () => {
    const steps = await judgedSteps(judged);
    expect(steps.map(([step]) => step)).toEqual([0, 6, 12]);
    for (const [, passAt1] of steps) expect(passAt1).toMatchObject({ problems: 5 });
    const plain = await createRun(store, smallTraining(model, { steps: 12 }));
    await train(plain);
    expect(lossesOf(await eventsOf(judged))).toEqual(lossesOf(await eventsOf(plain)));
  });

  it.for(['full', 'lora'])('are those that an evaluation of the trained model gives (%s)', async (kind) => {
    const folder =
      kind === 'full'
        ? judged
        : await createRun(
            store,
            smallTraining(model, {
              ...CHANGE,
              steps: 2,
              train: 'lora',
              lora: { base: 'fp32' },
              initialWeights: 'random',
            }),
          );
    const { modelFolder, steps } = kind === 'full' ? outcome : await train(folder);
    const request = smallRequest(file, { samples: 1, limit: 5, maxTokens: null, protocol: null, timeLimit: null });
    const evaluated = await createRun(store, {
      ...request,
      model: { path: modelFolder!, spec: '', label: `trained-${kind}` },
      sampling: { temperature: 0, topP: 1, topK: 0, minP: 0 },
    });
    const { score } = await workOn(evaluated, { signal: new AbortController().signal });
    expect((await judgedSteps(folder)).at(-1)).toEqual([steps, { passed: score.solved, problems: 5 }]);
    const { problems } = await loadBenchmark('humaneval', file);
    const { samples } = await readSamples(runPaths(evaluated).samples, problems, {});
    const shown = (await eventsOf(folder)).flatMap((event) =>
      event.type === 'sample' && event.step === steps ? [event] : [],
    );
    expect(shown.map(({ taskId }) => taskId)).toEqual(['HumanEval/0', 'HumanEval/1', 'HumanEval/2']);
    expect(shown[0]!.verdict).not.toBe('passed'); // whatever is written
    for (const { taskId, completion, prompt } of shown) {
      const { row } = samples.find((sample) => sample.taskId === taskId)!;
      expect(row['answer']).toBe(completion);
      expect(prompt).toBe(problems.find((problem) => problem.taskId === taskId)!.prompt);
    }
  });

  it('have an interval of their own, and none where nothing is evaluated', async () => {
    const change = { ...CHANGE, steps: 5, passAt1: { ...CHANGE.passAt1, problems: 1, interval: 3 } };
    const folder = await createRun(store, smallTraining(model, change));
    await train(folder);
    expect((await judgedSteps(folder)).map(([step]) => step)).toEqual([0, 3, 5]);
    const none = await createRun(store, smallTraining(model, { ...change, evaluationInterval: 0 }));
    await train(none);
    expect(await judgedSteps(none)).toEqual([]);
  });

  it('that a stop cuts short are made up for when the run goes on', async () => {
    const folder = await createRun(store, smallTraining(model, CHANGE));
    let evaluations = 0;
    const stopped = await train(folder, (event, stop) => {
      if (event.type === 'phase' && event.phase === 'evaluate') evaluations += 1;
      if (evaluations === 2 && event.type === 'phase') setTimeout(stop, 30); // at step 6
    });
    expect(stopped).toMatchObject({ status: 'stopped', steps: 6 });
    await train(folder);
    expect(await judgedSteps(folder)).toEqual(await judgedSteps(judged));
    expect(lossesOf(await eventsOf(folder))).toEqual(lossesOf(await eventsOf(judged)));
  });

  it('need a Python and prompts that fit: said before anything is trained', async () => {
    const request: TrainingRequest = { ...smallTraining(model, CHANGE), python: join(home, 'no-python') };
    await expect(train(await createRun(store, request))).rejects.toThrow(/no-python/);
    const prompt = `def long():\n    """${'a'.repeat(600)}"""\n`;
    const row = { task_id: 'HumanEval/0', prompt, entry_point: 'long', canonical_solution: '', test: 'pass' };
    writeFileSync(join(home, 'HumanEval.jsonl'), JSON.stringify(row));
    process.env['MIDTRAIN_BENCHMARKS'] = home;
    const short = await writeTinyModel(home, 2, { contextLength: 512 });
    const folder = await createRun(store, smallTraining(short, CHANGE));
    await expect(train(folder)).rejects.toThrow(/prompt of HumanEval\/0 has 6\d\d tokens, and the model takes 512/);
    process.env['MIDTRAIN_BENCHMARKS'] = benchmarks;
  });
});
