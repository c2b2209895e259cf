/**
 * Kills the runner at random moments of an evaluation and lets it go on: no sample is lost or made twice, and the score is
 * that of an undisturbed run.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { launchRunner } from '../../src/client/launch.ts';
import { RunFollower } from '../../src/client/runFollower.ts';
import { seededRandom } from '../../src/engine/random.ts';
import type { RunEvent } from '../../src/runner/events.ts';
import { readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { bundleCommand, smallRequest, temporaryFolder, writeProblems } from './smallRun.ts';

const KILLS = 100;
/** More would only add time: a run is let go on to its end after so many. */
const KILLS_A_RUN = 20;

const home = temporaryFolder();
const env = { MIDTRAIN_RUNS: join(home, 'runs') };

function rowsOf(path: string): Record<string, unknown>[] {
  const text = readFileSync(path, 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const key = ({ task_id, sample }: Record<string, unknown>): string => `${String(task_id)}#${String(sample)}`;

/** What must not depend on kills. */
function contentOf(folder: string): { samples: string[]; verdicts: string[] } {
  const { samples, results } = runPaths(folder);
  return {
    samples: rowsOf(samples)
      .map((row) => `${key(row)} ${JSON.stringify(row['tokens'])}`)
      .sort(),
    verdicts: rowsOf(results)
      .map((row) => `${key(row)} ${String(row['verdict'])}`)
      .sort(),
  };
}

/** The last event without its number and its times. */
function outcomeOf(event: RunEvent | undefined): unknown {
  if (event?.type !== 'done') return event;
  const { seq, time, seconds, ...outcome } = event;
  return outcome;
}

describe(`${KILLS} kills of the runner`, () => {
  it('lose no sample, run none twice, and leave the score as it was', { timeout: 900_000 }, async () => {
    const command = bundleCommand();
    const request = smallRequest(writeProblems(home, 40), { samples: 5, maxTokens: 60 });
    const random = seededRandom(7);

    const undisturbed = await createRun(env.MIDTRAIN_RUNS, request);
    const started = performance.now();
    const first = await launchRunner(undisturbed, { command, env });
    expect(await first.ended).toBe(0);
    const duration = performance.now() - started;
    const wanted = contentOf(undisturbed);
    expect(wanted.samples).toHaveLength(200);
    expect(new Set(wanted.verdicts.map((line) => line.split(' ').slice(1).join(' '))).size).toBeGreaterThan(1);

    let kills = 0;
    while (kills < KILLS) {
      const folder = await createRun(env.MIDTRAIN_RUNS, request);
      for (let ofThis = 0; ofThis < KILLS_A_RUN && kills < KILLS;) {
        const { pid, ended } = await launchRunner(folder, { command, env });
        const over = await Promise.race([ended.then(() => true), sleep(random.uniform() * duration).then(() => false)]);
        if (over) break;
        process.kill(pid, 'SIGKILL');
        await ended;
        kills++;
        ofThis++;
        const run = await RunFollower.open(folder);
        // Killed before its first word it has not begun; after its last one it had finished.
        expect(['crashed', 'asked', 'finished']).toContain(run.state.status);
        if (run.state.status === 'crashed') expect(run.state.error).toMatch(/ended without a word/);
        run.close();
      }
      const last = await launchRunner(folder, { command, env });
      expect(await last.ended).toBe(0);
      expect(contentOf(folder)).toEqual(wanted);
      const { events } = await readEvents(folder, 0);
      const score = (await readEvents(undisturbed, 0)).events.at(-1);
      expect(outcomeOf(events.at(-1))).toEqual(outcomeOf(score));
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
    }
  });
});
