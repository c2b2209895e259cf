/** What a machine has, and what is said of a training that does not fit it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../src/engine/weights/open.ts';
import { needRoom, roomFor, whyNoRoom } from '../../src/runner/fit.ts';
import { allowedByGroups, freeMemory } from '../../src/runner/machine.ts';
import { createRun } from '../../src/runner/store.ts';
import { estimateTraining } from '../../src/runner/trainingEstimate.ts';
import { trainOn } from '../../src/runner/work.ts';
import { temporaryFolder } from './smallRun.ts';
import { smallTraining, writeTinyModel } from './smallTraining.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
process.env['MIDTRAIN_RUNS'] = store;
process.env['MIDTRAIN_HOME'] = join(home, 'cache');
const { signal } = new AbortController();

describe('free memory', () => {
  const group = (path: string, files: Record<string, string>): void => {
    const folder = join(home, 'groups', path);
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  };
  const allowed = (own: string): Promise<number> => {
    writeFileSync(join(home, 'own'), own);
    return allowedByGroups({ cgroups: join(home, 'groups'), own: join(home, 'own') });
  };

  it('is at most what each control group allows, files that can be dropped not counted', async () => {
    group('a', { 'memory.max': '5000\n', 'memory.current': '4000\n', 'memory.stat': 'anon 500\nfile 3000\n' });
    group('a/b', { 'memory.max': 'max\n', 'memory.current': '100\n' });
    expect(await allowed('0::/a/b\n')).toBe(4000);
    expect(await allowed('0::/\n')).toBe(Infinity);
    expect(await allowed('4:memory:/a\n')).toBe(Infinity);
    expect(await allowedByGroups({ cgroups: join(home, 'none'), own: join(home, 'none') })).toBe(Infinity);
    expect(await freeMemory()).toBeGreaterThan(1e6);
  });
});

describe('a training that does not fit', () => {
  it('is refused with the numbers and with what would fit', async () => {
    const source = await openModel(await writeTinyModel(home));
    try {
      const { config } = smallTraining('tiny', { context: 1024, batchTokens: 4096 });
      expect(await whyNoRoom(source.config, config, { memory: 1e12, disk: null })).toBeNull();
      const room = { memory: 190e6, disk: null };
      await expect(needRoom(source.config, config, room)).rejects.toThrow(
        /needs about \d+ MB of memory, and 190 MB are free\. What fits: .*"context": \d+ \(\d+ MB\).*Change the config so/,
      );
      expect(await whyNoRoom(source.config, config, { memory: 1e6, disk: null })).toMatch(/No setting makes it fit/);
      expect(await whyNoRoom(source.config, config, { memory: 1e12, disk: 1_000_000 })).toMatch(
        /needs about 1\.\d+ MB of disk, and 1\.00 MB are free\. What fits: "keep": 1 \(/,
      );
    } finally {
      await source.close();
    }
  });

  it('is refused before anything is prepared', async () => {
    const model = await writeTinyModel(home, 5, 1 << 20);
    const folder = await createRun(store, smallTraining(model, { context: 1 << 20, batchTokens: 1 << 20 }));
    await expect(trainOn(folder, { signal })).rejects.toThrow(
      /of memory, and .* are free\. What fits: .*"context": \d+/,
    );
  });
});

describe('an estimate', () => {
  it('takes steps now, and later knows an earlier run of the same shape', async () => {
    const model = await writeTinyModel(home);
    const asked = smallTraining(model, { steps: 6 });
    const request = { ...asked, model: { ...asked.model, path: model } };
    const first = await estimateTraining(request, { store, signal });
    expect(first).toMatchObject({ refusal: null, data: { complete: true }, stepTokens: 1024 });
    expect(first.trained).toBe(first.parameters);
    expect(first.seconds).toMatchObject({ from: 'steps taken now' });
    expect(first.seconds!.total).toBeGreaterThan(6 * first.seconds!.step);

    const folder = await createRun(store, asked);
    const { seconds } = await trainOn(folder, { signal });
    const second = await estimateTraining(request, { store, signal });
    expect(second.seconds).toMatchObject({
      from: 'an earlier run',
      step: seconds.train / 6,
      evaluation: seconds.evaluate / 2,
    });
    const other = await estimateTraining(
      { ...request, config: { ...request.config, context: 256 } },
      { store, signal, room: { ...(await roomFor(store)), memory: 1e6 } },
    );
    expect(other.seconds).toBeNull();
    expect(other.refusal).toMatch(/of memory, and 1\.00 MB are free/);
  });
});
