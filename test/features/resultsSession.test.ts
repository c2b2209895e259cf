/** A results panel's session over a real run: what it sends, how it follows, and that no message can do harm. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { isEvaluation } from '../../src/client/followedRun.ts';
import { RunFollower } from '../../src/client/runFollower.ts';
import { ResultsSession, type SessionActions } from '../../src/features/resultsSession.ts';
import { runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { workOn } from '../../src/runner/work.ts';
import { ACTIONS, parseToPanel, PARTS, type ToPanel } from '../../src/webviews/results/messages.ts';
import { RowStore } from '../../src/webviews/results/rowStore.ts';
import { smallRequest, temporaryFolder, writeProblems } from '../runner/smallRun.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
process.env['MIDTRAIN_RUNS'] = store;
let finished: string;

beforeAll(async () => {
  finished = await createRun(store, smallRequest(writeProblems(home, 9)));
  await workOn(finished, { signal: new AbortController().signal });
});

/** A panel that listens, and everything it was told and that it made happen. */
async function opened(folder: string) {
  const run = await RunFollower.open(folder);
  if (!isEvaluation(run)) throw new Error('it is no evaluation');
  const told: ToPanel[] = [];
  const done: string[] = [];
  const actions: SessionActions = {
    open: ({ taskId }, part) => done.push(`open ${taskId} ${part}`),
    copy: (text) => done.push(`copy ${text}`),
    rerun: (taskId) => done.push(`rerun ${taskId}`),
    act: (action) => done.push(action),
  };
  const session = new ResultsSession(run, (message) => told.push(message), actions);
  const rows = new RowStore();
  const of = <Type extends ToPanel['type']>(type: Type) =>
    told.filter((message): message is Extract<ToPanel, { type: Type }> => message.type === type);
  return {
    session,
    told,
    done,
    of,
    /** As the panel sees them. */
    rows: () => {
      for (const message of told.splice(0)) {
        if (message.type === 'rows') expect(rows.apply(message)).toBe(true);
      }
      return rows;
    },
    close: () => {
      session.close();
      run.close();
    },
  };
}

describe('a panel', () => {
  it('is told nothing before it is ready, then the whole run in messages that it takes', async () => {
    const panel = await opened(finished);
    expect(panel.told).toEqual([]);
    panel.session.receive({ type: 'ready' });
    await expect.poll(() => panel.of('rows').reduce((sum, { numbers }) => sum + numbers.length, 0)).toBe(18);
    for (const message of panel.told) expect(parseToPanel(message)).toEqual(message);
    const { header } = panel.of('run').at(-1)!;
    expect(header).toMatchObject({ status: 'finished', final: true, error: '', actions: ['runAgain', 'openFolder'] });
    expect(header.verdicts.reduce((sum, count) => sum + count)).toBe(18);
    expect(header.passAtK[0]).toMatchObject({ k: 1 });
    const facts = new Map(header.facts.map(({ name, value }) => [name, value]));
    expect(facts.get('Protocol')).toBe('codex');
    expect(facts.get('Benchmark hash')).toMatch(/^[0-9a-f]{64}$/);
    expect(facts.get('Model hash')).toMatch(/[0-9a-f]{16}/);
    const rows = panel.rows();
    expect(rows.count).toBe(18);
    expect(rows.find('HumanEval/8', 1)).not.toBeNull();
    // Hidden and shown again it knows nothing, and is told all once more.
    panel.session.receive({ type: 'ready' });
    await expect.poll(() => panel.of('rows')[0]?.numbers.length).toBe(18);
    expect(panel.of('rows')[0]).toMatchObject({ reset: true });
    panel.close();
  });

  it('gets a sample with its tokens and exactly the program that ran, and opens, copies and runs it again', async () => {
    const panel = await opened(finished);
    panel.session.receive({ type: 'ready' });
    await expect.poll(() => panel.of('rows').some(({ numbers }) => numbers.length > 0)).toBe(true);
    const number = panel.rows().find('HumanEval/3', 1)!;
    panel.session.receive({ type: 'detail', request: 5, row: number });
    await expect.poll(() => panel.of('detail').length).toBe(1);
    const { request, detail, error } = panel.of('detail')[0]!;
    expect(parseToPanel(panel.of('detail')[0])).not.toBeNull();
    expect({ request, error }).toEqual({ request: 5, error: '' });
    expect(detail).toMatchObject({ taskId: 'HumanEval/3', sample: 1, notes: [] });
    expect(detail?.tokens?.texts.join('').startsWith(detail.completion)).toBe(true);
    expect(detail?.program?.check).toContain('check(f3)');
    panel.session.receive({ type: 'open', row: number, part: 'program' });
    panel.session.receive({ type: 'rerun', row: number });
    panel.session.receive({ type: 'copyFact', name: 'Protocol' });
    panel.session.receive({ type: 'action', action: 'runAgain' });
    await expect.poll(() => panel.done.length).toBe(4);
    expect(new Set(panel.done)).toEqual(
      new Set(['open HumanEval/3 program', 'rerun HumanEval/3', 'copy codex', 'runAgain']),
    );
    panel.close();
  });

  it('follows a run that goes on, and says what was cut off or broken', async () => {
    const folder = join(store, 'growing');
    mkdirSync(folder);
    const { description, results, samples, events } = runPaths(finished);
    const own = runPaths(folder);
    writeFileSync(own.description, readFileSync(description));
    writeFileSync(own.samples, readFileSync(samples));
    writeFileSync(own.events, readFileSync(events));
    const lines = readFileSync(results, 'utf8').trim().split('\n');
    writeFileSync(own.results, `${lines.slice(0, 4).join('\n')}\nno row\n{"task_id": "Hum`);
    const panel = await opened(folder);
    panel.session.receive({ type: 'ready' });
    await expect.poll(() => panel.of('file').at(-1)).toMatchObject({ broken: 1, cut: true });
    expect(panel.rows().count).toBe(4);
    writeFileSync(own.results, `${lines.slice(0, 4).join('\n')}\nno row\n`); // as whoever goes on with it cuts it
    appendFileSync(own.results, `${lines.slice(4).join('\n')}\n`);
    panel.session.receive({ type: 'ready' });
    await expect.poll(() => panel.of('file').at(-1)).toMatchObject({ broken: 1, cut: false });
    await expect.poll(() => panel.rows().count).toBe(lines.length);
    panel.close();
  });
});

