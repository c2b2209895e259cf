/** The list of all runs: what is there, what comes and goes, whoever did it, and what cannot be read. */
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { launchRunner } from '../../src/client/launch.ts';
import type { RunFollower } from '../../src/client/runFollower.ts';
import { RunList } from '../../src/client/runList.ts';
import { lockRun } from '../../src/runner/lock.ts';
import { EventLog, readDescription, RUN_FORMAT, runPaths, writeDescription } from '../../src/runner/runFolder.ts';
import { createRun, linkRun, removeRun } from '../../src/runner/store.ts';
import { bundleCommand, smallRequest, temporaryFolder, writeProblems } from '../runner/smallRun.ts';

const home = temporaryFolder();
const problems = writeProblems(home, 6);
const newStore = (): string => join(mkdtempSync(join(home, 'store-')), 'runs');
const lists: RunList[] = [];
afterEach(() => {
  for (const list of lists.splice(0)) list.close();
});

async function listOf(store: string): Promise<RunList> {
  const list = new RunList(store);
  lists.push(list);
  await list.load();
  return list;
}

/** A run that was made at this time. */
async function madeAt(store: string, created: number): Promise<string> {
  const folder = await createRun(store, smallRequest(problems));
  await writeDescription(folder, { ...(await readDescription(folder)), created });
  return folder;
}

async function finish(folder: string): Promise<void> {
  const log = await EventLog.open(folder);
  await log.append({ type: 'launch', pid: 1, version: '1', host: 'here' }).written;
  await log.append({ type: 'done', status: 'finished', score: null, seconds: null, error: '' }).written;
  await log.close();
}

const names = (list: RunList): string[] => list.runs.map(({ name }) => name);
const status = (list: RunList, folder: string): string | undefined =>
  list.runs.find((run) => run.folder === folder)?.state.status;

