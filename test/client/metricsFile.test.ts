/** The curves of a training as they grow, and what they are exported as. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMetrics, toCsv, toTensorBoard } from '../../src/client/metricsExport.ts';
import { MetricsFile } from '../../src/client/metricsFile.ts';
import { maskedCrc } from '../../src/client/tfevents.ts';
import type { EventBody } from '../../src/runner/events.ts';
import { eStepOf, explored, groupOf } from '../runner/exploration.ts';
import { temporaryFolder } from '../runner/smallRun.ts';

const home = temporaryFolder();
const BEGUN = 1_700_000_000_000;

/** Events at so many seconds each, as lines. */
function lines(events: readonly (readonly [second: number, event: EventBody])[], first = 1): string {
  return events
    .map(([second, event], i) => `${JSON.stringify({ seq: first + i, time: BEGUN + 1000 * second, ...event })}\n`)
    .join('');
}

function metric(step: number, loss: number | null, more: object = {}): EventBody {
  return {
    ...{ type: 'metric', step, steps: 100, loss, learningRate: loss === null ? null : 0.001 },
    ...{ gradientNorm: loss === null ? null : 1.5, heldOutLoss: null, tokens: 10 * step, tokensPerSecond: 20 },
    ...more,
  };
}

const launch: EventBody = { type: 'launch', pid: 1, version: '0.1.0', host: 'here' };
const control = (verb: 'pause' | 'resume' | 'set', more: object = {}): EventBody => ({
  ...{ type: 'control', verb, client: 'terminal', detail: 'It is so.' },
  ...more,
});

let made = 0;
function written(text: string): string {
  const folder = join(home, `run-${(made += 1)}`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'events.jsonl'), text);
  return folder;
}

