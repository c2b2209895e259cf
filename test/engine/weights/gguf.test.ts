/** The GGUF header reader: round trips of random files, lying headers, and mutations of a valid file. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGgufHeader, type GgufHeader, type GgufValue } from '../../../src/engine/weights/gguf.ts';
import { blocks, tensorTypes, WeightFile } from '../../../src/engine/weights/storage.ts';
import { refusal, temporaryFolder, write } from './folder.ts';
import {
  ggmlTypeNumber,
  ggufString,
  tinyGguf,
  u32,
  u64,
  writeGguf,
  type GgufTensorInput,
  type Typed,
} from './writers.ts';

const folder = temporaryFolder();
const path = join(folder, 'model.gguf');

async function read(content: Uint8Array): Promise<GgufHeader> {
  writeFileSync(path, content);
  const file = await WeightFile.open(path);
  try {
    return await readGgufHeader(file);
  } finally {
    await file.close();
  }
}

const tensor = (name: string, more: Partial<GgufTensorInput> = {}): GgufTensorInput => ({
  name,
  type: 0,
  shape: [2, 4],
  bytes: new Uint8Array(32),
  ...more,
});

// ---- random files ----

const f32 = fc.float({ noNaN: true });
const scalar: fc.Arbitrary<Typed> = fc.oneof(
  fc.tuple(fc.constant('u8' as const), fc.nat(255)),
  fc.tuple(fc.constant('i8' as const), fc.integer({ min: -128, max: 127 })),
  fc.tuple(fc.constant('u16' as const), fc.nat(65535)),
  fc.tuple(fc.constant('i16' as const), fc.integer({ min: -32768, max: 32767 })),
  fc.tuple(fc.constant('u32' as const), fc.nat(2 ** 31 - 1)),
  fc.tuple(fc.constant('i32' as const), fc.integer()),
  fc.tuple(fc.constant('f32' as const), f32),
  fc.tuple(fc.constant('f64' as const), fc.double({ noNaN: true })),
  fc.tuple(fc.constant('bool' as const), fc.boolean()),
  fc.tuple(fc.constant('string' as const), fc.string({ unit: 'grapheme' })),
  fc.tuple(fc.constant('u64' as const), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  fc.tuple(fc.constant('i64' as const), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
);
const flat = scalar.chain(([kind, value]) =>
  fc.nat(5).map((n) => [kind, Array.from({ length: n }, () => value)] as const),
);
const nested = fc.array(flat, { maxLength: 4 }).map((arrays) => ['array' as const, arrays] as const);
const typed: fc.Arbitrary<Typed> = fc.oneof(
  { weight: 4, arbitrary: scalar },
  { weight: 2, arbitrary: flat.map((array): Typed => ['array', array]) },
  { weight: 1, arbitrary: nested.map((array): Typed => ['array', array]) },
);

/** What the reader gives for a written value. */
function expectedValue([kind, value]: Typed | readonly [string, unknown]): GgufValue {
  if (kind === 'array') {
    const [element, values] = value as [string, unknown[]];
    return values.map((each) => expectedValue([element, each]));
  }
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  return value as GgufValue;
}

const tensors = fc
  .array(
    fc.record({
      type: fc.constantFrom(...tensorTypes),
      rows: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
      width: fc.integer({ min: 1, max: 3 }),
    }),
    { maxLength: 6 },
  )
  .map((inputs) =>
    inputs.map(({ type, rows, width }, i) => {
      const count = rows.reduce((product, length) => product * length, width);
      return {
        type,
        input: tensor(`tensor.${i}`, {
          type: ggmlTypeNumber[type],
          shape: [...rows, width * blocks[type].values],
          bytes: new Uint8Array(count * blocks[type].bytes).fill(i + 1),
        }),
      };
    }),
  );

