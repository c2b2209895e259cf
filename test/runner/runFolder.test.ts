/** The folder of a run: its description, and events that survive cuts, other versions and whatever stands in their file. */
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../src/errors.ts';
import type { EventBody, RunEvent } from '../../src/runner/events.ts';
import {
  EventLog,
  NoRunError,
  readDescription,
  readEvents,
  readLastEvents,
  RUN_FORMAT,
  type RunDescription,
  runPaths,
  writeDescription,
} from '../../src/runner/runFolder.ts';
import { stateOf } from '../../src/runner/state.ts';
import { smallRequest, temporaryFolder } from './smallRun.ts';

const home = temporaryFolder();
const newFolder = (): string => mkdtempSync(join(home, 'run-'));
const note = (text: string): EventBody => ({ type: 'note', level: 'info', text });
const launch: EventBody = { type: 'launch', pid: 1, version: '1', host: 'here' };

async function append(folder: string, ...bodies: EventBody[]): Promise<RunEvent[]> {
  const log = await EventLog.open(folder);
  const appended = bodies.map((body) => log.append(body));
  await Promise.all(appended.map(({ written }) => written));
  await log.close();
  return appended.map(({ event }) => event);
}

const numbersOf = async (folder: string): Promise<number[]> =>
  (await readEvents(folder, 0)).events.map(({ seq }) => seq);

describe('run.json', () => {
  const description: RunDescription = {
    format: RUN_FORMAT,
    kind: 'evaluation',
    created: 1,
    request: smallRequest('x'),
  };

  it('is written whole, read back, and keeps what this version does not know', async () => {
    const folder = newFolder();
    await writeDescription(folder, { ...description, later: { more: [1] } } as RunDescription);
    expect(await readDescription(folder)).toEqual({ ...description, later: { more: [1] } });
    expect(readdirSync(folder)).toEqual(['run.json']);
  });

  it('that is missing, broken, of a later version or not as it should be is told apart, in words', async () => {
    const folder = newFolder();
    await expect(readDescription(folder)).rejects.toThrow(NoRunError);
    await expect(readDescription(join(folder, 'none'))).rejects.toThrow(NoRunError);
    const wrong: [unknown, RegExp][] = [
      ['{"format":', /is not JSON/],
      ['null', /not as it should be/],
      [{ ...description, format: 99 }, /later version of Midtrain \(format 99\). Update Midtrain/],
      [{ ...description, format: 0 }, /format is not as it should be/],
      [{ ...description, request: { ...description.request, samples: -1 } }, /request.samples is not as it should be/],
    ];
    for (const [content, message] of wrong) {
      writeFileSync(runPaths(folder).description, typeof content === 'string' ? content : JSON.stringify(content));
      const error: unknown = await readDescription(folder).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(UserError);
      expect(error).not.toBeInstanceOf(NoRunError);
      expect((error as UserError).message).toMatch(message);
    }
  });

  it('is refused in words whatever stands in it', async () => {
    const folder = newFolder();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('format', 'kind', 'created', 'request'),
        fc.jsonValue(),
        async (field, value) => {
          writeFileSync(runPaths(folder).description, JSON.stringify({ ...description, [field]: value }));
          const error: unknown = await readDescription(folder).then(
            () => null,
            (reason: unknown) => reason,
          );
          expect(error === null || error instanceof UserError).toBe(true);
        },
      ),
    );
  });
});

