/**
 * Text to token ids and back, on @huggingface/tokenizers, for the byte-level and SentencePiece BPE tokenizers that code
 * models have. Knows nothing of files, of chat templates or of models beyond their TokenizerDefinition.
 *
 * `adaptPreTokenizer` mends where the library departs from Hugging Face's Rust tokenizers, the reference.
 */
import { PreTokenizer, Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import * as v from 'valibot';

import { messageOf, UserError } from '../../errors.ts';
import type { TokenizerDefinition } from '../model.ts';

export interface EncodeOptions {
  /** Put BOS in front where the model wants it (default true). False for a text that goes on, or a rendered chat. */
  readonly addSpecialTokens?: boolean;
  /** Read special tokens spelt out in the text, such as `<|im_start|>`, as such (default true). False for untrusted text. */
  readonly parseSpecial?: boolean;
}

export interface DecodeOptions {
  /** Spell special tokens out (default false: they are left out). */
  readonly keepSpecial?: boolean;
}

/** GPT-2's pre-tokenizer, which ByteLevel applies when `use_regex` is on. */
export const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** Ids beyond this are taken for a broken file: they would only make large tables. */
const maxTokenId = (1 << 22) - 1;

const Part = v.nullish(v.looseObject({ type: v.string() }), null);
/** Not `v.record`, which leaves out keys such as `constructor`; those are tokens here. */
const Vocabulary = v.custom<Record<string, number>>(
  (value) => typeof value === 'object' && value !== null && Object.values(value).every(isTokenId),
  'model.vocab must map each token to its id',
);
const AddedToken = v.looseObject({
  id: v.custom<number>(isTokenId, `a token id must be a whole number from 0 to ${maxTokenId}`),
  content: v.pipe(v.string(), v.nonEmpty()),
  special: v.optional(v.boolean(), false),
});
const TokenizerJson = v.looseObject({
  added_tokens: v.optional(v.array(AddedToken), []),
  normalizer: Part,
  pre_tokenizer: Part,
  decoder: Part,
  model: v.looseObject({
    type: v.optional(v.literal('BPE', 'only BPE tokenizers are supported'), 'BPE'),
    vocab: Vocabulary,
    merges: v.array(v.union([v.string(), v.tuple([v.string(), v.string()])])),
    unk_token: v.nullish(v.string(), null),
    byte_fallback: v.nullish(v.boolean(), false),
    ignore_merges: v.nullish(v.boolean(), false),
    continuing_subword_prefix: v.nullish(v.literal('', 'continuing_subword_prefix is not supported'), ''),
    end_of_word_suffix: v.nullish(v.literal('', 'end_of_word_suffix is not supported'), ''),
  }),
});
type TokenizerJson = v.InferOutput<typeof TokenizerJson>;

function isTokenId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxTokenId;
}

/** @throws UserError when the tokenizer is broken or of a kind that is not supported. */
export function createTokenizer(definition: TokenizerDefinition): Tokenizer {
  const parsed = v.safeParse(TokenizerJson, definition.tokenizer);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    throw new UserError(`The model's tokenizer cannot be used: ${issue.message} (at ${v.getDotPath(issue) ?? 'top'}).`);
  }
  try {
    return new Tokenizer(parsed.output, definition);
  } catch (error) {
    throw new UserError(`The model's tokenizer cannot be used: ${messageOf(error)}.`, { cause: error });
  }
}

export class Tokenizer {
  /** One more than the highest id; the model's embedding may have more rows. */
  readonly vocabularySize: number;
  readonly bosTokenId: number | null;
  /** Generation stops at any of these. */
  readonly eosTokenIds: readonly number[];
  readonly #addBos: boolean;
  readonly #json: Record<string, unknown>;
  readonly #library: LibraryTokenizer;
  /** The same without special tokens; made when it is first needed. */
  #plain: LibraryTokenizer | null = null;
  /** Token strings as in tokenizer.json, by id; ids may have holes. */
  readonly #tokens: (string | undefined)[] = [];
  readonly #added = new Map<number, v.InferOutput<typeof AddedToken>>();
  readonly #spelling: Spelling;
  readonly #bytes: (Uint8Array | undefined)[] = [];

  /** Called by `createTokenizer`, which checks the file's shape. */
  constructor(json: TokenizerJson, definition: TokenizerDefinition) {
    const { vocab, unk_token: unknown } = json.model;
    if (unknown !== null && !Object.hasOwn(vocab, unknown)) {
      throw new Error(`its unk_token ${JSON.stringify(unknown)} is not in the vocabulary`);
    }
    for (const [token, id] of Object.entries(vocab)) this.#tokens[id] = token;
    for (const token of json.added_tokens) {
      this.#tokens[token.id] = token.content;
      this.#added.set(token.id, token);
    }
    this.vocabularySize = this.#tokens.length;
    this.#spelling = readSpelling(json);
    const steps = flatten(adaptPreTokenizer(json.pre_tokenizer, json.model), 'pretokenizers');
    const endsInBytes = isPlainByteLevel(steps.at(-1));
    this.#json = {
      ...json,
      pre_tokenizer: { type: 'Sequence', pretokenizers: endsInBytes ? steps.slice(0, -1) : steps },
      post_processor: null, // BOS is put in front here; nothing else that it could add belongs to a prompt
    };
    this.#library = new LibraryTokenizer(this.#json, {});
    if (endsInBytes) this.#library.pre_tokenizer = new ByteLevelWords(this.#library.pre_tokenizer!);
    this.bosTokenId = definition.bosToken === null ? null : (this.#library.token_to_id(definition.bosToken) ?? null);
    this.eosTokenIds = definition.eosTokenIds;
    this.#addBos = definition.addBos;
  }

