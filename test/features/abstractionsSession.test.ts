/** An abstractions panel's session and its sources: what it sends, what it keeps, how work is ended, and that no message can do harm. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { RunFollower } from '../../src/client/runFollower.ts';
import { UserError } from '../../src/errors.ts';
import { AbstractionsSession, summaryOf } from '../../src/features/abstractionsSession.ts';
import { openSource, type ReadingSource, readingsSource, type SourceParts } from '../../src/features/readingSources.ts';
import type { CodeReading } from '../../src/midtraining/abstractions/reading.ts';
import {
  type Address,
  parseFromPanel,
  parseToPanel,
  type ToPanel,
  type Viewed,
} from '../../src/webviews/abstractions/messages.ts';
import { RUN_FORMAT } from '../../src/runner/runFolder.ts';
import { smallRequest, temporaryFolder, writeProblems } from '../runner/smallRun.ts';
import { smallTraining } from '../runner/smallTraining.ts';
import { handmadeReading, variedCode } from '../webviews/handmadeReading.ts';

const uri = 'file:///w/all%20readings.reading.json';
const address: Address = { kind: 'readings', uri };
const ready = (sides: readonly Viewed[] = []) => ({ type: 'ready', sides: [...sides] });

let readings: CodeReading[];
beforeAll(async () => {
  readings = await Promise.all(
    [100, 200, 300].flatMap((step, seed) =>
      (['text', 'none'] as const).map((latents) => handmadeReading(variedCode, { step, latents, seed })),
    ),
  );
  readings.push(await handmadeReading('x = 1\n', { name: 'other.py', step: 300 }));
});

/** What the panel is told, and what it makes happen; sources are opened as in the extension. */
function opened(first: Address, { texts = {}, open }: { texts?: Record<string, string>; open?: ReadingSource } = {}) {
  const told: ToPanel[] = [];
  const done: string[] = [];
  const choices: (Address | null)[] = [];
  const parts: SourceParts = {
    readText: (one) => (texts[one] === undefined ? Promise.reject(new Error('ENOENT')) : Promise.resolve(texts[one])),
    openRun: () => Promise.resolve(null),
    service: {
      stepsOf: () => Promise.resolve([]),
      read: () => Promise.reject(new UserError('The model has been removed.')),
    },
  };
  const session = new AbstractionsSession(first, (message) => told.push(structuredClone(message)), {
    open: (one) => (open === undefined ? openSource(one, parts) : Promise.resolve(open)),
    choose: () => Promise.resolve(choices.shift() ?? null),
    chooseItem: (items, now) => Promise.resolve((now + 1) % items.length),
    copy: (text) => done.push(`copied ${text.length}`),
    save: (name, bytes) => done.push(`saved ${name} of ${bytes.length}`),
    rename: (title) => done.push(`named ${title}`),
    report: (error) => done.push(`reported ${String(error)}`),
  });
  const of = <Type extends ToPanel['type']>(type: Type) =>
    told.filter((message): message is Extract<ToPanel, { type: Type }> => message.type === type);
  return { session, told, done, of, choices };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('an abstractions panel', () => {
  it('is told nothing before it is ready, then what it reads, in messages that it takes', async () => {
    const panel = opened(address, { texts: { [uri]: JSON.stringify(readings) } });
    await settled();
    expect(panel.told).toEqual([]);
    panel.session.receive(ready());
    await expect.poll(() => panel.of('reading').length).toBe(1);
    for (const message of panel.told) expect(parseToPanel(message)).toEqual(message);
    expect(panel.of('source').at(-1)).toMatchObject({
      ...{ side: 0, title: 'all readings.reading.json', items: 2, steps: [100, 200, 300], latents: ['text', 'none'] },
      chosen: { item: 0, step: 300, latents: 'text' }, // the last checkpoint, unless another is asked for
    });
    const { reading, summary } = panel.of('reading')[0]!;
    expect(reading).toEqual(readings[4]);
    expect(summary).toMatchObject({ lines: 22, thinks: 7, thinkRate: 7 / 22 });
    expect(panel.done).toEqual(['named all readings.reading.json']);
    panel.session.receive({ type: 'copyJson', side: 0 });
    panel.session.receive({ type: 'saveJson', side: 0 });
    panel.session.receive({ type: 'picture', side: 0, format: 'png', bytes: new Uint8Array(7) });
    const { length } = `${JSON.stringify(reading)}\n`;
    expect(panel.done.slice(1, 2)).toEqual([`copied ${length}`]);
    expect(panel.done.slice(2).map((word) => word.replace(/\d+$/, 'n'))).toEqual([
      'saved sort.py.reading.json of n',
      'saved sort.py.png of n',
    ]);
    // Hidden and shown again it knows nothing, and is told all once more.
    panel.told.length = 0;
    panel.session.receive(ready([{ address, item: 0, step: 300, latents: 'text' }]));
    expect(panel.told.map(({ type }) => type)).toEqual(['source', 'reading']);
    panel.session.close();
  });

  it('goes to another step, sample or kind of latents, and says where there is none', async () => {
    const panel = opened(address, { texts: { [uri]: readings.map((one) => `${JSON.stringify(one)}\n`).join('') } });
    panel.session.receive(ready());
    await expect.poll(() => panel.of('reading').length).toBe(1);
    panel.session.receive({ type: 'read', side: 0, item: 0, step: 100, latents: 'none', again: false });
    await expect.poll(() => panel.of('reading').at(-1)?.reading.model.step).toBe(100);
    expect(panel.of('reading').at(-1)!.summary).toMatchObject({ thinks: 0, meanTau: null, effectiveHorizon: null });
    panel.session.receive({ type: 'chooseItem', side: 0 });
    await expect.poll(() => panel.of('failed').length).toBe(1);
    expect(panel.of('failed')[0]!.text).toBe(
      'all readings.reading.json has no reading of other.py at step 100 (latents: none). Choose another one.',
    );
    panel.session.receive({ type: 'read', side: 0, item: 99, step: 300, latents: 'text', again: false });
    await expect.poll(() => panel.of('reading').at(-1)?.reading.name).toBe('other.py');
    panel.session.close();
  });

  it('shows two beside each other, over a reload, until one is closed', async () => {
    const texts = { [uri]: JSON.stringify(readings) };
    const panel = opened(address, { texts });
    panel.session.receive(ready());
    await expect.poll(() => panel.of('reading').length).toBe(1);
    panel.session.receive({ type: 'choose', side: 1 }); // left
    await settled();
    expect(panel.of('source').every(({ side }) => side === 0)).toBe(true);
    panel.choices.push(address);
    panel.session.receive({ type: 'choose', side: 1 });
    await expect.poll(() => panel.of('reading').at(-1)?.side).toBe(1);
    panel.session.receive({ type: 'read', side: 1, item: 0, step: 200, latents: 'text', again: false });
    await expect.poll(() => panel.of('reading').at(-1)?.reading.model.step).toBe(200);
    const other: Address = { kind: 'text', text: 'x', model: 'm' };
    panel.choices.push(other);
    panel.session.receive({ type: 'choose', side: 0 });
    await expect.poll(() => panel.of('source').at(-1)).toMatchObject({ side: 0, address: other });
    panel.session.showAgain(); // as when the command is given once more
    await expect.poll(() => panel.of('reading').at(-1)).toMatchObject({ side: 0, reading: { model: { step: 300 } } });
    panel.session.receive({ type: 'close', side: 1 });
    panel.session.receive({ type: 'copyJson', side: 1 });
    expect(panel.done).not.toContain('copied');
    panel.session.close();

    const again = opened(address, { texts });
    const sides = [300, 200].map((step): Viewed => ({ address, item: 0, step, latents: 'text' }));
    again.session.receive(ready(sides));
    await expect.poll(() => again.of('reading').length).toBe(2);
    expect(again.of('reading').map(({ side, reading }) => [side, reading.model.step])).toEqual([
      [0, 300],
      [1, 200],
    ]);
    again.session.close();
  });

  it('says what is wrong with what it is to read, and reads it once it is mended', async () => {
    const texts: Record<string, string> = {};
    const panel = opened(address, { texts });
    panel.session.receive(ready());
    const failure = async (words: RegExp): Promise<void> => {
      await expect.poll(() => panel.of('failed').at(-1)?.text).toMatch(words);
      panel.told.length = 0;
      panel.session.receive({ type: 'read', side: 0, item: 0, step: null, latents: 'text', again: true });
    };
    await expect.poll(() => panel.of('failed').length).toBe(1);
    texts[uri] = '{"code": 3';
    await failure(/cannot be read: ENOENT/);
    texts[uri] = '[]';
    await failure(/is not JSON/);
    texts[uri] = JSON.stringify([readings[0], { ...readings[1], lines: null }]);
    await failure(/holds no reading of code/);
    texts[uri] = JSON.stringify(readings);
    await failure(/Entry 2 of 2 is no reading of code/);
    await expect.poll(() => panel.of('reading').length).toBe(1);
    expect(panel.done.filter((word) => word.startsWith('reported'))).toEqual([]);
    panel.session.close();
    const typed = opened({ kind: 'text', text: 'x', model: 'starter:midtrain' });
    typed.session.receive(ready());
    await expect.poll(() => typed.of('failed').at(-1)?.text).toBe('The model has been removed.');
    typed.session.close();
  });

  it('tells of progress, ends work that nobody waits for, and cancels', async () => {
    const aborted: string[] = [];
    const source: ReadingSource = {
      ...{ title: 'slow', items: ['a', 'b'], steps: [1, 2], latents: ['text'] },
      read: ({ item, step, signal }, progress) =>
        new Promise((resolve, reject) => {
          progress('Reading tokens', 0.25);
          signal.addEventListener('abort', () => {
            aborted.push(`${item} at ${step}`);
            reject(signal.reason as Error);
          });
          if (item === 1) resolve(readings[0]!);
        }),
    };
    const panel = opened(address, { open: source });
    panel.session.receive(ready());
    await expect.poll(() => panel.of('progress').at(-1)).toMatchObject({ text: 'Reading tokens', share: 0.25 });
    panel.session.receive({ type: 'read', side: 0, item: 0, step: 1, latents: 'text', again: false });
    await expect.poll(() => aborted).toEqual(['0 at 2']);
    expect(panel.of('failed')).toEqual([]); // another one is at work
    panel.session.receive({ type: 'cancel', side: 0 });
    await expect.poll(() => panel.of('failed').at(-1)?.text).toMatch(/^It was cancelled/);
    panel.session.receive({ type: 'read', side: 0, item: 1, step: 1, latents: 'text', again: false });
    await expect.poll(() => panel.of('reading').length).toBe(1);
    panel.session.receive({ type: 'read', side: 0, item: 0, step: 1, latents: 'text', again: false });
    await settled();
    panel.session.close();
    expect(aborted).toEqual(['0 at 2', '0 at 1', '0 at 1']);
  });

  it('refuses a reading with what is no number, and reports what is no error of a user', async () => {
    const source = (read: ReadingSource['read']): ReadingSource => ({
      ...{ title: 'x', items: ['a'], steps: [], latents: ['text' as const] },
      read,
    });
    const nan = opened(address, {
      open: source(() => Promise.resolve({ ...readings[0]!, lines: [{ ...readings[0]!.lines[0]!, entropy: NaN }] })),
    });
    nan.session.receive(ready());
    await expect.poll(() => nan.of('failed').at(-1)?.text).toMatch(/no numbers where they belong/);
    const defect = opened(address, {
      open: source(() => Promise.reject(new TypeError('undefined is not a function'))),
    });
    defect.session.receive(ready());
    await expect.poll(() => defect.done).toContain('reported TypeError: undefined is not a function');
    const user = opened(address, { open: source(() => Promise.reject(new UserError('Too long.'))) });
    user.session.receive(ready());
    await expect.poll(() => user.of('failed').at(-1)?.text).toBe('Too long.');
    expect(user.done).toEqual(['named x']);
  });

  it('sums a reading up as the paper does', async () => {
    const { lines } = await handmadeReading('# a\nx = 1\ny = 2\n# b\nz = 3\n');
    const summary = summaryOf({ ...readings[0]!, lines });
    expect(summary).toMatchObject({ lines: 3, thinks: 2, thinkRate: 2 / 3, tokensPerLatent: 1, meanTau: 1.5 });
    expect(summary.meanDiscount).toBeCloseTo((0.99 + 0.99 ** 2) / 2, 12);
    expect(summary.statement).toMatchObject({ boundaries: 2, hits: 2, share: 1, random: 1, pValue: 1 });
  });
});

describe('sources', () => {
  it('name models where there are several, and take a single reading', () => {
    const two = readingsSource(
      'f',
      JSON.stringify([readings[0], { ...readings[0], model: { name: 'big', step: null } }]),
    );
    expect(two.items).toEqual(['sort.py, by tiny', 'sort.py, by big']);
    expect(readingsSource('f', JSON.stringify(readings[0], null, 2)).items).toEqual(['sort.py']);
  });

  it('hand code to the service with what was chosen', async () => {
    const asked: unknown[] = [];
    const parts: SourceParts = {
      readText: () => Promise.resolve('y = 2\n'),
      openRun: () => Promise.resolve(null),
      service: {
        stepsOf: (model) => Promise.resolve(model === '/runs/a' ? [10, 20] : []),
        read: ({ signal, ...request }, progress) => {
          asked.push(request);
          progress('Reading', 1);
          signal.throwIfAborted();
          return Promise.resolve(readings[0]!);
        },
      },
    };
    const { signal } = new AbortController();
    const file = await openSource({ kind: 'file', uri: 'file:///w/a%20b.py', model: '/runs/a' }, parts);
    expect(file).toMatchObject({ title: 'a b.py', steps: [10, 20], latents: ['text', 'model', 'none'] });
    await file.read({ item: 0, step: 20, latents: 'model', signal }, () => undefined);
    const typed = await openSource({ kind: 'text', text: 'x = 1\n', model: 'm' }, parts);
    await typed.read({ item: 0, step: null, latents: 'text', signal }, () => undefined);
    expect(asked).toEqual([
      { code: 'y = 2\n', name: 'a b.py', model: '/runs/a', step: 20, latents: 'model' },
      { code: 'x = 1\n', name: 'Typed Code', model: 'm', step: null, latents: 'text' },
    ]);
    await expect(openSource({ kind: 'samples', folder: '/gone', model: null }, parts)).rejects.toThrow(UserError);
  });
});

describe('the samples of a run', () => {
  const home = temporaryFolder();
  const written = (kind: 'training' | 'evaluation', request: object, file: string, rows: readonly object[]): string => {
    const folder = join(home, `${kind}-${rows.length}`);
    mkdirSync(folder);
    writeFileSync(join(folder, 'run.json'), JSON.stringify({ format: RUN_FORMAT, kind, created: 1e12, request }));
    writeFileSync(join(folder, file), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    return folder;
  };
  /** What the service is asked to read of the run's items. */
  const read = async (
    folder: string,
    model: string | null,
  ): Promise<readonly [items: readonly string[], asked: string[]]> => {
    const asked: string[] = [];
    const run = await RunFollower.open(folder);
    const source = await openSource(
      { kind: 'samples', folder, model },
      {
        readText: () => Promise.reject(new Error('nothing is read')),
        openRun: () => Promise.resolve(run),
        service: {
          stepsOf: () => Promise.resolve([]),
          read: (request) => {
            asked.push(`${request.model} reads ${JSON.stringify(request.code)}`);
            return Promise.resolve(readings[0]!);
          },
        },
      },
    );
    const { signal } = new AbortController();
    for (let item = 0; item < source.items.length; item += 1) {
      await source.read({ item, step: null, latents: 'text', signal }, () => undefined);
    }
    run.close();
    return [source.items, asked];
  };

  it('of a training are read by its checkpoints, those of an evaluation by its model, or by another', async () => {
    const sample = { type: 'sample', step: 4, prompt: 'def f():\n', completion: '    pass\n' };
    const events = [
      { seq: 1, time: 1e12, type: 'launch', pid: 1, version: '0.1.0', host: 'elsewhere' },
      { seq: 2, time: 1e12, ...sample, taskId: 'starter/1', verdict: 'passed' },
      { seq: 3, time: 1e12, ...sample, taskId: null, verdict: null },
    ];
    const training = written('training', { ...smallTraining('/models/tiny'), name: 'mine' }, 'events.jsonl', events);
    const code = JSON.stringify('def f():\n    pass\n');
    expect(await read(training, null)).toEqual([
      ['starter/1, sampled at step 4', 'a prompt, sampled at step 4'],
      [`${training} reads ${code}`, `${training} reads ${code}`],
    ]);
    const request = smallRequest(writeProblems(home, 2), {
      model: { path: '/m', spec: 'starter:midtrain', label: 'm' },
    });
    const results = [0, 1].map((i) => ({
      ...{ task_id: `HumanEval/${i}`, completion: '    return 1\n', result: 'failed: x', passed: false, sample: 0 },
      verdict: 'failed',
    }));
    const evaluation = written('evaluation', request, 'results.jsonl', results);
    const [items, asked] = await read(evaluation, null);
    expect(items).toEqual(['HumanEval/0, sample 0 (failed)', 'HumanEval/1, sample 0 (failed)']);
    expect(asked[0]).toMatch(/^starter:midtrain reads ".*return 1/);
    expect((await read(evaluation, '/runs/a'))[1][0]).toMatch(/^\/runs\/a reads/);
    const none = written('evaluation', request, 'results.jsonl', []);
    await expect(read(none, null)).rejects.toThrow(/has no samples yet/);
  });
});

describe('malformed messages of a panel', () => {
  it('of 10,000 kinds do nothing', async () => {
    const panel = opened(address, { texts: { [uri]: JSON.stringify(readings) } });
    panel.session.receive(ready());
    await expect.poll(() => panel.of('reading').length).toBe(1);
    const near = fc.record(
      {
        type: fc.constantFrom<unknown>(
          ...['ready', 'read', 'readText', 'cancel', 'choose', 'chooseItem', 'close', 'copyJson', 'saveJson'],
          ...['picture', 'exit', '', null, {}],
        ),
        side: fc.constantFrom<unknown>(-1, 2, 0.5, '0', null, 1e9),
        sides: fc.oneof(fc.jsonValue(), fc.constant([{ address: { kind: 'exec', uri: 'x' } }])),
        item: fc.oneof(fc.jsonValue(), fc.integer()),
        step: fc.jsonValue(),
        latents: fc.constantFrom<unknown>('all', 'text', null),
        text: fc.oneof(fc.jsonValue(), fc.constant('x'.repeat(300_000))),
        again: fc.jsonValue(),
        format: fc.constantFrom<unknown>('png', 'exe', null),
        bytes: fc.oneof(fc.jsonValue(), fc.constant(new Uint8Array())),
      },
      { requiredKeys: [] },
    );
    const messages = fc.sample(fc.oneof(fc.anything(), near), { numRuns: 10_000, seed: 5 });
    const malformed = messages.filter((message) => parseFromPanel(message) === null);
    expect(malformed.length).toBeGreaterThan(9000);
    panel.told.length = 0;
    panel.done.length = 0;
    for (const message of malformed) panel.session.receive(message);
    await settled();
    expect([panel.done, panel.told]).toEqual([[], []]);
    panel.session.receive({ type: 'copyJson', side: 0 });
    expect(panel.done.length).toBe(1);
    panel.session.close();
  });
});
