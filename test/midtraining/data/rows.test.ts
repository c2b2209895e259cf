import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { isHeldOut } from '../../../src/midtraining/data/heldOutSplit.ts';
import { layOutRow, packRows } from '../../../src/midtraining/data/packing.ts';
import { permutation } from '../../../src/midtraining/data/permutation.ts';
import { openTokenStore, type TokenStore, TokenStoreWriter } from '../../../src/midtraining/data/tokenStore.ts';
import { type RowOptions, type TrainingRow, TrainingRows } from '../../../src/midtraining/data/trainingRows.ts';

let folder: string;
let stores = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midtrain-rows-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function storeOf(
  train: readonly number[][],
  heldOut: readonly number[][] = [],
  vocabulary = 1000,
): Promise<string> {
  const path = join(folder, `${(stores += 1)}`);
  const writer = await TokenStoreWriter.create(path, 'words', vocabulary);
  for (const tokens of train) await writer.add(tokens, false);
  for (const tokens of heldOut) await writer.add(tokens, true);
  await writer.finish({ made: 'by a test' });
  return path;
}

describe('the held-out split', () => {
  const names = Array.from({ length: 4000 }, (_, at) => `package/module_${at}.py`);
  it('holds out its share, by the seed, each file by itself', () => {
    const held = names.filter((name) => isHeldOut(name, 0, 0.05));
    expect(held.length / names.length).toBeCloseTo(0.05, 1.8);
    expect(held).toEqual(
      names
        .toReversed()
        .filter((name) => isHeldOut(name, 0, 0.05))
        .toReversed(),
    );
    expect(names.filter((name) => isHeldOut(name, 1, 0.05))).not.toEqual(held);
    expect(names.filter((name) => isHeldOut(name, 0, 0.1)).filter((name) => held.includes(name))).toEqual(held);
    expect(names.some((name) => isHeldOut(name, 0, 0))).toBe(false);
    expect(names.every((name) => isHeldOut(name, 0, 1))).toBe(true);
  });
});

describe('a permutation', () => {
  it('has every number once, and another order for another seed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3000 }), fc.integer(), (size, seed) => {
        const order = Array.from({ length: size }, (_, place) => place).map(permutation(size, seed));
        expect(order.toSorted((a, b) => a - b)).toEqual(order.map((_, at) => at));
      }),
      { numRuns: 20 },
    );
    const order = (seed: number): number[] =>
      Array.from({ length: 1000 }, (_, place) => place).map(permutation(1000, seed));
    const same = order(1).filter((value, at) => value === order(2)[at]).length;
    expect(same).toBeLessThan(10);
  });

  it('mixes: neighbours come from everywhere', () => {
    const size = 100_000;
    const order = permutation(size, 7);
    let distance = 0;
    for (let place = 1; place < 5000; place++) distance += Math.abs(order(place) - order(place - 1));
    expect(distance / 4999 / size).toBeCloseTo(1 / 3, 1.5);
    expect(permutation(2 ** 32, 1)(2 ** 32 - 1)).toBeLessThan(2 ** 32);
    expect(() => order(size)).toThrow(RangeError);
  });
});

describe('packing', () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 64 }), { maxLength: 200 });

  it('puts every snippet into one row, with room for all', () => {
    fc.assert(
      fc.property(lengths, (all) => {
        const rows = packRows(all, 64);
        expect(rows.flat().toSorted((a, b) => a - b)).toEqual(all.map((_, index) => index));
        const sums = rows.map((row) => row.reduce((sum, index) => sum + all[index]!, 0));
        expect(Math.max(0, ...sums)).toBeLessThanOrEqual(64);
        // No worse than 11/9 of the best + 1 (Johnson 1973); the best is at least the tokens there are.
        const best = Math.ceil(all.reduce((a, b) => a + b, 0) / 64);
        const twoLargest = all.filter((length) => length > 32).length;
        expect(rows.length).toBeLessThanOrEqual(Math.max(1.6 * best, twoLargest * 1.23) + 1);
        expect(packRows(all, 64)).toEqual(rows);
      }),
    );
    expect(() => packRows([65], 64)).toThrow(RangeError);
  });

  it('lays a row out with segments, and positions that begin anew', () => {
    const row = layOutRow([[7, 8, 9], [5]], 6, 1);
    expect([...row.ids]).toEqual([7, 8, 9, 5, 1, 1]);
    expect([...row.segments]).toEqual([1, 1, 1, 2, 0, 0]);
    expect([...row.positions]).toEqual([0, 1, 2, 0, 0, 0]);
    expect(row.used).toBe(4);
    expect(() => layOutRow([[1, 2], [3]], 2, 0)).toThrow(RangeError);
  });
});

