import { join } from 'node:path';
import fc from 'fast-check';
import type { Parser } from 'web-tree-sitter';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Decoder } from '../../../src/engine/generation/decoder.ts';
import { HostDecoder } from '../../../src/engine/generation/hostDecoder.ts';
import type { ModelSource } from '../../../src/engine/model.ts';
import { createTokenizer, type Tokenizer } from '../../../src/engine/text/tokenizer.ts';
import { randomWeights } from '../../../src/engine/training/randomWeights.ts';
import { openModel } from '../../../src/engine/weights/open.ts';
import { UserError } from '../../../src/errors.ts';
import { codeLines } from '../../../src/midtraining/abstractions/codeLines.ts';
import { isLatent, parseLatents, stripLatents, writeLatents } from '../../../src/midtraining/abstractions/latents.ts';
import type { CodeReading } from '../../../src/midtraining/abstractions/reading.ts';
import { pythonParser } from '../../../src/midtraining/data/pythonGrammar.ts';
import { readCode, type ReadOptions, type ReadRequest } from '../../../src/midtraining/rollouts/readCode.ts';
import { scoreCode } from '../../../src/midtraining/rollouts/rewards.ts';
import { ActionSets } from '../../../src/midtraining/rollouts/rollout.ts';
import { infusedParts, snippetTokens } from '../../../src/midtraining/rollouts/snippetTokens.ts';

let parser: Parser;
let source: ModelSource;
let tokenizer: Tokenizer;
const decoders = new Map<string, HostDecoder>();
beforeAll(async () => {
  parser = await pythonParser();
  source = await openModel(join(import.meta.dirname, '../../../media/starter-model'));
  tokenizer = createTokenizer(source.tokenizer);
});
afterAll(async () => {
  for (const decoder of decoders.values()) await decoder.close();
  await source.close();
  parser.delete();
});

/** The starter model with such a context. @param random of other, random weights */
async function decoderOf(contextLength = 512, random = false): Promise<HostDecoder> {
  const key = `${contextLength} ${random}`;
  const known = decoders.get(key);
  if (known !== undefined) return known;
  const options = { precision: 'fp32', places: 1, threads: 1, contextLength } as const;
  const weights = random ? randomWeights(source.config, 3) : source.weights;
  const decoder = await HostDecoder.create(source.config, weights, options);
  decoders.set(key, decoder);
  return decoder;
}

interface Reads extends Partial<ReadRequest>, ReadOptions {
  readonly pi?: Decoder;
  readonly q?: Decoder;
  readonly context?: number;
}
async function read(text: string, { context, pi, q, signal, onProgress, ...more }: Reads = {}): Promise<CodeReading> {
  const decoder = pi ?? (await decoderOf(context));
  const request = { name: 'test', model: { name: 'starter', step: null }, latents: 'text', threshold: 0.5 } as const;
  return readCode(
    { pi: decoder, q: q ?? decoder, tokenizer, parser },
    { ...request, ...more, text },
    { ...(signal && { signal }), ...(onProgress && { onProgress }) },
  );
}

const CODE = `def largest(numbers):
    """Sort, then take the last."""
    # sort
    step_1 = sorted(numbers)
    if not step_1:
        # nothing is there
        return None
    # take the last
    # of them
    step_2 = step_1[
        -1]
    return step_2
`;
const latentsIn = ({ lines }: CodeReading): (string | null)[] => lines.map(({ latent }) => latent?.text ?? null);
const valuesOf = ({ tokens }: CodeReading, key: 'logProbability' | 'without'): number[] =>
  tokens.map((token) => token[key] ?? NaN);

/** log-softmax of a row of logits, written down once more. */
function distribution(logits: Float32Array): Float64Array {
  const largest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
  return Float64Array.from(logits, (value) => value - largest - Math.log(sum));
}

async function distributions(decoder: Decoder, ids: readonly number[]): Promise<Float64Array[]> {
  const rows: Float64Array[] = [];
  await decoder.score(ids, 0, (position, logits) => (rows[position + 1] = distribution(logits)));
  return rows;
}

