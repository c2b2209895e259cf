/** Finds one sample in a file of large rows, without reading further than it must. */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SamplesFile } from '../../src/client/samplesFile.ts';
import { runPaths } from '../../src/runner/runFolder.ts';
import { temporaryFolder } from '../runner/smallRun.ts';

const home = temporaryFolder();
const newFolder = (): string => mkdtempSync(join(home, 'run-'));
type Row = Record<string, unknown>;
const text = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

function append(folder: string, content: string): void {
  appendFileSync(runPaths(folder).samples, content);
}

const row = (task: number, sample: number, change: Row = {}): Row => ({
  task_id: `HumanEval/${task}`,
  completion: `answer ${task}.${sample}`,
  sample,
  ...change,
});

describe('a sample', () => {
  it('is found where it stands, and later when it is not there yet', async () => {
    const folder = newFolder();
    const samples = new SamplesFile(folder);
    expect(await samples.find('HumanEval/0', 0)).toBeNull();
    append(folder, text([row(0, 0), row(0, 1)]));
    expect(await samples.find('HumanEval/0', 1)).toEqual(row(0, 1));
    const late = JSON.stringify(row(1, 0));
    append(folder, late.slice(0, 20));
    expect(await samples.find('HumanEval/1', 0)).toBeNull();
    append(folder, `${late.slice(20)}\n`);
    expect(await samples.find('HumanEval/1', 0)).toEqual(row(1, 0));
    expect(await samples.find('HumanEval/0', 0)).toEqual(row(0, 0));
    expect(await samples.find('HumanEval/0', 7)).toBeNull();
  });

  it('without a number is the next one of its task', async () => {
    const folder = newFolder();
    const bare = (task: number, completion: string): Row => ({ task_id: `HumanEval/${task}`, completion });
    append(folder, text([bare(0, 'a'), bare(1, 'b'), bare(0, 'c')]));
    const samples = new SamplesFile(folder);
    expect(await samples.find('HumanEval/0', 0)).toMatchObject({ completion: 'a' });
    expect(await samples.find('HumanEval/0', 1)).toMatchObject({ completion: 'c' });
    expect(await samples.find('HumanEval/1', 1)).toBeNull();
  });

  it('is not mistaken for another by what its text holds', async () => {
    const folder = newFolder();
    const tricky = '{"task_id":"HumanEval/9", "sample": 9}, {"sample": 8, ';
    append(
      folder,
      text([row(0, 0, { completion: tricky }), { completion: tricky, task_id: 'HumanEval/1', sample: 3 }]),
    );
    append(folder, text([row(2, 0, { tokens: { texts: ['{', 'sample', ':', ',', '"sample":7,'] } })]));
    append(folder, `${JSON.stringify(row(4, 0, { task_id: 'Aufgabe/ä"\\' }))}\n`);
    const samples = new SamplesFile(folder);
    expect(await samples.find('HumanEval/9', 9)).toBeNull();
    expect(await samples.find('HumanEval/0', 0)).toMatchObject({ completion: tricky });
    expect(await samples.find('HumanEval/1', 3)).toMatchObject({ completion: tricky });
    expect(await samples.find('HumanEval/2', 0)).not.toBeNull();
    expect(await samples.find('Aufgabe/ä"\\', 0)).not.toBeNull();
  });

  it('is found behind rows that are broken or too long', async () => {
    const folder = newFolder();
    const giant = text([row(0, 0, { completion: 'x'.repeat(8 * 1024 * 1024) })]);
    append(folder, `nope\n\n[]\n{"task_id":5}\n{"task_id":"HumanEval/1","sample":0,\n${giant}${text([row(2, 0)])}`);
    const samples = new SamplesFile(folder);
    expect(await samples.find('HumanEval/2', 0)).toEqual(row(2, 0));
    expect(await samples.find('HumanEval/1', 0)).toBeNull();
    expect(await samples.find('HumanEval/0', 0)).toBeNull();
  });

  it('of another file in its place is read from there', async () => {
    const folder = newFolder();
    append(folder, text([row(0, 0), row(1, 0), row(2, 0)]));
    const samples = new SamplesFile(folder);
    expect(await samples.find('HumanEval/2', 0)).toEqual(row(2, 0));
    writeFileSync(runPaths(folder).samples, text([row(2, 0, { completion: 'new' })]));
    expect(await samples.find('HumanEval/2', 0)).toMatchObject({ completion: 'new' });
    expect(await samples.find('HumanEval/0', 0)).toBeNull();
    rmSync(runPaths(folder).samples);
    expect(await samples.find('HumanEval/2', 0)).toBeNull();
  });

  it('is found by many who ask at once', async () => {
    const folder = newFolder();
    const tasks = Array.from({ length: 500 }, (_, i) => i);
    append(folder, text(tasks.map((i) => row(i, 0, { answer: 'x'.repeat(2000) }))));
    const samples = new SamplesFile(folder);
    const found = await Promise.all(tasks.toReversed().map((i) => samples.find(`HumanEval/${i}`, 0)));
    expect(found.map((one) => one?.['task_id'])).toEqual(tasks.toReversed().map((i) => `HumanEval/${i}`));
  });

  it('is the same however the bytes of its file come', async () => {
    const piece = fc.string({
      unit: fc.constantFrom('"', '\\', '{', ',', '"task_id":"HumanEval/0"', '"sample":1', 'é'),
    });
    const one = fc
      .tuple(fc.nat(2), fc.nat(2), piece)
      .map(([task, sample, completion]) => row(task, sample, { completion }));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(one, { selector: (each) => `${String(each['task_id'])}#${String(each['sample'])}` }),
        fc.array(fc.nat(120), { maxLength: 6 }),
        async (rows, sizes) => {
          const bytes = Buffer.from(text(rows));
          const folder = newFolder();
          const samples = new SamplesFile(folder);
          let at = 0;
          for (const size of sizes) {
            appendFileSync(runPaths(folder).samples, bytes.subarray(at, at + size));
            at += size;
            await samples.find('HumanEval/0', 0);
          }
          appendFileSync(runPaths(folder).samples, bytes.subarray(at));
          for (let task = 0; task < 3; task++) {
            for (let sample = 0; sample < 3; sample++) {
              const wanted = rows.find((each) => each['task_id'] === `HumanEval/${task}` && each['sample'] === sample);
              expect(await samples.find(`HumanEval/${task}`, sample)).toEqual(wanted ?? null);
            }
          }
        },
      ),
      { numRuns: 80 },
    );
  });
});
