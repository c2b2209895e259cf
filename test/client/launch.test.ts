/** Starting the process that works on a run: detached, one at a time, and what it says is kept. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { launchRunner } from '../../src/client/launch.ts';
import { UserError } from '../../src/errors.ts';
import { holderOf } from '../../src/runner/lock.ts';
import { readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { stateOf } from '../../src/runner/state.ts';
import { ACTIVITY, createRun } from '../../src/runner/store.ts';
import { bundleCommand, smallRequest, temporaryFolder, writeProblems } from '../runner/smallRun.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
const env = { MIDTRAIN_RUNS: store };
const problems = writeProblems(home, 6);
const pids = new Set<number>();
afterAll(() => {
  for (const pid of pids) process.kill(pid, 'SIGKILL');
});

describe('a runner', () => {
  it('is a process of its own that outlives whoever started it', async () => {
    const folder = await createRun(store, smallRequest(problems, { samples: 1 }));
    const { pid, ended } = await launchRunner(folder, { command: bundleCommand(), env });
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)!.split(' ');
    expect(fields[3 - 1]).toBe(String(pid)); // field 5, its process group
    expect(fields[4 - 1]).toBe(String(pid)); // and its session
    expect(await ended).toBe(0);
    const { events } = await readEvents(folder, 0);
    expect(events[0]).toMatchObject({ type: 'launch', pid });
    expect(stateOf(events).status).toBe('finished');
    expect(readFileSync(join(store, ACTIVITY), 'utf8')).toContain(folder);
  });

  it('works on a run alone: a second one leaves, says why, and harms neither the first nor its log', async () => {
    const folder = await createRun(store, smallRequest(problems, { samples: 400, maxTokens: 64 }));
    const first = await launchRunner(folder, { command: bundleCommand(), env });
    pids.add(first.pid);
    await expect.poll(() => holderOf(folder), { timeout: 20_000 }).not.toBeNull();
    const second = await launchRunner(folder, { command: bundleCommand(), env });
    expect(await second.ended).toBe(1);
    expect(readFileSync(runPaths(folder).log, 'utf8')).toContain(`Process ${first.pid} is working on ${folder}`);
    expect((await holderOf(folder))?.pid).toBe(first.pid);
    process.kill(first.pid, 'SIGTERM');
    expect(await first.ended).not.toBeNull();
    pids.delete(first.pid);
    const { events } = await readEvents(folder, 0);
    expect(events.filter(({ type }) => type === 'launch')).toHaveLength(1);
    expect(stateOf(events).status).toBe('stopped');
    const log = readFileSync(runPaths(folder).log, 'utf8');
    expect(log).toMatch(/is working on.*\nStopping/);
    expect(log).not.toContain('\0');
  });

  it('says in its log and its events why it failed', async () => {
    const request = smallRequest(problems);
    const folder = await createRun(store, { ...request, model: { ...request.model, path: join(home, 'no-model') } });
    const { ended } = await launchRunner(folder, { command: bundleCommand(), env });
    expect(await ended).not.toBe(0);
    const state = stateOf((await readEvents(folder, 0)).events);
    expect(state.status).toBe('failed');
    expect(state.error).toContain('no-model');
    expect(state.error).not.toMatch(/defect/);
    expect(readFileSync(runPaths(folder).log, 'utf8')).toContain('no-model');
  });

  it('that cannot be started is an error in words', async () => {
    const folder = await createRun(store, smallRequest(problems));
    const start = (where: string, node: string): Promise<unknown> =>
      launchRunner(where, { command: bundleCommand(), node, env }).catch((error: unknown) => error);
    const noNode = await start(folder, join(home, 'no-node'));
    expect(noNode).toBeInstanceOf(UserError);
    expect((noNode as UserError).message).toMatch(/could not be started: .*ENOENT/);
    const noFolder = await start(join(home, 'gone'), process.execPath);
    expect(noFolder).toBeInstanceOf(UserError);
    expect((noFolder as UserError).message).toMatch(/gone cannot be written: .*ENOENT/);
    expect((await readEvents(folder, 0)).events).toEqual([]);
  });
});