describe('a token store', () => {
  it('gives back what was put in, with 2 bytes a token or 4', async () => {
    for (const [vocabulary, top] of [
      [65_536, 65_535],
      [65_537, 65_536],
    ] as const) {
      const train = [[1, 2, top], [], [0], Array.from({ length: 200_000 }, (_, at) => at % 60_000)];
      const path = await storeOf(train, [[3]], vocabulary);
      const store = await openTokenStore(path, 'words');
      expect(store.description).toMatchObject({ made: 'by a test', train: { snippets: 4, tokens: 200_004 } });
      for (const [index, tokens] of train.entries()) expect([...(await store.train.read(index))]).toEqual(tokens);
      expect([...(await store.heldOut.read(0))]).toEqual([3]);
      expect(store.train.longest).toBe(200_000);
      await expect(store.train.read(4)).rejects.toThrow(RangeError);
      await store.close();
    }
  });

  it('replaces an older one only when it is whole', async () => {
    const path = await storeOf([[1]]);
    const writer = await TokenStoreWriter.create(path, 'words', 10);
    await writer.add([2], false);
    const old = await openTokenStore(path, 'words');
    expect([...(await old.train.read(0))]).toEqual([1]);
    await writer.abandon();
    await (await openTokenStore(path, 'words')).close();
    await old.close();
  });

  it('says what is wrong: not there, another tokenizer, cut, broken', async () => {
    const refusal = async (path: string, tokenizer = 'words'): Promise<string> => {
      const error: unknown = await openTokenStore(path, tokenizer).then(
        (store) => store.close(),
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(UserError);
      return (error as UserError).message;
    };
    expect(await refusal(join(folder, 'none'))).toMatch(/no prepared corpus .* Prepare the data first/);
    const path = await storeOf([[1, 2, 3]], [[4]]);
    expect(await refusal(path, 'others')).toMatch(/tokenizer words, the model has others/);
    truncateSync(join(path, 'train.tokens'), 5);
    expect(await refusal(path)).toMatch(/cut/);
    rmSync(join(path, 'held-out.lengths'));
    writeFileSync(join(path, 'train.tokens'), Buffer.alloc(6));
    expect(await refusal(path)).toMatch(/held-out.* cannot be read/);
    writeFileSync(join(path, 'train.lengths'), Buffer.from([9, 0, 0, 0]));
    expect(await refusal(path)).toMatch(/does not add up/);
    writeFileSync(join(path, 'corpus.json'), '{"format": 0}');
    expect(await refusal(path)).toMatch(/not one of this version/);
    writeFileSync(join(path, 'corpus.json'), '{');
    expect(await refusal(path)).toMatch(/broken/);
  });

  it('names the disk when it is full', async () => {
    const writer = TokenStoreWriter.create('/dev/full/x', 'words', 10);
    await expect(writer).rejects.toThrow(UserError);
  });
});

describe('training rows', () => {
  const options: RowOptions = { rowLength: 32, seed: 3, endTokenId: 0, paddingTokenId: 0, windowSnippets: 50 };
  /** Snippet number n holds n + 1 in all its places. */
  const corpus = Array.from({ length: 333 }, (_, at) => Array.from({ length: 1 + ((at * 7) % 30) }, () => at + 1));
  let store: TokenStore;
  beforeAll(async () => {
    store = await openTokenStore(await storeOf(corpus), 'words');
  });
  afterAll(() => store.close());

  it('hold every token of an epoch once, each snippet with its end, in an order that changes with epoch and seed', async () => {
    const rows = new TrainingRows(store.train, options);
    const size = rows.epochSize();
    const orders: number[][] = [];
    for (const epoch of [0, 1]) {
      const seen: number[] = [];
      let used = 0;
      let count = 0;
      while (rows.position.epoch === epoch) {
        const row = await rows.next();
        expect(row.epoch).toBe(epoch);
        seen.push(...row.snippets);
        used += row.used;
        count += 1;
        const laidOut = row.snippets.flatMap((snippet) => [...corpus[snippet]!, 0]);
        expect([...row.ids.subarray(0, row.used)]).toEqual(laidOut);
        expect([...row.ids.subarray(row.used)].every((id) => id === 0)).toBe(true);
      }
      expect(seen.toSorted((a, b) => a - b)).toEqual(corpus.map((_, at) => at));
      expect(used).toBe(size.used);
      if (epoch === 0) expect(count).toBe(size.rows);
      orders.push(seen);
    }
    expect(orders[0]).not.toEqual(orders[1]);
    expect(size.waste).toBeCloseTo(1 - size.used / (size.rows * 32));
    expect(size.waste).toBeLessThan(0.1);
    expect((await new TrainingRows(store.train, { ...options, seed: 4 }).next()).snippets).not.toEqual(
      (await new TrainingRows(store.train, options).next()).snippets,
    );
  });

  it('go on from any position exactly', async () => {
    const whole = new TrainingRows(store.train, options);
    const rows: TrainingRow[] = [];
    const positions: string[] = [];
    while (whole.position.epoch < 2) {
      positions.push(JSON.stringify(whole.position));
      rows.push(await whole.next());
    }
    await fc.assert(
      fc.asyncProperty(fc.nat(rows.length - 1), fc.integer({ min: 1, max: 20 }), async (from, steps) => {
        const position = JSON.parse(positions[from]!) as TrainingRows['position'];
        const resumed = new TrainingRows(store.train, options, position);
        for (const row of rows.slice(from, from + steps)) expect(await resumed.next()).toEqual(row);
      }),
      { numRuns: 40 },
    );
  });

  it('refuse an empty side, snippets longer than a row, and positions that are not there', async () => {
    expect(() => new TrainingRows(store.heldOut, options)).toThrow(/no snippets/);
    expect(() => new TrainingRows(store.train, { ...options, rowLength: 30 })).toThrow(/31 tokens, and rows hold 30/);
    for (const position of [
      { epoch: 0, window: 7, row: 0 },
      { epoch: 0, window: 0, row: 1000 },
      { epoch: -1, window: 0, row: 0 },
    ]) {
      expect(() => new TrainingRows(store.train, options, position)).toThrow(RangeError);
    }
    const one = await openTokenStore(await storeOf([[5]]), 'words');
    const rows = new TrainingRows(one.train, { ...options, endTokenId: null });
    expect([...(await rows.next()).ids.subarray(0, 2)]).toEqual([5, 0]);
    expect(rows.position.epoch).toBe(1);
    await one.close();
  });
});
