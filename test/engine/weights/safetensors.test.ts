/** The safetensors readers: round trips of random files, lying headers, mutations of a valid file, sharded models. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openShards, readSafetensorsHeader } from '../../../src/engine/weights/safetensors.ts';
import { WeightFile, type StoredTensor } from '../../../src/engine/weights/storage.ts';
import { refusal, temporaryFolder, write } from './folder.ts';
import { u64, withHeader, writeSafetensors, type SafetensorsInput } from './writers.ts';

const folder = temporaryFolder();
const path = join(folder, 'model.safetensors');

async function read(content: Uint8Array): Promise<ReadonlyMap<string, StoredTensor>> {
  writeFileSync(path, content);
  const file = await WeightFile.open(path);
  try {
    return await readSafetensorsHeader(file);
  } finally {
    await file.close();
  }
}

const tensors: fc.Arbitrary<SafetensorsInput[]> = fc.uniqueArray(
  fc
    .record({
      name: fc.string({ unit: 'grapheme' }).filter((name) => name !== '__metadata__' && !/^\d+$/.test(name)),
      dtype: fc.constantFrom('F32', 'F16', 'BF16'),
      shape: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }),
    })
    .map((tensor) => {
      const count = tensor.shape.reduce((product, length) => product * length, 1);
      return { ...tensor, bytes: new Uint8Array(count * (tensor.dtype === 'F32' ? 4 : 2)).fill(tensor.name.length) };
    }),
  { selector: ({ name }) => name, maxLength: 6 },
);

const entry = (dtype: string, shape: unknown, from: unknown, to: unknown): string =>
  JSON.stringify({ dtype, shape, data_offsets: [from, to] });

describe('readSafetensorsHeader', () => {
  it('reads back what was written', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, async (inputs) => {
        const content = writeSafetensors(inputs, { format: 'pt' });
        const stored = await read(content);
        expect([...stored.keys()]).toEqual(inputs.map(({ name }) => name));
        for (const { name, dtype, shape, bytes } of inputs) {
          const { offset, byteLength, ...rest } = stored.get(name)!;
          expect(rest).toEqual({ name, type: dtype, shape });
          expect(content.subarray(offset, offset + byteLength)).toEqual(Buffer.from(bytes));
        }
      }),
      { numRuns: 200, examples: [[[{ name: '__proto__', dtype: 'F32', shape: [], bytes: new Uint8Array(4) }]]] },
    );
  });

  const data = new Uint8Array(16);
  const lies: [string, Buffer, RegExp][] = [
    ['an empty file', Buffer.alloc(0), /too few for a safetensors file/],
    ['a header of 2^60 bytes', Buffer.concat([u64(2n ** 60n), data]), /claims a header of 1152921504606846976 bytes/],
    ['a header of 2^64 - 1 bytes', Buffer.concat([u64(2n ** 64n - 1n), data]), /claims a header/],
    ['a header longer than the file', Buffer.concat([u64(17), data]), /claims a header of 17 bytes/],
    ['no JSON', withHeader('{"a": ', data), /not JSON/],
    ['bytes that are no UTF-8', Buffer.concat([u64(2), Buffer.from([0xff, 0xfe])]), /not JSON/],
    ['endless nesting', withHeader('['.repeat(2_000_000)), /not JSON/],
    ['a list', withHeader('[]'), /not a JSON object/],
    ['an entry that is no object', withHeader('{"a": 3}'), /describes tensor "a" wrongly/],
    ['a negative dimension', withHeader(`{"a": ${entry('F32', [-4], 0, 16)}}`, data), /shape\.0/],
    ['a fractional offset', withHeader(`{"a": ${entry('F32', [4], 0.5, 16.5)}}`, data), /data_offsets\.0/],
    ['an offset of 1e300', withHeader(`{"a": ${entry('F32', [4], 0, 1e300)}}`, data), /data_offsets\.1/],
    ['a shape of 1,000 axes', withHeader(`{"a": ${entry('F32', Array(1000).fill(1), 0, 4)}}`, data), /shape/],
    ['offsets in the wrong order', withHeader(`{"a": ${entry('F32', [4], 16, 0)}}`, data), /-16 bytes/],
    ['a shape of other size', withHeader(`{"a": ${entry('F32', [5], 0, 16)}}`, data), /type F32 16 bytes/],
    [
      'a shape that overflows',
      withHeader(`{"a": ${entry('F32', [2 ** 40, 2 ** 40], 0, 16)}}`, data),
      /describes|type F32 16 bytes/,
    ],
    ['an unsupported dtype', withHeader(`{"a": ${entry('F8_E4M3', [16], 0, 16)}}`, data), /"F8_E4M3".*F32, F16, BF16/],
    ['a tensor past the end', withHeader(`{"a": ${entry('F32', [8], 0, 32)}}`, data), /describes \d+/],
    ['bytes that no tensor has', withHeader(`{"a": ${entry('F32', [2], 0, 8)}}`, data), /describes \d+/],
    ['a hole', withHeader(`{"a": ${entry('F32', [2], 8, 16)}}`, data), /leaves a hole/],
    [
      'an overlap',
      withHeader(`{"a": ${entry('F32', [3], 0, 12)}, "b": ${entry('F32', [2], 8, 16)}}`, data),
      /"b" .* overlaps/,
    ],
    [
      'a name twice',
      withHeader(`{"a": ${entry('F32', [2], 0, 8)}, "a": ${entry('F32', [2], 8, 16)}}`, data),
      /leaves a hole/,
    ],
  ];
  it.each(lies)('refuses %s', async (_what, content, message) => {
    expect(await refusal(read(content))).toMatch(message);
  });

  it('gives tensors or one clear sentence for any truncation and any flipped bytes', async () => {
    const whole = writeSafetensors([
      { name: 'one', dtype: 'F32', shape: [2, 3], bytes: new Uint8Array(24) },
      { name: 'two', dtype: 'BF16', shape: [4], bytes: new Uint8Array(8) },
      { name: 'three', dtype: 'F16', shape: [], bytes: new Uint8Array(2) },
    ]);
    for (let length = 0; length < whole.length; length++) await refusal(read(whole.subarray(0, length)));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        async (flips) => {
          const content = Buffer.from(whole);
          for (const [at, value] of flips) content[at] = value;
          const outcome = await read(content).catch((error: unknown) => error);
          if (outcome instanceof Error) expect(outcome.name).toBe('UserError');
        },
      ),
      { numRuns: 600 },
    );
  });
});

describe('openShards', () => {
  const one = { name: 'one', dtype: 'F32', shape: [2], bytes: new Uint8Array(8).fill(1) };
  const two = { name: 'two', dtype: 'F16', shape: [3], bytes: new Uint8Array(6).fill(2) };
  write(folder, 'a.safetensors', writeSafetensors([one]));
  write(folder, 'b.safetensors', writeSafetensors([two]));
  const index = (map: unknown): string =>
    write(folder, 'model.safetensors.index.json', JSON.stringify({ metadata: {}, weight_map: map }));

  it('finds each tensor in its file', async () => {
    const { files, tensors: found } = await openShards(index({ two: 'b.safetensors', one: 'a.safetensors' }));
    expect(files.map((file) => file.path)).toEqual([join(folder, 'a.safetensors'), join(folder, 'b.safetensors')]);
    const tensor = found.get('two')!;
    const bytes = new Uint8Array(tensor.byteLength);
    await tensor.file.read(bytes, tensor.offset);
    expect(bytes).toEqual(two.bytes);
    for (const file of files) await file.close();
  });

  it('refuses missing files and tensors', async () => {
    expect(await refusal(openShards(index({ one: 'a.safetensors', two: 'c.safetensors' })))).toMatch(
      /There is no .*c\.safetensors.*incomplete/,
    );
    expect(await refusal(openShards(index({ one: 'b.safetensors' })))).toMatch(
      /"one" is in b\.safetensors, but it is not/,
    );
    expect(await refusal(openShards(join(folder, 'no.index.json')))).toMatch(/There is no/);
    expect(await refusal(openShards(index([])))).toMatch(/no "weight_map"/);
  });

  it.each(['../a.safetensors', '/etc/passwd', 'x/a.safetensors', 'x\\a.safetensors', 'C:a', '..', '.', '', 'a\0b', 7])(
    'refuses to leave the folder for %j',
    async (shard) => {
      expect(await refusal(openShards(index({ one: shard })))).toMatch(/no file of its own folder/);
    },
  );
});