describe('the list of runs', () => {
  it('has every run, the latest first, and an empty store none', async () => {
    const store = newStore();
    const empty = await listOf(store);
    expect(empty.isLoaded).toBe(true);
    expect(empty.runs).toEqual([]);
    const folders = [];
    for (const created of [2000, 3000, 1000]) folders.push(await madeAt(store, created));
    await finish(folders[0]!);
    const list = await listOf(store);
    expect(names(list)).toEqual([folders[1], folders[0], folders[2]].map((folder) => basename(folder!)));
    expect(list.runs.map(({ state }) => state.status)).toEqual(['asked', 'finished', 'asked']);
    expect(await list.find(folders[0]!)).toBe(list.runs[1]);
    expect(await list.find(join(store, 'none'))).toBeNull();
  });

  it('names what cannot be read with the reason, and is not disturbed by it', async () => {
    const store = newStore();
    const good = await madeAt(store, 1000);
    const [later, broken, odd] = [await madeAt(store, 1), await madeAt(store, 2), await madeAt(store, 3)];
    const description = await readDescription(good);
    writeFileSync(
      runPaths(later).description,
      JSON.stringify({ ...description, format: RUN_FORMAT + 98, kind: 'dream' }),
    );
    writeFileSync(runPaths(broken).description, '{"format":1,');
    writeFileSync(runPaths(odd).description, JSON.stringify({ ...description, request: { model: 5 } }));
    mkdirSync(join(store, 'nothing of ours'));
    mkdirSync(join(store, 'odd', 'run.json'), { recursive: true });
    const list = await listOf(store);
    expect(names(list)).toEqual([basename(good)]);
    const why = Object.fromEntries(list.unreadable.map((one) => [one.name, one.why]));
    expect(Object.keys(why).sort()).toEqual(
      [later, broken, odd]
        .map((folder) => basename(folder))
        .concat('odd')
        .sort(),
    );
    expect(why[basename(later)]).toMatch(/later version of Midtrain \(format 99\). Update Midtrain to open it/);
    expect(why[basename(broken)]).toMatch(/run.json is not JSON/);
    expect(why[basename(odd)]).toMatch(/request.model is not as it should be/);
    expect(why['odd']).toMatch(/cannot be read/);

    let told = 0;
    list.onDidChange(() => told++);
    await list.refresh();
    expect(told).toBe(0); // nothing has changed
    writeFileSync(runPaths(broken).description, JSON.stringify(description));
    await removeRun(store, odd);
    rmSync(runPaths(later).description);
    await list.refresh();
    expect(told).toBeGreaterThan(0);
    expect(names(list).sort()).toEqual([good, broken].map((folder) => basename(folder)).sort());
    expect(list.unreadable.map(({ name }) => name)).toEqual(['odd']);
  });

  it('shows a run that another process makes and works on, from its beginning to its end, by itself', async () => {
    const store = newStore();
    const list = await listOf(store);
    const changes: (RunFollower | null)[] = [];
    list.onDidChange((run) => changes.push(run));
    const folder = await createRun(store, smallRequest(problems, { samples: 3 }));
    await expect.poll(() => status(list, folder), { timeout: 5000 }).toBe('asked');
    expect(changes).toContain(null);
    const { ended } = await launchRunner(folder, { command: bundleCommand(), env: { MIDTRAIN_RUNS: store } });
    await expect.poll(() => status(list, folder), { timeout: 20_000, interval: 10 }).toBe('running');
    expect(await ended).toBe(0);
    await expect.poll(() => status(list, folder), { timeout: 5000 }).toBe('finished');
    await expect.poll(() => changes).toContain(list.runs[0]);
  });

  it('shows a run kept elsewhere, and loses what is removed', async () => {
    const store = newStore();
    const own = await madeAt(store, 1);
    const elsewhere = await createRun(newStore(), smallRequest(problems));
    const list = await listOf(store);
    await linkRun(store, elsewhere);
    await expect.poll(() => list.runs.length, { timeout: 5000 }).toBe(2);
    await removeRun(store, own);
    await expect.poll(() => list.runs.map(({ folder }) => folder), { timeout: 5000 }).toEqual([elsewhere]);
    await removeRun(store, elsewhere);
    await expect.poll(() => list.runs, { timeout: 5000 }).toEqual([]);
  });

  it('misses no run that is made while it is being read', async () => {
    const store = newStore();
    for (let i = 0; i < 60; i++) await madeAt(store, i);
    const list = new RunList(store);
    lists.push(list);
    const loading = list.load();
    for (let i = 0; i < 20; i++) {
      const folder = await createRun(store, smallRequest(problems, { seed: 100 + i }));
      await list.refresh();
      expect(status(list, folder)).toBe('asked');
    }
    await loading;
    expect(list.runs).toHaveLength(80);
  });

  it('has the same follower for a run however often and by whomever it is asked', async () => {
    const store = newStore();
    const folder = await madeAt(store, 1);
    const list = new RunList(store);
    lists.push(list);
    const found = await Promise.all([
      list.load(),
      list.find(folder),
      list.refresh(),
      list.find(folder),
      list.find(folder),
    ]);
    expect(new Set([found[1], found[3], found[4], list.runs[0]]).size).toBe(1);
    expect(list.runs).toHaveLength(1);
  });

  it('of many runs has the latest first, and then all', async () => {
    const store = newStore();
    const folders = [];
    for (let i = 0; i < 150; i++) {
      const folder = await madeAt(store, i);
      utimesSync(folder, i, i);
      folders.push(folder);
    }
    const list = new RunList(store);
    lists.push(list);
    const told: number[] = [];
    list.onDidChange(() => told.push(list.runs.length));
    await list.load();
    const first = list.runs.map(({ folder }) => folder);
    expect(first.length).toBeGreaterThanOrEqual(64);
    expect(first.slice(0, 64)).toEqual(folders.slice(-64).reverse());
    await list.loadAll();
    expect(list.runs.map(({ folder }) => folder)).toEqual(folders.reverse());
    expect(told.at(-1)).toBe(150);
  });

  it('closed while it is being read follows nothing afterwards', async () => {
    const store = newStore();
    for (let i = 0; i < 40; i++) await madeAt(store, i);
    const list = new RunList(store);
    const loading = list.load();
    list.close();
    await loading;
    expect(list.runs).toEqual([]);
    await list.refresh();
    expect(list.runs).toEqual([]);
  });

  it('of a store that cannot be made is empty', async () => {
    const file = join(home, 'no-store');
    writeFileSync(file, '');
    const list = await listOf(join(file, 'runs'));
    expect(list.runs).toEqual([]);
    expect(list.isLoaded).toBe(true);
  });

  it('leaves a run that is held by another machine as its folder tells it', async () => {
    const store = newStore();
    const folder = await madeAt(store, 1);
    const lock = await lockRun(folder, { socket: join(home, 'none.sock'), token: 'x' });
    const log = await EventLog.open(folder);
    await log.append({ type: 'launch', pid: 1, version: '1', host: 'elsewhere' }).written;
    await log.close();
    writeFileSync(join(folder, 'lock.2'), JSON.stringify({ ...lock.holder, host: 'elsewhere' }));
    const list = await listOf(store);
    expect(status(list, folder)).toBe('running');
    await expect(list.runs[0]!.control('stop')).rejects.toThrow(/No process/);
    await lock.release();
  });
});
