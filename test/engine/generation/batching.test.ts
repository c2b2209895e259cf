import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BatchOptions, type Row, type RowGroup, runRows } from '../../../src/engine/generation/batching.ts';
import { HostDecoder } from '../../../src/engine/generation/hostDecoder.ts';
import { chooseToken, logProbabilityOf } from '../../../src/engine/generation/sampler.ts';
import type { Precision } from '../../../src/engine/graphs/weights.ts';
import type { ModelSource } from '../../../src/engine/model.ts';
import { mixSeed, seededRandom } from '../../../src/engine/random.ts';
import { openModel } from '../../../src/engine/weights/open.ts';
import { UserError } from '../../../src/errors.ts';
import { openTiny, realModelPath } from './models.ts';

let source: ModelSource;
beforeAll(async () => {
  ({ source } = await openTiny('llama-gqa-tied'));
});
afterAll(() => source.close());

/** Draws some tokens, is given a run of others, and so on; what is drawn sets the length of the next run. */
class Alternating implements Row {
  readonly name: string;
  readonly tokens: number[];
  /** The drawn tokens' places in `tokens`, and their log-probabilities. */
  readonly drawn: [number, number][] = [];
  done = false;
  readonly #limit: number;
  readonly #random;
  #streak = 0;

  constructor(name: string, prompt: readonly number[], index: number, limit: number) {
    this.name = `${name}#${index}`;
    this.tokens = [...prompt];
    this.#limit = limit;
    this.#random = seededRandom(mixSeed('alternating', name, index));
  }

