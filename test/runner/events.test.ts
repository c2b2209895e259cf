/** Rows of a run's events: an ordinary metric is checked by hand, and must come out as the schemas would have it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEvent } from '../../src/runner/events.ts';

/** A field that is right most of the time. */
const anything = fc.constantFrom<unknown>(null, -1, 0.5, '1', [], {}, true, NaN, 2 ** 60);
const mostly = (right: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 30, arbitrary: right }, { weight: 1, arbitrary: anything });
const count = mostly(fc.nat());
const amount = mostly(fc.double({ min: 0, noNaN: true }));
const amountOrNull = mostly(fc.option(fc.double({ min: 0, noNaN: true })));
const numberOrNull = mostly(fc.option(fc.double({ noNaN: true })));

const rows = fc.record(
  {
    ...{ type: fc.constant('metric'), seq: mostly(fc.integer({ min: 1 })), time: mostly(fc.double({ noNaN: true })) },
    ...{ step: count, steps: count, tokens: count, tokensPerSecond: amount, memory: amount },
    ...{ loss: numberOrNull, heldOutLoss: numberOrNull, learningRate: amountOrNull, gradientNorm: amountOrNull },
    later: anything, // a key of a later version
  },
  { requiredKeys: ['type', 'seq', 'time', 'step', 'steps', 'tokens', 'tokensPerSecond', 'loss', 'heldOutLoss'] },
);
const passAt1 = { passed: 1, problems: 2 };

describe('a metric', () => {
  it('is the same checked by hand and by schema', () => {
    let taken = 0;
    fc.assert(
      fc.property(rows, (row) => {
        const byHand = parseEvent(row);
        const bySchema = parseEvent({ ...row, passAt1 }); // which is not checked by hand
        expect(byHand === null ? null : { ...byHand, passAt1 }).toEqual(bySchema);
        if (byHand !== null) taken += 1;
      }),
      { numRuns: 5000, seed: 1 },
    );
    expect(taken).toBeGreaterThan(500);
    expect(taken).toBeLessThan(4500);
  });
});
