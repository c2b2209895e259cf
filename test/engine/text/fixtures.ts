/** The tokenizer fixtures (see test/fixtures/tokenizer/make.py), as GGUF metadata. */
import { readFileSync } from 'node:fs';

import type { GgufValue } from '../../../src/engine/weights/gguf.ts';

export function fixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../fixtures/tokenizer/${name}`, import.meta.url), 'utf8')) as unknown;
}

export const strings = fixture('strings.json') as string[];

export const byteLevel = fixture('byteLevel.json') as {
  tokens: string[];
  types: number[];
  merges: string[];
  ids: Record<string, number[][]>;
};

export function metadata(values: Record<string, GgufValue>): ReadonlyMap<string, GgufValue> {
  return new Map(Object.entries(values));
}

export function byteLevelMetadata(pre: string, more: Record<string, GgufValue> = {}): ReadonlyMap<string, GgufValue> {
  return metadata({
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': pre,
    'tokenizer.ggml.tokens': byteLevel.tokens,
    'tokenizer.ggml.token_type': byteLevel.types,
    'tokenizer.ggml.merges': byteLevel.merges,
    'tokenizer.ggml.eos_token_id': 2,
    ...more,
  });
}

export function sentencePieceMetadata(more: Record<string, GgufValue> = {}): ReadonlyMap<string, GgufValue> {
  const { tokens, scores, types } = fixture('sentencePiece.json') as {
    tokens: string[];
    scores: number[];
    types: number[];
  };
  return metadata({
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.scores': scores,
    'tokenizer.ggml.token_type': types,
    ...more,
  });
}