  encode(text: string, { addSpecialTokens = true, parseSpecial = true }: EncodeOptions = {}): number[] {
    const library = parseSpecial ? this.#library : (this.#plain ??= this.#makePlain());
    const { ids } = library.encode(text, { add_special_tokens: false });
    if (addSpecialTokens && this.#addBos && this.bosTokenId !== null) ids.unshift(this.bosTokenId);
    return ids;
  }

  /** The text of a whole sequence, without the space that a SentencePiece tokenizer puts before the first word. */
  decode(ids: readonly number[], { keepSpecial = false }: DecodeOptions = {}): string {
    const parts = ids.map((id) =>
      keepSpecial && this.isSpecial(id) ? Buffer.from(this.#tokens[id] ?? '') : this.tokenBytes(id),
    );
    const text = decodeLossy(Buffer.concat(parts));
    const { prefixSpaces } = this.#spelling;
    let start = 0;
    while (start < prefixSpaces && text[start] === ' ') start++;
    return text.slice(start);
  }

  /**
   * The bytes of text that a token stands for, which may be part of a character (see Utf8Stream). Empty for special
   * tokens and for ids without a token. Shared: do not write to them.
   */
  tokenBytes(id: number): Uint8Array {
    if (this.#tokens[id] === undefined) return noBytes;
    return (this.#bytes[id] ??= this.#computeBytes(id));
  }

  /** The token for showing: special tokens spelt out, bytes that are no whole character as U+FFFD. */
  tokenText(id: number): string {
    if (this.isSpecial(id)) return this.#tokens[id] ?? '';
    return decodeLossy(this.tokenBytes(id));
  }

  /** Control tokens (BOS, end of turn, …), which are no part of the text. */
  isSpecial(id: number): boolean {
    return this.#added.get(id)?.special ?? false;
  }

  #computeBytes(id: number): Uint8Array {
    const token = this.#tokens[id]!;
    const added = this.#added.get(id);
    if (added !== undefined) return added.special ? noBytes : Buffer.from(token);
    const { byteLevel, byteFallback, replacements } = this.#spelling;
    if (byteLevel) return fromByteLevel(token);
    const byte = byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1] : undefined;
    if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
    return Buffer.from(replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token));
  }

  #makePlain(): LibraryTokenizer {
    const plain = new LibraryTokenizer(
      {
        ...this.#json,
        added_tokens: [...this.#added.values()].filter(({ special }) => !special),
        model: { type: 'BPE', vocab: {}, merges: [] },
      },
      {},
    );
    plain.pre_tokenizer = this.#library.pre_tokenizer;
    plain.model = this.#library.model; // it holds the vocabulary, the merges and a cache
    return plain;
  }
}

const noBytes = new Uint8Array(0);

/** How the strings of the vocabulary spell bytes, read from the tokenizer's decoder. */
interface Spelling {
  /** Each character is a byte, by GPT-2's map. */
  readonly byteLevel: boolean;
  /** `<0x0A>` is a byte. */
  readonly byteFallback: boolean;
  /** Otherwise, strings to replace: `▁` by a space. */
  readonly replacements: readonly (readonly [string, string])[];
  /** At most this many spaces at the beginning of a text are the tokenizer's own. */
  readonly prefixSpaces: number;
}

const ReplaceStep = v.object({ pattern: v.object({ String: v.string() }), content: v.string() });
const StripStep = v.object({ content: v.literal(' '), start: v.number(), stop: v.literal(0) });
const MetaspaceStep = v.object({
  replacement: v.optional(v.string(), '▁'),
  prepend_scheme: v.optional(v.string(), 'always'),
});

function readSpelling({ decoder, pre_tokenizer: preTokenizer }: TokenizerJson): Spelling {
  const steps = flatten(decoder, 'decoders');
  const replacements: [string, string][] = [];
  let byteLevel = flatten(preTokenizer, 'pretokenizers').some(({ type }) => type === 'ByteLevel');
  let byteFallback = false;
  let prefixSpaces = 0;
  for (const step of steps) {
    if (step.type === 'ByteLevel') byteLevel = true;
    else if (step.type === 'ByteFallback') byteFallback = true;
    else if (step.type === 'Replace' && v.is(ReplaceStep, step)) {
      replacements.push([step.pattern.String, step.content]);
    } else if (step.type === 'Strip' && v.is(StripStep, step)) prefixSpaces += step.start;
    else if (step.type === 'Metaspace' && v.is(MetaspaceStep, step)) {
      const { replacement, prepend_scheme: prepend } = v.parse(MetaspaceStep, step);
      replacements.push([replacement, ' ']);
      if (prepend !== 'never') prefixSpaces++;
    } else if (step.type !== 'Fuse') throw new Error(`its decoder ${step.type} is not supported`);
  }
  if (!byteLevel && steps.length === 0) throw new Error('it has no decoder');
  return { byteLevel, byteFallback, replacements, prefixSpaces };
}

interface Step {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** The steps of a component that may be a (nested) Sequence. */
function flatten(step: Step | null, children: 'decoders' | 'pretokenizers'): Step[] {
  if (step === null) return [];
  return step.type === 'Sequence' ? childSteps(step, children).flatMap((child) => flatten(child, children)) : [step];
}

function childSteps(step: Step, children: 'decoders' | 'pretokenizers'): Step[] {
  return v.parse(v.array(v.looseObject({ type: v.string() })), step[children]);
}

function isolate(pattern: string): Step {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

function isPlainByteLevel(step: Step | undefined): boolean {
  return step?.type === 'ByteLevel' && step['use_regex'] === false && step['add_prefix_space'] !== true;
}

/** The library's ByteLevel without its pattern. It spends half of the encoding on what this remembers. */
class ByteLevelWords extends PreTokenizer {
  readonly #words: PreTokenizer;
  readonly #known = new Map<string, string>();

  constructor(words: PreTokenizer) {
    super();
    this.#words = words;
  }

  override pre_tokenize_text(...args: Parameters<PreTokenizer['pre_tokenize_text']>): string[] {
    return this.#words.pre_tokenize(...args).map((word) => {
      const known = this.#known.get(word);
      if (known !== undefined) return known;
      let spelt = '';
      for (const byte of Buffer.from(word)) spelt += characterOfByte[byte]!;
      if (this.#known.size >= 1 << 15) this.#known.clear();
      if (word.length <= 64) this.#known.set(word, spelt);
      return spelt;
    });
  }
}

/**
 * The pre-tokenizer in terms that the library (0.2.0) treats as Hugging Face's Rust tokenizers do:
 * - its `Digits` knows ASCII digits only, where the reference takes every Unicode number;
 * - the pattern in its `ByteLevel` uses JavaScript's `\s`, which has U+FEFF and lacks U+0085
 *   (its `Split` translates `\s` rightly);
 * - its `Metaspace` never splits;
 * - its `Split` isolates whatever the behaviour, except when that is "Removed".
 *
 * SentencePiece models have no pre-tokenizer, so BPE runs over the whole text as one word. Where no merge can join a
 * character to a `▁` after it (nearly always), the text can be cut there: the result is the same, the work half, since the
 * library remembers words.
 */
function adaptPreTokenizer(step: Step | null, model: TokenizerJson['model']): Step | null {
  if (step === null) return mergesStayInWords(model) ? isolate('▁*[^▁]+|▁+') : null;
  switch (step.type) {
    case 'Sequence':
      return {
        ...step,
        pretokenizers: childSteps(step, 'pretokenizers').map((child) => adaptPreTokenizer(child, model)),
      };
    case 'Digits':
      return isolate(step['individual_digits'] === true ? '\\p{N}' : '\\p{N}+');
    case 'ByteLevel':
      // With a prefix space the order matters (space, pattern, bytes), and only the library's own step has it.
      if (isPlainByteLevel(step) || step['add_prefix_space'] === true) return step;
      return { type: 'Sequence', pretokenizers: [isolate(gpt2Pattern), { ...step, use_regex: false }] };
    case 'Metaspace': {
      if (step['split'] === false && !mergesStayInWords(model)) return step;
      const words = isolate(step['split'] === false ? '▁*[^▁]+|▁+' : '▁[^▁]*|[^▁]+');
      return { type: 'Sequence', pretokenizers: [step, words] };
    }
    case 'Split': {
      const { behavior, invert } = step;
      if (behavior === 'Isolated') return { ...step, invert: false }; // inverted it is the same
      if (behavior === 'Removed') return { ...step, invert: invert ?? false };
      throw new Error(`its pre-tokenizer Split with the behaviour ${JSON.stringify(behavior)} is not supported`);
    }
    default:
      return step;
  }
}

function mergesStayInWords({ merges, ignore_merges: ignoreMerges }: TokenizerJson['model']): boolean {
  const crossing = /[^▁]▁/u;
  return (
    !ignoreMerges &&
    !merges.some((merge) => crossing.test(typeof merge === 'string' ? merge.replace(' ', '') : merge.join('')))
  );
}

/** The characters that stand for bytes in byte-level vocabularies (`bytes_to_unicode` in GPT-2's encoder.py). */
const characterOfByte = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(printable ? byte : next++);
  });
})();
const byteOfCharacter = new Map(characterOfByte.map((character, byte) => [character, byte]));

function fromByteLevel(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) bytes.push(...Buffer.from(character));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

const lossyDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

function decodeLossy(bytes: Uint8Array): string {
  return lossyDecoder.decode(bytes);
}
