/** Training runs: they learn, resume to the bit whatever ends them, obey, refuse what is wrong, and leave a model that works. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { launchRunner } from '../../src/client/launch.ts';
import { RunFollower } from '../../src/client/runFollower.ts';
import { DEFAULT_ADAMW, Trainer } from '../../src/engine/training/trainer.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { openTokenStore } from '../../src/midtraining/data/tokenStore.ts';
import { TrainingRows } from '../../src/midtraining/data/trainingRows.ts';
import { nextTokenBatch } from '../../src/midtraining/nextTokenPrediction.ts';
import type { RunEvent } from '../../src/runner/events.ts';
import { EventLog, readDescription, readEvents, runPaths, writeDescription } from '../../src/runner/runFolder.ts';
import { stateOf } from '../../src/runner/state.ts';
import { createRun, openRun } from '../../src/runner/store.ts';
import type { TrainingOutcome } from '../../src/runner/types.ts';
import { workOn } from '../../src/runner/work.ts';
import { bundleCommand, smallRequest, temporaryFolder, writeProblems } from './smallRun.ts';
import { lossesOf, smallTraining, train, writeTinyModel } from './smallTraining.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
process.env['MIDTRAIN_RUNS'] = store;
process.env['MIDTRAIN_HOME'] = join(home, 'cache');
const env = { MIDTRAIN_RUNS: store, MIDTRAIN_HOME: join(home, 'cache') };
let model: string;
/** A run that nothing has disturbed. */
let undisturbed: string;
let outcome: TrainingOutcome;

beforeAll(async () => {
  model = await writeTinyModel(home);
  undisturbed = await createRun(store, smallTraining(model));
  outcome = await train(undisturbed);
});

const eventsOf = async (folder: string): Promise<RunEvent[]> => (await readEvents(folder, 0)).events;
const curveOf = async (folder: string) => lossesOf(await eventsOf(folder));
const stepsKept = (folder: string): string[] => readdirSync(runPaths(folder).checkpoints).sort();

/** The held-out loss of an exported model, all of it anew. */
async function heldOutLossOf(folder: string): Promise<number> {
  const source = await openModel(runPaths(folder).model);
  const { corpus } = runPaths(folder);
  const { tokenizer } = JSON.parse(readFileSync(join(corpus, 'corpus.json'), 'utf8')) as { tokenizer: string };
  const tokens = await openTokenStore(corpus, tokenizer);
  const rows = new TrainingRows(tokens.heldOut, { rowLength: 512, seed: 0, endTokenId: 256, paddingTokenId: 256 });
  const trainer = await Trainer.create(source.config, source.weights, {
    method: { type: 'full' },
    rows: 1,
    length: 512,
    optimizer: DEFAULT_ADAMW,
    schedule: { shape: 'constant', peak: 1, warmup: 0, total: 1, floor: 1 },
    clip: null,
    threads: 1,
  });
  let sum = 0;
  let targets = 0;
  for (let left = Math.min(rows.epochSize().rows, 4); left > 0; left--) {
    const found = await trainer.evaluate(nextTokenBatch([await rows.next()], 512));
    sum += found.loss * found.tokens;
    targets += found.tokens;
  }
  await trainer.close();
  await tokens.close();
  await source.close();
  return sum / targets;
}