describe('malformed messages of a panel', () => {
  it('of 10,000 kinds do nothing', async () => {
    const panel = await opened(finished);
    panel.session.receive({ type: 'ready' });
    await expect.poll(() => panel.rows().count).toBe(18);
    const word = fc.constantFrom<unknown>(...PARTS, ...ACTIONS, 'rm', '__proto__', '', null, 3);
    const type = fc.constantFrom<unknown>(
      'detail',
      'open',
      'copy',
      'copyFact',
      'rerun',
      'action',
      'exit',
      'eval',
      '',
      null,
      {},
    );
    const number = fc.oneof(fc.jsonValue(), fc.double(), fc.integer(), fc.constant(-1), fc.constant(2 ** 53));
    const near = fc.record(
      { type, request: number, row: number, part: word, action: word, name: fc.jsonValue() },
      { requiredKeys: [] },
    );
    const messages = fc.sample(fc.oneof(fc.anything(), near), { numRuns: 10_000, seed: 5 });
    const { parseFromPanel } = await import('../../src/webviews/results/messages.ts');
    // What is a proper message after all is not what is tested here.
    const malformed = messages.filter((message) => parseFromPanel(message) === null);
    expect(malformed.length).toBeGreaterThan(9000);
    for (let told = -1; told !== panel.told.length; await new Promise((resolve) => setTimeout(resolve, 500))) {
      told = panel.told.length; // the score comes behind the rows
    }
    panel.told.length = 0;
    for (const message of malformed) panel.session.receive(message);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(panel.done).toEqual([]);
    expect(panel.told).toEqual([]);
    // Proper ones that mean nothing: rows that are not there.
    for (const row of [18, 4_294_967_295]) {
      for (const kind of ['open', 'copy'] as const) panel.session.receive({ type: kind, row, part: 'program' });
      panel.session.receive({ type: 'rerun', row });
      panel.session.receive({ type: 'detail', request: 1, row });
    }
    await expect.poll(() => panel.of('detail').length).toBe(2);
    expect(panel.of('detail')[0]).toMatchObject({
      detail: null,
      error: expect.stringContaining('no such sample') as string,
    });
    expect(panel.done).toEqual([]);
    panel.close();
  });
});
