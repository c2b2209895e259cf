/**
 * Builds a tokenizer definition from the metadata of a GGUF file, so that it gives the tokens that llama.cpp gives
 * (keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer; behaviour: llama.cpp, src/llama-vocab.cpp).
 * Knows nothing of how a GGUF file is laid out or of tensors.
 */
import { UserError } from '../../errors.ts';
import type { TokenizerDefinition } from '../model.ts';
import type { GgufValue } from '../weights/gguf.ts';
import { gpt2Pattern } from './tokenizer.ts';

type Metadata = ReadonlyMap<string, GgufValue>;

/** `llama_token_type` of llama.cpp's llama.h. 0 (undefined) counts as normal. */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };

/** UTF-16 code units of a SentencePiece token: its cuts are all tried. Real ones have at most 48 or so. */
const maxPieceLength = 1024;

/** Control tokens at which generation ends, besides those that the metadata names (llama.cpp goes by these names too). */
const endTokens = new Set([
  '<|im_end|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|endoftext|>',
  '<|end|>',
  '<end_of_turn>',
  '<EOT>',
  '<|EOT|>',
  '<｜end▁of▁sentence｜>',
]);

interface PreTokenizer {
  /** Each pattern splits what the one before left whole. */
  readonly patterns: readonly string[];
  /** The model was trained on text in this normal form. llama.cpp leaves the text as it is. */
  readonly normalizer?: 'NFC';
  /** A word that is a token as a whole is not built by merges. */
  readonly ignoreMerges?: boolean;
  readonly addBos?: boolean;
}

const digitsThenGpt2: PreTokenizer = { patterns: ['\\p{N}', gpt2Pattern] };
const gpt2: PreTokenizer = { patterns: [gpt2Pattern] };
const llama3: PreTokenizer = { patterns: [llama3Pattern('\\p{N}{1,3}')], ignoreMerges: true, addBos: true };
const qwen2: PreTokenizer = { patterns: [llama3Pattern('\\p{N}')], normalizer: 'NFC' };

/**
 * By `tokenizer.ggml.pre`. Of smollm: transformers' own GGUF conversion leaves out the digits, and 76 of 3,582 strings
 * come out differently from llama.cpp; with them none does.
 */
export const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map<string, PreTokenizer>([
  ['smollm', digitsThenGpt2],
  ['starcoder', digitsThenGpt2],
  ['refact', digitsThenGpt2],
  ['gpt-2', gpt2],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', { patterns: qwen2.patterns }],
  ['deepseek-coder', { patterns: ['[\r\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}'] }],
  ['default', { patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Pattern, '\\p{N}+', '[0-9][0-9][0-9]'] }],
]);

function llama3Pattern(digits: string): string {
  return `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
}

/** @throws UserError when the metadata lack a tokenizer, contradict themselves, or name a kind that is not supported. */
export function tokenizerFromGguf(metadata: Metadata): TokenizerDefinition {
  const model = optional(metadata, 'tokenizer.ggml.model', isString);
  if (model === null) throw new UserError('This GGUF file holds no tokenizer (no "tokenizer.ggml.model").');
  if (model !== 'gpt2' && model !== 'llama') {
    throw new UserError(`This GGUF file's tokenizer "${model}" is not supported; supported are "gpt2" and "llama".`);
  }
  const tokens = list(metadata, 'tokenizer.ggml.tokens', isString, null);
  const types = list(metadata, 'tokenizer.ggml.token_type', isNumber, tokens.length);
  const vocabulary: Vocabulary = { tokens, types };
  const { tokenizer, addBos } =
    model === 'gpt2' ? byteLevelBpe(metadata, vocabulary) : sentencePiece(metadata, vocabulary);

  const id = (key: string, fallback: number | null = null): number | null => {
    const value = optional(metadata, `tokenizer.ggml.${key}_token_id`, isNumber) ?? fallback;
    return value !== null && tokens[value] !== undefined ? value : null; // 2^32 - 1 stands for none in some files
  };
  const spm = model === 'llama';
  const bos = id('bos', spm ? 1 : null);
  const eos = id('eos', spm ? 2 : null);
  const named = tokens.flatMap((token, i) => (types[i] === tokenType.control && endTokens.has(token) ? [i] : []));
  const ends = [eos, id('eot'), id('eom'), ...named].filter((value) => value !== null);
  return {
    tokenizer,
    config: {},
    chatTemplate: optional(metadata, 'tokenizer.chat_template', isString),
    bosToken: bos === null ? null : tokens[bos]!,
    eosToken: eos === null ? null : tokens[eos]!,
    addBos: bos !== null && (optional(metadata, 'tokenizer.ggml.add_bos_token', isBoolean) ?? addBos),
    eosTokenIds: [...new Set(ends)],
    gguf: new Map([...metadata].filter(([key]) => key.startsWith('tokenizer.'))),
  };
}

interface Vocabulary {
  readonly tokens: readonly string[];
  /** `tokenizer.ggml.token_type`; empty where the file has none, then all are normal. */
  readonly types: readonly number[];
}

interface Built {
  readonly tokenizer: Record<string, unknown>;
  /** Where the metadata do not say. */
  readonly addBos: boolean;
}

