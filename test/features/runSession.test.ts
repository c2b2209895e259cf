/** A run panel's session over a training: what it sends, how it follows, what is drawn beside it, and that no message can do harm. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTraining } from '../../src/client/followedRun.ts';
import { RunFollower } from '../../src/client/runFollower.ts';
import { RunSession, type SessionActions } from '../../src/features/runSession.ts';
import type { EventBody } from '../../src/runner/events.ts';
import { RUN_FORMAT } from '../../src/runner/runFolder.ts';
import { RunCurves } from '../../src/webviews/run/curves.ts';
import { ACTIONS, parseFromPanel, parseToPanel, type ToPanel } from '../../src/webviews/run/messages.ts';
import { eStepOf, explored, groupOf } from '../runner/exploration.ts';
import { temporaryFolder } from '../runner/smallRun.ts';
import { smallTraining } from '../runner/smallTraining.ts';

const home = temporaryFolder();

const launch: EventBody = { type: 'launch', pid: 1, version: '0.1.0', host: 'elsewhere' };
const metric = (step: number): EventBody => ({
  ...{ type: 'metric', step, steps: 8, loss: 4 - step / 4, heldOutLoss: step % 4 === 0 ? 3 : null, learningRate: 0.01 },
  ...{ gradientNorm: 1, tokens: 100 * step, tokensPerSecond: 50 },
});
const ended: EventBody = { type: 'done', status: 'finished', score: null, seconds: { total: 9 }, error: '' };
const sample: EventBody = {
  ...{
    type: 'sample',
    step: 4,
    taskId: 'starter/1',
    prompt: 'def f():\n',
    completion: '    pass\n',
    verdict: 'passed',
  },
};

const rowsOf = (events: readonly EventBody[], first = 1): string =>
  events.map((event, i) => `${JSON.stringify({ seq: first + i, time: 1e12 + 1000 * i, ...event })}\n`).join('');

function written(name: string, events: readonly EventBody[], config: object = {}): string {
  const folder = join(home, name);
  mkdirSync(folder);
  const request = { ...smallTraining('/models/tiny', config), name };
  writeFileSync(
    join(folder, 'run.json'),
    JSON.stringify({ format: RUN_FORMAT, kind: 'training', created: 1e12, request }),
  );
  writeFileSync(join(folder, 'events.jsonl'), rowsOf(events));
  return folder;
}

const steps = (from: number, to: number): EventBody[] =>
  Array.from({ length: to - from + 1 }, (_, i) => metric(from + i));
const whole = written('whole', [launch, ...steps(0, 4), sample, ...steps(5, 8), ended]);
const other = written('other', [launch, ...steps(0, 6), ended]);

async function training(folder: string) {
  const run = await RunFollower.open(folder);
  if (!isTraining(run)) throw new Error('it is no training');
  return run;
}

/** A panel that listens, and everything it was told and that it made happen. */
async function opened(folder: string, choice: readonly string[] | null = null) {
  const run = await training(folder);
  const told: ToPanel[] = [];
  const done: string[] = [];
  const others: RunFollower[] = [];
  const actions: SessionActions = {
    act: (action) => done.push(action),
    savePicture: (format, bytes) => done.push(`${format} of ${bytes.length}`),
    chooseOverlays: (chosen) => {
      done.push(`choose ${chosen.length}`);
      return Promise.resolve(choice);
    },
    openRun: async (wanted) => {
      if (![whole, other].includes(wanted)) return null;
      const found = await training(wanted);
      others.push(found);
      return found;
    },
  };
  const session = new RunSession(run, (message) => told.push(structuredClone(message)), actions);
  const curves = new Map<string, RunCurves>();
  let taken = 0;
  const of = <Type extends ToPanel['type']>(type: Type) =>
    told.filter((message): message is Extract<ToPanel, { type: Type }> => message.type === type);
  return {
    session,
    run,
    told,
    done,
    of,
    /** As the panel has them. */
    curves: (of_ = folder): RunCurves => {
      for (const message of told.slice(taken)) {
        if (message.type !== 'metrics' && message.type !== 'updates') continue;
        const known = curves.get(message.run) ?? new RunCurves();
        curves.set(message.run, known);
        expect(known.apply(message)).toBe(true);
      }
      taken = told.length;
      return curves.get(of_) ?? new RunCurves();
    },
    close: () => {
      session.close();
      for (const one of [run, ...others]) one.close();
    },
  };
}

