/** Opens models for the tests of the engine: the tiny ones of test/fixtures/engine, and the real one where it is there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelSource } from '../../../src/engine/model.ts';
import { openModel } from '../../../src/engine/weights/open.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/engine');

/** Made with transformers by test/fixtures/engine/make.py. */
export const tinyModels = [
  'llama-gqa-tied',
  'llama-bias-linear',
  'llama3-rope',
  'qwen2-tied',
  'qwen2-untied-sharded',
  'qwen2-yarn',
] as const;

export interface Expected {
  readonly input: readonly number[];
  /** One row a position of `input`. */
  readonly logits: readonly (readonly number[])[];
  /** Greedy continuation. */
  readonly greedy: readonly number[];
}

export async function openTiny(name: string): Promise<{ source: ModelSource; expected: Expected }> {
  const folder = join(fixtures, name);
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected;
  return { source: await openModel(folder), expected };
}

/** SmolLM2-135M-Instruct as GGUF; `npm test` fetches it. */
export const realModelPath = process.env['MIDTRAIN_TEST_MODEL'];
export const whyNoRealModel = 'MIDTRAIN_TEST_MODEL names no model: npm test fetches one, and says when it cannot';

export interface Reference {
  readonly greedy: { readonly rows: readonly { readonly ids: number[]; readonly tokens: number[] }[] };
  readonly nll: {
    readonly tokens: number;
    readonly mean: number;
    readonly rows: readonly { readonly ids: number[]; readonly scored: number[]; readonly nll: number[] }[];
  };
}

/** What transformers computes in float32 with SmolLM2 (test/bench/peers/reference.py). */
export function realReference(): Reference {
  return JSON.parse(readFileSync(join(fixtures, 'smollm2-reference.json'), 'utf8')) as Reference;
}

export function argmax(row: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return best;
}
