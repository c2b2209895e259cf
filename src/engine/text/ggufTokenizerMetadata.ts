/**
 * What a GGUF file says of a tokenizer, so that llama.cpp gives its tokens: of one that came from a GGUF file what that said,
 * of a tokenizer.json what llama.cpp's conversion writes (`get_vocab_base` of its conversion/base.py).
 * Knows nothing of how a GGUF file is laid out.
 */
import * as v from 'valibot';
import { UserError } from '../../errors.ts';
import type { TokenizerDefinition } from '../model.ts';
import type { GgufField } from '../weights/ggufWriter.ts';
import { preTokenizers, tokenType } from './ggufTokenizer.ts';
import { gpt2Pattern } from './tokenizer.ts';

/** @param rows of the embedding: llama.cpp wants as many tokens @throws UserError when GGUF cannot carry it */
export function ggufTokenizerMetadata(tokenizer: TokenizerDefinition, rows: number): Map<string, GgufField> {
  if (tokenizer.gguf === undefined) return fromTokenizerJson(tokenizer, rows);
  const fields = new Map<string, GgufField>();
  for (const [key, value] of tokenizer.gguf) {
    const field = fieldOf(key, value);
    if (field !== null) fields.set(key, field);
  }
  return fields;
}

/** A value with its type again; null for one that no tokenizer has. */
function fieldOf(key: string, value: unknown): GgufField | null {
  if (typeof value === 'string') return ['string', value];
  if (typeof value === 'boolean') return ['bool', value];
  if (typeof value === 'number') return [Number.isInteger(value) && value >= 0 ? 'u32' : 'f32', value];
  if (!Array.isArray(value)) return null;
  const list = value as readonly unknown[];
  if (list.every((each) => typeof each === 'string')) return ['strings', list];
  if (!list.every((each) => typeof each === 'number')) return null;
  if (key.endsWith('.precompiled_charsmap')) return ['u8s', list];
  return [key.endsWith('.scores') ? 'f32s' : 'i32s', list];
}

const Step = v.looseObject({ type: v.string() });
type Step = v.InferOutput<typeof Step>;
const TokenizerJson = v.looseObject({
  added_tokens: v.optional(v.array(v.looseObject({ id: v.number(), content: v.string(), special: v.boolean() })), []),
  normalizer: v.nullish(Step, null),
  pre_tokenizer: v.nullish(Step, null),
  model: v.looseObject({
    type: v.optional(v.literal('BPE'), 'BPE'),
    vocab: v.custom<Record<string, number>>((vocab) => typeof vocab === 'object' && vocab !== null),
    merges: v.array(v.union([v.string(), v.tuple([v.string(), v.string()])])),
    byte_fallback: v.nullish(v.boolean(), false),
    ignore_merges: v.nullish(v.boolean(), false),
    unk_token: v.nullish(v.string(), null),
  }),
});

