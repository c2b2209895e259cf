/** Two evaluations compared: the problems they share, later rows, harness errors. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compareResults, readCounts } from '../../src/evaluation/compare.ts';

const folder = mkdtempSync(join(tmpdir(), 'midtrain-compare-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const counts = (...rates: readonly (readonly [string, number, number])[]) =>
  new Map(rates.map(([taskId, correct, samples]) => [taskId, { samples, correct }]));

describe('two evaluations', () => {
  it('are compared on the problems that both have, whatever their number of samples', () => {
    const a = counts(['x', 0, 1], ['y', 1, 1], ['z', 0, 1]);
    const b = counts(['y', 1, 4], ['x', 3, 4]);
    const { a: before, b: after, comparison, problems, onlyOne } = compareResults(a, b);
    expect([before.value, after.value, comparison.difference]).toEqual([0.5, 0.5, 0]);
    expect([problems, onlyOne, comparison.mcnemar]).toEqual([2, 1, null]);
    expect(comparison.low).toBeLessThan(0);
    expect(() => compareResults(a, counts(['w', 0, 1]))).toThrow(/no problem in common/);
  });

  it('are read from results: the later row of a sample holds, a harness error is none', async () => {
    const path = join(folder, 'results.jsonl');
    const row = (sample: number, verdict: string) =>
      `${JSON.stringify({ task_id: 't', sample, verdict, result: verdict, passed: verdict === 'passed' })}\n`;
    writeFileSync(path, row(0, 'failed') + row(1, 'harness error') + row(0, 'passed') + row(2, 'timed out'));
    expect(await readCounts(path)).toEqual(counts(['t', 1, 2]));
  });
});
