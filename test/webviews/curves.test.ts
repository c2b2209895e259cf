/** What of the curves is drawn: nothing that can be seen is lost by decimation, however many points there are. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decimated, gridOf, lowerBound, RunCurves, Values } from '../../src/webviews/run/curves.ts';
import { groupsOf } from '../../src/webviews/run/marks.ts';
import {
  type MetricsMessage,
  QUANTITIES,
  UPDATE_QUANTITIES,
  type UpdatesMessage,
} from '../../src/webviews/run/messages.ts';
import { amount, bytes, figure, rangeOf, span, ticks } from '../../src/webviews/run/scales.ts';

const number = fc.oneof(
  { weight: 8, arbitrary: fc.float({ min: -1000, max: 1000, noNaN: true }) },
  { weight: 1, arbitrary: fc.constant(NaN) },
);

function valuesOf(list: readonly number[]): Values {
  const values = new Values();
  values.put(0, Float32Array.from(list));
  return values;
}

function message(from: number, steps: readonly number[], loss: readonly number[]): MetricsMessage {
  const column = (value: number): Float32Array<ArrayBuffer> => new Float32Array(steps.length).fill(value);
  const values = Object.fromEntries(QUANTITIES.map((name) => [name, column(NaN)])) as MetricsMessage['values'];
  return {
    ...{ type: 'metrics', run: '/run', from },
    places: {
      step: Float64Array.from(steps),
      tokens: Float64Array.from(steps.map((step) => 100 * step)),
      time: Float64Array.from(steps.map((step) => 2 * step)),
    },
    values: { ...values, loss: Float32Array.from(loss), passed: column(1), problems: column(4) },
  };
}

describe('values', () => {
  it('find the extremes of any rows, after any changes', () => {
    const change = fc.tuple(fc.nat({ max: 300 }), fc.array(number, { maxLength: 200 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(), fc.nat(), (changes, a, b) => {
        const values = new Values();
        let model: number[] = [];
        for (const [at, list] of changes) {
          const from = Math.min(at, model.length);
          model = [...model.slice(0, from), ...list];
          values.put(from, Float32Array.from(list));
        }
        expect(values.count).toBe(model.length);
        const known = model.filter((value) => !Number.isNaN(value));
        expect(values.some).toBe(known.length > 0);
        const [from, to] = [a % (model.length + 1), b % (model.length + 1)].sort((x, y) => x - y) as [number, number];
        const part = model.slice(from, to).filter((value) => !Number.isNaN(value));
        values.extremes(from, to);
        expect([values.low, values.high]).toEqual([Math.min(...part), Math.max(...part)]);
      }),
    );
  });
});

describe('decimation', () => {
  it('keeps the least and the greatest value of each column, and no other', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), number), { minLength: 1, maxLength: 400 }),
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (rows, columns, a, b) => {
          let place = 0;
          const places = Float64Array.from(rows, ([gap]) => (place += gap));
          const [low, high] = [a * place, b * place].sort((x, y) => x - y) as [number, number];
          fc.pre(high - low > 1e-6);
          const values = valuesOf(rows.map(([, value]) => value));
          const drawn = decimated(places, values, low, high, columns);
          expect(drawn).toHaveLength(gridOf(low, high, columns).length);
          const seen = new Set(drawn.slice(1, -1).filter((value) => value !== null));
          const inside = Array.from(places, (at, row) => [at, values.at(row)] as const).filter(
            ([at, value]) => at >= low && at <= high && !Number.isNaN(value),
          );
          for (const value of seen) expect(inside.some(([, one]) => one === value)).toBe(true);
          if (inside.length > 0) {
            expect(Math.max(...seen)).toBe(Math.max(...inside.map(([, value]) => value)));
            expect(Math.min(...seen)).toBe(Math.min(...inside.map(([, value]) => value)));
          }
          // Few points: each is there.
          for (const [, value] of inside.length <= 1 ? inside : []) expect(seen.has(value)).toBe(true);
        },
      ),
    );
  });

  it('shows where a curve enters and leaves, and leaves out what a logarithmic scale cannot show', () => {
    const places = Float64Array.from([0, 10, 20, 30]);
    const values = valuesOf([0, 10, NaN, -30]);
    const drawn = decimated(places, values, 5, 12, 2);
    expect(drawn[0]).toBe(5);
    expect(drawn.at(-1)).toBeCloseTo(10 - 2 * 2, 5);
    expect(decimated(places, values, 12, 18, 2).slice(1, -1)).toEqual([null, null, null, null]);
    expect(decimated(places, values, 0, 30, 3, true)).toEqual([null, null, null, 10, null, null, null, null]);
    expect(decimated(places, valuesOf([]), 0, 1, 1)).toEqual([null, null, null, null]);
  });

  it('of a million points draws two a column', () => {
    const steps = Array.from({ length: 1_000_000 }, (_, i) => i + 1);
    const curves = new RunCurves();
    for (let from = 0; from < steps.length; from += 32_768) {
      const part = steps.slice(from, from + 32_768);
      expect(
        curves.apply(
          message(
            from,
            part,
            part.map((step) => (step === 777_777 ? 50 : Math.sin(step))),
          ),
        ),
      ).toBe(true);
    }
    const drawn = decimated(curves.steps.places('step'), curves.steps.of('loss'), 1, 1_000_000, 800);
    expect(drawn.filter((value) => value !== null)).toHaveLength(1600);
    expect(Math.max(...drawn.map((value) => value ?? 0))).toBe(50);
  });
});

describe('the curves of a run', () => {
  it('take rows behind those that are there, and pass over what does not fit', () => {
    const curves = new RunCurves();
    expect(curves.apply(message(0, [0, 1, 2, 3], [NaN, 4, 3, 2]))).toBe(true);
    expect(curves.apply(message(2, [2, 3], [2.5, 1]))).toBe(true); // done again
    expect([0, 1, 2, 3].map((row) => curves.steps.of('loss').at(row))).toEqual([NaN, 4, 2.5, 1]);
    expect(curves.steps.of('passAt1').at(1)).toBe(0.25);
    expect([...curves.steps.places('tokens')]).toEqual([0, 100, 200, 300]);
    const bad: MetricsMessage[] = [
      message(9, [9], [1]), // leaves a hole
      message(4, [3], [1]), // does not rise
      { ...message(4, [4], [1]), places: { ...message(4, [4], [1]).places, tokens: new Float64Array(2) } },
      message(4, [NaN], [1]),
    ];
    for (const one of bad) expect(curves.apply(one)).toBe(false);
    expect(curves.steps.count).toBe(4);
    expect(curves.steps.nearest('step', 2.4)).toBe(2);
    expect(curves.steps.nearest('time', 1e9)).toBe(3);
    expect(curves.apply(message(0, [], []))).toBe(true);
    expect([curves.steps.count, curves.steps.nearest('step', 1)]).toEqual([0, null]);
  });

  it('are smoothed without the bias of their beginning', () => {
    const curves = new RunCurves();
    curves.apply(message(0, [0, 1, 2, 3, 4], [NaN, 4, 4, 4, 8]));
    curves.smooth(0.5);
    const smoothed = [0, 1, 2, 3, 4].map((row) => curves.steps.of('smoothed').at(row));
    expect(smoothed.slice(0, 4)).toEqual([NaN, 4, 4, 4]);
    expect(smoothed[4]).toBeCloseTo((8 + 4 / 2 + 4 / 4 + 4 / 8) / (1 + 1 / 2 + 1 / 4 + 1 / 8), 5);
    curves.smooth(0);
    expect(curves.steps.of('smoothed').at(4)).toBe(8);
  });
});

describe('the curves of q', () => {
  const updates = (from: number, numbers: readonly number[], gain: number): UpdatesMessage => {
    const column = (value: number): Float32Array<ArrayBuffer> => new Float32Array(numbers.length).fill(value);
    const values = Object.fromEntries(UPDATE_QUANTITIES.map((name) => [name, column(NaN)])) as UpdatesMessage['values'];
    return {
      ...{ type: 'updates', run: '/run', from, places: { update: Float64Array.from(numbers) } },
      values: { ...values, returnWith: column(gain - 60), returnNever: column(-60) },
    };
  };

  it('are apart from those of the model, and have gains over never thinking', () => {
    const curves = new RunCurves();
    expect(curves.apply(updates(0, [1, 2, 5], 3))).toBe(true);
    expect(curves.apply(updates(2, [3, 4], 5))).toBe(true); // done again
    curves.smooth(0.5);
    expect([curves.steps.count, curves.updates.count]).toEqual([0, 4]);
    expect([0, 1, 2, 3].map((row) => curves.updates.of('gain').at(row))).toEqual([3, 3, 5, 5]);
    expect(curves.updates.of('smoothed').at(3)).toBeCloseTo(
      (5 + 5 / 2 + 3 / 4 + 3 / 8) / (1 + 1 / 2 + 1 / 4 + 1 / 8),
      5,
    );
    expect(curves.updates.of('heldGain').some).toBe(false);
    expect(curves.apply(updates(4, [4], 1))).toBe(false);
  });
});

describe('axes', () => {
  it('have round numbers inside, rising', () => {
    expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(0.001, 100, 6, true)).toEqual([
      0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100,
    ]);
    const bound = fc.double({ min: -1e9, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(bound, bound, fc.integer({ min: 1, max: 12 }), fc.boolean(), (a, b, count, log) => {
        const [low, high] = a < b ? [a, b] : [b, a];
        fc.pre(high - low > 1e-6);
        const found = ticks(low, high, count, log);
        const slack = 1e-9 * Math.max(Math.abs(low), Math.abs(high), high - low) + (log ? 0.002 * Math.abs(high) : 0);
        for (const tick of found) expect(tick >= low - slack && tick <= high + slack).toBe(true);
        expect([...found].sort((x, y) => x - y)).toEqual(found);
        expect(found.length).toBeLessThan(40);
      }),
    );
    expect(rangeOf([null, 3, 3], false)).toEqual([2.7, 3.3]);
    expect(rangeOf([null], true)).toBeNull();
  });

  it('are written in few digits', () => {
    expect([figure(0), figure(1.23456), figure(0.0001), figure(12345678), figure(NaN)]).toEqual([
      ...['0', '1.235', '1e-4', '1.235e7', '–'],
    ]);
    expect([amount(2048), amount(409_600), amount(1_234_567), bytes(1.234e9), span(4.25), span(300)]).toEqual([
      ...['2048', '410 k', '1.23 M', '1.23 GB', '4.3 s', '5 min'],
    ]);
  });

  it('find places', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50 })), fc.integer({ min: -1, max: 51 }), (list, wanted) => {
        const rising = list.sort((a, b) => a - b);
        const expected = rising.findIndex((one) => one >= wanted);
        expect(lowerBound(rising, wanted)).toBe(expected < 0 ? rising.length : expected);
      }),
    );
  });
});

it('marks that would cover each other are one, so that each can be pressed', () => {
  const place = fc.double({ min: 0, max: 900, noNaN: true });
  fc.assert(
    fc.property(fc.array(place, { maxLength: 60 }), (places) => {
      const mark = { kind: 'set', step: 1, update: 0, time: 0, text: '' } as const;
      const groups = groupsOf(places.map((left) => ({ mark, left })));
      expect(groups.reduce((sum, { marks }) => sum + marks.length, 0)).toBe(places.length);
      groups.slice(1).forEach(({ left }, i) => {
        expect(left - groups[i]!.left).toBeGreaterThanOrEqual(24);
      });
    }),
  );
});
