/** Where runs are kept: names, links to runs elsewhere, removal, and folders that are none of ours. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lockRun } from '../../src/runner/lock.ts';
import { readDescription, runPaths } from '../../src/runner/runFolder.ts';
import {
  ACTIVITY,
  announceActivity,
  createRun,
  linkRun,
  listRuns,
  openRun,
  removeRun,
  runName,
  runsFolder,
} from '../../src/runner/store.ts';
import type { EvaluationRequest } from '../../src/runner/types.ts';
import { smallRequest, temporaryFolder } from './smallRun.ts';

const home = temporaryFolder();
const newStore = (): string => join(mkdtempSync(join(home, 'store-')), 'runs');
const request = smallRequest('/data/problems.jsonl');
const sorted = async (store: string): Promise<string[]> => (await listRuns(store)).sort();

describe('the folder of runs', () => {
  it('is the one chosen, or else the place for data of each platform', () => {
    expect(runsFolder({ MIDTRAIN_RUNS: '/chosen/./here' }, 'linux', '/home/me')).toBe('/chosen/here');
    expect(runsFolder({}, 'linux', '/home/me')).toBe('/home/me/.local/share/midtrain/runs');
    expect(runsFolder({ XDG_DATA_HOME: '/data' }, 'linux', '/home/me')).toBe('/data/midtrain/runs');
    expect(runsFolder({ XDG_DATA_HOME: 'relative' }, 'linux', '/home/me')).toBe('/home/me/.local/share/midtrain/runs');
    expect(runsFolder({}, 'darwin', '/Users/me')).toBe('/Users/me/Library/Application Support/midtrain/runs');
    expect(runsFolder({ LOCALAPPDATA: '/local' }, 'win32', '/me')).toBe('/local/midtrain/runs');
  });
});

describe('the name of a run', () => {
  const named = (change: Partial<EvaluationRequest>): string => runName({ ...request, ...change });

  it('is the same for what only says how, another for what says what', () => {
    const name = runName(request);
    expect(named({ batch: 9, threads: 9, workers: 9, python: 'python3' })).toBe(name);
    const others = [
      named({ seed: 2 }),
      named({ limit: 5 }),
      named({ tasks: ['HumanEval/1'] }),
      named({ protocol: null }),
      named({ strict: true }),
      named({ benchmark: { id: 'mbpp', path: null } }),
      named({ model: { ...request.model, path: '/another' } }),
    ];
    expect(new Set([name, ...others]).size).toBe(others.length + 1);
  });

  it('is a plain and short folder name whatever the model is called', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (label) => {
        const name = named({ model: { ...request.model, label } });
        expect(name).toMatch(/^humaneval[a-z0-9.-]*-[0-9a-f]{8}$/);
        expect(name.length).toBeLessThan(100);
      }),
    );
  });
});

describe('a run', () => {
  it('is made under its name, and the next of that name beside it', async () => {
    const store = newStore();
    const many = await Promise.all(Array.from({ length: 8 }, () => createRun(store, request)));
    const name = runName(request);
    const names = [name, ...Array.from({ length: 7 }, (_, i) => `${name}-${i + 2}`)];
    expect(many.map((folder) => basename(folder)).sort()).toEqual(names.sort());
    expect(await sorted(store)).toEqual(names.map((each) => join(store, each)).sort());
    expect((await readDescription(many[0]!)).request).toEqual(request);
  });

  it('that cannot be made leaves nothing and says why', async () => {
    const file = join(home, 'file');
    writeFileSync(file, '');
    await expect(createRun(join(file, 'runs'), request)).rejects.toThrow(/No run can be kept in .*ENOTDIR/);
  });

  it('is opened where it is, with what only says how taken from the new request, or made there', async () => {
    const folder = join(newStore(), 'mine');
    await openRun(folder, request);
    const made = await readDescription(folder);
    await openRun(folder, { ...request, threads: 7 });
    expect(await readDescription(folder)).toEqual({ ...made, request: { ...request, threads: 7 } });
    writeFileSync(runPaths(folder).description, '{');
    await expect(openRun(folder, request)).rejects.toThrow(/is not JSON/);
    expect(readFileSync(runPaths(folder).description, 'utf8')).toBe('{');
  });

  it('kept elsewhere is listed by its link, once, and not when it is gone', async () => {
    const store = newStore();
    const elsewhere = join(mkdtempSync(join(home, 'elsewhere-')), 'my run');
    await openRun(elsewhere, request);
    await linkRun(store, elsewhere);
    await linkRun(store, `${elsewhere}/`);
    const own = await createRun(store, request);
    await linkRun(store, own);
    expect(await sorted(store)).toEqual([own, elsewhere].sort());
    expect(readdirSync(store).filter((name) => name.endsWith('.link'))).toHaveLength(1);
    rmSync(elsewhere, { recursive: true });
    expect(await sorted(store)).toEqual([own]);
  });

  it('is not mistaken for what else lies in the store', async () => {
    const store = newStore();
    const own = await createRun(store, request);
    const target = join(home, 'target');
    mkdirSync(target, { recursive: true });
    for (const [name, content] of [
      ['relative.link', 'some/where'],
      ['empty.link', ''],
      ['file.link', own + '/run.json'],
      ['note.txt', target],
    ] as const) {
      writeFileSync(join(store, name), content);
    }
    symlinkSync(target, join(store, 'symbolic'));
    mkdirSync(join(store, 'folder.link'));
    expect(await sorted(store)).toEqual([own, join(store, 'folder.link')].sort());
    expect(await listRuns(join(store, 'none'))).toEqual([]);
  });

  it('is removed with all it has, one kept elsewhere only from the list', async () => {
    const store = newStore();
    const [own, other] = [await createRun(store, request), await createRun(store, request)];
    const elsewhere = join(mkdtempSync(join(home, 'elsewhere-')), 'run');
    await openRun(elsewhere, request);
    await linkRun(store, elsewhere);
    await removeRun(store, own);
    expect(existsSync(own)).toBe(false);
    await removeRun(store, elsewhere);
    expect(await sorted(store)).toEqual([other]);
    expect(await readDescription(elsewhere)).toMatchObject({ request });
    await removeRun(store, own); // gone already
  });

  it('is not removed while a process works on it', async () => {
    const store = newStore();
    const folder = await createRun(store, request);
    const lock = await lockRun(folder, { socket: join(home, 'none.sock'), token: 'x' });
    await expect(removeRun(store, folder)).rejects.toThrow(/is running. Stop it first/);
    expect(existsSync(runPaths(folder).description)).toBe(true);
    await lock.release();
    await removeRun(store, folder);
    expect(await listRuns(store)).toEqual([]);
  });

  it('that begins or ends is told to whoever watches the store, and no failure of that matters', async () => {
    const store = newStore();
    await announceActivity(store, '/a/run');
    const first = statSync(join(store, ACTIVITY)).mtimeMs;
    expect(readFileSync(join(store, ACTIVITY), 'utf8')).toContain('/a/run');
    await announceActivity(store, '/b/run');
    expect(statSync(join(store, ACTIVITY)).mtimeMs).toBeGreaterThanOrEqual(first);
    expect(await listRuns(store)).toEqual([]);
    const file = join(home, 'no-folder');
    writeFileSync(file, '');
    await announceActivity(join(file, 'runs'), '/a/run');
  });
});
