import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/engine/random.ts';
import { ExactDuplicates, withoutLayout } from '../../../src/midtraining/data/exactDuplicates.ts';
import { NearDuplicates } from '../../../src/midtraining/data/nearDuplicates.ts';

it('exact duplicates are the same but for white space', () => {
  const seen = new ExactDuplicates();
  const isNew = (text: string): boolean => seen.add(withoutLayout(text));
  expect(isNew('def f():\n    return 1\n')).toBe(true);
  expect(isNew('def f():\n\n  return  1')).toBe(false);
  expect(isNew('def f():\n    return 2\n')).toBe(true);
  expect(isNew('deff():\n    return 2\n')).toBe(true);
});

/** A text of `length` different words, drawn from a large vocabulary. */
function textOf(random: ReturnType<typeof seededRandom>, length: number): string[] {
  return Array.from({ length }, () => `w${random.below(1_000_000)}`);
}

/** Jaccard similarity of the texts' shingles of five words, by its definition. */
function jaccard(a: readonly string[], b: readonly string[]): number {
  const shingles = (words: readonly string[]): Set<string> =>
    new Set(words.slice(4).map((_, at) => words.slice(at, at + 5).join(' ')));
  const [left, right] = [shingles(a), shingles(b)];
  const common = [...left].filter((shingle) => right.has(shingle)).length;
  return common / (left.size + right.size - common);
}

describe('near duplicates', () => {
  it('are found from the threshold on, and hardly below it', () => {
    const random = seededRandom(1);
    const found = { far: [0, 0], near: [0, 0] };
    for (let trial = 0; trial < 400; trial++) {
      const text = textOf(random, 200);
      const changed = [...text];
      for (let change = random.below(25); change >= 0; change--) changed[random.below(200)] = 'changed';
      const similarity = jaccard(text, changed);
      const side = similarity >= 0.85 ? found.near : similarity <= 0.55 ? found.far : undefined;
      if (side === undefined) continue;
      const seen = new NearDuplicates();
      seen.add(text.join(' '));
      side[0]! += 1;
      if (seen.add(changed.join(' ')) === 0) side[1]! += 1;
    }
    expect(found.near[0]).toBeGreaterThan(30);
    expect(found.far[0]).toBeGreaterThan(30);
    expect(found.near[1]! / found.near[0]!).toBeGreaterThan(0.95);
    expect(found.far[1]! / found.far[0]!).toBeLessThan(0.05);
  });

  it('do not arise among thousands of unrelated texts, and the right one is named', () => {
    const random = seededRandom(2);
    const seen = new NearDuplicates();
    const texts = Array.from({ length: 3000 }, () => textOf(random, 30).join(' '));
    for (const text of texts) expect(seen.add(text)).toBeNull();
    expect(seen.size).toBe(3000);
    for (let index = 0; index < 3000; index += 7) expect(seen.add(texts[index]!)).toBe(index);
  });

  it('are not looked for in texts under five words', () => {
    const seen = new NearDuplicates();
    expect([seen.add('a b c d'), seen.add('a b c d'), seen.add(''), seen.size]).toEqual([null, null, null, 0]);
  });

  it('are the same for the same texts in the same order, whatever else is in them', () => {
    const text = fc.array(fc.constantFrom('a', 'b', 'c', 'é', 'x1'), { maxLength: 30 }).map((all) => all.join(' '));
    fc.assert(
      fc.property(fc.array(fc.oneof(text, fc.string({ unit: 'binary' })), { maxLength: 30 }), (texts) => {
        const run = (): (number | null)[] => {
          const seen = new NearDuplicates();
          return texts.map((one) => seen.add(one));
        };
        const results = run();
        expect(run()).toEqual(results);
        // What is new stays new without the duplicates.
        const kept = new NearDuplicates();
        const news = texts.filter((_, at) => results[at] === null);
        expect(news.map((one) => kept.add(one)).every((result) => result === null)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });
});
