import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { repackFourBit } from '../../../src/engine/graphs/fourBit.ts';
import { dequantize } from '../../../src/engine/weights/dequantize.ts';

describe('repackFourBit', () => {
  it.each([
    ['Q4_0', 18],
    ['Q4_1', 20],
  ] as const)('changes no value of %s', (type, size) => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: size, maxLength: size * 6 }), (bytes) => {
        const raw = bytes.slice(0, Math.floor(bytes.length / size) * size);
        for (let at = 0; at < raw.length; at += size) {
          raw[at + 1]! &= 0x3f; // finite, of moderate size
          if (type === 'Q4_1') raw[at + 3]! &= 0x3f;
        }
        const values = dequantize(type, raw);
        const { data, scales, offsets } = repackFourBit(type, raw);
        expect(data.length).toBe((raw.length / size) * 16);
        values.forEach((value, i) => {
          const block = Math.floor(i / 32);
          const byte = data[i >> 1]!;
          const q = i % 2 === 0 ? byte & 15 : byte >> 4;
          const restored = scales[block]! * (q - 8) + offsets[block]!;
          expect(Math.abs(restored - value)).toBeLessThanOrEqual(1e-5 * (1 + Math.abs(value)));
        });
      }),
    );
  });
});
