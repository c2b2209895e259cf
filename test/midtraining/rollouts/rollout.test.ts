import type { Parser } from 'web-tree-sitter';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HostDecoder } from '../../../src/engine/generation/hostDecoder.ts';
import { logProbabilityOf, massOf } from '../../../src/engine/generation/sampler.ts';
import type { ModelSource } from '../../../src/engine/model.ts';
import { createTokenizer, type Tokenizer } from '../../../src/engine/text/tokenizer.ts';
import { openModel } from '../../../src/engine/weights/open.ts';
import { UserError } from '../../../src/errors.ts';
import { isLatent, parseLatents, writeLatents } from '../../../src/midtraining/abstractions/latents.ts';
import { pythonParser } from '../../../src/midtraining/data/pythonGrammar.ts';
import { scoreCode } from '../../../src/midtraining/rollouts/rewards.ts';
import {
  ActionSets,
  latentsOf,
  type Rollout,
  type RolloutSettings,
  sampleRollouts,
} from '../../../src/midtraining/rollouts/rollout.ts';
import { infusedParts, type SnippetTokens, snippetTokens } from '../../../src/midtraining/rollouts/snippetTokens.ts';
import { openTiny, realModelPath } from '../../engine/generation/models.ts';

let parser: Parser;
let source: ModelSource;
let tokenizer: Tokenizer;
beforeAll(async () => {
  parser = await pythonParser();
  ({ source } = await openTiny('llama-gqa-tied'));
  tokenizer = createTokenizer(source.tokenizer);
});
afterAll(async () => {
  parser.delete();
  await source.close();
});

const CODE = `def first(number, value):
    result = []
    if number:
        result = [number + 1,
            value]
    else:
        result = '''
# no
'''
    return result

first(1, 2)
`;
const snippet = (text = CODE): SnippetTokens => snippetTokens(parser, tokenizer, text);
/** Hot, so that this model of random weights does think. */
const settings: RolloutSettings = { group: 48, temperature: 8, maxLatentTokens: 12, seed: 1 };

async function withDecoder<T>(
  places: number,
  work: (decoder: HostDecoder) => Promise<T>,
  from: ModelSource = source,
): Promise<T> {
  const options = { precision: 'fp32', places, threads: 1, contextLength: 256 } as const;
  const decoder = await HostDecoder.create(from.config, from.weights, options);
  try {
    return await work(decoder);
  } finally {
    await decoder.close();
  }
}
async function sample(
  snippets: readonly SnippetTokens[],
  places: number,
  more: Partial<RolloutSettings> = {},
  options: Parameters<typeof sampleRollouts>[4] = {},
): Promise<Rollout[]> {
  const requests = snippets.map((one, i) => ({ id: `s${i}`, snippet: one }));
  return withDecoder(places, async (decoder) => {
    const rollouts: Rollout[] = [];
    for await (const one of sampleRollouts(decoder, tokenizer, requests, { ...settings, ...more }, options)) {
      rollouts.push(one);
    }
    return rollouts.sort((a, b) => a.id.localeCompare(b.id) || a.index - b.index);
  });
}
const textOf = (ids: readonly number[], by = tokenizer): string => by.decode(ids);
const withoutError = ({ lines }: Rollout): boolean => lines.every(({ latent }) => (latent?.error ?? null) === null);

/** Each choice again, from a teacher-forced pass over the rollout's tokens. Gives the largest difference. */
async function checkChoices(decoder: HostDecoder, one: Rollout, code: SnippetTokens, by: Tokenizer): Promise<number> {
  const sets = new ActionSets(by);
  const rows: Float32Array[] = [];
  await decoder.score(one.ids, 0, (position, logits) => (rows[position + 1] = logits.slice()));
  let largest = 0;
  const compare = (actual: number, expected: number): void => {
    largest = Math.max(largest, Math.abs(actual - expected));
  };
  one.lines.forEach(({ decision, latent }, i) => {
    if (decision === null) return;
    const { set } = sets.think(code.lines[i]!.place!.rest);
    const mass = massOf(rows[decision.position]!, set);
    compare(decision.logProbability, decision.thinks ? mass.inside : mass.outside);
    compare(decision.thinkProbability, Math.exp(mass.inside));
    for (const token of latent?.tokens ?? []) {
      expect(one.ids[token.position]).toBe(token.id);
      compare(token.logProbability, logProbabilityOf(rows[token.position]!, token.id));
    }
  });
  return largest;
}