describe('events', () => {
  it('are numbered from one, and on from there by the next launch', async () => {
    const folder = newFolder();
    expect(await readEvents(folder, 0)).toEqual({ events: [], offset: 0, seq: 0 });
    await append(folder, launch, note('a'));
    await append(folder, launch);
    expect(await numbersOf(folder)).toEqual([1, 2, 3]);
  });

  it('are read on from where the last reading ended, a row being written not before it is whole', async () => {
    const folder = newFolder();
    await append(folder, launch);
    const first = await readEvents(folder, 0);
    const row = JSON.stringify({ ...note('é'.repeat(10)), seq: 2, time: 1 });
    appendFileSync(runPaths(folder).events, row.slice(0, 20));
    expect(await readEvents(folder, first.offset)).toEqual({ events: [], offset: first.offset, seq: 0 });
    appendFileSync(runPaths(folder).events, `${row.slice(20)}\n`);
    expect((await readEvents(folder, first.offset)).events.map(({ seq }) => seq)).toEqual([2]);
    truncateSync(runPaths(folder).events, 0);
    await append(folder, launch);
    const another = await readEvents(folder, first.offset + 30);
    expect(another.events.map(({ seq }) => seq)).toEqual([1]);
  });

  it('go on with their numbers after a cut at any byte, none lost before it and none numbered twice', async () => {
    const source = newFolder();
    await append(source, launch, note('a'), note('é'));
    const whole = readFileSync(runPaths(source).events);
    for (let length = 0; length <= whole.length; length++) {
      const folder = newFolder();
      writeFileSync(runPaths(folder).events, whole.subarray(0, length));
      const before = whole.subarray(0, length).toString().split('\n').length - 1;
      await append(folder, launch);
      const numbers = await numbersOf(folder);
      expect(numbers).toEqual(numbers.map((_, i) => i + 1));
      expect(numbers.length).toBeGreaterThan(before);
    }
  });

  it('of a type that this version does not know are passed over, and their numbers not used again', async () => {
    const folder = newFolder();
    await append(folder, launch);
    const later = [
      { type: 'abstraction', seq: 2, time: 1, thought: 'x' },
      { ...note('known'), seq: 3, time: 1, more: true },
      { type: 'phase', phase: 'dream', seq: 4, time: 1 },
    ];
    appendFileSync(runPaths(folder).events, later.map((row) => `${JSON.stringify(row)}\n`).join(''));
    expect(await numbersOf(folder)).toEqual([1, 3]);
    await append(folder, launch);
    expect(await numbersOf(folder)).toEqual([1, 3, 5]);
  });

  it('never throw at anything that stands in their file, and are appended to behind it', async () => {
    const row = fc.record(
      {
        seq: fc.jsonValue(),
        time: fc.jsonValue(),
        type: fc.constantFrom('launch', 'note', 'done', 'x', 1),
        text: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const line = fc.oneof(
      row.map((value) => JSON.stringify(value)),
      fc.jsonValue().map((value) => JSON.stringify(value)),
      fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
      fc.nat(100).map((seq) => JSON.stringify({ ...note('x'), seq: seq + 1, time: 1 })),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 8 }), fc.boolean(), async (lines, cut) => {
        const folder = newFolder();
        writeFileSync(runPaths(folder).events, `${lines.join('\n')}${cut ? '' : '\n'}`, 'latin1');
        const before = await readEvents(folder, 0);
        expect(stateOf(before.events).seq).toBe(Math.max(0, ...before.events.map(({ seq }) => seq)));
        if (readFileSync(runPaths(folder).events).subarray(0, 2).equals(Buffer.from('1f8b', 'hex'))) return;
        const [event] = await append(folder, launch);
        const after = await readEvents(folder, 0);
        expect(after.events.at(-1)).toEqual(event);
        expect(Math.max(...after.events.map(({ seq }) => seq))).toBe(event!.seq);
      }),
      { numRuns: 120 },
    );
  });
});

describe('the last events', () => {
  it('suffice where a run is over, and are all where it is not', async () => {
    const folder = newFolder();
    const device: EventBody = { type: 'engine', device: 'cpu' };
    const many = Array.from({ length: 500 }, (_, i) => note(`${'n'.repeat(100)}${i}`));
    await append(folder, launch, { type: 'phase', phase: 'sample' }, device, ...many);
    // Its phase, its device and since when it is at work are far from the end.
    const { events, offset } = await readLastEvents(folder);
    expect(stateOf(events)).toEqual(stateOf((await readEvents(folder, 0)).events));
    expect(stateOf(events)).toMatchObject({ status: 'running', phase: 'sample', device: 'cpu' });
    expect(offset).toBe(readFileSync(runPaths(folder).events).length);
    await append(folder, { type: 'done', status: 'finished', score: null, seconds: null, error: '' });
    const last = await readLastEvents(folder);
    expect(last.events.length).toBeLessThan(200);
    expect(stateOf(last.events).status).toBe('finished');
  });

  it('are found before a last row that is longer than what is read', async () => {
    const folder = newFolder();
    await append(folder, launch, {
      type: 'done',
      status: 'failed',
      score: null,
      seconds: null,
      error: 'x'.repeat(50_000),
    });
    expect(stateOf((await readLastEvents(folder)).events)).toMatchObject({ status: 'failed', seq: 2 });
  });

  it('end before a row being written, however long that is', async () => {
    const folder = newFolder();
    await append(folder, launch, note('a'));
    const whole = readFileSync(runPaths(folder).events).length;
    for (const length of [10, 4000, 4096, 5000, 9000, 300_000]) {
      truncateSync(runPaths(folder).events, whole);
      appendFileSync(runPaths(folder).events, 'x'.repeat(length));
      const { events, offset } = await readLastEvents(folder);
      expect([length, offset, events.length]).toEqual([length, whole, 2]);
    }
  });

  it('of a run without any are none', async () => {
    expect(await readLastEvents(newFolder())).toEqual({ events: [], offset: 0, seq: 0 });
  });
});