  next(logits: Float32Array): readonly number[] | null {
    const { id, logProbability } = chooseToken(logits, sampled, this.#random);
    const given = [id];
    if (++this.#streak % 4 === 0) for (let i = 0; i < id % 23; i++) given.push((id * 7 + i * 3) % 90);
    this.drawn.push([this.tokens.length, logProbability]);
    this.tokens.push(...given);
    this.done = this.tokens.length >= this.#limit;
    return this.done ? null : given;
  }
}
const sampled = { temperature: 1, topP: 1, topK: 0, minP: 0 };
const prompt = (length: number): number[] => Array.from({ length }, (_, i) => 3 + ((i * 13 + length) % 90));
const group = (length: number, count: number, more = 60): RowGroup<Alternating> => ({
  prompt: prompt(length),
  count,
  begin: (index) => new Alternating(`p${length}`, prompt(length), index, length + more),
});

async function withDecoder<T>(
  places: number,
  work: (decoder: HostDecoder) => Promise<T>,
  { from = source, precision = 'fp32' }: { from?: ModelSource; precision?: Precision } = {},
): Promise<T> {
  const options = { precision, places, threads: 1, contextLength: 256 };
  const decoder = await HostDecoder.create(from.config, from.weights, options);
  try {
    return await work(decoder);
  } finally {
    await decoder.close();
  }
}
const run = (groups: readonly RowGroup<Alternating>[], places: number, options: BatchOptions = {}) =>
  withDecoder(places, async (decoder) => {
    const rows: Alternating[] = [];
    for await (const row of runRows(decoder, groups, options)) rows.push(row);
    return rows;
  });
/** Tokens and log-probabilities, to the bit. */
const byName = (rows: readonly Alternating[]) =>
  new Map(rows.map(({ name, tokens, drawn }) => [name, { tokens, drawn }] as const));

describe('rows of drawn and given tokens', () => {
  it('are the same to the bit alone, in any batch and in any order', async () => {
    const groups = [5, 40, 17, 90, 33].map((length) => group(length, 4));
    const reference = byName(await run(groups, 1));
    expect(reference.size).toBe(20);
    for (const places of [2, 3, 8, 32]) expect(byName(await run(groups, places))).toEqual(reference);
    expect(byName(await run([...groups].reverse(), 5))).toEqual(reference);
  });

  it('from one prefill equal those prefilled each on its own', async () => {
    let promptTokens = 0;
    const onProgress: BatchOptions['onProgress'] = (progress) => (promptTokens = progress.promptTokens);
    const together = byName(await run([group(30, 5)], 4, { onProgress }));
    expect(promptTokens).toBe(30);
    for (let index = 0; index < 5; index++) {
      const alone = { ...group(30, 1), begin: () => group(30, 5).begin(index) };
      const [row] = await run([alone], 1);
      expect(together.get(row!.name)).toEqual({ tokens: row!.tokens, drawn: row!.drawn });
    }
  });

  it('have the log-probabilities of a teacher-forced pass over their text', async () => {
    const rows = await run([group(20, 6), group(61, 3, 150)], 4);
    await withDecoder(1, async (decoder) => {
      for (const { tokens, drawn } of rows) {
        const expected: number[] = [];
        await decoder.score(tokens, 0, (position, logits) => {
          expected[position + 1] = logProbabilityOf(logits, tokens[position + 1]!);
        });
        expect(drawn.length).toBeGreaterThan(5);
        for (const [at, logProbability] of drawn) expect(Math.abs(logProbability - expected[at]!)).toBeLessThan(1e-4);
      }
    });
  });

  it('take runs longer than a chunk of the decoder', async () => {
    const { source: long } = await openTiny('llama3-rope'); // a context of 512 and more
    const options = { precision: 'fp32', places: 3, threads: 1, contextLength: 700 } as const;
    const decoder = await HostDecoder.create(long.config, long.weights, options);
    const text = Array.from({ length: Math.min(decoder.contextLength, 600) }, (_, i) => (i * 17 + 3) % 90);
    const whole = await decoder.prefill(text);
    decoder.cache.reserve(10, 0);
    for (const place of [0, 1, 2]) decoder.cache.load(place, await decoder.prefill(text.slice(0, 5)));
    const logits = await decoder.extend([text.slice(5), [], text.slice(5, 300)], [5, 5, 5]);
    expect(logits.length).toBe(2 * long.config.vocabularySize);
    let largest = 0;
    whole.logits.forEach((value, i) => (largest = Math.max(largest, Math.abs(value - logits[i]!))));
    expect(largest).toBeLessThan(1e-3);
    await decoder.close();
    await long.close();
  });

  it('end when they are aborted: those under way come out unfinished, nothing new begins', async () => {
    const stop = new AbortController();
    let steps = 0;
    const rows = await run([group(10, 3, 200), group(9, 3, 200)], 2, {
      signal: stop.signal,
      onProgress: ({ phase }) => {
        if (phase === 'decode' && ++steps === 5) stop.abort();
      },
    });
    expect(rows.map(({ done }) => done)).toEqual([false, false]);
  });

  it('that outgrow the context are refused in words', async () => {
    await expect(run([group(200, 2, 300)], 2)).rejects.toThrow(UserError);
    await expect(run([group(200, 2, 300)], 2)).rejects.toThrow(/context is 256/);
  });
});

describe('extending places', () => {
  it.each([
    ['a small model', undefined, 'fp32'],
    ['a small model', undefined, 'int8'],
    ['SmolLM2', realModelPath, 'int8'],
  ] as const)('%s, %s %s: logits to the bit whatever the others are fed', async (_, path, precision) => {
    if (_ === 'SmolLM2' && path === undefined) return;
    const from = path === undefined ? source : await openModel(path);
    const vocabulary = from.config.vocabularySize;
    await withDecoder(
      6,
      async (decoder) => {
        const mine = await decoder.prefill(prompt(30));
        const mates = [await decoder.prefill(prompt(3)), await decoder.prefill(prompt(70))];
        const own = [[5, 6, 7], [8], [9, 10, 11, 12, 13], [14, 15, 16, 17, 18, 19, 20, 21, 22], [23]];
        const logitsOf = async (
          places: number,
          place: number,
          mate: (i: number) => number,
        ): Promise<Float32Array[]> => {
          const prefixes = Array.from({ length: places }, (_, i) => (i === place ? mine : mates[i % 2]!));
          const lengths = prefixes.map(({ length }) => length);
          decoder.cache.reserve(Math.max(...lengths) + 1, 0);
          prefixes.forEach((prefix, i) => {
            decoder.cache.load(i, prefix);
          });
          const rows: Float32Array[] = [];
          for (const [turn, chunk] of own.entries()) {
            const chunks = prefixes.map((_, i) => (i === place ? chunk : prompt(mate(turn + i))));
            const at = chunks.slice(0, place).filter(({ length }) => length > 0).length;
            const logits = await decoder.extend(chunks, lengths);
            rows.push(logits.slice(at * vocabulary, (at + 1) * vocabulary));
            chunks.forEach(({ length }, i) => (lengths[i]! += length));
          }
          return rows;
        };
        const alone = await logitsOf(1, 0, () => 0);
        for (const [places, place, mate] of [
          [2, 1, () => 1],
          [3, 0, () => 7],
          [6, 4, (i: number) => i % 5],
          [5, 2, (i: number) => 4 + (i % 3)],
          [4, 3, () => 0],
        ] as const) {
          expect(await logitsOf(places, place, mate)).toEqual(alone);
        }
      },
      { from, precision },
    );
    if (from !== source) await from.close();
  });
});
