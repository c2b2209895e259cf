/** RA3 as a run: rounds of E- and M-steps on the starter model, stopped and set in the middle of one. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/midtraining/checkpoint.ts';
import type { EStepEvent, MetricEvent, RunEvent } from '../../src/runner/events.ts';
import { readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { LiveRun } from './liveRun.ts';
import { temporaryFolder } from './smallRun.ts';
import { lossesOf, smallTraining, train } from './smallTraining.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
const env = { MIDTRAIN_RUNS: store, MIDTRAIN_HOME: join(home, 'cache'), MIDTRAIN_BENCHMARKS: join(home, 'none') };
Object.assign(process.env, env);
const STARTER = join(import.meta.dirname, '../../media/starter-model');

const request = (change: object = {}, abstractions: object = {}): ReturnType<typeof smallTraining> =>
  smallTraining(STARTER, {
    ...{ method: 'ra3', steps: 5, batchTokens: 256, context: 256, learningRate: 1e-4, warmup: 0 },
    ...{ evaluationInterval: 0, checkpointInterval: 1, ...change },
    abstractions: {
      ...{ warmup: 1, eUpdates: 3, mSteps: 2, snippets: 2, groupSize: 2, evaluationSnippets: 2, ...abstractions },
    },
  });

const eventsOf = async (folder: string): Promise<RunEvent[]> => (await readEvents(folder, 0)).events;
const metricsOf = (events: readonly RunEvent[]): MetricEvent[] =>
  events.flatMap((event) => (event.type === 'metric' ? [event] : []));
/** The updates of q without what depends on the machine; where one comes twice the later holds. */
function updatesOf(events: readonly RunEvent[]): Partial<EStepEvent>[] {
  const rows = new Map<number, Partial<EStepEvent>>();
  for (const event of events) {
    if (event.type !== 'e-step') continue;
    const { seq, time, rolloutsPerSecond, ...rest } = event;
    rows.set(event.update, rest);
  }
  return [...rows.values()];
}

describe('RA3', () => {
  it('goes in rounds, and on from the middle of one as if nothing had been', { timeout: 240_000 }, async () => {
    const whole = await createRun(store, request());
    await train(whole);
    const events = await eventsOf(whole);
    const updates = updatesOf(events);
    expect(updates.map(({ update, step, round }) => [update, step, round])).toEqual([
      [1, 1, 1],
      [2, 1, 1],
      [3, 1, 1],
      [4, 3, 2],
      [5, 3, 2],
      [6, 3, 2],
    ]);
    expect(updates.map(({ heldOut }) => heldOut !== undefined)).toEqual([false, false, true, false, false, true]);
    expect(updates.every(({ thinkRate, rollouts }) => thinkRate! > 0 && rollouts === 4)).toBe(true);
    const examples = events.flatMap((event) => (event.type === 'rollout' ? [event] : []));
    expect(examples).toHaveLength(12);
    for (const { lines, returnWith, returnNever } of examples) {
      const sum = (of: 'reward' | 'without'): number => lines.reduce((total, line) => total + line[of], 0);
      expect(sum('reward')).toBeCloseTo(returnWith, 6);
      expect(sum('without')).toBeCloseTo(returnNever, 6);
    }
    const metrics = metricsOf(events);
    expect(metrics.map(({ codeLoss }) => typeof codeLoss)).toEqual(metrics.map(() => 'number'));
    expect(metrics.some(({ latentLoss }) => typeof latentLoss === 'number')).toBe(true);

    // Both models are in a checkpoint, and they are not the same.
    const folder = runPaths(whole).checkpoints;
    const [model, q] = [await openCheckpoint(folder, 5), await openCheckpoint(folder, 5, 'q')];
    expect(q.names).toEqual(model.names);
    expect(await q.read('model.norm.weight')).not.toEqual(await model.read('model.norm.weight'));
    await Promise.all([model.close(), q.close()]);

    const stopped = await createRun(store, request());
    await expect(
      train(stopped, (event, stop) => {
        if (event.type === 'e-step' && event.update === 2) stop();
      }),
    ).resolves.toMatchObject({ status: 'stopped' });
    await train(stopped, (event, stop) => {
      if (event.type === 'e-step' && event.update === 5) stop();
    });
    await train(stopped);
    expect(updatesOf(await eventsOf(stopped))).toEqual(updates);
    expect(lossesOf(await eventsOf(stopped))).toEqual(lossesOf(events));
  });

  it('keeps a state in the middle of a round, and what was set there', { timeout: 240_000 }, async () => {
    const folder = await createRun(store, request({}, { eUpdates: 30 }));
    const run = await LiveRun.launch(folder, env);
    const updates = async (): Promise<number> => updatesOf(await run.events()).length;
    await expect.poll(updates, { timeout: 60_000, interval: 20 }).toBeGreaterThan(1);
    await run.reached();
    const { applied, detail } = await run.control('set', { thinkPenalty: 0.2, groupSize: 3, eUpdates: 6 });
    expect({ applied, detail }).toMatchObject({ applied: true });
    const from = Number(/From update (\d+) of q on a thought costs 0.2 nats/.exec(detail)![1]);
    expect(await run.control('stop-and-save')).toMatchObject({ applied: true });
    expect(await run.ended).toBe(130);
    run.close();
    const before = updatesOf(await eventsOf(folder));
    await train(folder);
    const after = updatesOf(await eventsOf(folder));
    expect(after.slice(0, before.length)).toEqual(before); // none was done again
    for (const { update: number, thinkPenalty, rollouts } of after) {
      expect([number, thinkPenalty, rollouts]).toEqual([number, number! < from ? 0.05 : 0.2, number! < from ? 4 : 6]);
    }
    expect(after.filter(({ round }) => round === 1)).toHaveLength(6);
  });
});

