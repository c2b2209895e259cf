/** The verbs on training runs that are at work in a process of their own, over its socket. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '../../src/runner/events.ts';
import { readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { trainOn } from '../../src/runner/work.ts';
import { LiveRun } from './liveRun.ts';
import { temporaryFolder } from './smallRun.ts';
import { lossesOf, smallTraining, writeTinyModel } from './smallTraining.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
const env = { MIDTRAIN_RUNS: store, MIDTRAIN_HOME: join(home, 'cache'), MIDTRAIN_BENCHMARKS: join(home, 'none') };
Object.assign(process.env, env);
/** Runs until it is stopped. */
const ENDLESS = { steps: 100_000, schedule: 'constant', checkpointInterval: 50_000, evaluationInterval: 0 };
const SOON = { timeout: 30_000, interval: 10 };
let model: string;

beforeAll(async () => {
  model = await writeTinyModel(home);
});

const stepsKept = (folder: string): string[] =>
  existsSync(runPaths(folder).checkpoints) ? readdirSync(runPaths(folder).checkpoints).sort() : [];
const ratesOf = (events: readonly RunEvent[]): Map<number, number | null> =>
  new Map(events.flatMap((event) => (event.type === 'metric' ? [[event.step, event.learningRate]] : [])));
const curveOf = async (folder: string) => lossesOf((await readEvents(folder, 0)).events);
const notesOf = ({ state }: LiveRun): string => state.notes.map(({ text }) => text).join('\n');

describe('release and sample', () => {
  it('give the memory back and show what the model writes, and the losses are as if nothing had been', async () => {
    const change = { hiddenSize: 256, layerCount: 6, headSize: 64, intermediateSize: 704 };
    const large = await writeTinyModel(home, 7, change);
    const request = smallTraining(large, {
      heldOut: 0.3,
      steps: 8,
      batchTokens: 256,
      context: 256,
      evaluationTokens: 256,
    });
    const whole = await createRun(store, request);
    await trainOn(whole, { signal: new AbortController().signal });

    const folder = await createRun(store, request);
    const run = await LiveRun.launch(folder, env);
    await expect.poll(() => run.reached(), SOON).toBeGreaterThan(0);
    expect(await run.control('pause')).toMatchObject({ applied: true });
    await expect.poll(() => run.state.status, SOON).toBe('paused');
    expect(await run.control('sample')).toMatchObject({ applied: true });
    const samples = async () => (await run.events()).flatMap((event) => (event.type === 'sample' ? [event] : []));
    await expect.poll(async () => (await samples()).length, SOON).toBeGreaterThan(0);
    for (const { step, prompt, completion, taskId, verdict } of await samples()) {
      expect({ step, taskId, verdict }).toEqual({ step: run.step, taskId: null, verdict: null });
      expect(prompt).toMatch(/^(?:from|import|def) [^]*\n\s+"""[^]*"""\n$|^[^]*def \w+\(.*\).*:\n$/);
      expect(completion.length).toBeGreaterThan(0);
    }

    expect(await run.dryRun('release')).toMatchObject({ applied: true });
    expect(await run.control('release')).toMatchObject({ applied: true });
    await expect.poll(() => notesOf(run), SOON).toContain('memory is given back');
    const [, before, after] = /given back: (\d+) MB in use before, (\d+) MB now/.exec(notesOf(run))!;
    const parameters = 6 * (3 * 256 * 256 + 3 * 256 * 704) + 257 * 256;
    // Parameters, gradients and both moments, and the model that was opened for the held-out loss are gone.
    expect((Number(before) - Number(after)) * 1e6).toBeGreaterThan(0.8 * 4 * 4 * parameters);
    expect(run.state.metric?.memory).toBeGreaterThan(Number(after) * 1e6);
    expect(run.state.status).toBe('paused');
    expect(stepsKept(folder).at(-1)).toBe(`step-${String(run.step).padStart(8, '0')}`);
    for (const verb of ['release', 'pause', 'sample', 'checkpoint'] as const) {
      const detail = expect.stringMatching(/memory/) as string;
      expect(await run.control(verb)).toMatchObject({ applied: false, detail });
    }
    const held = run.step;
    expect(await run.control('resume')).toMatchObject({ applied: true });
    await expect.poll(() => run.step, SOON).toBeGreaterThan(held);

    // Straight from a step, and ended in that state: all is kept.
    if ((await run.control('release')).applied) {
      const isThere = (): boolean => notesOf(run).split('given back').length === 3 || run.state.status === 'finished';
      await expect.poll(isThere, SOON).toBe(true);
      if (run.state.status !== 'finished') {
        expect(await run.control('stop-and-save')).toMatchObject({ applied: true });
        expect(await run.ended).toBe(130);
      }
    }
    run.close();
    await trainOn(folder, { signal: new AbortController().signal });
    expect(await curveOf(folder)).toEqual(await curveOf(whole));
  });
});

