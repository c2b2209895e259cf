/** What can be wrong with a training before and around its steps: each is said in words, and nothing is lost. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventBody, RunEvent } from '../../src/runner/events.ts';
import { readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { trainOn } from '../../src/runner/work.ts';
import { tinyGguf, tinyTensors } from '../engine/weights/writers.ts';
import { temporaryFolder } from './smallRun.ts';
import { lossesOf, smallTraining, writeTinyModel } from './smallTraining.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
Object.assign(process.env, {
  ...{ MIDTRAIN_RUNS: store, MIDTRAIN_HOME: join(home, 'cache'), MIDTRAIN_BENCHMARKS: join(home, 'none') },
});
let model: string;

beforeAll(async () => {
  model = await writeTinyModel(home);
});

const train = (folder: string, onEvent: (event: RunEvent) => void = () => undefined) =>
  trainOn(folder, { signal: new AbortController().signal, onEvent });
const eventsOf = async (folder: string): Promise<RunEvent[]> => (await readEvents(folder, 0)).events;
const fileOf = (name: string): string =>
  `def ${name}(x):\n    """Doubles ${name}."""\n    ${name} = x + x\n    return ${name}\n`;

describe('data', () => {
  it('without Python end it before anything is trained', async () => {
    const folder = join(home, 'empty');
    mkdirSync(folder);
    writeFileSync(join(folder, 'notes.txt'), 'no Python');
    const run = await createRun(store, smallTraining(model, { data: [{ kind: 'folder', path: folder }] }));
    await expect(train(run)).rejects.toThrow(/empty: no Python files .*Name a folder that holds Python sources/);
    expect((await eventsOf(run)).at(-1)).toMatchObject({ type: 'done', status: 'failed' });
    expect(readdirSync(run).sort()).toEqual(['events.jsonl', 'run.json']); // nothing half made
  });

  it('with files that are no UTF-8 train on the others, and say which were left out', async () => {
    const folder = join(home, 'latin');
    mkdirSync(folder);
    for (const name of ['alpha', 'beta', 'gamma', 'delta']) writeFileSync(join(folder, `${name}.py`), fileOf(name));
    writeFileSync(join(folder, 'latin.py'), Buffer.from('# caf\xe9\ndef f():\n    return 1\n', 'latin1'));
    const change = { data: [{ kind: 'folder', path: folder }], steps: 2, heldOut: 0 };
    const run = await createRun(store, smallTraining(model, change));
    expect(await train(run)).toMatchObject({ status: 'finished', steps: 2 });
    const notes = (await eventsOf(run)).flatMap((event) => (event.type === 'note' ? [event.text] : []));
    expect(notes).toContainEqual(expect.stringMatching(/left out: 1 not UTF-8 text \(latin\.py\)/));
  });
});

it('a model that could not be written in the end is refused before anything is trained', async () => {
  const factors = { name: 'rope_freqs.weight', shape: [2], values: Float32Array.of(1, 8) };
  const file = join(home, 'factors.gguf');
  writeFileSync(file, tinyGguf('llama', [...tinyTensors(), factors]));
  const run = await createRun(store, smallTraining(file, { context: 32 }));
  await expect(train(run)).rejects.toThrow(/position factors .*Train from the model's Hugging Face folder instead/);
  expect(existsSync(runPaths(run).corpus)).toBe(false);
});

describe('a full disk', () => {
  const disk = join(home, 'disk');
  const filler = join(disk, 'filler');
  let isMounted = false;
  beforeAll(() => {
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk], { stdio: 'ignore' });
      isMounted = true;
    } catch {
      // The tests are skipped.
    }
  });
  afterAll(() => {
    if (isMounted) execFileSync('umount', [disk]);
  });

  /** Leaves room for the words alone. */
  function fill(): void {
    const piece = Buffer.alloc(4096);
    try {
      for (;;) appendFileSync(filler, piece);
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
    }
    truncateSync(filler, readFileSync(filler).length - 32 * 1024);
  }

  it.for([
    { at: 'prepare', said: /prepared corpus .* cannot be written: no space is left on the disk. Make room and start/ },
    { at: 'save', said: /model cannot be written to .*: no space is left on the disk. Make room and start/ },
  ])(
    'in the phase "$at" leaves nothing half made, and the run goes on when there is room',
    async ({ at, said }, { skip }) => {
      skip(!isMounted, 'no small file system can be mounted here');
      const change = { steps: 3, checkpointInterval: 3, seed: at.length, data: [{ kind: 'starter', functions: 300 }] };
      const whole = await createRun(store, smallTraining(model, change));
      await train(whole);
      const folder = await createRun(join(disk, 'runs'), smallTraining(model, change));
      const isThere = (event: EventBody): boolean =>
        event.type === 'phase' && event.phase === at && (at === 'prepare' || existsSync(checkpointOf(folder)));
      if (at === 'save') {
        await train(folder);
        rmSync(runPaths(folder).model, { recursive: true });
      }
      let filled = false;
      const failing = train(folder, (event) => {
        if (filled || !isThere(event)) return;
        filled = true;
        fill();
      });
      await expect(failing).rejects.toThrow(said);
      expect(readdirSync(folder).filter((name) => /\.part$|\.new$|^model$/.test(name))).toEqual([]);
      expect(existsSync(checkpointOf(folder))).toBe(at === 'save');
      rmSync(filler);
      expect(await train(folder)).toMatchObject({ status: 'finished', steps: 3 });
      expect(lossesOf(await eventsOf(folder))).toEqual(lossesOf(await eventsOf(whole)));
      expect(readdirSync(runPaths(folder).model)).toContain('model.safetensors');
    },
  );
});

const checkpointOf = (folder: string): string => join(runPaths(folder).checkpoints, 'step-00000003');
