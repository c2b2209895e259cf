import { readFileSync } from 'node:fs';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { UserError } from '../../../src/errors.ts';
import { tokenizerFromGguf } from '../../../src/engine/text/ggufTokenizer.ts';
import { createTokenizer, type Tokenizer } from '../../../src/engine/text/tokenizer.ts';
import { Utf8Stream } from '../../../src/engine/text/utf8Stream.ts';
import { readGgufHeader, type GgufValue } from '../../../src/engine/weights/gguf.ts';
import { WeightFile } from '../../../src/engine/weights/storage.ts';
import { byteLevel, byteLevelMetadata, fixture, metadata, sentencePieceMetadata, strings } from './fixtures.ts';

function tokenizer(values: ReadonlyMap<string, GgufValue>): Tokenizer {
  return createTokenizer(tokenizerFromGguf(values));
}

/** Strings whose ids differ, with both: what a failing test should show. */
function differences(tokenizer: Tokenizer, expected: readonly (readonly number[] | null)[], parseSpecial = true) {
  return strings.flatMap((text, i) => {
    const ids = tokenizer.encode(text, { addSpecialTokens: false, parseSpecial });
    const reference = expected[i];
    if (reference === null || reference === undefined || reference.join() === ids.join()) return [];
    return [
      {
        text,
        ids: ids.map((id) => tokenizer.tokenText(id)),
        reference: reference.map((id) => tokenizer.tokenText(id)),
      },
    ];
  });
}

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string {
  const stream = new Utf8Stream();
  return ids.map((id) => stream.push(tokenizer.tokenBytes(id))).join('') + stream.flush();
}

/** Any text: all of Unicode, and what pre-tokenizers cut at. */
const anyText = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.string({ unit: 'grapheme', maxLength: 8 }),
      fc.constantFrom(
        '\r\n',
        '\n',
        '    ',
        '\t',
        "'ll",
        '١٢',
        '²',
        '\ufeff',
        '\u0085',
        '▁',
        '<s>',
        '<|im_end|>',
        '<0x0A>',
        'x = 12345\n',
      ),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

describe('byte-level BPE from GGUF metadata', () => {
  it.each(Object.keys(byteLevel.ids))("gives the reference's ids with the pre-tokenizer %s", (pre) => {
    expect(differences(tokenizer(byteLevelMetadata(pre)), byteLevel.ids[pre]!)).toEqual([]);
    expect(byteLevel.ids[pre]).toHaveLength(strings.length);
  });

  it.each(['gpt-2', 'smollm', 'llama-bpe', 'deepseek-r1-qwen', 'deepseek-coder', 'default'])(
    'gives any text back with %s',
    (pre) => {
      const subject = tokenizer(byteLevelMetadata(pre));
      fc.assert(
        fc.property(anyText, (text) => {
          expect(subject.decode(subject.encode(text, { parseSpecial: false }))).toBe(text);
          expect(subject.decode(subject.encode(text), { keepSpecial: true })).toBe(text);
          expect(streamed(subject, subject.encode(text, { parseSpecial: false }))).toBe(text);
        }),
        { numRuns: 300 },
      );
    },
  );

  it('reads special tokens in a text only where that is asked for', () => {
    const subject = tokenizer(byteLevelMetadata('smollm'));
    expect(subject.encode('<|im_start|>')).toEqual([1]);
    const spelt = subject.encode('<|im_start|>', { parseSpecial: false });
    expect(spelt.length).toBeGreaterThan(1);
    expect(spelt.some((id) => subject.isSpecial(id))).toBe(false);
    expect(subject.encode('<tool>', { parseSpecial: false })).toEqual([3]); // user defined, so part of the text
    fc.assert(
      fc.property(anyText, (text) => {
        expect(subject.encode(text, { parseSpecial: false }).some((id) => subject.isSpecial(id))).toBe(false);
      }),
    );
  });

  it('knows what its tokens stand for', () => {
    const subject = tokenizer(byteLevelMetadata('smollm'));
    const { tokens } = byteLevel;
    expect(subject.vocabularySize).toBe(tokens.length);
    expect([...subject.tokenBytes(tokens.indexOf('Ã'))]).toEqual([0xc3]);
    expect([...subject.tokenBytes(tokens.indexOf('Ċ'))]).toEqual([0x0a]);
    expect([...subject.tokenBytes(tokens.indexOf('Ń'))]).toEqual([0xad]);
    expect(new Set(tokens.map((_, id) => Buffer.from(subject.tokenBytes(id)).toString('hex'))).size).toBe(
      tokens.length - 2,
    );
    expect(subject.tokenText(tokens.indexOf('Ã'))).toBe('\ufffd');
    expect(subject.tokenText(2)).toBe('<|im_end|>');
    expect([subject.tokenBytes(2).length, subject.isSpecial(2)]).toEqual([0, true]);
    expect([Buffer.from(subject.tokenBytes(3)).toString(), subject.isSpecial(3)]).toEqual(['<tool>', false]);
    expect([subject.tokenBytes(1e6).length, subject.tokenText(1e6), subject.isSpecial(1e6)]).toEqual([0, '', false]);
    expect(subject.decode([2, 0, 3])).toBe('<tool>');
  });

  it('takes tokens that are names of object properties', () => {
    const tokens = [...byteLevel.tokens, '__proto__', 'constructor'];
    const merges = [...byteLevel.merges, '__ proto__'];
    const { model } = tokenizerFromGguf(
      metadata({
        ...Object.fromEntries(byteLevelMetadata('gpt-2')),
        'tokenizer.ggml.tokens': tokens,
        'tokenizer.ggml.token_type': tokens.map(() => 1),
        'tokenizer.ggml.merges': merges,
      }),
    ).tokenizer as { model: { vocab: Record<string, number> } };
    expect(Object.getOwnPropertyDescriptor(model.vocab, '__proto__')?.value).toBe(tokens.length - 2);
    expect(Object.getOwnPropertyDescriptor(model.vocab, 'constructor')?.value).toBe(tokens.length - 1);
  });
});

