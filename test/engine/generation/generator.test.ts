import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generate } from '../../../src/engine/generation/generator.ts';
import { HostDecoder } from '../../../src/engine/generation/hostDecoder.ts';
import type { Completion, GenerationRequest } from '../../../src/engine/generation/types.ts';
import type { ModelSource } from '../../../src/engine/model.ts';
import { createTokenizer, type Tokenizer } from '../../../src/engine/text/tokenizer.ts';
import { UserError } from '../../../src/errors.ts';
import { openTiny } from './models.ts';

let source: ModelSource;
let tokenizer: Tokenizer;
beforeAll(async () => {
  ({ source } = await openTiny('llama-gqa-tied'));
  tokenizer = createTokenizer(source.tokenizer);
});
afterAll(() => source.close());

const sampled = { temperature: 1, topP: 1, topK: 0, minP: 0 };
const request = (id: string, prompt: readonly number[], more: Partial<GenerationRequest> = {}): GenerationRequest => ({
  ...sampled,
  id,
  prompt,
  samples: [0],
  maxTokens: 20,
  seed: 5,
  stop: [],
  ...more,
});
const prompt = (length: number): number[] => Array.from({ length }, (_, i) => 3 + ((i * 13 + length) % 90));

async function run(
  requests: readonly GenerationRequest[],
  places: number,
  options: Parameters<typeof generate>[3] = {},
): Promise<Completion[]> {
  const decoder = await HostDecoder.create(source.config, source.weights, {
    precision: 'fp32',
    places,
    threads: 1,
    contextLength: 256,
  });
  try {
    const completions: Completion[] = [];
    for await (const completion of generate(decoder, tokenizer, requests, options)) completions.push(completion);
    return completions;
  } finally {
    await decoder.close();
  }
}

const byKey = (completions: readonly Completion[]): Map<string, string> =>
  new Map(completions.map(({ id, sample, tokens }) => [`${id}#${sample}`, tokens.map((token) => token.id).join(' ')]));

describe('generate', () => {
  it('gives a sample the same tokens alone, in any batch and in any order', async () => {
    const requests = [5, 40, 17, 90, 33, 2].map((length) =>
      request(`p${length}`, prompt(length), { samples: [0, 1, 2, 3], maxTokens: 10 + length }),
    );
    const reference = byKey(await run(requests, 1));
    expect(reference.size).toBe(24);
    expect(new Set(reference.values()).size).toBe(24);
    for (const places of [2, 7, 32]) expect(byKey(await run(requests, places))).toEqual(reference);
    expect(byKey(await run([...requests].reverse(), 5))).toEqual(reference);
    const some = await run([{ ...requests[3]!, samples: [2] }], 4);
    expect(byKey(some).get('p90#2')).toBe(reference.get('p90#2'));
  });

  it('prefills a prompt once for all its samples', async () => {
    let promptTokens = 0;
    await run([request('a', prompt(30), { samples: [0, 1, 2, 3, 4] })], 2, {
      onProgress: (progress) => (promptTokens = progress.promptTokens),
    });
    expect(promptTokens).toBe(30);
  });

  it('ends before a stop string, wherever the tokens are cut', async () => {
    const [free] = await run([request('a', prompt(10), { maxTokens: 60 })], 1);
    const stop = free!.text.slice(7, 11);
    const at = free!.text.indexOf(stop);
    let streamed = '';
    const [stopped] = await run([request('a', prompt(10), { maxTokens: 60, stop: ['never there', stop] })], 1, {
      onText: (_id, _sample, text) => (streamed += text),
    });
    expect(stopped!.finish).toBe('stop');
    expect(stopped!.text).toBe(free!.text.slice(0, at));
    expect(streamed).toBe(stopped!.text);
  });

  it('says why a sample ended', async () => {
    const [length, context] = [
      await run([request('a', prompt(10), { maxTokens: 3 })], 1),
      await run([request('a', prompt(250), { maxTokens: 500 })], 1),
    ];
    expect(length[0]).toMatchObject({ finish: 'length' });
    expect(length[0]!.tokens).toHaveLength(3);
    expect(['context', 'eos']).toContain(context[0]!.finish);
    expect(250 + context[0]!.tokens.length).toBeLessThanOrEqual(256);
    const many = await run(
      [request('a', prompt(4), { samples: [...Array(30).keys()], maxTokens: 200, temperature: 2 })],
      16,
    );
    const ended = many.filter(({ finish }) => finish === 'eos');
    expect(ended.length).toBeGreaterThan(0);
    for (const { tokens } of ended) expect(tokenizer.eosTokenIds).toContain(tokens.at(-1)!.id);
  });

  it('gives each token its log-probability, entropy and five alternatives', async () => {
    const [greedy] = await run([request('a', prompt(12), { temperature: 0 })], 1);
    for (const token of greedy!.tokens) {
      expect(token.top).toHaveLength(5);
      expect(token.top[0]).toEqual({ id: token.id, text: token.text, logProbability: token.logProbability });
      expect(token.logProbability).toBeLessThanOrEqual(0);
      expect(token.entropy).toBeGreaterThanOrEqual(0);
    }
  });

  it('cancels: what is under way comes out as cancelled, and nothing new begins', async () => {
    const stop = new AbortController();
    let steps = 0;
    const completions = await run(
      [1, 2, 3, 4].map((i) => request(`p${i}`, prompt(10 + i), { maxTokens: 200, stop: ['\u0000'] })),
      2,
      {
        signal: stop.signal,
        onProgress: ({ phase }) => {
          if (phase === 'decode' && ++steps === 5) stop.abort();
        },
      },
    );
    const cancelled = completions.filter(({ finish }) => finish === 'cancelled');
    expect(cancelled.length).toBeGreaterThan(0);
    expect(completions.length).toBeLessThan(4);
  });

  it('refuses what cannot be generated before it begins', async () => {
    await expect(run([request('a', prompt(256))], 1)).rejects.toThrow(UserError);
    await expect(run([request('a', [])], 1)).rejects.toThrow(/prompt of a is empty/);
    await expect(run([request('a', prompt(3), { maxTokens: 0 })], 1)).rejects.toThrow(/1 or more/);
  });
});