describe('snippetTokens', () => {
  it('finds a place for a latent before each line but a first one that nothing precedes', () => {
    const { code, ids, lines, codeLines } = snippet();
    expect(code).toBe(CODE);
    expect(textOf(ids)).toBe(CODE);
    expect(lines.map(({ place }) => place === null)).toEqual([true, ...Array<boolean>(7).fill(false)]);
    expect(lines.map(({ from, to }) => textOf(ids.slice(from, to))).join('')).toBe(CODE);
    lines.forEach(({ place }, i) => {
      if (place === null) return;
      const before = textOf(ids.slice(0, place.at)) + place.rest;
      expect(before).toBe(CODE.slice(0, codeLines[i]!.start) + codeLines[i]!.indent);
    });
  });

  it('writes latents between the tokens of the code as they stand in the text', () => {
    const one = snippet(`# old\r\n${CODE}`.replaceAll('\r', ''));
    const latents = one.lines.map(({ place }, i) => (place !== null && i % 2 === 1 ? '# no\n# first' : null));
    const parts = infusedParts(tokenizer, one, latents);
    expect(parts.filter(({ latentOf }) => latentOf === null).flatMap(({ ids }) => ids)).toEqual(one.ids);
    const text = textOf(parts.flatMap(({ ids }) => ids));
    expect(text).toBe(writeLatents(one.code, one.codeLines, latents));
    expect(parseLatents(parser, text)).toMatchObject({ code: one.code, latents });
  });

  it('refuses a tokenizer that loses text', () => {
    expect(() => snippet('x = "🎉"\n')).toThrow(UserError);
  });
});

describe('rollouts', () => {
  it('are the expert’s code with latents where q thought', async () => {
    const one = snippet();
    const rollouts = await sample([one], 32, { group: 150 });
    expect(rollouts).toHaveLength(150);
    let thoughts = 0;
    for (const rollout of rollouts) {
      expect(rollout.finish).toBe('done');
      expect(rollout.lines).toHaveLength(one.lines.length);
      rollout.lines.forEach(({ decision, latent }, i) => {
        expect(decision === null).toBe(one.lines[i]!.place === null);
        expect(latent !== null).toBe(decision?.thinks ?? false);
        if (latent === null) return;
        thoughts++;
        expect(latent.tokens.length).toBeLessThanOrEqual(12);
        expect(latent.error === null).toBe(latent.end !== null && isLatent(latent.text));
      });
      if (!withoutError(rollout)) continue;
      expect(textOf(rollout.ids)).toBe(writeLatents(one.code, one.codeLines, latentsOf(rollout)));
      expect(parseLatents(parser, textOf(rollout.ids))).toMatchObject({ code: CODE, latents: latentsOf(rollout) });
    }
    expect(thoughts).toBeGreaterThan(5);
    const errors = rollouts.flatMap(({ lines }) => lines.flatMap(({ latent }) => latent?.error ?? []));
    expect(errors).toContain('unended');
    expect(errors.length).toBeLessThan(thoughts);
  });

  it('have the log-probabilities of a teacher-forced pass over their tokens', async () => {
    const one = snippet();
    const rollouts = await sample([one], 8, { group: 24 });
    expect(rollouts.some(({ lines }) => lines.some(({ latent }) => latent !== null))).toBe(true);
    await withDecoder(1, async (decoder) => {
      for (const rollout of rollouts) expect(await checkChoices(decoder, rollout, one, tokenizer)).toBeLessThan(1e-4);
    });
  });

  it('are the same to the bit whatever shares their batch, and each as from a prefill of its own', async () => {
    const snippets = [
      snippet(),
      snippet('def se(x):\n    return x\n\nx = se(1)\n'),
      snippet('value = 1\nresult = 2\n'),
    ];
    const reference = await sample(snippets, 1, { group: 12 });
    for (const places of [3, 16]) expect(await sample(snippets, places, { group: 12 })).toEqual(reference);
    const alone = await sample([snippets[0]!], 5, { group: 12 });
    expect(alone).toEqual(reference.filter(({ id }) => id === 's0'));
    let promptTokens = 0;
    await sample(snippets, 4, { group: 12 }, { onProgress: (progress) => (promptTokens = progress.promptTokens) });
    const [first] = snippets.map(({ lines }) => lines[1]!.place!.at);
    expect(promptTokens).toBeLessThan(first! + 40); // each snippet's first line once
    expect((await sample(snippets, 4, { group: 12, seed: 2 })).map(latentsOf)).not.toEqual(reference.map(latentsOf));
  });

  it('without temperature take what is likeliest, and behave so for certain', async () => {
    const [one, two] = await sample([snippet()], 2, { group: 2, temperature: 0 });
    expect(one!.ids).toEqual(two!.ids);
    for (const { decision } of one!.lines) expect(decision?.behaviour ?? 0).toBe(0);
    const hot = await sample([snippet()], 8, { group: 4 });
    for (const { decision } of hot.flatMap(({ lines }) => lines)) {
      if (decision !== null) expect(decision.behaviour).not.toBe(decision.logProbability);
    }
  });

  it('end when they are aborted', async () => {
    const stop = new AbortController();
    let steps = 0;
    const onProgress = (): void => {
      if (++steps === 6) stop.abort();
    };
    const rollouts = await sample([snippet(), snippet()], 4, {}, { signal: stop.signal, onProgress });
    expect(rollouts.length).toBeLessThan(96);
    const cancelled = rollouts.filter(({ finish }) => finish === 'cancelled');
    expect(cancelled.length).toBeGreaterThan(0);
    for (const { lines } of cancelled) expect(lines.length).toBeLessThan(snippet().lines.length);
  });

  it('are refused in words where they cannot be', async () => {
    const long = snippet('value = [1, 2]\n'.repeat(40));
    await expect(sample([long], 2)).rejects.toThrow(
      /snippet s0 comes to \d+ tokens with one latent, and the context is 256/,
    );
    await expect(sample([snippet()], 2, { group: 0 })).rejects.toThrow(UserError);
    await expect(sample([snippet()], 2, { temperature: NaN })).rejects.toThrow(UserError);
    await expect(sample([snippet()], 2, { maxLatentTokens: 0 })).rejects.toThrow(UserError);
    expect(await sample([snippet('')], 2)).toEqual([]);
    const [only] = await sample([snippet('x = 1')], 2, { group: 1 });
    expect(only).toMatchObject({ finish: 'done', lines: [{ decision: null, latent: null }] });
  });

  it('do not think where a latent would leave no room for the code', async () => {
    const rows = Math.floor((256 - 12 - snippet('').ids.length) / snippet('value = 1\n').ids.length) - 1;
    const tight = snippet('value = 1\n'.repeat(rows));
    const rollouts = await sample([tight], 16, { group: 60 });
    const counts = rollouts.map(({ lines }) => lines.filter(({ latent }) => latent !== null).length);
    expect(Math.max(...counts)).toBeGreaterThan(0);
    for (const { ids } of rollouts) expect(ids.length).toBeLessThanOrEqual(256);
    expect(rollouts.some(({ lines }) => lines.slice(1).some(({ decision }) => decision === null))).toBe(true);
  });
});

