/**
 * Reads the tokenizer of a model folder in Hugging Face's form: tokenizer.json, and what tokenizer_config.json,
 * special_tokens_map.json, generation_config.json, config.json and chat_template.jinja say beside it.
 * Knows nothing of weights or of what the tokenizer's parts do.
 */
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import * as v from 'valibot';

import { messageOf, UserError } from '../../errors.ts';
import type { TokenizerDefinition } from '../model.ts';
import { readJson } from '../weights/storage.ts';

/** Bytes. The largest tokenizer.json known (vocabulary 262,144) has 33 MB. */
const maxFileSize = 256 * 2 ** 20;
const maxTemplateSize = 2 ** 20;

const Token = v.nullish(v.union([v.string(), v.looseObject({ content: v.string() })]));
const SpecialTokens = v.looseObject({ bos_token: Token, eos_token: Token });
const TokenizerConfig = v.looseObject({
  ...SpecialTokens.entries,
  add_bos_token: v.nullish(v.boolean()),
  chat_template: v.nullish(v.union([v.string(), v.array(v.looseObject({ name: v.string(), template: v.string() }))])),
});
const GenerationConfig = v.looseObject({
  eos_token_id: v.nullish(v.union([v.number(), v.array(v.number())])),
});
const PostProcessor = v.looseObject({
  type: v.string(),
  single: v.optional(v.array(v.looseObject({ SpecialToken: v.optional(v.looseObject({ id: v.string() })) }))),
  processors: v.optional(v.array(v.unknown())),
});
const TokenizerJson = v.looseObject({
  added_tokens: v.optional(v.array(v.looseObject({ id: v.number(), content: v.string() })), []),
  model: v.looseObject({ vocab: v.custom<object>((vocab) => typeof vocab === 'object' && vocab !== null) }),
  post_processor: v.optional(v.unknown()),
});

/** @throws UserError when tokenizer.json is missing, or a file is unreadable, no JSON or of another shape. */
export async function tokenizerFromFolder(folder: string): Promise<TokenizerDefinition> {
  const [tokenizer, config, specialTokens, generationConfig, modelConfig, templateFile] = await Promise.all([
    readConfig(folder, 'tokenizer.json', TokenizerJson),
    readConfig(folder, 'tokenizer_config.json', TokenizerConfig),
    readConfig(folder, 'special_tokens_map.json', SpecialTokens),
    readConfig(folder, 'generation_config.json', GenerationConfig),
    readConfig(folder, 'config.json', GenerationConfig),
    readTemplate(folder),
  ]);
  if (tokenizer === null) {
    throw new UserError(
      `${folder} has no tokenizer.json, which is the only form of tokenizer that is read. Save it with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).`,
    );
  }
  const bosToken = content(config?.bos_token) ?? content(specialTokens?.bos_token);
  const eosToken = content(config?.eos_token) ?? content(specialTokens?.eos_token);
  const eosTokenIds = [
    ...[generationConfig?.eos_token_id ?? [], modelConfig?.eos_token_id ?? []].flat(),
    ...(eosToken === null ? [] : [idOf(tokenizer, eosToken)]),
  ].filter((id) => id !== null);
  return {
    tokenizer,
    config: config ?? {},
    chatTemplate: templateFile ?? chooseTemplate(config?.chat_template),
    bosToken,
    eosToken,
    addBos: bosToken !== null && (config?.add_bos_token ?? addsToken(tokenizer.post_processor, bosToken)),
    eosTokenIds: [...new Set(eosTokenIds)],
  };
}

function content(token: v.InferOutput<typeof Token>): string | null {
  return typeof token === 'string' ? token : (token?.content ?? null);
}

function idOf(tokenizer: v.InferOutput<typeof TokenizerJson>, token: string): number | null {
  const added = tokenizer.added_tokens.find(({ content }) => content === token);
  if (added !== undefined) return added.id;
  const id: unknown = Object.getOwnPropertyDescriptor(tokenizer.model.vocab, token)?.value;
  return typeof id === 'number' ? id : null;
}

function chooseTemplate(templates: v.InferOutput<typeof TokenizerConfig>['chat_template']): string | null {
  if (typeof templates === 'string') return templates;
  const chosen = templates?.find(({ name }) => name === 'default') ?? templates?.[0];
  return chosen?.template ?? null;
}

/** Whether the post-processor begins a text with this token. */
function addsToken(postProcessor: unknown, token: string): boolean {
  if (!v.is(PostProcessor, postProcessor)) return false;
  return (
    postProcessor.single?.[0]?.SpecialToken?.id === token ||
    (postProcessor.processors ?? []).some((processor) => addsToken(processor, token))
  );
}

/** Null when there is no such file. */
async function readTemplate(folder: string): Promise<string | null> {
  const path = join(folder, 'chat_template.jinja');
  if (!existsSync(path)) return null;
  try {
    const { size } = await stat(path);
    if (size > maxTemplateSize) throw new Error(`it has ${size} bytes; at most ${maxTemplateSize} are accepted`);
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
}

/** Null when there is no such file. */
async function readConfig<TSchema extends v.GenericSchema>(
  folder: string,
  name: string,
  schema: TSchema,
): Promise<v.InferOutput<TSchema> | null> {
  const path = join(folder, name);
  if (!existsSync(path)) return null;
  const parsed = v.safeParse(schema, await readJson(path, maxFileSize));
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new UserError(
      `${path} is not as expected: ${issue.message} (at ${v.getDotPath(issue) ?? 'top'}). Download it again.`,
    );
  }
  return parsed.output;
}
