/**
 * Runs on a disk that is full: they say so, keep what they have and go on once there is room. Needs a small file system of
 * its own, so a Linux where one may be mounted.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { launchRunner } from '../../src/client/launch.ts';
import { RunFollower } from '../../src/client/runFollower.ts';
import { readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { workOn } from '../../src/runner/work.ts';
import { bundleCommand, smallRequest, temporaryFolder, writeProblems } from './smallRun.ts';

const home = temporaryFolder();
const disk = join(home, 'disk');
const store = join(disk, 'runs');
const problems = writeProblems(home, 12);
process.env['MIDTRAIN_RUNS'] = store;

function mounted(): boolean {
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const resize = (size: string): void => {
  execFileSync('mount', ['-o', `remount,size=${size}`, disk]);
};

/** Leaves no room for another byte. */
function fill(): void {
  const piece = Buffer.alloc(4096);
  try {
    for (;;) appendFileSync(join(disk, 'filler'), piece);
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  }
}

function rowsOf(path: string): string[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  expect(lines.pop()).toBe('');
  return lines.map((line) => {
    const { task_id: task, sample, completion } = JSON.parse(line) as Record<string, unknown>;
    return JSON.stringify([task, sample, completion]);
  });
}

const isMounted = mounted();
afterAll(() => {
  if (isMounted) execFileSync('umount', [disk]);
});

describe('a run on a full disk', () => {
  it('ends with what to do, keeps every row, and goes on when there is room', async ({ skip }) => {
    skip(!isMounted, 'no file system of 64 KiB can be mounted here');
    const command = bundleCommand();
    const folder = await createRun(store, smallRequest(problems));
    const first = await launchRunner(folder, { command });
    expect(await first.ended).not.toBe(0);
    const failed = await RunFollower.open(folder);
    expect(failed.state.status).toBe('failed');
    expect(failed.state.error).toMatch(/no space is left on the disk.*are safe; make room and start again/);
    failed.close();
    const { samples, results } = runPaths(folder);
    const kept = rowsOf(samples);
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThan(24);
    rowsOf(results);

    resize('4m');
    const second = await launchRunner(folder, { command });
    expect(await second.ended).toBe(0);
    const finished = await RunFollower.open(folder);
    expect(finished.state).toMatchObject({ status: 'finished', progress: { done: 24, resumed: kept.length } });
    finished.close();
    expect(rowsOf(samples).slice(0, kept.length)).toEqual(kept);
    expect(new Set(rowsOf(samples)).size).toBe(24);
    expect(new Set(rowsOf(results)).size).toBe(24);
    const { events } = await readEvents(folder, 0);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  });

  it('whose last words do not fit among its events has them in its log', async ({ skip }) => {
    skip(!isMounted, 'no file system of 64 KiB can be mounted here');
    resize('4m');
    const command = bundleCommand();
    const folder = await createRun(store, smallRequest(problems, { seed: 2 }));
    const stop = new AbortController();
    await workOn(folder, {
      signal: stop.signal,
      onEvent: ({ type }) => {
        if (type === 'engine') stop.abort();
      },
    }).catch(() => undefined);
    // In the last page of the events there is room for the launch, and not for why it failed.
    const { events } = runPaths(folder);
    const room = 4096 - (readFileSync(events).length % 4096);
    appendFileSync(events, `${JSON.stringify({ pad: 'x'.repeat(room - 11 - 200) })}\n`);
    writeFileSync(join(disk, 'spare'), Buffer.alloc(4096));
    fill();
    rmSync(join(disk, 'spare')); // for the lock, whose room the log has in the end
    const { ended } = await launchRunner(folder, { command });
    expect(await ended).not.toBe(0);
    const run = await RunFollower.open(folder);
    expect(run.state.status).toBe('crashed');
    expect(run.state.error).toMatch(/no space is left on the disk/i);
    expect(run.state.error).toMatch(/make room and start again/i);
    run.close();
    rmSync(join(disk, 'filler'));
    expect((await workOn(folder, { signal: new AbortController().signal })).status).toBe('finished');
  });

  it('cannot be made or started, and says so in words', async ({ skip }) => {
    skip(!isMounted, 'no file system of 64 KiB can be mounted here');
    const request = smallRequest(problems, { seed: 3 });
    const folder = await createRun(store, request);
    const before = readdirSync(store);
    fill();
    await expect(createRun(store, request)).rejects.toThrow(/no space is left on the disk. Make room and start again/);
    expect(readdirSync(store)).toEqual(before);
    await expect(workOn(folder, { signal: new AbortController().signal })).rejects.toThrow(
      /no space is left on the disk. Make room and start again/i,
    );
    expect(readdirSync(folder)).toEqual(['run.json']);
    rmSync(join(disk, 'filler'));
    expect((await workOn(folder, { signal: new AbortController().signal })).status).toBe('finished');
  });
});
