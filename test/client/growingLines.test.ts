/** Lines of a file that grows, is cut, replaced or missing while it is read. */
import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GrowingLines, readPlaced } from '../../src/client/growingLines.ts';
import { temporaryFolder } from '../runner/smallRun.ts';

const home = temporaryFolder();
const newPath = (): string => join(mkdtempSync(join(home, 'lines-')), 'file.jsonl');

async function readOn(lines: GrowingLines): Promise<(string | null)[]> {
  const read: (string | null)[] = [];
  for await (const some of lines.read()) for (const { bytes } of some) read.push(bytes?.toString('utf8') ?? null);
  return read;
}

describe('a file that grows', () => {
  it('gives each line once, and a line without its end only when that has come', async () => {
    const path = newPath();
    const lines = new GrowingLines(path);
    writeFileSync(path, 'one\ntwo\nthr');
    expect(await readOn(lines)).toEqual(['one', 'two']);
    expect(lines.state).toEqual({ offset: 8, size: 11, missing: false });
    expect(await readOn(lines)).toEqual([]);
    appendFileSync(path, 'ee\n\nfive\n');
    expect(await readOn(lines)).toEqual(['three', '', 'five']);
    expect(lines.state.offset).toBe(lines.state.size);
  });

  it('gives what is written while it is read', async () => {
    const path = newPath();
    const line = 'x'.repeat(1000);
    writeFileSync(path, `${line}\n`.repeat(1000));
    let count = 0;
    let more = 3;
    for await (const some of new GrowingLines(path).read()) {
      count += some.length;
      if (more-- > 0) appendFileSync(path, `${line}\n`.repeat(10));
    }
    expect(count).toBe(1030);
  });

  it('is gone on with behind what was given when the reader leaves early', async () => {
    const path = newPath();
    const all = Array.from({ length: 50_000 }, (_, i) => `line ${i}`);
    writeFileSync(path, all.map((line) => `${line}\n`).join(''));
    const lines = new GrowingLines(path);
    const read: (string | null)[] = [];
    for await (const some of lines.read()) {
      for (const { bytes } of some) read.push(bytes!.toString());
      break;
    }
    expect(read.length).toBeGreaterThan(0);
    expect(read.length).toBeLessThan(all.length);
    expect([...read, ...(await readOn(lines))]).toEqual(all);
  });

  it('places each line where it can be read again', async () => {
    const path = newPath();
    writeFileSync(path, `é\n\n${'long'.repeat(100_000)}\nend\n`);
    for await (const some of new GrowingLines(path).read()) {
      for (const line of some) expect((await readPlaced(path, line)).equals(line.bytes!)).toBe(true);
    }
  });

  it('passes over a line of more than 8 MiB, whose place is told, and goes on behind it', async () => {
    const path = newPath();
    const limit = 8 * 1024 * 1024;
    writeFileSync(path, `first\n${'a'.repeat(limit + 1)}\n${'b'.repeat(limit)}\nlast\n`);
    const placed = [];
    for await (const some of new GrowingLines(path).read()) placed.push(...some);
    expect(placed.map(({ offset, length, bytes }) => [offset, length, bytes?.length ?? null])).toEqual([
      [0, 5, 5],
      [6, limit + 1, null],
      [limit + 8, limit, limit],
      [2 * limit + 9, 4, 4],
    ]);
  });

  it('holds no line without an end in memory that is longer than that', async () => {
    const path = newPath();
    writeFileSync(path, '');
    truncateSync(path, 256 * 1024 * 1024); // zero bytes that takes no place on the disk
    const before = process.memoryUsage().rss;
    expect(await readOn(new GrowingLines(path))).toEqual([]);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
  });

  it('reads the same however the bytes come', async () => {
    const text = fc.string({ unit: fc.constantFrom('\n', 'a', 'é', '𝄞', '\r', ' '), maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(text, fc.array(fc.nat({ max: 12 }), { maxLength: 12 }), async (content, sizes) => {
        const bytes = Buffer.from(content);
        const path = newPath();
        const lines = new GrowingLines(path);
        const read: (string | null)[] = [];
        let at = 0;
        for (const size of [...sizes, bytes.length]) {
          appendFileSync(path, bytes.subarray(at, at + size));
          at += size;
          read.push(...(await readOn(lines)));
        }
        expect(read).toEqual(content.split('\n').slice(0, -1));
        expect(lines.state.offset).toBe(bytes.lastIndexOf('\n') + 1);
      }),
      { numRuns: 150 },
    );
  });
});

describe('a file that is not what it was', () => {
  it('is missing without an error, and read once it is there', async () => {
    const path = newPath();
    const lines = new GrowingLines(path);
    expect(await readOn(lines)).toEqual([]);
    expect(lines.state.missing).toBe(true);
    expect(await lines.wasReplaced()).toBe(false);
    writeFileSync(path, 'here\n');
    expect(await readOn(lines)).toEqual(['here']);
    expect(lines.state.missing).toBe(false);
    const inFile = new GrowingLines(join(path, 'below.jsonl'));
    expect(await readOn(inFile)).toEqual([]);
  });

  it('is known to be another one when it is shorter, gone, or another was put in its place', async () => {
    const path = newPath();
    writeFileSync(path, 'one\ntwo\n');
    const lines = new GrowingLines(path);
    await readOn(lines);
    expect(await lines.wasReplaced()).toBe(false);
    writeFileSync(`${path}.new`, 'another\nand more of it\n');
    renameSync(`${path}.new`, path);
    expect(await lines.wasReplaced()).toBe(true);
    lines.restart();
    expect(await readOn(lines)).toEqual(['another', 'and more of it']);
    truncateSync(path, 8);
    expect(await lines.wasReplaced()).toBe(true);
    rmSync(path);
    expect(await lines.wasReplaced()).toBe(true);
    lines.restart();
    expect(await lines.wasReplaced()).toBe(false);
  });

  it('tells the error of what cannot be read', async () => {
    await expect(readOn(new GrowingLines(home))).rejects.toThrow(/EISDIR/);
  });
});
