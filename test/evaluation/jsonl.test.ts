import { createHash } from 'node:crypto';
import { appendFile, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { UserError } from '../../src/errors.ts';
import {
  JsonLinesReader,
  type JsonLinesOptions,
  JsonLinesWriter,
  replaceJsonLines,
} from '../../src/evaluation/jsonl.ts';

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midtrain-jsonl-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const newPath = () => join(folder, `${(files += 1)}.jsonl`);
async function fileOf(bytes: string | Uint8Array): Promise<string> {
  const path = newPath();
  await writeFile(path, bytes);
  return path;
}
async function read(path: string, options?: JsonLinesOptions) {
  const reader = new JsonLinesReader(path, options);
  const rows = [];
  for await (const row of reader) rows.push(row);
  return { rows, values: rows.map(({ value }) => value), end: reader.end };
}
const failure = (path: string, options?: JsonLinesOptions): Promise<unknown> =>
  read(path, options).then(
    () => undefined,
    (error: unknown) => error,
  );
async function userError(path: string, options?: JsonLinesOptions): Promise<string> {
  const error = await failure(path, options);
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}
const sha = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

describe('JsonLinesReader', () => {
  it('takes a byte order mark, CRLF, blank lines and a last line without newline', async () => {
    const path = await fileOf('\ufeff{"a":1}\r\n\r\n  \n{"b":"é\u2028"}\n[3]');
    const { rows, end } = await read(path);
    expect(rows).toEqual([
      { line: 1, value: { a: 1 } },
      { line: 4, value: { b: 'é\u2028' } },
      { line: 5, value: [3] },
    ]);
    expect(end.cut).toBeNull();
    expect(end.rows).toBe(3);
  });

  it('reads gzip by its first bytes, in several members, and hashes file and content', async () => {
    const text = '{"a":1}\n{"b":2}\n';
    const plain = await read(await fileOf(text));
    const packed = gzipSync(text);
    const zipped = await read(await fileOf(packed));
    expect(zipped.values).toEqual(plain.values);
    expect(zipped.end.contentSha256).toBe(sha(text));
    expect(plain.end.contentSha256).toBe(sha(text));
    expect(plain.end.fileSha256).toBe(sha(text));
    expect(zipped.end.fileSha256).toBe(sha(packed));
    const members = await read(await fileOf(Buffer.concat([gzipSync('{"a":1}\n{"b'), gzipSync('":2}\n')])));
    expect(members.values).toEqual(plain.values);
  });

  it('reads an empty file as no rows, and tells of a missing file and a folder', async () => {
    expect((await read(await fileOf(''))).rows).toEqual([]);
    expect(await userError(join(folder, 'nowhere'))).toContain('no such file');
    expect(await userError(folder)).toContain('is a folder');
  });

  it('names the line of what is not JSON and not UTF-8', async () => {
    expect(await userError(await fileOf('{"a":1}\n\nnope\n{"b":2}\n'))).toMatch(/line 3: not JSON/);
    expect(await userError(await fileOf('{"a":1}\n{"a":NaN}\n'))).toMatch(/line 2: not JSON/);
    expect(await userError(await fileOf(Buffer.from('7b2261223a22ff227d0a', 'hex')))).toMatch(/line 1: not UTF-8/);
  });

  it('throws at a cut last line, or reports it when tolerant', async () => {
    const path = await fileOf('{"a":1}\n{"b":"é');
    expect(await userError(path)).toMatch(/line 2: the file ends inside this row/);
    const { values, end } = await read(path, { tolerant: true });
    expect(values).toEqual([{ a: 1 }]);
    expect(end.cut).toEqual({ line: 2, bytes: 8 });
    // A broken line in the middle is never forgiven.
    expect(await userError(await fileOf('{"a\n{"b":1}\n'), { tolerant: true })).toMatch(/line 1/);
  });

  it('tells of gzip data that are cut or broken', async () => {
    const packed = gzipSync(
      Array.from({ length: 500 }, (_, i) => JSON.stringify({ i, x: Math.sin(i) })).join('\n') + '\n',
    );
    expect(await userError(await fileOf(packed.subarray(0, packed.length / 2)))).toMatch(/cut; get it again/);
    const broken = Buffer.from(packed);
    broken.fill(0xff, 60, 120);
    expect(await userError(await fileOf(broken))).toMatch(/gzip|JSON|UTF-8/);
  });

  it('holds no more than a line: a giant line and a gzip that unpacks without end are refused early', async () => {
    const giant = gzipSync(Buffer.alloc(128 * 1024 * 1024, 0x61)); // 128 MiB in 128 KiB
    const path = await fileOf(giant);
    const before = process.memoryUsage().rss;
    expect(await userError(path, { maxLineBytes: 4 * 1024 * 1024 })).toMatch(/line 1: longer than 4 MiB/);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
    const many = await fileOf(gzipSync(Buffer.from('{"a":1}\n'.repeat(200_000))));
    expect(await userError(many, { maxBytes: 1024 * 1024 })).toMatch(/more than 1 MiB once unpacked/);
  });

  it('closes the file when the reader is left early', async () => {
    const path = await fileOf(gzipSync('{"a":1}\n'.repeat(100_000)));
    for (let i = 0; i < 20; i += 1) {
      for await (const { value } of new JsonLinesReader(path)) {
        expect(value).toEqual({ a: 1 });
        break;
      }
    }
  });

  it('reads back any rows, however the bytes are arranged', async () => {
    const rows = fc.array(fc.oneof(fc.object({ maxDepth: 2 }), fc.record({ text: fc.string({ unit: 'binary' }) })), {
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.boolean(),
        fc.constantFrom('\n', '\r\n', '\n\n'),
        fc.boolean(),
        async (values, zip, newline, last) => {
          const lines = values.map((value) => JSON.stringify(value));
          const text = lines.join(newline) + (last ? newline : '');
          const { values: back } = await read(await fileOf(zip ? gzipSync(text) : text));
          expect(back).toEqual(lines.map((line) => JSON.parse(line) as unknown));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('never hangs, crashes or lies on cut and corrupted files', async () => {
    const text =
      Array.from({ length: 30 }, (_, i) => JSON.stringify({ i, text: `line ${i} é`.repeat(3) })).join('\n') + '\n';
    const forms = [Buffer.from(text), gzipSync(text)];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(0, 1),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (form, at, end, xor, tolerant) => {
          const bytes = Buffer.from(forms[form]!);
          bytes[at % bytes.length]! ^= xor;
          const path = await fileOf(bytes.subarray(0, 1 + (end % bytes.length)));
          const error = await failure(path, { tolerant });
          expect(error === undefined || error instanceof UserError).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('a cut plain file gives its whole rows and nothing else when tolerant', async () => {
    const lines = Array.from({ length: 8 }, (_, i) => JSON.stringify({ i, text: 'é€𝄞"\\' }));
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    for (let length = 0; length <= bytes.length; length += 1) {
      const path = await fileOf(bytes.subarray(0, length));
      const { values } = await read(path, { tolerant: true });
      expect(values).toEqual(lines.slice(0, values.length).map((line) => JSON.parse(line) as unknown));
    }
  });
});

describe('JsonLinesWriter', () => {
  it('writes rows in the order of the calls, in ASCII, for reading by anything', async () => {
    const path = newPath();
    const writer = await JsonLinesWriter.open(path);
    await Promise.all(Array.from({ length: 50 }, (_, i) => writer.append({ i, text: `é\u2028𝄞\n${i}` })));
    await writer.close();
    expect((await read(path)).values).toEqual(Array.from({ length: 50 }, (_, i) => ({ i, text: `é\u2028𝄞\n${i}` })));
    // eslint-disable-next-line no-control-regex -- the point is that only ASCII is there
    expect(await readFile(path, 'latin1')).toMatch(/^[\x00-\x7e]*$/);
  });

  it('goes on after a kill at any byte', async () => {
    const path = newPath();
    const writer = await JsonLinesWriter.open(path);
    await writer.append({ row: 0 });
    await writer.append({ row: 1 });
    await writer.close();
    const whole = await readFile(path);
    for (let length = 0; length <= whole.length; length += 1) {
      await writeFile(path, whole);
      await truncate(path, length);
      const again = await JsonLinesWriter.open(path);
      await again.append({ row: 'new' });
      await again.close();
      const { values } = await read(path);
      expect(values.at(-1)).toEqual({ row: 'new' });
      expect(values.slice(0, -1)).toEqual([{ row: 0 }, { row: 1 }].slice(0, values.length - 1));
      // A row is whole up to its brace, with its newline or without.
      expect(values.length - 1).toBe(length >= whole.length - 1 ? 2 : length >= whole.length / 2 - 1 ? 1 : 0);
    }
  });

  it('cuts away a tail of zero bytes such as a power cut leaves', async () => {
    const path = await fileOf('{"a":1}\n');
    await appendFile(path, Buffer.alloc(100_000));
    const writer = await JsonLinesWriter.open(path);
    expect(writer.droppedBytes).toBe(100_000);
    await writer.append({ b: 2 });
    await writer.close();
    expect((await read(path)).values).toEqual([{ a: 1 }, { b: 2 }]);
  });

  it('says so when the disk is full, keeps the rows before, and can go on', async () => {
    const path = newPath();
    const probe = await open(path, 'w');
    const prototype = Object.getPrototypeOf(probe) as typeof probe;
    await probe.close();
    const writer = await JsonLinesWriter.open(path);
    await writer.append({ row: 1 });
    const spy = vi.spyOn(prototype, 'write').mockImplementationOnce(async () => {
      await appendFile(path, '{"par'); // half a row reached the disk
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    });
    const error: unknown = await writer.append({ row: 2, text: 'x'.repeat(100) }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(/no space is left on the disk.*rows before it are safe/);
    spy.mockRestore();
    expect((await read(path)).values).toEqual([{ row: 1 }]);
    await writer.append({ row: 3 });
    await writer.close();
    expect((await read(path)).values).toEqual([{ row: 1 }, { row: 3 }]);
  });

  it('refuses gzip and places it cannot write to', async () => {
    const path = await fileOf(gzipSync('{}'));
    await expect(JsonLinesWriter.open(path)).rejects.toThrow(/is gzip/);
    await expect(JsonLinesWriter.open(folder)).rejects.toThrow(UserError);
    await expect(JsonLinesWriter.open(join(folder, 'no', 'such', 'folder'))).rejects.toThrow(UserError);
  });
});

describe('replaceJsonLines', () => {
  it('puts a whole new file in the place of the old', async () => {
    const path = await fileOf('{"old":1}\n');
    await replaceJsonLines(path, [{ a: 1 }, { b: 2 }]);
    expect(await readFile(path, 'utf8')).toBe('{"a":1}\n{"b":2}\n');
    await expect(stat(`${path}.part`)).rejects.toThrow();
  });
});