/** What holds of a reading of any text. */
function expectWhole(reading: CodeReading, text: string): void {
  const { code, lines, tokens } = reading;
  expect(code).toBe(stripLatents(parser, text));
  expect(tokens.map(({ from, to }) => code.slice(from, to)).join('')).toBe(code);
  expect(lines.flatMap(({ firstToken, endToken }) => [firstToken, endToken])).toEqual(
    lines.flatMap((_, i) => [i === 0 ? 0 : lines[i - 1]!.endToken, lines[i + 1]?.firstToken ?? tokens.length]),
  );
  tokens.forEach(({ logProbability, without, entropy, alternatives }, i) => {
    expect([i, logProbability === null]).toEqual([i, i === 0]);
    expect(without === null).toBe(i === 0);
    if (logProbability === null || without === null) return;
    expect(Math.max(logProbability, without)).toBeLessThanOrEqual(0);
    expect(Number.isFinite(logProbability + without + entropy!)).toBe(true);
    expect(alternatives).toHaveLength(5);
  });
  let gains = 0;
  for (const { latent, thinkProbability, logProbability, without, entropy } of lines) {
    expect(Number.isFinite(logProbability + without + entropy + (latent?.gain ?? 0))).toBe(true);
    if (thinkProbability !== null) expect(thinkProbability).toBeGreaterThan(0);
    if (latent !== null) expect(isLatent(latent.text)).toBe(true);
    gains += latent?.gain ?? 0;
  }
  const first = lines.findIndex(({ latent }) => latent !== null);
  const governed = first < 0 ? [] : lines.slice(first);
  expect(gains).toBeCloseTo(
    governed.reduce((sum, line) => sum + line.logProbability - line.without, 0),
    6,
  );
  expect(JSON.parse(JSON.stringify(reading))).toEqual(reading);
}