describe('SentencePiece from GGUF metadata', () => {
  const { ids, tokens } = fixture('sentencePiece.json') as { ids: number[][]; tokens: string[] };
  const subject = tokenizer(sentencePieceMetadata());

  it("gives SentencePiece's ids", () => {
    expect(differences(subject, ids, false)).toEqual([]);
    expect(ids).toHaveLength(strings.length);
  });

  it('gives the same ids when the text is not cut into words', () => {
    // One merge across a word border forbids the cut. Its parts never meet: "⁂" is not in the vocabulary.
    const { tokenizer: json, ...rest } = tokenizerFromGguf(sentencePieceMetadata());
    const { model, ...others } = json as { model: { merges: unknown[] } };
    const uncut = createTokenizer({
      ...rest,
      tokenizer: { ...others, model: { ...model, merges: [...model.merges, ['⁂', '▁']] } },
    });
    expect(differences(uncut, ids, false)).toEqual([]);
  });

  it('gives them with Metaspace too, the form of newer Llama tokenizers', () => {
    const { tokenizer: json, ...rest } = tokenizerFromGguf(sentencePieceMetadata());
    for (const split of [true, false]) {
      const step = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split };
      const metaspace = createTokenizer({
        ...rest,
        tokenizer: { ...json, normalizer: null, pre_tokenizer: step, decoder: step },
      });
      // It adds no space where there is one, and with `split` it cuts runs of spaces.
      const expected = ids.map((reference, i) => {
        const other = split ? / {2}|[ ▁]$|▁/ : /^[ ▁]/;
        return strings[i]!.startsWith(' ') || other.test(strings[i]!) ? null : reference;
      });
      expect(expected.filter((reference) => reference !== null).length).toBeGreaterThan(100);
      expect(differences(metaspace, expected, false)).toEqual([]);
      expect(metaspace.decode(metaspace.encode('a b'))).toBe('a b');
    }
  });

  it('puts BOS in front unless told not to, and a space before the text and after special tokens', () => {
    expect(subject.bosTokenId).toBe(1);
    expect(subject.eosTokenIds).toEqual([2]);
    expect(subject.encode('in')).toEqual([1, tokens.indexOf('▁in')]);
    expect(subject.encode('in</s>in', { addSpecialTokens: false })).toEqual([
      tokens.indexOf('▁in'),
      2,
      tokens.indexOf('▁in'),
    ]);
    const bare = tokenizer(
      sentencePieceMetadata({ 'tokenizer.ggml.add_space_prefix': false, 'tokenizer.ggml.add_bos_token': false }),
    );
    expect(bare.encode('in')).toEqual([tokens.indexOf('in')]);
    expect(bare.decode(bare.encode(' in'))).toBe(' in');
  });

  it('gives any text back, with the bytes of unknown characters', () => {
    expect(
      subject
        .encode('☃')
        .slice(-3)
        .map((id) => tokens[id]),
    ).toEqual(['<0xE2>', '<0x98>', '<0x83>']);
    fc.assert(
      fc.property(
        anyText.filter((text) => !text.includes('▁')), // which stands for a space
        (text) => {
          const encoded = subject.encode(text, { parseSpecial: false });
          expect(subject.decode(encoded)).toBe(text);
          expect(streamed(subject, encoded)).toBe(text === '' ? '' : ` ${text}`);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('createTokenizer', () => {
  const definition = tokenizerFromGguf(byteLevelMetadata('smollm'));
  const { model, ...parts } = definition.tokenizer as { model: Record<string, unknown> };

  it.each<[string, Record<string, unknown>]>([
    ['an empty file', {}],
    ['another model', { ...parts, model: { type: 'WordPiece', vocab: {} } }],
    ['Unigram', { ...parts, model: { type: 'Unigram', vocab: [['a', 0]] } }],
    ['an id that is no index', { ...parts, model: { ...model, vocab: { a: -1 } } }],
    ['an enormous id', { ...parts, model: { ...model, vocab: { a: 2 ** 31 } } }],
    ['merges of another shape', { ...parts, model: { ...model, merges: [1] } }],
    ['an unknown token that is not there', { ...parts, model: { ...model, unk_token: '<nope>' } }],
    ['word suffixes', { ...parts, model: { ...model, end_of_word_suffix: '</w>' } }],
    ['an unknown pre-tokenizer', { ...parts, model, pre_tokenizer: { type: 'Magic' } }],
    [
      'a split that the library gets wrong',
      { ...parts, model, pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithNext' } },
    ],
    [
      'a broken pattern',
      { ...parts, model, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' } },
    ],
    ['an unknown decoder', { ...parts, model, decoder: { type: 'CTC' } }],
    ['no decoder', { ...parts, model, pre_tokenizer: null, decoder: null }],
    ['a sequence without parts', { ...parts, model, pre_tokenizer: { type: 'Sequence' } }],
    ['an added token without text', { ...parts, model, added_tokens: [{ id: 1 }] }],
  ])('refuses %s in one sentence', (_, tokenizer) => {
    expect(() => createTokenizer({ ...definition, tokenizer })).toThrow(UserError);
  });

  it.each<[string, Record<string, unknown>]>([
    [
      'Digits',
      { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, { type: 'ByteLevel' }] },
    ],
  ])("mends the library's %s", (_, preTokenizer) => {
    const mended = createTokenizer({ ...definition, tokenizer: { ...parts, model, pre_tokenizer: preTokenizer } });
    expect(differences(mended, byteLevel.ids['smollm']!)).toEqual([]);
  });
});

const modelPath = process.env['MIDTRAIN_TEST_MODEL'];
if (modelPath === undefined) {
  console.log('Tokens of the real SmolLM2 are not compared: MIDTRAIN_TEST_MODEL does not name its GGUF file.');
}

describe.skipIf(modelPath === undefined)('the real SmolLM2', async () => {
  if (modelPath === undefined) return;
  const file = await WeightFile.open(modelPath);
  const { metadata: values } = await readGgufHeader(file);
  await file.close();
  const definition = tokenizerFromGguf(values);
  const subject = createTokenizer(definition);

  it("gives the reference's ids", () => {
    expect(differences(subject, (fixture('smollm2.json') as { ids: (number[] | null)[] }).ids)).toEqual([]);
  });

  it('has the special tokens of the model', () => {
    expect(definition).toMatchObject({ bosToken: '<|im_start|>', eosToken: '<|im_end|>', addBos: false });
    expect(subject.eosTokenIds).toEqual([2, 0]);
    expect(subject.vocabularySize).toBe(49_152);
  });

  it('encodes 1,000 prompts quickly', () => {
    const prompt = readFileSync(new URL(import.meta.url), 'utf8').slice(0, 450);
    const begin = performance.now();
    for (let i = 0; i < 1000; i++) subject.encode(`${String(i)}${prompt}`);
    expect(performance.now() - begin).toBeLessThan(15_000); // a tenth of it on an idle machine
    console.log(`1,000 prompts of 450 characters: ${(performance.now() - begin).toFixed(0)} ms`);
  });
});
