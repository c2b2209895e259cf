/** Float32 to stored bytes and back: what is exact stays so, everything else is the nearest there is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { dequantize, halfValues } from '../../../src/engine/weights/dequantize.ts';
import { encode } from '../../../src/engine/weights/encode.ts';

const roundTrip = (type: 'F16' | 'BF16' | 'Q8_0', values: Float32Array): Float32Array =>
  dequantize(type, encode(type, values, 'w'));
const float = fc.float({ min: -60000, max: 60000, noNaN: true });

describe('encode', () => {
  it('gives back every float16, infinities and zeros of either sign too', () => {
    const all = halfValues().filter((value) => Number.isFinite(value));
    const back = roundTrip('F16', all);
    for (let i = 0; i < all.length; i++) expect(Object.is(back[i], all[i])).toBe(true);
    expect([...roundTrip('F16', Float32Array.of(Infinity, -Infinity, NaN))]).toEqual([Infinity, -Infinity, NaN]);
  });

  it('takes the nearest float16, and of two the even one', () => {
    const sorted = halfValues()
      .filter((value) => Number.isFinite(value) && (value > 0 || Object.is(value, 0)))
      .sort();
    for (let i = 0; i + 1 < sorted.length; i += 7) {
      const [low, high] = [sorted[i]!, sorted[i + 1]!];
      const middle = (low + high) / 2; // exact in float32
      const [below, at, above] = roundTrip(
        'F16',
        Float32Array.of(middle - (high - low) / 64, middle, middle + (high - low) / 64),
      );
      expect([below, above]).toEqual([low, high]);
      expect(at).toBe(i % 2 === 0 ? low : high);
    }
  });

  it('takes the nearest bfloat16', () => {
    fc.assert(
      fc.property(float, (value) => {
        const [back] = roundTrip('BF16', Float32Array.of(value));
        expect(Math.abs(back! - value)).toBeLessThanOrEqual(Math.max(Math.abs(value), 2 ** -126) * 2 ** -8);
      }),
    );
    expect([...roundTrip('BF16', Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, NaN))]).toEqual([1, 1 + 2 ** -6, NaN]);
  });

  it('is off by half a step in a block of Q8_0, and a little for its scale in float16', () => {
    fc.assert(
      fc.property(fc.float32Array({ minLength: 64, maxLength: 64, min: -1000, max: 1000, noNaN: true }), (values) => {
        const back = roundTrip('Q8_0', values);
        for (let from = 0; from < 64; from += 32) {
          const largest = Math.max(...values.subarray(from, from + 32).map(Math.abs));
          for (let i = from; i < from + 32; i++) {
            expect(Math.abs(back[i]! - values[i]!)).toBeLessThanOrEqual(largest * (0.5 / 127 + 2 ** -10) + 1e-5);
          }
        }
      }),
    );
  });

  it('refuses a weight that float16 cannot hold', () => {
    expect(() => encode('F16', Float32Array.of(1, 65520), 'a.weight')).toThrow(UserError);
    expect(() => encode('F16', Float32Array.of(1, -65520), 'a.weight')).toThrow(/a\.weight has a weight of -65520/);
    expect(roundTrip('F16', Float32Array.of(65519))[0]).toBe(65504);
    expect(() => encode('Q8_0', new Float32Array(32).fill(1e8), 'b')).toThrow(UserError);
  });
});