describe('readGgufHeader', () => {
  it('reads back what was written', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(2, 3),
        fc.uniqueArray(fc.tuple(fc.string({ unit: 'grapheme' }), typed), { selector: ([key]) => key, maxLength: 12 }),
        tensors,
        fc.constantFrom(8, 32, 64),
        async (version, values, inputs, alignment) => {
          fc.pre(values.every(([key]) => key !== 'general.alignment'));
          const metadata: [string, Typed][] = [...values, ['general.alignment', ['u32', alignment]]];
          const content = writeGguf({ version, metadata, tensors: inputs.map(({ input }) => input), alignment });
          const header = await read(content);
          expect([...header.metadata]).toEqual(metadata.map(([key, value]) => [key, expectedValue(value)]));
          expect([...header.tensors.keys()]).toEqual(inputs.map(({ input }) => input.name));
          for (const { type, input } of inputs) {
            const { offset, byteLength, ...rest } = header.tensors.get(input.name)!;
            expect(rest).toEqual({ name: input.name, type, shape: input.shape });
            expect(content.subarray(offset, offset + byteLength)).toEqual(Buffer.from(input.bytes));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('reads headers larger than its window', async () => {
    const words = Array.from({ length: 60_000 }, (_, i) => `word${i}`);
    const numbers = Array.from({ length: 200_000 }, (_, i) => i - 100_000);
    const long = 'é'.repeat(400_000);
    const header = await read(
      writeGguf({
        metadata: [
          ['words', ['array', ['string', words]]],
          ['numbers', ['array', ['i32', numbers]]],
          ['long', ['string', long]],
        ],
        tensors: [tensor('a')],
      }),
    );
    expect(header.metadata.get('words')).toEqual(words);
    expect(header.metadata.get('numbers')).toEqual(numbers);
    expect(header.metadata.get('long')).toBe(long);
    expect(header.tensors.size).toBe(1);
  });

  const lies: [string, Buffer, RegExp][] = [
    ['an empty file', Buffer.alloc(0), /the file ends/],
    ['another format', Buffer.from('PK\x03\x04 and so on'), /not a GGUF file/],
    ['version 1', writeGguf({ version: 1 }), /version 1 is not supported/],
    ['version 4', writeGguf({ version: 4 }), /version 4 is not supported/],
    ['big-endian', writeGguf({ version: 0x03000000 }), /big-endian/],
    ['2^60 tensors', writeGguf({ tensorCount: 2n ** 60n }), /1152921504606846976 tensors are claimed/],
    ['2^60 metadata values', writeGguf({ metadataCount: 2n ** 60n }), /metadata values are claimed/],
    ['more tensors than there are', writeGguf({ tensorCount: 2n, tensors: [tensor('a')] }), /at byte/],
    [
      'a key of 2^50 bytes',
      Buffer.concat([writeGguf({ metadataCount: 1n }), u64(2n ** 50n), Buffer.alloc(64)]),
      /a metadata key claims 1125899906842624 bytes/,
    ],
    [
      'a string of 2^64 - 1 bytes',
      Buffer.concat([writeGguf({ metadataCount: 1n }), ggufString('k'), u32(8), u64(2n ** 64n - 1n), Buffer.alloc(64)]),
      /"k" claims/,
    ],
    [
      'an array of 2^40 numbers',
      Buffer.concat([writeGguf({ metadataCount: 1n }), ggufString('k'), u32(9), u32(0), u64(2n ** 40n)]),
      /1099511627776 elements of the metadata value "k" are claimed/,
    ],
    [
      'more values than any model has',
      Buffer.concat([
        ...[writeGguf({ metadataCount: 1n }), ggufString('k'), u32(9), u32(0), u64(5_000_000)],
        Buffer.alloc(5_000_000),
      ]),
      /more than 4194304 values/,
    ],
    [
      'arrays in arrays in arrays',
      Buffer.concat([
        ...[writeGguf({ metadataCount: 1n }), ggufString('k'), u32(9)],
        ...Array.from({ length: 100_000 }, () => Buffer.concat([u32(9), u64(1)])),
      ]),
      /nests arrays deeper/,
    ],
    [
      'an unknown value type',
      Buffer.concat([writeGguf({ metadataCount: 1n }), ggufString('k'), u32(99), u64(1)]),
      /unknown type 99/,
    ],
    [
      'a key twice',
      writeGguf({
        metadata: [
          ['k', ['u8', 1]],
          ['k', ['u8', 2]],
        ],
      }),
      /"k" is there twice/,
    ],
    ['a tensor twice', writeGguf({ tensors: [tensor('a'), tensor('a')] }), /tensor "a" is there twice/],
    ['no dimensions', writeGguf({ tensors: [tensor('a', { shape: [] })] }), /0 dimensions/],
    ['five dimensions', writeGguf({ tensors: [tensor('a', { shape: [1, 1, 1, 2, 4] })] }), /5 dimensions/],
    ['a dimension of 0', writeGguf({ tensors: [tensor('a', { shape: [0, 4] })] }), /a dimension of 0/],
    [
      'a dimension of 2^63',
      writeGguf({ tensors: [tensor('a', { shape: [2n ** 63n] })] }),
      /a dimension of 9223372036854775808/,
    ],
    [
      'sizes whose product overflows',
      writeGguf({ tensors: [tensor('a', { shape: [2 ** 40, 2 ** 40, 2 ** 40] })] }),
      /does not divide/,
    ],
    ['part of a block', writeGguf({ tensors: [tensor('a', { type: 3 })] }), /Q4_1 blocks of 32/],
    ['an unsupported type', writeGguf({ tensors: [tensor('a', { type: 16 })] }), /IQ2_XXS.*Use a file with F32, F16/],
    ['a type that no one has', writeGguf({ tensors: [tensor('a', { type: 4_000_000_000 })] }), /unknown type/],
    ['a tensor past the end', writeGguf({ tensors: [tensor('a', { offset: 2n ** 40n })] }), /the file has \d+ bytes/],
    ['an offset off its alignment', writeGguf({ tensors: [tensor('a', { offset: 4n })] }), /no multiple of 32/],
    ['an offset of 2^64 - 1', writeGguf({ tensors: [tensor('a', { offset: 2n ** 64n - 1n })] }), /no multiple of 32/],
    ['overlapping tensors', writeGguf({ tensors: [tensor('a'), tensor('b', { offset: 0n })] }), /"a" and "b" overlap/],
    ['an alignment of 0', writeGguf({ metadata: [['general.alignment', ['u32', 0]]] }), /not a power of two/],
    ['an alignment of 24', writeGguf({ metadata: [['general.alignment', ['u32', 24]]] }), /not a power of two/],
    ['an alignment of text', writeGguf({ metadata: [['general.alignment', ['string', '32']]] }), /not a power of two/],
    [
      'a name that would break the message',
      writeGguf({ tensors: [tensor('\x1b[31m\n'.repeat(5000), { type: 16 })] }),
      /tensor "\\u001b\[31m\\n/,
    ],
  ];
  it.each(lies)('refuses %s', async (_what, content, message) => {
    expect(await refusal(read(content))).toMatch(message);
  });

  it('takes bounded memory for a header that claims much', async () => {
    writeFileSync(path, Buffer.concat([writeGguf({ metadataCount: 1n }), ggufString('k'), u32(8), u64(2 ** 34)]));
    truncateSync(path, 2 ** 36); // sparse: the claim fits the file
    const before = process.memoryUsage().arrayBuffers;
    const file = await WeightFile.open(path);
    expect(await refusal(readGgufHeader(file))).toMatch(/claims 17179869184 bytes/);
    await file.close();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
  });

  it('gives a header or one clear sentence for any truncation', async () => {
    const whole = tinyGguf();
    for (let length = 0; length < whole.length; length += length < 1200 ? 7 : 97) {
      expect(await refusal(read(whole.subarray(0, length)))).toMatch(/Cannot read .*model\.gguf: at byte \d+/);
    }
  });

  it('gives a header or one clear sentence for any flipped bytes', async () => {
    const whole = tinyGguf();
    const { tensors: placed } = await read(whole);
    const headerEnd = Math.min(...[...placed.values()].map(({ offset }) => offset));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(headerEnd - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
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

describe('WeightFile', () => {
  it('refuses what is no readable file', async () => {
    expect(await refusal(WeightFile.open(join(folder, 'absent.gguf')))).toMatch(/There is no .*absent\.gguf/);
    expect(await refusal(WeightFile.open(folder))).toMatch(/not a regular file/);
  });

  it('says where a file that was cut after opening ends', async () => {
    const cut = write(folder, 'cut.bin', new Uint8Array(100));
    const file = await WeightFile.open(cut);
    truncateSync(cut, 40);
    expect(await refusal(file.read(new Uint8Array(50), 10))).toMatch(/cut\.bin ends at byte 40/);
    await file.close();
  });
});