describe('scoreCode', () => {
  it('without latents is next-token prediction on the code; with them it is of the text with them', async () => {
    const one = snippet();
    const latents = one.lines.map((_, i) => (i === 2 || i === 5 ? '# number' : null));
    await withDecoder(1, async (decoder) => {
      const plain: number[] = [NaN];
      await decoder.score(one.ids, 0, (position, logits) => {
        plain.push(logProbabilityOf(logits, one.ids[position + 1]!));
      });
      const without = await scoreCode(
        decoder,
        tokenizer,
        one,
        one.lines.map(() => null),
      );
      expect([...without.tokens]).toEqual(plain);
      expect(without.latents.every((value) => value === null)).toBe(true);
      const sum = plain.slice(1).reduce((all, value) => all + value, 0);
      expect(without.lines.reduce((all, value) => all + value, 0)).toBeCloseTo(sum, 8);

      const scores = await scoreCode(decoder, tokenizer, one, latents);
      const ids = tokenizer.encode(writeLatents(one.code, one.codeLines, latents));
      let all = 0;
      await decoder.score(ids, 0, (position, logits) => (all += logProbabilityOf(logits, ids[position + 1]!)));
      const latentSum = scores.latents.reduce<number>((total, value) => total + (value ?? 0), 0);
      expect(scores.lines.reduce((total, value) => total + value, 0) + latentSum).toBeCloseTo(all, 4);
      expect(scores.latents.map((value) => value !== null)).toEqual(latents.map((latent) => latent !== null));
      // What comes before the first latent is as without it.
      const { at } = one.lines[2]!.place!;
      for (let i = 1; i < at; i++) expect(scores.tokens[i]).toBeCloseTo(without.tokens[i]!, 4);
      expect(scores.tokens[at]).not.toBeCloseTo(without.tokens[at]!, 4);
    });
  });
});

describe.skipIf(realModelPath === undefined)('SmolLM2', () => {
  it('has places for latents before its last space, and its choices are those of a teacher-forced pass', async () => {
    const real = await openModel(realModelPath!);
    const by = createTokenizer(real.tokenizer);
    const text = 'def mean(values):\n    total = sum(values)\n    # divide\n    return total / len(values)\n';
    const one = snippetTokens(parser, by, text);
    expect(one.lines.map(({ place }) => place?.rest)).toEqual([undefined, ' ', ' ']);
    const latents = [null, '# add up 🎉', '# divide by n'];
    const infused = infusedParts(by, one, latents).flatMap(({ ids }) => ids);
    expect(infused).toEqual(by.encode(writeLatents(one.code, one.codeLines, latents), { addSpecialTokens: false }));
    const limits = { group: 12, temperature: 1.5, maxLatentTokens: 8, seed: 3 };
    await withDecoder(
      6,
      async (decoder) => {
        for await (const rollout of sampleRollouts(decoder, by, [{ id: 'mean', snippet: one }], limits)) {
          expect(await checkChoices(decoder, rollout, one, by)).toBeLessThan(2e-3);
          for (const { decision } of rollout.lines.slice(1)) {
            expect(decision!.thinkProbability).toBeGreaterThan(1e-5);
            expect(decision!.thinkProbability).toBeLessThan(0.5);
          }
          if (!withoutError(rollout)) continue;
          expect(textOf(rollout.ids, by)).toBe(writeLatents(one.code, one.codeLines, latentsOf(rollout)));
        }
      },
      real,
    );
    await real.close();
  }, 300_000);
});