function fromTokenizerJson(definition: TokenizerDefinition, rows: number): Map<string, GgufField> {
  const parsed = v.safeParse(TokenizerJson, definition.tokenizer);
  if (!parsed.success) throw refused('its tokenizer.json is of another kind than BPE');
  const { added_tokens: added, model } = parsed.output;
  const pre = preTokenizerOf(parsed.output);
  const ids = new Map(Object.entries(model.vocab));
  const tokens = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const types = Array<number>(rows).fill(tokenType.unused);
  const put = (id: number, content: string, type: number): void => {
    if (id >= rows) throw refused(`its token ${id} has no row in the embedding, which has ${rows}`);
    tokens[id] = content;
    types[id] = type;
  };
  for (const [token, id] of ids) put(id, token, tokenType.normal);
  for (const { id, content, special } of added) {
    ids.set(content, id);
    put(id, content, special || looksSpecial(content) ? tokenType.control : tokenType.userDefined);
  }
  const merges = model.merges.map((merge) => {
    if (typeof merge === 'string') return merge;
    if (merge.some((part) => part.includes(' '))) throw refused('a merge of it has a space in it');
    return merge.join(' ');
  });
  const fields = new Map<string, GgufField>([
    ['tokenizer.ggml.model', ['string', 'gpt2']],
    ['tokenizer.ggml.pre', ['string', pre]],
    ['tokenizer.ggml.tokens', ['strings', tokens]],
    ['tokenizer.ggml.token_type', ['i32s', types]],
    ['tokenizer.ggml.merges', ['strings', merges]],
  ]);
  const { bosToken, eosToken, eosTokenIds, addBos, chatTemplate, config } = definition;
  const named = (key: string): string | null => {
    const token = config[key];
    if (typeof token === 'string') return token;
    const content = (token as { content?: unknown } | null | undefined)?.content;
    return typeof content === 'string' ? content : null;
  };
  const special: [string, number | undefined][] = [
    ['bos', ids.get(bosToken ?? '')],
    ['eos', ids.get(eosToken ?? '') ?? eosTokenIds[0]],
    ['unknown', ids.get(named('unk_token') ?? model.unk_token ?? '')],
    ['padding', ids.get(named('pad_token') ?? '')],
  ];
  for (const [name, id] of special) if (id !== undefined) fields.set(`tokenizer.ggml.${name}_token_id`, ['u32', id]);
  // Without one llama.cpp takes GPT-2's 11, a token of the text here.
  if (!fields.has('tokenizer.ggml.eos_token_id')) throw refused('it has no end token');
  fields.set('tokenizer.ggml.add_bos_token', ['bool', addBos]);
  if (chatTemplate !== null) fields.set('tokenizer.chat_template', ['string', chatTemplate]);
  return fields;
}

/** The name under which llama.cpp knows how this tokenizer cuts a text into words. */
function preTokenizerOf({ normalizer, pre_tokenizer: step, model }: v.InferOutput<typeof TokenizerJson>): string {
  if (model.byte_fallback) throw refused('it is a SentencePiece tokenizer, whose scores are not in its tokenizer.json');
  const patterns = patternsOf(step);
  const normal = normalizer === null ? undefined : normalizer.type;
  for (const [name, known] of preTokenizers) {
    const isSame =
      known.patterns.join('\0') === patterns?.join('\0') &&
      known.normalizer === normal &&
      (known.ignoreMerges ?? false) === model.ignore_merges;
    if (isSame) return name;
  }
  const names = [...preTokenizers.keys()].join(', ');
  throw refused(`it cuts texts into words in a way that is none of those known by name there (${names})`);
}

/** Patterns that a text is split by, one after the other; null where it is more than that. Ends in bytes. */
function patternsOf(step: Step | null): string[] | null {
  if (step === null) return null;
  const steps = step.type === 'Sequence' ? v.parse(v.array(Step), step['pretokenizers']) : [step];
  const last = steps.pop();
  if (last?.type !== 'ByteLevel' || last['add_prefix_space'] === true) return null;
  const patterns: string[] = [];
  for (const { type, ...rest } of steps) {
    const regex = (rest['pattern'] as { Regex?: unknown } | undefined)?.Regex;
    if (type === 'Digits' && rest['individual_digits'] === true) patterns.push('\\p{N}');
    else if (type === 'Split' && rest['behavior'] === 'Isolated' && typeof regex === 'string') patterns.push(regex);
    else return null;
  }
  return last['use_regex'] === false ? patterns : [...patterns, gpt2Pattern];
}

/** As in llama.cpp's conversion: tokens of fill-in-the-middle and the like, which many tokenizers do not mark as special. */
function looksSpecial(token: string): boolean {
  return /^(<\|.*\|>|<｜.*｜>|<pad>|<mask>|<2mass>|\[@BOS@\]|<unused\d.*)$/s.test(token);
}

function refused(why: string): UserError {
  return new UserError(`GGUF cannot carry this model's tokenizer: ${why}. Export it as a Hugging Face folder instead.`);
}