describe('the curves of a training', () => {
  it('are read as they grow; a step that was done again holds, and what followed it is void', async () => {
    const folder = written(
      lines([
        [0, launch],
        [1, metric(0, null, { heldOutLoss: 4 })],
        [2, metric(1, 3.5)],
        [3, metric(2, 3.25)],
        [4, metric(3, 3)],
      ]) + '{"seq": 6, "ti',
    );
    const metrics = new MetricsFile(folder);
    const told: number[] = [];
    await metrics.update((from) => told.push(from));
    expect(metrics.rows.count).toBe(4);
    expect([...metrics.rows.column('loss')]).toEqual([NaN, 3.5, 3.25, 3]);
    expect([...metrics.rows.column('heldOutLoss')]).toEqual([4, NaN, NaN, NaN]);
    expect(told).toEqual([0]);

    // Killed, its last row cut off; another launch does steps 2 and 3 again, and tells more of one.
    writeFileSync(
      join(folder, 'events.jsonl'),
      lines([
        [0, launch],
        [1, metric(0, null, { heldOutLoss: 4 })],
        [2, metric(1, 3.5)],
        [3, metric(2, 3.25)],
        [4, metric(3, 3)],
        [60, launch],
        [61, metric(2, 3.125, { memory: 2e9, passAt1: { passed: 3, problems: 4 } })],
      ]),
    );
    await metrics.update((from) => told.push(from));
    expect([...metrics.rows.column('step')]).toEqual([0, 1, 2]);
    expect([...metrics.rows.column('loss')]).toEqual([NaN, 3.5, 3.125]);
    expect(told).toEqual([0, 2]);
    appendFileSync(join(folder, 'events.jsonl'), lines([[62, metric(3, 2.5)]], 8));
    await metrics.update((from) => told.push(from));
    expect([...metrics.rows.column('loss')]).toEqual([NaN, 3.5, 3.125, 2.5]);
    expect([...metrics.rows.column('passed')]).toEqual([NaN, NaN, 3, NaN]);
    expect(told).toEqual([0, 2, 3]);
    // The minute between the launches is no time at work.
    expect([...metrics.rows.column('worked')]).toEqual([1, 2, 5, 6]);
    expect(metrics.marks).toEqual([
      { kind: 'resumed', step: 3, update: 0, time: BEGUN + 60_000, text: 'Resumed on here.' },
    ]);

    // Another run under the same name.
    writeFileSync(join(folder, 'events.jsonl'), lines([[0, launch]]));
    await metrics.update((from) => told.push(from));
    expect([metrics.rows.count, metrics.marks.length, told.at(-1)]).toEqual([0, 0, 0]);
    metrics.close();
  });

  it('know pauses, marks, notes, and the pace of the stretch that goes on', async () => {
    const folder = written(
      lines([
        [0, launch],
        [1, { type: 'note', level: 'warning', text: 'Beware.' }],
        [1, { type: 'engine', device: 'cpu, fp32' }],
        [2, metric(1, 3)],
        [4, metric(2, 3)],
        [5, control('pause')],
        [105, control('resume')],
        [106, control('set', { settings: { learningRate: 1e-4 }, step: 3 })],
        [107, metric(3, 3)],
        [110, metric(4, 3)],
        [113, metric(5, 3)],
        [114, { type: 'done', status: 'failed', score: null, seconds: null, error: 'The disk is full.\nMore.' }],
      ]),
    );
    const metrics = await readMetrics(folder);
    expect([...metrics.rows.column('worked')]).toEqual([2, 4, 7, 10, 13]);
    expect(metrics.marks.map(({ kind, step, text }) => [kind, step, text])).toEqual([
      ['pause', 2, 'It is so. Asked for by terminal.'],
      ['resume', 2, 'It is so. Asked for by terminal.'],
      ['set', 3, 'It is so. Asked for by terminal.'],
      ['failed', 5, 'The disk is full.'],
    ]);
    expect(metrics.notes.map(({ text }) => text)).toEqual(['Beware.']);
    expect([metrics.device, metrics.steps]).toEqual(['cpu, fp32', 100]);
    // After its end it has none; before, that of the steps since the pause.
    expect(metrics.pace).toBeNull();
    const live = await readMetrics(
      written(
        lines([
          [0, launch],
          [2, metric(1, 3)],
          [4, control('pause')],
          [99, control('resume')],
          [100, metric(2, 3)],
          [103, metric(3, 3)],
          [106, metric(4, 3)],
        ]),
      ),
    );
    expect(live.pace).toBe(3000);
  });

  it('have samples, each once, whose texts are read when they are asked for', async () => {
    const sample = (step: number, taskId: string | null, completion: string): EventBody => ({
      ...{ type: 'sample', step, taskId, prompt: 'def f():\n', completion, verdict: null },
    });
    const folder = written(
      lines([
        [0, launch],
        [1, sample(5, 'a/1', '    pass\n')],
        [2, sample(5, 'a/2', '    return 1\n')],
        [3, launch],
        [4, sample(5, 'a/1', '    return 2\n')],
      ]) + 'no JSON\n{"seq":9,"time":1,"type":"of a later version"}\n',
    );
    const metrics = await readMetrics(folder);
    expect(metrics.samples).toMatchObject([
      { step: 5, taskId: 'a/1', verdict: null },
      { step: 5, taskId: 'a/2', verdict: null },
    ]);
    expect(await metrics.sample(0)).toMatchObject({ completion: '    return 2\n' });
    expect(await metrics.sample(7)).toBeNull();
    expect(metrics.state).toMatchObject({ broken: 1 });
    // The file is another one by now: what stands there is no sample.
    writeFileSync(join(folder, 'events.jsonl'), lines([[0, launch]]).padEnd(2000, ' '));
    expect(await metrics.sample(0)).toBeNull();
  });

  it('of q have a row an update, with what held-out snippets said; one that is done again holds', async () => {
    const heldOut = { returnWithout: -50, returnWith: -51, returnNever: -55, thinkRate: 0.25 };
    const folder = written(
      lines([
        [0, launch],
        [1, eStepOf(1, 10, { returnWith: -61.5, latentTokens: null, gradientNorm: null })],
        [2, eStepOf(2, 10, { returnWith: -60.5, heldOut })],
        [3, eStepOf(3, 10)],
        [4, metric(1, 3, { codeLoss: 2.5, latentLoss: null })],
        [5, metric(2, 3, { codeLoss: 2.25, latentLoss: 4 })],
        [6, control('set', { settings: { thinkPenalty: 0.1 }, step: 2 })],
        [60, launch],
        [61, eStepOf(3, 10, { thinkPenalty: 0.1, returnWith: -59.5 })],
      ]),
    );
    const told: number[][] = [];
    const metrics = new MetricsFile(folder);
    await metrics.update((...from) => told.push(from));
    expect(told).toEqual([[0, 0]]);
    const { rows, updates } = metrics;
    expect([...updates.column('update')]).toEqual([1, 2, 3]);
    expect([...updates.column('returnWith')]).toEqual([-61.5, -60.5, -59.5]);
    expect([...updates.column('thinkPenalty')]).toEqual([0.05, 0.05, 0.1]);
    expect([updates.at('latentTokens', 0), updates.at('gradientNorm', 0)]).toEqual([NaN, NaN]);
    expect([...updates.column('heldReturnNever')]).toEqual([NaN, -55, NaN]);
    expect([...updates.column('heldThinkRate')]).toEqual([NaN, 0.25, NaN]);
    expect([...updates.column('worked')]).toEqual([1, 2, 7]);
    expect([...rows.column('codeLoss')]).toEqual([2.5, 2.25]);
    expect([...rows.column('latentLoss')]).toEqual([NaN, 4]);
    expect(metrics.marks.map(({ kind, step, update }) => [kind, step, update])).toEqual([
      ['set', 2, 3],
      ['resumed', 2, 3],
    ]);
    appendFileSync(join(folder, 'events.jsonl'), lines([[70, eStepOf(4, 10)]], 10));
    await metrics.update((...from) => told.push(from));
    expect(told.at(-1)).toEqual([2, 3]);
  });

  it('have rollouts in groups, whose lines are read when they are asked for', async () => {
    const events = [...groupOf(5, 7, 3), ...groupOf(5, 2, 2), eStepOf(5, 10), ...groupOf(10, 7, 2), eStepOf(10, 10)];
    const folder = written(lines([[0, launch], ...events.map((event) => [1, event] as const)]));
    const metrics = await readMetrics(folder);
    const groups = () => metrics.groups.map(({ update, snippet, rollouts }) => [update, snippet, rollouts.length]);
    expect(groups()).toEqual([
      [5, 7, 3],
      [5, 2, 2],
      [10, 7, 2],
    ]);
    const [first] = groupOf(5, 2, 2);
    expect(metrics.groups[1]!.rollouts[0]!.gain).toBeCloseTo(first!.returnWith - first!.returnNever, 10);
    expect(await metrics.rollouts(5, 2)).toMatchObject(groupOf(5, 2, 2));
    expect(await metrics.rollouts(6, 2)).toEqual([]);
    // Killed and resumed before update 5: it comes again, and what was behind it goes.
    const again = [...groupOf(5, 2, 3), eStepOf(5, 10)];
    appendFileSync(
      join(folder, 'events.jsonl'),
      lines([[9, launch], ...again.map((event) => [9, event] as const)], 50),
    );
    await metrics.update();
    expect(groups()).toEqual([
      [5, 7, 3],
      [5, 2, 3],
    ]);
    expect(await metrics.rollouts(5, 2)).toMatchObject(groupOf(5, 2, 3));
    writeFileSync(join(folder, 'events.jsonl'), lines([[0, launch]]).padEnd(60_000, ' '));
    expect(await metrics.rollouts(5, 2)).toEqual([]);
  });

  it('of 100,000 updates are all read; malformed ones are left out', async () => {
    const wrong = [
      { ...eStepOf(1, 2), update: -1 },
      { ...eStepOf(1, 2), thinkRate: null },
      { ...eStepOf(1, 2), heldOut: { returnWith: 1 } },
      { ...groupOf(1, 1, 1)[0]!, lines: [{ code: 3 }] },
      { type: 'e-step' },
    ] as EventBody[];
    const row = lines([[0, eStepOf(1, 2)]]);
    const rows = Array.from({ length: 100_000 }, (_, i) => row.replace('"update":1,', `"update":${i + 1},`));
    wrong.forEach((event, i) => rows.splice(20_000 * i, 0, lines([[0, event]])));
    const metrics = await readMetrics(written(rows.join('')));
    expect(metrics.updates.count).toBe(100_000);
    expect(metrics.updates.last('update')).toBe(100_000);
    expect(metrics.updates.last('returnWith')).toBe(eStepOf(1, 2).returnWith);
    expect([metrics.groups.length, metrics.state.broken]).toEqual([0, 0]);
  });

  it('of a run without events are none', async () => {
    const metrics = await readMetrics(join(home, 'nowhere'));
    expect([metrics.rows.count, metrics.steps, metrics.pace, metrics.samples.length]).toEqual([0, null, null, 0]);
    expect(new TextDecoder().decode(toCsv(metrics.rows)).split('\n')).toHaveLength(2);
  });
});