function byteLevelBpe(metadata: Metadata, vocabulary: Vocabulary): Built {
  const name = optional(metadata, 'tokenizer.ggml.pre', isString) ?? 'default';
  const pre = preTokenizers.get(name);
  if (pre === undefined) {
    throw new UserError(
      `This GGUF file's pre-tokenizer "${name}" is not supported; supported are ${[...preTokenizers.keys()].join(', ')}. The model in Hugging Face form (with tokenizer.json) may work.`,
    );
  }
  const splits = pre.patterns.map((pattern) => ({
    type: 'Split',
    pattern: { Regex: pattern },
    behavior: 'Isolated',
    invert: false,
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    tokenizer: tokenizerJson(vocabulary, {
      normalizer: pre.normalizer === undefined ? null : { type: pre.normalizer },
      pre_tokenizer: { type: 'Sequence', pretokenizers: [...splits, byteLevel] },
      decoder: byteLevel,
      model: {
        unk_token: null,
        byte_fallback: false,
        ignore_merges: pre.ignoreMerges ?? false,
        merges: list(metadata, 'tokenizer.ggml.merges', isString, null),
      },
    }),
    addBos: pre.addBos ?? false,
  };
}

function sentencePiece(metadata: Metadata, vocabulary: Vocabulary): Built {
  const { tokens, types } = vocabulary;
  const scores = list(metadata, 'tokenizer.ggml.scores', isNumber, tokens.length);
  if (scores.length === 0) throw new UserError('This GGUF file\'s tokenizer lacks its "tokenizer.ggml.scores".');
  const prefix = optional(metadata, 'tokenizer.ggml.add_space_prefix', isBoolean) ?? true;
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const unknown = tokens[types.indexOf(tokenType.unknown)];
  return {
    tokenizer: tokenizerJson(vocabulary, {
      normalizer: prefix ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, spaces] } : spaces,
      pre_tokenizer: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
        ],
      },
      model: {
        unk_token: unknown ?? null,
        fuse_unk: true,
        byte_fallback: true,
        ignore_merges: false,
        merges: mergesByScore(vocabulary, scores),
      },
    }),
    addBos: true,
  };
}

/**
 * SentencePiece joins the neighbours whose union has the highest score. As a list of merges, that is every way to cut a
 * piece in two other pieces, by the score of the piece, and of one piece's the one with the longest left part first
 * (as `generate_merges` in transformers' convert_slow_tokenizer.py).
 */
function mergesByScore({ tokens, types }: Vocabulary, scores: readonly number[]): [string, string][] {
  const pieces = new Map<string, number>();
  tokens.forEach((token, id) => {
    if ((types[id] ?? tokenType.normal) > tokenType.normal) return; // not made by merges
    if (token.length > maxPieceLength)
      throw new UserError(`This GGUF file's token ${id} has ${token.length} characters; the file may be damaged.`);
    pieces.set(token, scores[id]!);
  });
  const merges: { readonly score: number; readonly left: string; readonly right: string }[] = [];
  for (const [piece, score] of pieces) {
    for (let cut = piece.length - 1; cut > 0; cut--) {
      const left = piece.slice(0, cut);
      if (!pieces.has(left)) continue;
      const right = piece.slice(cut);
      if (pieces.has(right)) merges.push({ score, left, right });
    }
  }
  merges.sort((a, b) => b.score - a.score || b.left.length - a.left.length || b.right.length - a.right.length);
  return merges.map(({ left, right }) => [left, right]);
}

/** tokenizer.json of a BPE model: the vocabulary and its special tokens around `parts`. */
function tokenizerJson(
  { tokens, types }: Vocabulary,
  { model, ...parts }: Record<string, unknown> & { readonly model: Record<string, unknown> },
): Record<string, unknown> {
  const present = tokens.flatMap((content, id) => (types[id] === tokenType.unused ? [] : [{ id, content }]));
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: present.flatMap(({ id, content }) => {
      const type = types[id] ?? tokenType.normal;
      if (content === '' || ![tokenType.unknown, tokenType.control, tokenType.userDefined].includes(type)) return [];
      const special = type !== tokenType.userDefined;
      return [{ id, content, special, normalized: false, single_word: false, lstrip: false, rstrip: false }];
    }),
    ...parts,
    post_processor: null,
    model: {
      type: 'BPE',
      dropout: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      ...model,
      vocab: Object.fromEntries(present.map(({ id, content }) => [content, id])), // also for a token `__proto__`
    },
  };
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function optional<T extends GgufValue>(metadata: Metadata, key: string, is: (value: unknown) => value is T): T | null {
  const value = metadata.get(key);
  if (value === undefined) return null;
  if (!is(value)) throw new UserError(`This GGUF file's "${key}" is of the wrong type; the file may be damaged.`);
  return value;
}

/** A list, of `length` if given; then it may be missing (empty). */
function list<T extends GgufValue>(
  metadata: Metadata,
  key: string,
  is: (value: unknown) => value is T,
  length: number | null,
): readonly T[] {
  const value = metadata.get(key);
  if (value === undefined && length !== null) return [];
  if (!Array.isArray(value) || !value.every(is)) {
    throw new UserError(
      `This GGUF file's "${key}" is ${value === undefined ? 'missing' : 'of the wrong type'}; the file may be damaged.`,
    );
  }
  if (length !== null && value.length !== length) {
    throw new UserError(
      `This GGUF file's "${key}" has ${value.length} entries for ${length} tokens; it may be damaged.`,
    );
  }
  return value;
}
