/** Dequantising against the Python package gguf, bit for bit; the fixture's recipe is test/fixtures/quantization/make.py. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dequantize, halfValues } from '../../../src/engine/weights/dequantize.ts';
import { blocks, tensorTypes } from '../../../src/engine/weights/storage.ts';

const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/quantization/blocks.json', import.meta.url), 'utf8'),
) as Record<string, { raw: string; values: string }>;

describe('dequantize', () => {
  it('has a fixture for every type', () => {
    expect(Object.keys(fixture).sort()).toEqual([...tensorTypes].sort());
  });

  it.each(tensorTypes)('%s equals the reference bit for bit', (type) => {
    const { raw, values } = fixture[type]!;
    const bytes = new Uint8Array(Buffer.from(raw, 'base64'));
    const expected = new Uint32Array(new Uint8Array(Buffer.from(values, 'base64')).buffer);
    const actual = new Uint32Array(dequantize(type, bytes).buffer);
    expect(expected.length).toBe((bytes.length / blocks[type].bytes) * blocks[type].values);
    expect(actual).toEqual(expected);
    // Also from memory that is not aligned.
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(new Uint32Array(dequantize(type, shifted.subarray(1)).buffer)).toEqual(expected);
  });

  it('refuses part of a block', () => {
    expect(() => dequantize('Q4_1', new Uint8Array(21))).toThrow(RangeError);
  });

  it('keeps every block independent of its neighbours', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...tensorTypes),
        fc.uint8Array({ minLength: 512, maxLength: 512 }),
        (type, random) => {
          const { bytes, values } = blocks[type];
          const two = random.subarray(0, 2 * bytes);
          const both = dequantize(type, two);
          expect(both.subarray(0, values)).toEqual(dequantize(type, two.subarray(0, bytes)));
          expect(both.subarray(values)).toEqual(dequantize(type, two.subarray(bytes)));
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('halfValues', () => {
  it('knows the float16 landmarks', () => {
    const half = halfValues();
    expect([half[0x3c00], half[0xc000], half[0x7bff], half[0x0001], half[0x0400]]).toEqual([
      1,
      -2,
      65504,
      2 ** -24,
      2 ** -14,
    ]);
    expect([half[0x7c00], half[0xfc00], half[0x7e00]]).toEqual([Infinity, -Infinity, NaN]);
    expect(half[0x8000]).toBe(-0);
  });
});