describe('readCode', () => {
  it('has for each token what two whole scorings have, and gains that are exactly their difference', async () => {
    const decoder = await decoderOf();
    const reading = await read(CODE);
    expectWhole(reading, CODE);
    const snippet = snippetTokens(parser, tokenizer, CODE);
    const { latents } = parseLatents(parser, CODE);
    const [scored, plain] = [
      await scoreCode(decoder, tokenizer, snippet, latents),
      await scoreCode(decoder, tokenizer, snippet, []),
    ];
    expect(valuesOf(reading, 'logProbability')).toEqual([...scored.tokens]);
    expect(valuesOf(reading, 'without')).toEqual([...plain.tokens]);
    expect(reading.lines.map(({ logProbability }) => logProbability)).toEqual([...scored.lines]);
    expect(latentsIn(reading)).toEqual(latents);
    const gain = (from: number, to: number): number =>
      scored.lines.slice(from, to).reduce((sum, value, i) => sum + value - plain.lines[from + i]!, 0);
    expect(reading.lines.map(({ latent }) => latent?.gain ?? null)).toEqual(
      [null, null, [2, 4], null, [4, 5], [5, 7], null].map((of) => of && gain(of[0]!, of[1]!)),
    );
    const { rest } = snippet.lines[5]!.place!;
    expect(reading.lines[5]!.latent!.tokens).toBe(
      tokenizer.encode(`${rest}# take the last\n    # of them`, { addSpecialTokens: false }).length,
    );
  });

  it('has the entropy, the alternatives, P(think) and log q of the distributions in place', async () => {
    const reading = await read(CODE);
    const snippet = snippetTokens(parser, tokenizer, CODE);
    const parts = infusedParts(tokenizer, snippet, latentsIn(reading));
    const ids = parts.flatMap((part) => part.ids);
    const rows = await distributions(await decoderOf(), ids);
    const sets = ActionSets.of(tokenizer);
    let at = 0;
    let token = 0;
    for (const part of parts) {
      if (part.latentOf !== null) {
        const { place } = snippet.lines[part.latentOf]!;
        const { latent } = reading.lines[part.latentOf]!;
        const size = part.ids.findIndex((id) => sets.endOf(id) !== undefined);
        let expected = -Math.log(
          [...sets.think(place!.rest).set].reduce((sum, id) => sum + Math.exp(rows[at]![id]!), 0),
        );
        expect(reading.lines[part.latentOf]!.thinkProbability).toBeCloseTo(Math.exp(-expected), 5);
        // Of several rows only the last one's end is the latent's.
        const last = latent!.text.includes('\n') ? part.ids.findLastIndex((id) => sets.endOf(id) !== undefined) : size;
        for (let i = 0; i < last; i++) expected += rows[at + i]![part.ids[i]!]!;
        const { set } = sets.endOf(part.ids[last]!)!;
        expected += Math.log([...set].reduce((sum, id) => sum + Math.exp(rows[at + last]![id]!), 0));
        expect(latent!.logProbability).toBeCloseTo(expected, 4);
      } else {
        for (const [i, id] of part.ids.entries()) {
          const row = rows[at + i];
          const { logProbability, entropy, alternatives } = reading.tokens[token++]!;
          if (row === undefined) continue;
          expect(logProbability).toBeCloseTo(row[id]!, 5);
          expect(entropy).toBeCloseTo(-row.reduce((sum, value) => sum + Math.exp(value) * value, 0), 4);
          const best = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, 5);
          expect(alternatives.map(({ text }) => text)).toEqual(best.map((one) => tokenizer.tokenText(one)));
          expect(alternatives[0]!.logProbability).toBeCloseTo(row[best[0]!]!, 5);
        }
      }
      at += part.ids.length;
    }
    const acting = snippet.lines[4]!.place!.at; // `return None` has a latent, `step_2` another: the line between has none
    expect(reading.lines[4]!.firstToken).toBe(acting);
  });

  it('lets the model write where P(think) reaches the threshold', async () => {
    const [always, half, never] = [
      await read(CODE, { latents: 'model', threshold: 0 }),
      await read(CODE, { latents: 'model', threshold: 0.3 }),
      await read(CODE, { latents: 'model', threshold: 1 }),
    ];
    for (const reading of [always, half, never]) {
      expectWhole(reading, CODE);
      expect(reading.lines.every(({ latent }) => (latent?.origin ?? 'model') === 'model')).toBe(true);
    }
    const thinks = (reading: CodeReading): boolean[] => latentsIn(reading).map((latent) => latent !== null);
    // What it is made to write above the docstring is no comment.
    expect(thinks(always)).toEqual([false, false, true, true, true, true, true]);
    expect(thinks(never)).toEqual(Array(7).fill(false));
    expect(thinks(half)).toEqual(half.lines.map(({ thinkProbability }) => (thinkProbability ?? 0) >= 0.3));
    expect(thinks(half)).toContain(true);
    expect(thinks(half).slice(1)).toContain(false);

    // As if they had stood there.
    const infused = writeLatents(half.code, codeLines(parser, half.code).lines, latentsIn(half));
    const again = await read(infused);
    expect(again.tokens).toEqual(half.tokens);
    expect(again.lines.map(({ latent }) => latent?.gain)).toEqual(half.lines.map(({ latent }) => latent?.gain));
    const none = await read(CODE, { latents: 'none' });
    expect(none.tokens).toEqual(never.tokens);
    expect(valuesOf(none, 'logProbability')).toEqual(valuesOf(half, 'without'));
  });

  it('takes P(think) and log q from q, and what code and latents are worth from pi', async () => {
    const [pi, q] = [await decoderOf(), await decoderOf(512, true)];
    const [both, ofPi, ofQ] = [await read(CODE, { pi, q }), await read(CODE), await read(CODE, { pi: q })];
    expect(both.tokens).toEqual(ofPi.tokens);
    expect(both.lines.map(({ thinkProbability }) => thinkProbability)).toEqual(
      ofQ.lines.map(({ thinkProbability }) => thinkProbability),
    );
    const latents = (reading: CodeReading) => reading.lines.flatMap(({ latent }) => latent ?? []);
    expect(latents(both).map(({ gain }) => gain)).toEqual(latents(ofPi).map(({ gain }) => gain));
    expect(latents(both).map(({ logProbability }) => logProbability)).toEqual(
      latents(ofQ).map(({ logProbability }) => logProbability),
    );
  });

  it('tells how far it is, and ends when it is told to', async () => {
    const told: number[] = [];
    let total = 0;
    const text = CODE.repeat(6);
    await read(text, {
      context: 96,
      latents: 'model',
      onProgress: (progress) => {
        told.push(progress.done);
        ({ total } = progress);
      },
    });
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(told.at(-1)).toBe(total);
    expect(told.length).toBeGreaterThan(10);
    for (const latents of ['model', 'text', 'none'] as const) {
      const stop = new AbortController();
      let calls = 0;
      const onProgress = (): void => {
        if (++calls === 3) stop.abort(new Error('enough'));
      };
      await expect(read(text, { context: 96, latents, signal: stop.signal, onProgress })).rejects.toThrow('enough');
      expect(calls).toBe(3);
    }
  });

  it('refuses a threshold that is none', async () => {
    for (const threshold of [NaN, -0.1, 1.1]) await expect(read('x = 1\n', { threshold })).rejects.toThrow(UserError);
  });
});

