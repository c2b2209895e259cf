import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CodeLine } from '../../../src/midtraining/abstractions/codeLines.ts';
import {
  type Abstracted,
  boundaryAgreement,
  convergenceBound,
  summarize,
} from '../../../src/midtraining/abstractions/statistics.ts';

const line = (statement: boolean, block = false): CodeLine => ({
  ...{ row: 0, rows: 1, start: 0, end: 1, indent: '', statement, block },
});
const snippet = (starts: string, latents: string): Abstracted => ({
  lines: Array.from(starts, (mark) => line(mark !== '-', mark === 'b')),
  latents: Array.from(latents, (mark) => (mark === '.' ? null : `# ${mark}`)),
});

describe('summarize', () => {
  it('counts thoughts, and the lengths of what they govern', () => {
    const summary = summarize([snippet('sssss', '.a.b.'), snippet('sss', '...'), snippet('sss', 'c..')], 0.9);
    // Segments: a governs 2 lines, b 2, c 3.
    expect(summary).toMatchObject({ lines: 11, thinks: 3, thinkRate: 3 / 11, meanTau: 7 / 3 });
    const gbar = (0.81 + 0.81 + 0.729) / 3;
    expect(summary.meanDiscount).toBeCloseTo(gbar, 12);
    expect(summary.effectiveHorizon).toBeCloseTo(1 / (1 - gbar), 10);
  });

  it('with a latent at each line has the horizon of primitive actions; without any has no mean', () => {
    expect(summarize([snippet('ssss', 'abcd')]).effectiveHorizon).toBeCloseTo(100, 8);
    expect(summarize([snippet('ss', '..')])).toMatchObject({ thinkRate: 0, meanTau: NaN });
    expect(summarize([])).toMatchObject({ lines: 0, thinkRate: NaN });
  });

  it('bounds convergence lower where thoughts are longer', () => {
    expect(convergenceBound(0.99, 0.1)).toBeCloseTo(100 * Math.log(1000), 8);
    expect(convergenceBound(0.99 ** 4, 0.1)).toBeLessThan(convergenceBound(0.99, 0.1));
  });
});

describe('boundaryAgreement', () => {
  it('tells hits, what chance would give, and how likely so many are by chance', () => {
    const found = boundaryAgreement([snippet('ss--', 'ab..')], 'statement');
    // Of the 6 pairs of lines one has both starts.
    expect(found).toMatchObject({ boundaries: 2, hits: 2, share: 1, random: 0.5 });
    expect(found.pValue).toBeCloseTo(1 / 6, 12);
    expect(boundaryAgreement([snippet('sbs-', 'a..b')], 'block')).toMatchObject({ hits: 0, random: 0.25 });
    expect(boundaryAgreement([snippet('ss', '..')], 'block')).toMatchObject({ boundaries: 0, share: NaN, pValue: 1 });
  });

  it('is exact over several snippets: as all draws tell, one by one', () => {
    const marks = fc.string({ unit: fc.constantFrom('s', '-'), minLength: 1, maxLength: 5 });
    const thoughts = fc.string({ unit: fc.constantFrom('a', '.'), minLength: 5, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(fc.tuple(marks, thoughts), { minLength: 1, maxLength: 3 }), (pairs) => {
        const snippets = pairs.map(([starts, latents]) => snippet(starts, latents.slice(0, starts.length)));
        const { hits, pValue } = boundaryAgreement(snippets, 'statement');
        let sums = [0]; // hits of every way to draw
        for (const { lines, latents } of snippets) {
          const count = latents.filter((latent) => latent !== null).length;
          const ways: number[] = [];
          for (let subset = 0; subset < 2 ** lines.length; subset++) {
            const chosen = lines.filter((_, i) => (subset >> i) % 2 === 1);
            if (chosen.length === count) ways.push(chosen.filter(({ statement }) => statement).length);
          }
          sums = sums.flatMap((sum) => ways.map((way) => sum + way));
        }
        expect(pValue).toBeCloseTo(sums.filter((sum) => sum >= hits).length / sums.length, 9);
      }),
      { numRuns: 60 },
    );
  });
});