describe('a training run', () => {
  it('learns, tells its phases and metrics, keeps the last and the best checkpoint, and leaves a model', async () => {
    expect(outcome).toMatchObject({ status: 'finished', steps: 24, stepsAsked: 24 });
    const curve = await curveOf(undisturbed);
    expect(curve.map(([step]) => step)).toEqual(Array.from({ length: 25 }, (_, step) => step));
    expect(curve[0]![1]).toBeNull();
    expect(curve.at(-1)![1]!).toBeLessThan(curve[1]![1]! - 1.5);
    expect(curve.flatMap(([step, , heldOut]) => (heldOut === null ? [] : [step]))).toEqual([0, 6, 12, 18, 24]);
    expect(outcome.heldOutLoss!).toBeLessThan(outcome.firstHeldOutLoss! - 1.5);
    expect(outcome.heldOutLoss).toBe(curve.at(-1)![2]);

    const events = await eventsOf(undisturbed);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
    const phases = new Set(events.flatMap((event) => (event.type === 'phase' ? [event.phase] : [])));
    expect([...phases]).toEqual(['load', 'prepare', 'evaluate', 'train', 'save']);
    expect(stateOf(events)).toMatchObject({ status: 'finished', metric: { step: 24, steps: 24 }, progress: null });
    expect(stepsKept(undisturbed)).toEqual(['step-00000012', 'step-00000020', 'step-00000024']);
    expect(await heldOutLossOf(undisturbed)).toBeCloseTo(outcome.heldOutLoss!, 5);
  });

  it('leaves a model that evaluates', async () => {
    const request = smallRequest(writeProblems(home, 2), { samples: 1, tasks: ['HumanEval/1'] });
    const folder = await createRun(store, {
      ...request,
      model: { path: outcome.modelFolder!, spec: '', label: 'trained' },
    });
    const { score } = await workOn(folder, { signal: new AbortController().signal });
    expect(score).toMatchObject({ problems: 1, final: true });
  });

  it('stops at a step, saves, and goes on to the same losses and the same weights', async () => {
    const folder = await createRun(store, smallTraining(model));
    for (const at of [3, 6, 17]) {
      const stopped = await train(folder, (event, stop) => {
        if (event.type === 'metric' && event.step === at) stop();
      });
      expect(stopped).toMatchObject({ status: 'stopped', steps: at, modelFolder: null });
    }
    const finished = await train(folder);
    expect(finished).toMatchObject({ status: 'finished', loss: outcome.loss, heldOutLoss: outcome.heldOutLoss });
    expect(finished.firstHeldOutLoss).toBe(outcome.firstHeldOutLoss);
    expect(await curveOf(folder)).toEqual(await curveOf(undisturbed));
    const weights = (run: string) => readFileSync(join(runPaths(run).model, 'model.safetensors'));
    expect(weights(folder).equals(weights(undisturbed))).toBe(true);
    // It is over: nothing is trained any more.
    const again = await train(folder);
    expect(again).toMatchObject({ status: 'finished', loss: outcome.loss, tokens: outcome.tokens });
  });

  it('trains adapters, resumes them exactly, and merges them into the exported model', async () => {
    const request = smallTraining(model, {
      train: 'lora',
      lora: { rank: 4, base: 'fp32' },
      steps: 10,
      checkpointInterval: 3,
    });
    const whole = await createRun(store, request);
    const { heldOutLoss, firstHeldOutLoss } = await train(whole);
    expect(heldOutLoss!).toBeLessThan(firstHeldOutLoss!);
    expect(await heldOutLossOf(whole)).toBeCloseTo(heldOutLoss!, 5);
    const folder = await createRun(store, request);
    await train(folder, (event, stop) => {
      if (event.type === 'metric' && event.step === 5) stop();
    });
    await train(folder);
    expect(await curveOf(folder)).toEqual(await curveOf(whole));
  });

  it('ends when the held-out loss no longer falls, with the best weights, and stays ended', async () => {
    const change = { patience: 1, evaluationInterval: 1, learningRate: 0.1, steps: 60 };
    const folder = await createRun(store, smallTraining(model, change));
    const ended = await train(folder);
    expect(ended.status).toBe('finished');
    expect(ended.steps).toBeLessThan(60);
    const heldOut = (await curveOf(folder)).map(([, , loss]) => loss!);
    expect(await heldOutLossOf(folder)).toBeCloseTo(Math.min(...heldOut), 5);
    await train(folder);
    expect((await curveOf(folder)).map(([, , loss]) => loss!)).toEqual(heldOut);
  });
});

