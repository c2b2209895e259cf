/**
 * Training runs that are killed (SIGKILL) again and again, while they read their data, train, evaluate and save, and end with
 * the losses of one that nothing disturbed. `MIDTRAIN_KILLS=50` for more kills than the ten of every day.
 */
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/random.ts';
import type { Phase, RunEvent } from '../../src/runner/events.ts';
import { readEvents } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { trainOn } from '../../src/runner/work.ts';
import { LiveRun } from './liveRun.ts';
import { temporaryFolder, writeProblems } from './smallRun.ts';
import { lossesOf, smallTraining, writeTinyModel } from './smallTraining.ts';

const KILLS = Number(process.env['MIDTRAIN_KILLS'] ?? 10);
const STEPS = 8 * KILLS;

const home = temporaryFolder();
const store = join(home, 'runs');
const benchmarks = join(home, 'benchmarks');
const env = { MIDTRAIN_RUNS: store, MIDTRAIN_HOME: join(home, 'cache'), MIDTRAIN_BENCHMARKS: benchmarks };
Object.assign(process.env, env);

const eventsOf = async (folder: string): Promise<RunEvent[]> => (await readEvents(folder, 0)).events;

it(`${KILLS} kills end with the undisturbed losses`, { timeout: 60_000 + KILLS * 30_000 }, async () => {
  mkdirSync(benchmarks);
  renameSync(writeProblems(home, 2), join(benchmarks, 'HumanEval.jsonl'));
  const request = smallTraining(await writeTinyModel(home), {
    ...{ data: [{ kind: 'starter', functions: 400 }], heldOut: 0.02, evaluationTokens: 1024 },
    ...{ steps: STEPS, checkpointInterval: 1, keep: 1, evaluationInterval: 8 },
    passAt1: { benchmark: 'humaneval', problems: 1 },
  });
  const whole = await createRun(store, request);
  await trainOn(whole, { signal: new AbortController().signal });

  const folder = await createRun(store, request);
  const random = seededRandom(3);
  const killedIn = new Map<Phase | 'start', number>();
  for (let kill = 0; kill < KILLS; kill++) {
    const before = (await eventsOf(folder)).length;
    const run = await LiveRun.launch(folder, env);
    const told = async (): Promise<RunEvent[]> => (await eventsOf(folder)).slice(before);
    const until = async (isThere: (event: RunEvent) => boolean, count = 1): Promise<void> => {
      while ((await told()).filter(isThere).length < count && run.isAlive) await sleep(5);
    };
    // A fifth in each: while it reads its data, as it starts, in an evaluation; the others after some steps.
    const kind = kill % 5;
    if (kill < KILLS / 5) await until((event) => event.type === 'phase' && event.phase === 'prepare');
    else if (kind === 1) await until(({ type }) => type === 'launch');
    else if (kind === 2) await until((event) => event.type === 'phase' && event.phase === 'evaluate');
    else await until(({ type }) => type === 'metric', 1 + random.below(3));
    await sleep((kind === 2 ? 300 : 100) * random.uniform());
    await run.kill();
    const phase = (await told()).findLast((event) => event.type === 'phase')?.phase ?? 'start';
    killedIn.set(phase, (killedIn.get(phase) ?? 0) + 1);
  }
  const reached = lossesOf(await eventsOf(folder)).at(-1)?.[0] ?? 0;
  console.info(`${KILLS} kills, in ${[...killedIn].map(([phase, count]) => `${phase} ${count}`).join(', ')}`);
  expect(reached).toBeLessThan(STEPS);
  const last = await LiveRun.launch(folder, env);
  expect(await last.ended).toBe(0);
  last.close();
  expect(lossesOf(await eventsOf(folder))).toEqual(lossesOf(await eventsOf(whole)));
});
