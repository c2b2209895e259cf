import { describe, expect, it } from 'vitest';

import { UserError } from '../../../src/errors.ts';
import { tokenizerFromGguf } from '../../../src/engine/text/ggufTokenizer.ts';
import { createTokenizer } from '../../../src/engine/text/tokenizer.ts';
import type { GgufValue } from '../../../src/engine/weights/gguf.ts';
import { byteLevel, byteLevelMetadata, metadata, sentencePieceMetadata } from './fixtures.ts';

describe('tokenizerFromGguf', () => {
  it('finds every token that ends a generation', () => {
    const tokens = ['<|endoftext|>', '<|im_end|>', '<|eot_id|>', '<|end_of_text|>', '<eot>', '<|im_start|>', 'a'];
    const read = (types: number[], more: Record<string, GgufValue>) =>
      tokenizerFromGguf(
        metadata({
          'tokenizer.ggml.model': 'gpt2',
          'tokenizer.ggml.pre': 'qwen2',
          'tokenizer.ggml.tokens': tokens,
          'tokenizer.ggml.token_type': types,
          'tokenizer.ggml.merges': [],
          ...more,
        }),
      );
    expect(
      read([3, 3, 3, 3, 3, 3, 1], { 'tokenizer.ggml.eos_token_id': 1, 'tokenizer.ggml.eot_token_id': 4 }).eosTokenIds,
    ).toEqual([1, 4, 0, 2, 3]);
    expect(read([1, 1, 1, 1, 1, 1, 1], {}).eosTokenIds).toEqual([]); // text that looks like it is no end
    expect(read([3, 3, 1, 1, 1, 3, 1], { 'tokenizer.ggml.eos_token_id': 0xffffffff })).toMatchObject({
      eosToken: null,
      eosTokenIds: [0, 1],
    });
  });

  it('puts BOS in front where the metadata or the kind of tokenizer say so', () => {
    const bos = { 'tokenizer.ggml.bos_token_id': 0 };
    expect(tokenizerFromGguf(byteLevelMetadata('qwen2', bos)).addBos).toBe(false);
    expect(tokenizerFromGguf(byteLevelMetadata('llama-bpe', bos)).addBos).toBe(true);
    expect(tokenizerFromGguf(byteLevelMetadata('llama-bpe')).addBos).toBe(false); // there is none
    expect(
      tokenizerFromGguf(byteLevelMetadata('llama-bpe', { ...bos, 'tokenizer.ggml.add_bos_token': false })).addBos,
    ).toBe(false);
    expect(tokenizerFromGguf(sentencePieceMetadata())).toMatchObject({
      addBos: true,
      bosToken: '<s>',
      eosToken: '</s>',
    });
    expect(tokenizerFromGguf(sentencePieceMetadata({ 'tokenizer.ggml.add_bos_token': false })).addBos).toBe(false);
  });

  it('keeps the chat template', () => {
    expect(tokenizerFromGguf(byteLevelMetadata('qwen2')).chatTemplate).toBeNull();
    expect(tokenizerFromGguf(byteLevelMetadata('qwen2', { 'tokenizer.chat_template': '{{ x }}' })).chatTemplate).toBe(
      '{{ x }}',
    );
  });

  it('leaves padding out of the vocabulary, but in place', () => {
    const tokens = [...byteLevel.tokens, '[PAD701]', 'z'];
    const types = [...byteLevel.types, 5, 4];
    const tokenizer = createTokenizer(
      tokenizerFromGguf(
        byteLevelMetadata('qwen2', { 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.token_type': types }),
      ),
    );
    expect(tokenizer.vocabularySize).toBe(tokens.length);
    expect(tokenizer.tokenBytes(tokens.length - 2)).toHaveLength(0);
    expect(tokenizer.encode('z')).toEqual([tokens.length - 1]);
  });

  it.each<[string, ReadonlyMap<string, GgufValue>, RegExp]>([
    ['no tokenizer', metadata({}), /no tokenizer/],
    ['another kind', byteLevelMetadata('qwen2', { 'tokenizer.ggml.model': 't5' }), /"t5".*"gpt2" and "llama"/],
    ['an unknown pre-tokenizer', byteLevelMetadata('tekken'), /"tekken".*smollm.*qwen2/],
    [
      'a pre-tokenizer that is no text',
      byteLevelMetadata('qwen2', { 'tokenizer.ggml.pre': 7 }),
      /tokenizer\.ggml\.pre.*wrong type/,
    ],
    ['no tokens', metadata({ 'tokenizer.ggml.model': 'gpt2' }), /tokenizer\.ggml\.tokens.*missing/],
    ['tokens that are numbers', byteLevelMetadata('qwen2', { 'tokenizer.ggml.tokens': [1, 2] }), /tokens.*wrong type/],
    ['too few types', byteLevelMetadata('qwen2', { 'tokenizer.ggml.token_type': [1] }), /1 entries for/],
    ['no merges', metadata({ 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.tokens': ['a'] }), /merges.*missing/],
    ['no scores', metadata({ 'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.tokens': ['a'] }), /scores/],
    [
      'an enormous token',
      metadata({
        'tokenizer.ggml.model': 'llama',
        'tokenizer.ggml.tokens': ['a'.repeat(5000)],
        'tokenizer.ggml.scores': [0],
      }),
      /5000 characters/,
    ],
  ])('says what is wrong with %s', (_, values, message) => {
    expect(() => tokenizerFromGguf(values)).toThrow(UserError);
    expect(() => tokenizerFromGguf(values)).toThrow(message);
  });
});
