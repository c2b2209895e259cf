/** The GGUF writer: whatever is written, the reader gives back. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dequantize } from '../../../src/engine/weights/dequantize.ts';
import { type GgufValue, readGgufHeader } from '../../../src/engine/weights/gguf.ts';
import { type GgufField, writeGguf } from '../../../src/engine/weights/ggufWriter.ts';
import { WeightFile } from '../../../src/engine/weights/storage.ts';
import { temporaryFolder } from './folder.ts';

const path = join(temporaryFolder(), 'written.gguf');

const text = fc.string({ unit: 'binary', maxLength: 40 });
const small = fc.float({ noNaN: true, noDefaultInfinity: true });
const field: fc.Arbitrary<GgufField> = fc.oneof(
  fc.tuple(fc.constant('u8' as const), fc.nat(255)),
  fc.tuple(fc.constant('i8' as const), fc.integer({ min: -128, max: 127 })),
  fc.tuple(fc.constant('u16' as const), fc.nat(65535)),
  fc.tuple(fc.constant('i16' as const), fc.integer({ min: -32768, max: 32767 })),
  fc.tuple(fc.constant('u32' as const), fc.nat(2 ** 32 - 1)),
  fc.tuple(fc.constant('i32' as const), fc.integer()),
  fc.tuple(fc.constant('u64' as const), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n })),
  fc.tuple(fc.constant('i64' as const), fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) })),
  fc.tuple(fc.constant('f32' as const), small),
  fc.tuple(fc.constant('f64' as const), fc.double({ noNaN: true })),
  fc.tuple(fc.constant('bool' as const), fc.boolean()),
  fc.tuple(fc.constant('string' as const), text),
  fc.tuple(fc.constant('strings' as const), fc.array(text, { maxLength: 9 })),
  fc.tuple(fc.constant('u8s' as const), fc.array(fc.nat(255), { maxLength: 9 })),
  fc.tuple(fc.constant('u32s' as const), fc.array(fc.nat(2 ** 32 - 1), { maxLength: 9 })),
  fc.tuple(fc.constant('i32s' as const), fc.array(fc.integer(), { maxLength: 9 })),
  fc.tuple(fc.constant('f32s' as const), fc.array(small, { maxLength: 9 })),
);
const tensor = fc.record({
  name: text,
  type: fc.constantFrom('F32', 'F16', 'BF16', 'Q8_0'),
  shape: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
  seed: fc.integer({ min: -1000, max: 1000 }),
});

describe('writeGguf', () => {
  it('writes what the reader reads: any names, values, shapes and types', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(text, field), { selector: ([key]) => key, maxLength: 12 }),
        fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 6 }),
        async (entries, described) => {
          const metadata = new Map(entries.filter(([key]) => key !== 'general.alignment'));
          const tensors = described.map(({ name, type, shape, seed }) => {
            const full = type === 'Q8_0' ? [...shape.slice(0, -1), 32 * shape.at(-1)!] : shape;
            const count = full.reduce((product, size) => product * size, 1);
            // Exact in every type.
            const values = Float32Array.from({ length: count }, (_, i) =>
              type === 'Q8_0' ? (i % 32 === 0 ? 127 : (i * seed) % 127) : (i + seed) % 128,
            );
            return { name, type, shape: full, values: values.map((value) => (value === 0 ? 0 : value)) };
          });
          await writeGguf(
            path,
            metadata,
            tensors.map(({ values, ...rest }) => ({ ...rest, read: () => values })),
          );
          const file = await WeightFile.open(path);
          try {
            const header = await readGgufHeader(file);
            const expected = [...metadata].map(([key, [, value]]) => [key, value as GgufValue]);
            expect([...header.metadata]).toEqual(expected);
            expect([...header.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
            for (const { name, type, shape, values } of tensors) {
              const { offset, byteLength, ...found } = header.tensors.get(name)!;
              expect(found).toEqual({ name, type, shape });
              const raw = new Uint8Array(byteLength);
              await file.read(raw, offset);
              expect(dequantize(type, raw)).toEqual(values);
            }
          } finally {
            await file.close();
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('reads a tensor only when it is its turn, and ends with whole blocks of the alignment', async () => {
    const order: string[] = [];
    const named = (name: string, length: number) => ({
      name,
      shape: [length],
      read: () => {
        order.push(`${name} at ${statSync(path).size > 0 ? 'a file begun' : 'nothing'}`);
        return new Float32Array(length);
      },
    });
    await writeGguf(path, new Map(), [named('a', 3), named('b', 9)]);
    expect(order).toEqual(['a at a file begun', 'b at a file begun']);
    expect(statSync(path).size % 32).toBe(0);
  });

  it('refuses values that do not fill their shape, and shapes without whole blocks', async () => {
    const read = (): Float32Array => new Float32Array(5);
    await expect(writeGguf(path, new Map(), [{ name: 'a', shape: [2, 2], read }])).rejects.toThrow(/5 values/);
    await expect(writeGguf(path, new Map(), [{ name: 'a', type: 'Q8_0', shape: [33], read }])).rejects.toThrow(
      /whole blocks/,
    );
  });
});