describe('what is wrong', () => {
  it('a learning rate that diverges ends it, and the last good checkpoint is kept', async () => {
    const folder = await createRun(
      store,
      smallTraining(model, { learningRate: 1e30, clip: null, warmup: 8, floor: 1 }),
    );
    const { step } = await train(folder).then(
      () => ({ step: null }),
      (error: unknown) => {
        expect(error).toMatchObject({ name: 'UserError' });
        const [, found] = /^Training diverges: after step (\d+) .*learning rate of .*Lower learningRate/.exec(
          (error as Error).message,
        )!;
        return { step: Number(found) };
      },
    );
    expect(step).not.toBeNull();
    expect(stateOf(await eventsOf(folder))).toMatchObject({ status: 'failed' });
  });

  it('a loss that rises far above the others ends it too', async () => {
    const change = {
      learningRate: 1e-4,
      schedule: 'constant',
      steps: 100_000,
      evaluationInterval: 0,
      checkpointInterval: 10,
    };
    const folder = await createRun(store, smallTraining(model, change));
    await train(folder, (event, stop) => {
      if (event.type === 'metric' && event.step === 20) stop();
    });
    // As the verb `set` would have left it: from the step after 20 on the rate is far too high.
    const log = await EventLog.open(folder);
    const settings = { learningRate: 30 };
    await log.append({ type: 'control', verb: 'set', client: 'test', detail: '', settings, step: 20 }).written;
    await log.close();
    await expect(train(folder)).rejects.toThrow(
      /after step \d+ the loss rose to [\d.]+, at a learning rate of 30\. The checkpoint of step 2\d is kept/,
    );
  });

  it('a checkpoint that is cut is refused, and the one before it goes on to the same losses', async () => {
    const folder = await createRun(store, smallTraining(model));
    await train(folder, (event, stop) => {
      if (event.type === 'metric' && event.step === 10) stop();
    });
    expect(stepsKept(folder)).toEqual(['step-00000008', 'step-00000010']);
    truncateSync(join(runPaths(folder).checkpoints, 'step-00000010/optimizer.safetensors'), 1000);
    await train(folder);
    const { notes } = stateOf(await eventsOf(folder));
    expect(notes.map(({ text }) => text)).toContainEqual(
      expect.stringMatching(/checkpoint of step 10 is cut: .* has 1000 bytes/),
    );
    expect(notes.map(({ text }) => text)).toContainEqual(
      expect.stringMatching(/goes on from the checkpoint of step 8/),
    );
    expect(await curveOf(folder)).toEqual(await curveOf(undisturbed));
  });

  it('checkpoints of which none is whole are left alone', async () => {
    const folder = await createRun(store, smallTraining(model));
    await train(folder, (event, stop) => {
      if (event.type === 'metric' && event.step === 2) stop();
    });
    rmSync(join(runPaths(folder).checkpoints, 'step-00000002/state.json'));
    await expect(train(folder)).rejects.toThrow(/No checkpoint in .* can be used.*step 2 is cut.*--out/);
    expect(stepsKept(folder)).toEqual(['step-00000002']);
  });

  it('the state of another model or another config is refused', async () => {
    const other = await writeTinyModel(home, 2);
    const description = await readDescription(undisturbed);
    const { identity, ...asked } = description;
    const folder = await createRun(store, smallTraining(model));
    await train(folder, (event, stop) => {
      if (event.type === 'metric' && event.step === 2) stop();
    });
    const at = (path: string, seed: number) => smallTraining(path, { seed });
    const there = await readDescription(folder);
    await writeDescription(folder, { ...there, request: at(other, 0) } as typeof there);
    await expect(train(folder)).rejects.toThrow(/holds a training that differs in model\. Name another folder/);
    await writeDescription(folder, { ...asked, request: at(other, 0) } as typeof there);
    await expect(train(folder)).rejects.toThrow(/checkpoint of step 2 .* belongs to another run: it differs in model/);
    await writeDescription(folder, { ...there, request: at(model, 1) } as typeof there);
    await expect(train(folder)).rejects.toThrow(/differs in seed/);
    expect(identity).toBeDefined();

    // Asked for in a folder that holds another run, it leaves that one as it was.
    await writeDescription(folder, there);
    await openRun(folder, at(other, 0));
    await expect(train(folder)).rejects.toThrow(/holds a training that differs in model/);
    expect(await readDescription(folder)).toEqual(there);
    await openRun(folder, at(model, 0));
    await train(folder);
    expect((await readDescription(folder)).before).toBeUndefined();
  });

  it('a context beyond the model, and data without a whole snippet', async () => {
    const long = await createRun(store, smallTraining(model, { context: 2048 }));
    await expect(train(long)).rejects.toThrow(/"context" is 2048 in the config, and .* takes at most 1024 tokens/);
    const empty = await createRun(store, smallTraining(model, { context: 32 }));
    await expect(train(empty)).rejects.toThrow(/No snippet of Python is left/);
  });
});