describe('a run panel', () => {
  it('is told nothing before it is ready, then the whole run in messages that it takes', async () => {
    const panel = await opened(whole);
    expect(panel.told).toEqual([]);
    panel.session.receive({ type: 'ready', overlays: [] });
    await expect.poll(() => panel.curves().steps.count).toBe(9);
    for (const message of panel.told) expect(parseToPanel(message)).toEqual(message);
    expect(panel.curves().steps.of('loss').at(8)).toBe(2);
    expect(panel.curves().steps.of('heldOutLoss').at(3)).toBeNaN();
    const { header } = panel.of('run').at(-1)!;
    expect(header).toMatchObject({ status: 'finished', step: 8, steps: 8, left: null, phase: null, error: '' });
    expect(header.actions).toEqual(['openFolder', 'exportCsv', 'exportTensorBoard']);
    expect(new Map(header.facts.map(({ name, value }) => [name, value])).get('Trained')).toBe('all parameters');
    expect(panel.of('samples').at(-1)?.samples).toEqual([{ step: 4, taskId: 'starter/1', verdict: 'passed' }]);
    panel.session.receive({ type: 'sample', request: 3, number: 0 });
    await expect.poll(() => panel.of('sample')).toMatchObject([{ request: 3, sample: { completion: '    pass\n' } }]);
    panel.session.receive({ type: 'sample', request: 4, number: 9 });
    await expect.poll(() => panel.of('sample').at(-1)).toMatchObject({ request: 4, sample: null });
    // Hidden and shown again it knows nothing, and is told all once more.
    panel.told.length = 0;
    panel.session.receive({ type: 'ready', overlays: [] });
    await expect.poll(() => panel.of('metrics')[0]).toMatchObject({ from: 0 });
    await expect.poll(() => panel.of('marks').length).toBe(1);
    panel.close();
  });

  it('is told the updates of q and groups of rollouts, whose lines it asks for', async () => {
    const begun = explored({ rounds: 1, eUpdates: 10, mSteps: 3, groupSize: 2 });
    const set: EventBody = {
      type: 'control',
      verb: 'set',
      client: 'terminal',
      detail: 'It is.',
      settings: { thinkPenalty: 0.2 },
    };
    const folder = written('ra3', [launch, set, ...begun], { method: 'ra3' });
    const panel = await opened(folder);
    panel.session.receive({ type: 'ready', overlays: [] });
    await expect.poll(() => panel.curves().updates.count).toBe(10);
    for (const message of panel.told) expect(parseToPanel(message)).toEqual(message);
    expect(panel.curves().steps.of('codeLoss').some).toBe(true);
    expect(panel.curves().updates.of('returnNever').at(9)).toBe(Math.fround(eStepOf(10, 10).returnNever));
    const { header } = panel.of('run').at(-1)!;
    expect(header.actions).toEqual(['resume', 'openFolder', 'exportCsv', 'exportEStepCsv', 'exportTensorBoard']);
    expect(header.facts).toContainEqual({ name: 'Think penalty', value: '0.2 nats' });
    const groups = panel.of('groups').at(-1)!;
    expect([[...groups.updates], [...groups.snippets], [...groups.sizes]]).toEqual([
      [5, 5, 10, 10],
      [15, 16, 30, 31],
      [2, 2, 2, 2],
    ]);
    panel.session.receive({ type: 'rollouts', request: 1, update: 10, snippet: 31 });
    const lines = groupOf(10, 31, 2)[1]!.lines;
    await expect.poll(() => panel.of('rollouts').at(-1)?.rollouts[1]?.lines).toEqual(lines);
    panel.session.receive({ type: 'rollouts', request: 2, update: 10, snippet: 3 });
    await expect.poll(() => panel.of('rollouts').at(-1)).toMatchObject({ request: 2, rollouts: [] });
    // Another launch does updates 6 to 10 again.
    appendFileSync(
      join(folder, 'events.jsonl'),
      rowsOf([launch, eStepOf(6, 10), ...groupOf(7, 40, 3), eStepOf(7, 10)], 100),
    );
    await panel.run.refresh();
    await expect.poll(() => panel.curves().updates.count).toBe(7);
    expect([...panel.of('groups').at(-1)!.updates]).toEqual([5, 5, 7]);
    panel.close();
  });

  it('follows a run that goes on, from where it was told', async () => {
    const folder = written('growing', [launch, ...steps(0, 2)]);
    const panel = await opened(folder);
    panel.session.receive({ type: 'ready', overlays: [] });
    await expect.poll(() => panel.curves().steps.count).toBe(3);
    // Nobody holds it: its process is gone, and it says so and what can be done.
    expect(panel.of('run').at(-1)?.header).toMatchObject({
      status: 'crashed',
      actions: ['resume', 'openFolder', 'exportCsv', 'exportTensorBoard'],
    });
    appendFileSync(join(folder, 'events.jsonl'), rowsOf([launch, ...steps(2, 5)], 5));
    await panel.run.refresh();
    await expect.poll(() => panel.curves().steps.count).toBe(6);
    expect(panel.of('metrics').at(-1)).toMatchObject({ from: 2 });
    expect(panel.of('marks').at(-1)?.marks).toMatchObject([{ kind: 'resumed', step: 2 }]);
    panel.close();
  });

  it('draws other trainings too, those that are there, until they are taken off', async () => {
    const panel = await opened(whole, [other, join(home, 'nowhere'), whole]);
    panel.session.receive({ type: 'ready', overlays: [] });
    panel.session.receive({ type: 'chooseOverlays' });
    await expect
      .poll(() =>
        panel
          .of('overlays')
          .at(-1)
          ?.runs.map(({ folder }) => folder),
      )
      .toEqual([other]);
    await expect.poll(() => panel.curves(other).steps.count).toBe(7);
    panel.session.receive({ type: 'removeOverlay', folder: other });
    await expect.poll(() => panel.of('overlays').at(-1)?.runs).toEqual([]);
    panel.close();
    // After a reload it says which they were.
    const again = await opened(whole);
    again.session.receive({ type: 'ready', overlays: [other] });
    await expect.poll(() => again.curves(other).steps.count).toBe(7);
    again.close();
  });

  it('of a run that was only asked for, or failed, says what is going on', async () => {
    const asked = await opened(written('asked', []));
    asked.session.receive({ type: 'ready', overlays: [] });
    await expect
      .poll(() => asked.of('run').at(-1)?.header)
      .toMatchObject({
        status: 'asked',
        words: expect.stringContaining('no process has taken it') as string,
        actions: ['resume', 'openFolder'],
        steps: 24,
      });
    asked.close();
    const failed = await opened(
      written('failed', [launch, { ...ended, status: 'failed', error: 'The data hold no Python.' }]),
    );
    failed.session.receive({ type: 'ready', overlays: [] });
    await expect
      .poll(() => failed.of('run').at(-1)?.header)
      .toMatchObject({ status: 'failed', error: 'The data hold no Python.' });
    await expect.poll(() => failed.of('marks').at(-1)?.marks).toMatchObject([{ kind: 'failed', step: 0 }]);
    failed.close();
  });
});