/** Counts what is fed to a decoder. */
function counting(decoder: Decoder): { decoder: Decoder; fed: () => number } {
  let fed = 0;
  return {
    fed: () => fed,
    decoder: new Proxy(decoder, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          if (key === 'score' || key === 'prefill') fed += (args[0] as number[]).length;
          if (key === 'extend') fed += (args[0] as number[][])[0]!.length;
          if (key === 'step') fed++;
          return Reflect.apply(value, target, args) as unknown;
        };
      },
    }),
  };
}

describe('a text longer than the context', () => {
  const long = Array.from({ length: 6 }, (_, i) => CODE.replaceAll('largest', `largest_${i}`)).join('\n\n');

  it('is read in windows of whole lines, each token once, as a text that begins where its context does', async () => {
    const context = 160;
    const decoder = await decoderOf(context);
    const reading = await read(long, { context, latents: 'none' });
    expectWhole(reading, long);
    const { ids } = snippetTokens(parser, tokenizer, long);
    let shortened = 0;
    for (const [i, { firstToken, endToken, contextTokens }] of reading.lines.entries()) {
      expect(contextTokens).toBeLessThan(context);
      expect(contextTokens).toBeLessThanOrEqual(firstToken);
      if (contextTokens < firstToken) shortened++;
      if (i % 4 > 0) continue;
      const from = firstToken - contextTokens;
      const rows = await distributions(decoder, ids.slice(from, endToken));
      for (let at = Math.max(1, firstToken); at < endToken; at++) {
        expect(reading.tokens[at]!.logProbability).toBeCloseTo(rows[at - from]![ids[at]!]!, 3);
      }
    }
    expect(shortened).toBeGreaterThan(reading.lines.length / 2);
    // Cut between definitions, where windows may be: the first line of a window has less context than the line before it.
    const cuts = reading.lines.flatMap((line, i) =>
      i > 0 &&
      line.firstToken - line.contextTokens > reading.lines[i - 1]!.firstToken - reading.lines[i - 1]!.contextTokens
        ? [reading.code.slice(line.from, line.to)]
        : [],
    );
    expect(cuts.length).toBeGreaterThan(3);
    expect(cuts.every((line) => line.startsWith('def '))).toBe(true);
    expect(reading.lines.slice(15).every(({ contextTokens }) => contextTokens > context / 4)).toBe(true);
  });

  it.each(['text', 'model'] as const)('costs in proportion to its length (%s)', async (latents) => {
    const context = 128;
    const costs: number[] = [];
    for (const times of [1, 2]) {
      const { decoder, fed } = counting(await decoderOf(context));
      const reading = await read(long.repeat(times), { pi: decoder, latents, threshold: 0.2 });
      costs.push(fed() / reading.tokens.length);
    }
    expect(costs[0]!).toBeLessThan(13);
    expect(costs[1]! / costs[0]!).toBeLessThan(1.2);
  });

  it('may have lines and latents longer than the context', async () => {
    const list = `values = [${Array.from({ length: 200 }, (_, i) => i).join(', ')}]\n`;
    const comment = '# a long explanation of it\n'.repeat(40);
    const text = `${CODE}${list}${comment}x = 1\n${list}${CODE}`;
    for (const latents of ['text', 'model', 'none'] as const) {
      const reading = await read(text, { context: 96, latents, threshold: 0.1 });
      expectWhole(reading, text);
      if (latents !== 'text') continue;
      expect(latentsIn(reading)).toEqual(parseLatents(parser, text).latents);
      const tooLong = reading.lines.find(({ latent }) => latent?.text.startsWith('# a long'))!.latent!;
      expect(tooLong).toMatchObject({ logProbability: null, tokens: expect.any(Number) as number });
      expect(tooLong.tokens).toBeGreaterThan(96);
    }
  });
});

