import { describe, expect, it } from 'vitest';
import { packRows, rowsOf } from '../../../src/engine/training/batch.ts';
import { learningRateAt } from '../../../src/engine/training/schedule.ts';

describe('packRows', () => {
  it('puts each sequence into the first row with room, with targets inside the sequence alone', () => {
    const batch = packRows([{ ids: [5, 6, 7] }, { ids: [8, 9, 10, 11] }, { ids: [1, 2], weights: [9, 0.5] }], 5);
    expect(batch.rows).toBe(2);
    expect([...batch.ids]).toEqual([5, 6, 7, 1, 2, 8, 9, 10, 11, 0]);
    expect([...batch.targets]).toEqual([6, 7, 0, 2, 0, 9, 10, 11, 0, 0]);
    expect([...batch.weights]).toEqual([1, 1, 0, 0.5, 0, 1, 1, 1, 0, 0]);
    expect([...batch.segments]).toEqual([1, 1, 1, 3, 3, 2, 2, 2, 2, 0]);
    expect([...batch.positions]).toEqual([0, 1, 2, 0, 1, 0, 1, 2, 3, 4]);
    expect(() => packRows([{ ids: [1, 2, 3] }], 2)).toThrow(/3 tokens does not fit a row of 2/);
  });

  it('gives rows beyond the end as empty ones', () => {
    const { rows, ids, weights } = rowsOf(packRows([{ ids: [1, 2] }, { ids: [3, 4] }], 2), 1, 2);
    expect([rows, [...ids], [...weights]]).toEqual([2, [3, 4, 0, 0], [1, 0, 0, 0]]);
  });
});

describe('learningRateAt', () => {
  const schedule = { peak: 2, warmup: 4, total: 12, floor: 0.1 } as const;

  it('rises over the warm-up and falls to the floor', () => {
    for (const shape of ['constant', 'linear', 'cosine'] as const) {
      const rates = [0, 3, 4].map((step) => learningRateAt({ ...schedule, shape }, step));
      expect(rates).toEqual([0.5, 2, 2]);
    }
    expect(learningRateAt({ ...schedule, shape: 'constant' }, 50)).toBe(2);
    expect(learningRateAt({ ...schedule, shape: 'linear' }, 8)).toBeCloseTo(1.1, 12);
    expect(learningRateAt({ ...schedule, shape: 'cosine' }, 8)).toBeCloseTo(1.1, 12);
    expect(learningRateAt({ ...schedule, shape: 'cosine' }, 6)).toBeCloseTo(2 * (0.1 + 0.45 * (1 + Math.SQRT1_2)), 12);
    for (const shape of ['linear', 'cosine'] as const) {
      expect(learningRateAt({ ...schedule, shape }, 12)).toBeCloseTo(0.2, 12);
      expect(learningRateAt({ ...schedule, shape }, 99)).toBeCloseTo(0.2, 12);
    }
  });
});