describe('malformed messages of a panel', () => {
  it('of 10,000 kinds do nothing; proper ones do what they say', async () => {
    const panel = await opened(whole);
    panel.session.receive({ type: 'ready', overlays: [] });
    await expect.poll(() => panel.curves().steps.count).toBe(9);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const type = fc.constantFrom<unknown>(
      ...['ready', 'action', 'sample', 'chooseOverlays', 'removeOverlay', 'picture', 'exit', '', null, {}],
    );
    const near = fc.record(
      {
        type,
        action: fc.constantFrom<unknown>(...ACTIONS, 'rm', '__proto__', null, 3),
        overlays: fc.jsonValue(),
        folder: fc.oneof(fc.jsonValue(), fc.constant('x'.repeat(5000))),
        request: fc.oneof(fc.jsonValue(), fc.double()),
        number: fc.oneof(fc.jsonValue(), fc.constant(-1)),
        format: fc.constantFrom<unknown>('png', 'svg', 'exe', null),
        bytes: fc.oneof(fc.jsonValue(), fc.constant(new Uint8Array()), fc.string()),
      },
      { requiredKeys: [] },
    );
    const messages = fc.sample(fc.oneof(fc.anything(), near), { numRuns: 10_000, seed: 5 });
    const malformed = messages.filter((message) => parseFromPanel(message) === null);
    expect(malformed.length).toBeGreaterThan(8500);
    panel.told.length = 0;
    for (const message of malformed) panel.session.receive(message);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([panel.done, panel.told]).toEqual([[], []]);
    for (const action of ACTIONS) panel.session.receive({ type: 'action', action });
    panel.session.receive({ type: 'picture', format: 'svg', bytes: new Uint8Array(5) });
    expect(panel.done).toEqual([...ACTIONS, 'svg of 5']);
    panel.close();
  });
});
