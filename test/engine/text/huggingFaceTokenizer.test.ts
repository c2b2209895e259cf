import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { UserError } from '../../../src/errors.ts';
import type { TokenizerDefinition } from '../../../src/engine/model.ts';
import { tokenizerFromGguf } from '../../../src/engine/text/ggufTokenizer.ts';
import { tokenizerFromFolder } from '../../../src/engine/text/huggingFaceTokenizer.ts';
import { createTokenizer } from '../../../src/engine/text/tokenizer.ts';
import { byteLevelMetadata } from './fixtures.ts';

const { tokenizer: tokenizerJson } = tokenizerFromGguf(byteLevelMetadata('qwen2'));
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'midtrain-tokenizer-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function read(files: Record<string, unknown>): Promise<TokenizerDefinition> {
  for (const [name, value] of Object.entries({ 'tokenizer.json': tokenizerJson, ...files })) {
    await writeFile(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
  }
  return tokenizerFromFolder(folder);
}

function beginsWith(token: string): Record<string, unknown> {
  const single = [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
  return { type: 'TemplateProcessing', single, pair: [], special_tokens: {} };
}

describe('tokenizerFromFolder', () => {
  it('needs nothing but tokenizer.json', async () => {
    const definition = await read({});
    expect(definition).toMatchObject({
      config: {},
      chatTemplate: null,
      bosToken: null,
      eosToken: null,
      addBos: false,
      eosTokenIds: [],
    });
    expect(createTokenizer(definition).encode('<|im_end|>')).toEqual([2]);
  });

  it('takes the special tokens from wherever they are', async () => {
    expect(
      await read({
        'tokenizer_config.json': { eos_token: { content: '<|im_end|>', special: true }, bos_token: null },
        'special_tokens_map.json': { bos_token: '<|endoftext|>', eos_token: '<|im_start|>' },
        'generation_config.json': { eos_token_id: [2, 0] },
        'config.json': { eos_token_id: 1, model_type: 'qwen2' },
      }),
    ).toMatchObject({ bosToken: '<|endoftext|>', eosToken: '<|im_end|>', eosTokenIds: [2, 0, 1] });
    expect((await read({ 'special_tokens_map.json': { eos_token: { content: '<|im_end|>' } } })).eosToken).toBe(
      '<|im_end|>',
    );
  });

  it('finds out whether BOS comes first', async () => {
    const config = { bos_token: '<|endoftext|>' };
    const tokenizer = (postProcessor: unknown) => ({ ...tokenizerJson, post_processor: postProcessor });
    const sequence = { type: 'Sequence', processors: [{ type: 'ByteLevel' }, beginsWith('<|endoftext|>')] };
    const cases: [unknown, unknown, boolean][] = [
      [null, config, false],
      [{ type: 'ByteLevel' }, config, false],
      [beginsWith('<|endoftext|>'), config, true],
      [beginsWith('<|im_start|>'), config, false],
      [sequence, config, true],
      [sequence, { ...config, add_bos_token: false }, false],
      [null, { ...config, add_bos_token: true }, true],
      [null, { add_bos_token: true }, false],
    ];
    for (const [postProcessor, config, expected] of cases) {
      const definition = await read({ 'tokenizer.json': tokenizer(postProcessor), 'tokenizer_config.json': config });
      expect(definition.addBos).toBe(expected);
      expect(createTokenizer(definition).encode('')).toEqual(expected ? [0] : []);
    }
  });

  it('takes the chat template from its file, or from the configuration', async () => {
    const template = async (chat_template: unknown) =>
      (await read({ 'tokenizer_config.json': { chat_template } })).chatTemplate;
    expect(await template('{{ a }}')).toBe('{{ a }}');
    expect(await template(null)).toBeNull();
    expect(await template([])).toBeNull();
    expect(await template([{ name: 'rag', template: 'r' }])).toBe('r');
    expect(
      await template([
        { name: 'tool_use', template: 't' },
        { name: 'default', template: 'd' },
      ]),
    ).toBe('d');
    expect((await read({ 'chat_template.jinja': 'file' })).chatTemplate).toBe('file');
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['a cut file', { 'tokenizer.json': '{"model": {' }, /tokenizer\.json is not valid JSON/],
    ['another shape', { 'tokenizer.json': [] }, /tokenizer\.json is not as expected/],
    ['no vocabulary', { 'tokenizer.json': { model: { type: 'BPE' } } }, /tokenizer\.json.*model\.vocab/],
    ['a wrong end token', { 'config.json': { eos_token_id: 'two' } }, /config\.json.*eos_token_id/],
    ['a wrong template', { 'tokenizer_config.json': { chat_template: 3 } }, /tokenizer_config\.json.*chat_template/],
    ['an enormous template', { 'chat_template.jinja': ' '.repeat(2 ** 21) }, /chat_template\.jinja/],
  ])('says what is wrong with %s', async (_, files, message) => {
    const reading = read(files);
    await expect(reading).rejects.toThrow(UserError);
    await expect(reading).rejects.toThrow(message);
  });

  it('says that tokenizer.json is missing and how to get it', async () => {
    await expect(tokenizerFromFolder(folder)).rejects.toThrow(/no tokenizer\.json.*save_pretrained/);
  });
});