describe('exported curves', () => {
  const folder = written(
    lines([
      [0, launch],
      [1, metric(0, null, { heldOutLoss: 4.25 })],
      [2, metric(1, 3.0000000001, { passAt1: { passed: 1, problems: 4 }, memory: 1e9 })],
    ]),
  );

  it('as CSV are as exact as they were told', async () => {
    expect(new TextDecoder().decode(toCsv((await readMetrics(folder)).rows))).toBe(
      'step,time,worked,loss,heldOutLoss,learningRate,gradientNorm,tokens,tokensPerSecond,memory,passed,problems,codeLoss,latentLoss\n' +
        '0,2023-11-14T22:13:21.000Z,1,,4.25,,,0,,,,,,\n' +
        '1,2023-11-14T22:13:22.000Z,2,3.0000000001,,0.001,1.5,10,20,1000000000,1,4,,\n',
    );
  });

  it('of q as CSV have a row an update, and a scalar each for TensorBoard', async () => {
    const metrics = await readMetrics(
      written(
        lines([[0, launch], ...explored({ rounds: 2, eUpdates: 5, mSteps: 3 }).map((event, i) => [i, event] as const)]),
      ),
    );
    const [head, ...rows] = new TextDecoder().decode(toCsv(metrics.updates)).trim().split('\n');
    const column = (name: string) => rows.map((row) => row.split(',')[head!.split(',').indexOf(name)]);
    expect(rows).toHaveLength(10);
    expect(column('update')).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']);
    expect(column('round')).toEqual([...Array<string>(5).fill('1'), ...Array<string>(5).fill('2')]);
    expect(column('step')[9]).toBe('3');
    expect(column('heldReturnNever')).toEqual(['', '', '', '', '-60', '', '', '', '', '-60']);
    const events = readRecords(toTensorBoard(metrics)).map(readEvent);
    expect(events).toHaveLength(1 + 6 + 10);
    const { scalars, step } = events.at(-1)!;
    expect(step).toBe(10);
    expect(scalars['eStep/returnNever']).toBe(Math.fround(eStepOf(10, 10).returnNever));
    expect(scalars['eStep/heldThinkRate']).toBeGreaterThan(0);
    expect(events[6]!.scalars['loss/code']).toBeGreaterThan(0);
  });

  it('for TensorBoard are records whose checksums hold, each with its scalars', async () => {
    // The test vectors of RFC 3720, appendix B.4, masked.
    const mask = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
    expect(maskedCrc(new Uint8Array(32))).toBe(mask(0x8a9136aa));
    expect(maskedCrc(new Uint8Array(32).fill(0xff))).toBe(mask(0x62a8ab43));
    expect(maskedCrc(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(mask(0x46dd794e));

    const events = readRecords(toTensorBoard(await readMetrics(folder))).map(readEvent);
    expect(events[0]).toMatchObject({ version: 'brain.Event:2', time: BEGUN / 1000 + 1 });
    expect(events.slice(1)).toEqual([
      { time: BEGUN / 1000 + 1, step: 0, version: '', scalars: { 'loss/heldOut': 4.25 } },
      {
        time: BEGUN / 1000 + 2,
        step: 1,
        version: '',
        scalars: {
          'loss/train': 3,
          'evaluation/passAt1': 0.25,
          'optimizer/learningRate': Math.fround(0.001),
          'optimizer/gradientNorm': 1.5,
          'speed/tokensPerSecond': 20,
          'system/memory': 1e9,
        },
      },
    ]);
  });
});

/** Cuts a TFRecord file into its messages. */
function readRecords(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset);
  const found: Uint8Array[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(maskedCrc(file.subarray(at, at + 8)));
    const message = file.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(maskedCrc(message));
    found.push(message);
    at += 16 + length;
  }
  return found;
}

/** The fields of a message (protobuf): numbers, and bytes as they are. */
function fieldsOf(message: Uint8Array): [field: number, value: number | Uint8Array][] {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const fields: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const field = key >> 3;
    if ((key & 7) === 0) fields.push([field, varint()]);
    else if ((key & 7) === 1) fields.push([field, view.getFloat64((at += 8) - 8, true)]);
    else if ((key & 7) === 5) fields.push([field, view.getFloat32((at += 4) - 4, true)]);
    else {
      const length = varint();
      fields.push([field, message.subarray(at, (at += length))]);
    }
  }
  return fields;
}

function readEvent(message: Uint8Array) {
  const text = (value: unknown): string => new TextDecoder().decode(value as Uint8Array);
  const fields = new Map(fieldsOf(message));
  const summary = fields.get(5);
  const scalars = (summary === undefined ? [] : fieldsOf(summary as Uint8Array)).map(([, value]) => {
    const scalar = new Map(fieldsOf(value as Uint8Array));
    return [text(scalar.get(1)), scalar.get(2)] as const;
  });
  return {
    time: fields.get(1),
    step: fields.get(2),
    version: fields.has(3) ? text(fields.get(3)) : '',
    scalars: Object.fromEntries(scalars),
  };
}
