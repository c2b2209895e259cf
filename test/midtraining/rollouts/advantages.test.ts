import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { groupAdvantages, returnsOf, rewardsOf } from '../../../src/midtraining/rollouts/advantages.ts';

const outcome = { logProbabilities: [-1, -2, -3], thinks: [false, true, true], errors: [false, false, true] };
const values = fc.array(
  fc.double({ min: -50, max: 0, noNaN: true }).map((value) => value + 0),
  { minLength: 1, maxLength: 12 },
);

describe('rewards', () => {
  it('take the penalties off where one thought, and where it had no form', () => {
    expect([...rewardsOf(outcome, { thinkPenalty: 0.5, formatPenalty: 2 })]).toEqual([-1, -2.5, -5.5]);
    expect([...rewardsOf(outcome, { thinkPenalty: 0, formatPenalty: 0 })]).toEqual([-1, -2, -3]);
  });

  it('are refused in words rather than NaN', () => {
    const penalties = { thinkPenalty: 0.05, formatPenalty: 1 };
    for (const bad of [-0.1, NaN, Infinity]) {
      expect(() => rewardsOf(outcome, { ...penalties, thinkPenalty: bad })).toThrow(UserError);
      expect(() => rewardsOf(outcome, { ...penalties, formatPenalty: bad })).toThrow(/format penalty/);
    }
    expect(() => rewardsOf({ ...outcome, logProbabilities: [-1, NaN, 0] }, penalties)).toThrow(/line 2/);
  });
});

describe('returns', () => {
  it('sum rewards to the horizon', () => {
    expect([...returnsOf([1, 2, 4, 8], Infinity)]).toEqual([15, 14, 12, 8]);
    expect([...returnsOf([1, 2, 4, 8], 2)]).toEqual([3, 6, 12, 8]);
    expect([...returnsOf([1, 2, 4, 8], 1)]).toEqual([1, 2, 4, 8]);
    expect([...returnsOf([], 3)]).toEqual([]);
    for (const bad of [0, -1, 1.5, NaN]) expect(() => returnsOf([1], bad)).toThrow(UserError);
  });

  it('at horizon 1 are the rewards (BRiTE), and from T on those of the whole snippet (RA3)', () => {
    fc.assert(
      fc.property(values, fc.nat({ max: 5 }), (rewards, more) => {
        expect([...returnsOf(rewards, 1)]).toEqual(rewards);
        const whole = returnsOf(rewards, Infinity);
        returnsOf(rewards, rewards.length + more).forEach((value, t) => {
          expect(value).toBeCloseTo(whole[t]!, 8);
        });
      }),
    );
  });
});

describe('advantages', () => {
  const returns = [
    [-1, -4],
    [-3, -4],
    [-5, -4],
    [-3, -4],
  ];
  const thinks = [
    [true, false],
    [true, true],
    [false, true],
    [false, false],
  ];
  const of = (baseline: 'mean' | 'leaveOneOut', normalise: boolean) =>
    groupAdvantages(returns, thinks, { baseline, normalise });
  const rows = (arrays: readonly Float64Array[]): number[][] => arrays.map((row) => [...row]);

  it('compare a decision with the group and a latent with the other latents of its line', () => {
    const { decisions, latents, linesWithoutSpread, withoutSpread } = of('mean', false);
    expect(rows(decisions)).toEqual([
      [2, 0],
      [0, 0],
      [-2, 0],
      [0, 0],
    ]);
    expect(rows(latents)).toEqual([
      [1, 0],
      [-1, 0],
      [0, 0],
      [0, 0],
    ]);
    expect({ linesWithoutSpread, withoutSpread }).toEqual({ linesWithoutSpread: 1, withoutSpread: false });
  });

  it('can leave the one that is judged out, and be normalised', () => {
    const left = of('leaveOneOut', false);
    expect(left.decisions[0]![0]).toBeCloseTo(-1 - (-3 - 5 - 3) / 3, 12);
    expect(left.latents[0]![0]).toBeCloseTo(-1 - -3, 12);
    const normalised = of('mean', true);
    expect(normalised.decisions[0]![0]).toBeCloseTo(2 / Math.sqrt(2), 12);
    expect(normalised.latents[1]![0]).toBeCloseTo(-1, 12);
  });

  it('are 0 where a group has no spread, and where one thinks alone', () => {
    const alike = groupAdvantages(
      [
        [-1, -2],
        [-1, -2],
      ],
      [
        [true, false],
        [false, false],
      ],
      { baseline: 'leaveOneOut', normalise: true },
    );
    expect(
      rows([...alike.decisions, ...alike.latents])
        .flat()
        .every((value) => value === 0),
    ).toBe(true);
    expect(alike).toMatchObject({ linesWithoutSpread: 2, withoutSpread: true });
    const alone = groupAdvantages([[-1], [-2]], [[true], [false]], { baseline: 'leaveOneOut', normalise: false });
    expect(rows(alone.latents)).toEqual([[0], [0]]);
    expect(rows(alone.decisions)).toEqual([[1], [-1]]);
  });

  it('sum to 0 at each line, do not change when all returns move, and are finite', () => {
    const group = fc
      .integer({ min: 1, max: 6 })
      .chain((lines) =>
        fc.array(
          fc.tuple(fc.array(fc.integer({ min: -40, max: 0 }), { minLength: lines, maxLength: lines }), fc.boolean()),
          { minLength: 1, maxLength: 6 },
        ),
      );
    fc.assert(
      fc.property(group, fc.boolean(), fc.constantFrom('mean', 'leaveOneOut'), (pairs, normalise, baseline) => {
        const lines = pairs[0]![0].length;
        const thought = pairs.map(([row, first]) => row.map((_, t) => first !== (t % 2 === 0)));
        const make = (shift: number) =>
          groupAdvantages(
            pairs.map(([row]) => row.map((value) => value + shift)),
            thought,
            { baseline, normalise },
          );
        const [one, moved] = [make(0), make(16)];
        for (const kind of ['decisions', 'latents'] as const) {
          for (let t = 0; t < lines; t++) {
            expect(one[kind].reduce((sum, row) => sum + row[t]!, 0)).toBeCloseTo(0, 8);
            one[kind].forEach((row, g) => {
              expect(Number.isFinite(row[t])).toBe(true);
              expect(row[t]).toBeCloseTo(moved[kind][g]![t]!, 8);
            });
          }
        }
      }),
    );
  });
});