describe('any text', () => {
  const texts: Readonly<Record<string, string>> = {
    nothing: '',
    'blank rows': '\n \n\n',
    'comments alone': '# one\n# two\n',
    'one line': 'x = 1',
    'a latent first of all': '# reverse\nx = y[::-1]\n# sort\nx = sorted(x)\n',
    'a licence first of all': `#!/usr/bin/env python\n# Copyright.\n\n"""Doc."""\n# add\nx = 1 + 1\n`,
    tabs: 'def f(x):\n\t# twice\n\tif x:\n\t\treturn 2 * x\n\telse:\n\t\t# none\n\t\treturn 0\n',
    'CR LF': CODE.replaceAll('\n', '\r\n'),
    CR: 'x = 1\r# two\ry = 2\r',
    'a mark of byte order': '\uFEFF# first\nx = 1\n',
    emoji: '# 🎉 party 👩‍👩‍👧\nx = "🎉👩‍👩‍👧🇩🇪"\ny = "🎉"\n',
    CJK: '# 並べ替え\n变量 = "漢字かな交じり文"\nprint(变量)\n',
    'special tokens': '# <|endoftext|>\nx = "<|endoftext|><|im_start|>"\ny = "</s>"\n',
    HTML: '# <script>alert(1)</script>\nx = "</script><b>"\n',
    'syntax errors': 'def f(:\n    # what\n    return ((\nclass\n# end\nx = 1\n',
    'a lone surrogate': 'x = "\uD800"\n',
    'a NUL': 'x = 1\0\n# two\ny = 2\n',
    'a string over many rows': 'x = """\n# not a latent\n"""\n# one\ny = x\n',
  };

  it.each(Object.entries(texts))('%s', async (name, text) => {
    for (const latents of ['text', 'model', 'none'] as const) {
      for (const context of [512, 64]) {
        const reading = await read(text, { context, latents, threshold: 0.05 }).catch((error: unknown) => {
          if (name === 'a lone surrogate') expect(error).toBeInstanceOf(UserError);
          else throw error;
          return null;
        });
        if (reading === null) continue;
        expectWhole(reading, text);
        const { latents: own, hasError } = parseLatents(parser, text);
        expect(reading.hasError).toBe(hasError);
        if (latents === 'text') expect(latentsIn(reading)).toEqual(own);
      }
    }
  });

  it('of rows put together as they come', async () => {
    const row = fc.oneof(
      fc.constantFrom(
        'x = 1',
        'if x:',
        '    y = [',
        '    2,',
        ']',
        '# why',
        '    # because',
        '',
        'def f(a):',
        "'''",
        '\t',
      ),
      fc.string({ maxLength: 12 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 14 }),
        fc.constantFrom('text', 'model'),
        fc.constantFrom('\n', '\r\n'),
        async (rows, latents, newline) => {
          const text = rows.join(newline);
          expectWhole(await read(text, { context: 64, latents, threshold: 0.05 }), text);
        },
      ),
      { numRuns: 40 },
    );
  });
});
