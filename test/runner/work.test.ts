/** A run from its request to its score: events, samples and results, in this process. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { stateOf } from '../../src/runner/state.ts';
import { createRun, listRuns } from '../../src/runner/store.ts';
import { workOn } from '../../src/runner/work.ts';
import { smallRequest, temporaryFolder, writeProblems } from './smallRun.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
process.env['MIDTRAIN_RUNS'] = store;
const problems = writeProblems(home, 12);

function rows(path: string): Record<string, unknown>[] {
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('a run', () => {
  it('tells its phases, keeps every sample and result, and ends with the score', async () => {
    const folder = await createRun(store, smallRequest(problems));
    const told: string[] = [];
    const outcome = await workOn(folder, {
      signal: new AbortController().signal,
      onEvent: ({ type }) => told.push(type),
    });
    expect(outcome.status).toBe('finished');
    expect(await listRuns(store)).toEqual([folder]);

    const { events } = await readEvents(folder, 0);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
    expect(events.map(({ type }) => type)).toEqual(told);
    expect(events[0]).toMatchObject({ type: 'launch', pid: process.pid });
    expect(events.at(-1)).toMatchObject({ type: 'done', status: 'finished', error: '' });
    const phases = events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []));
    expect(phases).toEqual(['load', 'sample', 'judge']);
    const state = stateOf(events);
    expect(state).toMatchObject({ status: 'finished', progress: { done: 24, total: 24, generated: 24, resumed: 0 } });
    expect(state.score).toEqual(outcome.score);

    const { samples, results } = runPaths(folder);
    expect(rows(samples)).toHaveLength(24);
    expect(rows(samples)[0]).toHaveProperty('tokens.log_probabilities');
    expect(rows(results)).toHaveLength(24);
    // The tokens are with the samples; a second copy would double the run.
    expect(rows(results)[0]).not.toHaveProperty('tokens');
  });

  it('judges only the tasks named', async () => {
    const folder = await createRun(
      store,
      smallRequest(problems, { tasks: ['HumanEval/4', 'HumanEval/3'], samples: 1 }),
    );
    const { score } = await workOn(folder, { signal: new AbortController().signal });
    expect(score).toMatchObject({ problems: 2, problemsOfBenchmark: 12, final: true });
    const wrong = await createRun(store, smallRequest(problems, { tasks: ['HumanEval/99'] }));
    await expect(workOn(wrong, { signal: new AbortController().signal })).rejects.toThrow(/no task HumanEval\/99/);
    expect(stateOf((await readEvents(wrong, 0)).events)).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('HumanEval/99') as string,
    });
  });

  it('stops when it is told to and goes on where it was, with the same samples', async () => {
    const request = smallRequest(problems, { samples: 4 });
    const whole = await createRun(store, request);
    await workOn(whole, { signal: new AbortController().signal });
    const folder = await createRun(store, request);
    expect(folder).toBe(`${whole}-2`);
    const stop = new AbortController();
    const first = await workOn(folder, {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === 'phase' && event.phase === 'sample')
          setTimeout(() => {
            stop.abort();
          }, 20);
      },
    });
    expect(first.status).toBe('stopped');
    const second = await workOn(folder, { signal: new AbortController().signal });
    expect(second.status).toBe('finished');
    const sorted = (path: string): string[] =>
      rows(path)
        .map((row) => JSON.stringify([row['task_id'], row['sample'], row['completion']]))
        .sort();
    expect(sorted(runPaths(folder).samples)).toEqual(sorted(runPaths(whole).samples));
    expect(second.score.passAtK).toEqual((await workOn(whole, { signal: new AbortController().signal })).score.passAtK);
  });
});
