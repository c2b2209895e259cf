/** Tokenizers as GGUF metadata: those of a GGUF file come back as they were, those of a folder give the same tokens. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TokenizerDefinition } from '../../../src/engine/model.ts';
import { tokenizerFromGguf } from '../../../src/engine/text/ggufTokenizer.ts';
import { ggufTokenizerMetadata } from '../../../src/engine/text/ggufTokenizerMetadata.ts';
import { createTokenizer } from '../../../src/engine/text/tokenizer.ts';
import type { GgufValue } from '../../../src/engine/weights/gguf.ts';

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../../fixtures/tokenizer', name), 'utf8'));

/** What a reader of the file would have. */
function read(definition: TokenizerDefinition, rows: number): Map<string, GgufValue> {
  return new Map([...ggufTokenizerMetadata(definition, rows)].map(([key, [, value]]) => [key, value as GgufValue]));
}

const split = (regex: string) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false });
const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
const llama3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const qwen2 = llama3.replace('\\p{N}{1,3}', '\\p{N}');

function definition(parts: object, model: object = {}): TokenizerDefinition {
  return {
    tokenizer: {
      added_tokens: [
        { id: 5, content: '<|end|>', special: true },
        { id: 6, content: '<|fim|>', special: false },
        { id: 8, content: 'HELLO', special: false },
      ],
      normalizer: null,
      decoder: { type: 'ByteLevel' },
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      ...parts,
      model: { type: 'BPE', vocab: { a: 0, b: 1, c: 2, Ġ: 3, ab: 4 }, merges: [['a', 'b']], ...model },
    },
    config: { pad_token: { content: '<|end|>' } },
    chatTemplate: '{{ messages }}',
    bosToken: null,
    eosToken: '<|end|>',
    addBos: false,
    eosTokenIds: [5],
  };
}

describe('ggufTokenizerMetadata', () => {
  it.each([
    ['byteLevel.json', { 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.pre': 'smollm' }],
    ['sentencePiece.json', { 'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.add_space_prefix': true }],
  ])('gives back what a GGUF file said: %s', (name, more) => {
    const { tokens, types, merges, scores } = fixture(name) as Record<string, GgufValue[]>;
    const metadata = new Map<string, GgufValue>(
      Object.entries({
        ...more,
        'tokenizer.ggml.tokens': tokens!,
        'tokenizer.ggml.token_type': types!,
        ...(name === 'byteLevel.json' ? { 'tokenizer.ggml.merges': merges! } : { 'tokenizer.ggml.scores': scores! }),
        'tokenizer.ggml.eos_token_id': 2,
        'tokenizer.ggml.fim_pre_token_id': 1,
        'tokenizer.ggml.add_bos_token': true,
        'tokenizer.chat_template': 'x',
      }),
    );
    const source = tokenizerFromGguf(new Map([...metadata, ['llama.block_count', 2]]));
    expect(read(source, tokens!.length)).toEqual(metadata);
    const fields = ggufTokenizerMetadata(source, tokens!.length);
    expect(fields.get('tokenizer.ggml.token_type')![0]).toBe('i32s');
    if (name !== 'byteLevel.json') expect(fields.get('tokenizer.ggml.scores')![0]).toBe('f32s');
  });

  it('has tokens, their kinds, merges, special ids and the template of a tokenizer.json', () => {
    const source = definition({});
    const metadata = read(source, 10);
    expect(Object.fromEntries(metadata)).toEqual({
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'gpt-2',
      'tokenizer.ggml.tokens': ['a', 'b', 'c', 'Ġ', 'ab', '<|end|>', '<|fim|>', '[PAD7]', 'HELLO', '[PAD9]'],
      'tokenizer.ggml.token_type': [1, 1, 1, 1, 1, 3, 3, 5, 4, 5],
      'tokenizer.ggml.merges': ['a b'],
      'tokenizer.ggml.eos_token_id': 5,
      'tokenizer.ggml.padding_token_id': 5,
      'tokenizer.ggml.add_bos_token': false,
      'tokenizer.chat_template': '{{ messages }}',
    });
    const text = 'abc ab<|end|>cHELLOb<|fim|>';
    const ids = createTokenizer(source).encode(text);
    expect(ids).toContain(8);
    expect(createTokenizer(tokenizerFromGguf(metadata)).encode(text)).toEqual(ids);
  });

  it.each([
    ['gpt-2', {}, {}],
    [
      'smollm',
      {
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Digits', individual_digits: true },
            { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
          ],
        },
      },
      {},
    ],
    [
      'qwen2',
      { normalizer: { type: 'NFC' }, pre_tokenizer: { type: 'Sequence', pretokenizers: [split(qwen2), bytes] } },
      {},
    ],
    ['deepseek-r1-qwen', { pre_tokenizer: { type: 'Sequence', pretokenizers: [split(qwen2), bytes] } }, {}],
    [
      'llama-bpe',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [split(llama3), bytes] } },
      { ignore_merges: true },
    ],
  ])('knows how it cuts words as %s', (name, parts, model) => {
    expect(read(definition(parts, model), 9).get('tokenizer.ggml.pre')).toBe(name);
  });

  it.each([
    [
      'that cuts words in another way',
      definition({ pre_tokenizer: { type: 'Sequence', pretokenizers: [split('\\w+'), bytes] } }),
      /none of those known by name/,
    ],
    [
      'that begins each text with a space',
      definition({ pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }),
      /none of those known by name/,
    ],
    ['of SentencePiece', definition({}, { byte_fallback: true }), /SentencePiece/],
    ['of another kind', definition({}, { type: 'Unigram', vocab: [['a', 0]] }), /tokenizer/],
    ['without an end', { ...definition({}), eosToken: null, eosTokenIds: [] }, /no end token/],
    ['with a space in a merge', definition({}, { merges: [['a', ' b']] }), /a space in it/],
  ])('refuses one %s', (_, source, why) => {
    expect(() => ggufTokenizerMetadata(source, 9)).toThrow(why);
    expect(() => ggufTokenizerMetadata(source, 9)).toThrow(/Export it as a Hugging Face folder instead\.$/);
  });

  it('refuses more tokens than the embedding has rows', () => {
    expect(() => ggufTokenizerMetadata(definition({}), 8)).toThrow(/token 8 has no row/);
  });
});