describe('set', () => {
  it('acts once, also in a pause; a dry run and what is so already change nothing', async () => {
    const run = await LiveRun.launch(await createRun(store, smallTraining(model, ENDLESS)), env);
    await expect.poll(() => run.reached(), SOON).toBeGreaterThan(1);
    await run.control('pause');
    await expect.poll(() => run.state.status, SOON).toBe('paused');
    const settings = { learningRate: 0.003 };
    expect(await run.dryRun('set', settings)).toMatchObject({ applied: true });
    const { applied, detail } = await run.control('set', settings);
    expect(applied).toBe(true);
    const from = Number(/From step (\d+) on the learning rate is 0.003/.exec(detail)![1]);
    expect(await run.control('set', settings)).toMatchObject({
      applied: false,
      detail: 'That is so already: the learning rate is 0.003.',
    });
    expect(await run.control('set', { evaluationInterval: 0 })).toMatchObject({ applied: false });
    await run.control('resume');
    await expect.poll(() => run.step, SOON).toBeGreaterThan(from);
    const back = await run.control('set', { learningRate: null });
    expect(back.applied).toBe(true);
    expect(await run.control('set', { learningRate: null })).toMatchObject({ applied: false });
    await expect.poll(() => run.step, SOON).toBeGreaterThan(Number(/From step (\d+)/.exec(back.detail)![1]));
    await run.kill();
    const events = await run.events();
    const rates = ratesOf(events);
    expect([rates.get(from - 1), rates.get(from)]).toEqual([0.01, 0.003]);
    expect([...rates.values()].at(-1)).toBe(0.01);
    expect(events.filter((event) => event.type === 'control' && event.verb === 'set')).toHaveLength(2);

    // Set for a step that is done again, it holds from there on whatever had been set for those behind it.
    const again = await LiveRun.launch(run.folder, env);
    const set = async () => (await again.control('set', { learningRate: 0.004 })).applied;
    await expect.poll(set, SOON).toBe(true);
    await expect.poll(() => again.step, SOON).toBeGreaterThan([...rates.keys()].at(-1)! + 1);
    await again.kill();
    expect([...ratesOf(await again.events()).values()].at(-1)).toBe(0.004);
  });
});

describe('stop', () => {
  it('ends before the next step and goes on from the last checkpoint; stop-and-save from where it stood', async () => {
    const folder = await createRun(store, smallTraining(model, { ...ENDLESS, checkpointInterval: 4 }));
    const run = await LiveRun.launch(folder, env);
    await expect.poll(() => run.reached(), SOON).toBeGreaterThan(4);
    expect(await run.dryRun('stop')).toMatchObject({ applied: true });
    expect(await run.control('stop')).toMatchObject({ applied: true });
    expect(await run.ended).toBe(130);
    run.close();
    const before = await run.events();
    expect(before.at(-1)).toMatchObject({ type: 'done', status: 'stopped' });
    const reached = lossesOf(before).at(-1)![0];
    expect(stepsKept(folder).at(-1)).toBe(`step-${String(reached - (reached % 4)).padStart(8, '0')}`);

    const next = await LiveRun.launch(folder, env);
    await expect.poll(() => next.reached(), SOON).toBeGreaterThan(reached + 1);
    await next.control('pause');
    await expect.poll(() => next.state.status, SOON).toBe('paused');
    expect(await next.control('stop-and-save')).toMatchObject({ applied: true });
    expect(await next.ended).toBe(130);
    next.close();
    const after = lossesOf(await next.events());
    expect(after.slice(0, reached)).toEqual(lossesOf(before).slice(0, reached));
    expect(stepsKept(folder).at(-1)).toBe(`step-${String(after.at(-1)![0]).padStart(8, '0')}`);
    await expect(next.control('stop')).rejects.toThrow(/No process works on/);
  });
});