describe('the verbs on a live run', () => {
  it('act between two steps, and what was set outlives a stop and a kill', async () => {
    const command = bundleCommand();
    const change = { steps: 100_000, schedule: 'constant', checkpointInterval: 50_000, evaluationInterval: 0 };
    const folder = await createRun(store, smallTraining(model, change));
    let { pid, ended } = await launchRunner(folder, { command, env });
    onTestFailed(() => {
      process.kill(pid, 'SIGKILL');
    });
    let run = await RunFollower.open(folder);
    const step = (): number => run.state.metric?.step ?? 0;
    /** The step as soon as the process has taken the run. */
    const reached = async (): Promise<number> => {
      await run.refresh();
      return step();
    };
    await expect.poll(reached, { timeout: 20_000 }).toBeGreaterThan(2);

    expect(await run.control('pause')).toMatchObject({ applied: true });
    await expect.poll(() => run.state.status).toBe('paused');
    await sleep(200);
    const held = step();
    expect(await run.control('checkpoint')).toMatchObject({
      applied: true,
      detail: expect.stringContaining('saves') as string,
    });
    await expect.poll(() => existsSync(runPaths(folder).checkpoints) && stepsKept(folder).length).toBe(1);
    expect(step()).toBe(held);
    expect(await run.control('set', false, {})).toMatchObject({ applied: false });
    expect(await run.control('set', true, { learningRate: 0.5 })).toMatchObject({ applied: true });
    expect(await run.control('set', false, { learningRate: 0.001 })).toMatchObject({ applied: true });
    expect(await run.control('resume')).toMatchObject({ applied: true });
    await expect.poll(step).toBeGreaterThan(held + 1);
    const rates = async (): Promise<Map<number, number | null>> =>
      new Map(
        (await eventsOf(folder)).flatMap((event) =>
          event.type === 'metric' ? [[event.step, event.learningRate]] : [],
        ),
      );
    expect((await rates()).get(held)).toBe(0.01);
    expect((await rates()).get(held + 1)).toBe(0.001);

    // Set again, and killed before anything was saved: it is taken up at the very same step.
    const { detail } = await run.control('set', false, { learningRate: 0.002, evaluationInterval: 1 });
    const from = Number(/From step (\d+) on/.exec(detail)![1]);
    await expect.poll(step).toBeGreaterThan(from);
    process.kill(pid, 'SIGKILL');
    await ended;
    run.close();
    const before = lossesOf(await eventsOf(folder));

    ({ pid, ended } = await launchRunner(folder, { command, env }));
    run = await RunFollower.open(folder);
    await expect.poll(reached, { timeout: 20_000 }).toBeGreaterThan(before.at(-1)![0] + 2);
    expect(await run.control('stop-and-save')).toMatchObject({ applied: true });
    expect(await ended).toBe(130);
    run.close();
    const after = lossesOf(await eventsOf(folder));
    expect(after.slice(0, before.length)).toEqual(before);
    const found = await rates();
    expect(found.get(from - 1)).toBe(0.001);
    expect(found.get(from)).toBe(0.002);
    const last = after.at(-1)!;
    expect(last[2]).not.toBeNull();
    expect(stepsKept(folder).at(-1)).toBe(`step-${String(last[0]).padStart(8, '0')}`);

    // Saved and stopped: the next launch goes on at that step, at that rate.
    let rate: number | null = null;
    const next = await train(folder, (event, stop) => {
      if (event.type !== 'metric') return;
      rate ??= event.learningRate;
      stop();
    });
    expect(next.steps).toBe(last[0] + 1);
    expect(rate).toBe(0.002);
  });
});

describe('a full disk', () => {
  const disk = join(home, 'disk');
  let isMounted = false;
  afterAll(() => {
    if (isMounted) execFileSync('umount', [disk]);
  });

  it('while saving leaves the checkpoint before it, and the run goes on when there is room', async ({ skip }) => {
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk], { stdio: 'ignore' });
      isMounted = true;
    } catch {
      skip(true, 'no small file system can be mounted here');
    }
    const folder = await createRun(join(disk, 'runs'), smallTraining(model));
    const fill = (): void => {
      const piece = Buffer.alloc(4096);
      try {
        for (;;) appendFileSync(join(disk, 'filler'), piece);
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
      }
      // Room for the words, not for a checkpoint.
      truncateSync(join(disk, 'filler'), readFileSync(join(disk, 'filler')).length - 64 * 1024);
    };
    const failing = train(folder, (event) => {
      if (event.type === 'metric' && event.step === 5) fill();
    });
    await expect(failing).rejects.toThrow(
      /checkpoint of step 8 cannot be written to .*: no space is left on the disk. Make room and start again/,
    );
    expect(stepsKept(folder)).toEqual(['step-00000004']);
    rmSync(join(disk, 'filler'));
    await train(folder);
    expect(await curveOf(folder)).toEqual(await curveOf(undisturbed));
  });
});