describe('RA3 with rollouts from a second process', () => {
  it('has them so far behind and no further, and goes on from what waited', { timeout: 240_000 }, async () => {
    const asked = request({ steps: 2 }, { asynchronous: true, eUpdates: 6, evaluationSnippets: 0 });
    const whole = await LiveRun.launch(await createRun(store, asked), env);
    expect(await whole.ended).toBe(0);
    whole.close();
    const updates = updatesOf(await whole.events());
    expect(updates.map(({ staleness }) => staleness)).toEqual([0, 1, 2, 2, 2, 2]);
    expect(updates.every(({ rollouts }) => rollouts === 4)).toBe(true);

    const run = await LiveRun.launch(await createRun(store, asked), env);
    const count = async (): Promise<number> => updatesOf(await run.events()).length;
    await expect.poll(count, { timeout: 60_000, interval: 20 }).toBeGreaterThan(1);
    await run.reached();
    const { applied } = await run.control('stop-and-save');
    expect(await run.ended).toBe(applied ? 130 : 0);
    run.close();
    const before = (await run.events()).length;
    const again = await LiveRun.launch(run.folder, env);
    expect(await again.ended).toBe(0);
    again.close();
    expect(updatesOf(await again.events())).toEqual(updates);
    const later = (await again.events()).slice(before);
    expect(later.filter(({ type }) => type === 'e-step').length).toBeLessThan(6); // none was done again
    expect(lossesOf(await again.events())).toEqual(lossesOf(await whole.events()));
  });
});

describe('synthetic', () => {
  it('trains on the comments of the data, code and comments apart', { timeout: 120_000 }, async () => {
    const folder = await createRun(store, request({ method: 'synthetic', steps: 3 }));
    await train(folder);
    const events = await eventsOf(folder);
    expect(updatesOf(events)).toEqual([]);
    for (const { loss, codeLoss, latentLoss } of metricsOf(events)) {
      expect(Math.min(codeLoss!, latentLoss!)).toBeLessThan(loss!);
      expect(Math.max(codeLoss!, latentLoss!)).toBeGreaterThan(loss!);
    }
    expect(metricsOf(events)).toHaveLength(3);
  });
});
