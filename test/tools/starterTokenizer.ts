/**
 * Trains a byte-level BPE tokenizer (Sennrich et al. 2016; GPT-2's byte alphabet) and writes it as Hugging Face's
 * tokenizer.json. Any text can be encoded: every byte is a token. The same texts give the same tokenizer.
 * Knows nothing of models.
 */

/** Behind each text, and what a generation ends with. */
export const END_OF_TEXT = '<|endoftext|>';

/**
 * Words, within which tokens stay: a line's end by itself, so that a prompt may end with it or before it; indentation four
 * spaces a level; a word with the space or underscore before it; each digit by itself; a run of other signs.
 */
const WORD = '\\n|(?: {4})+|[ _]?\\p{L}+| ?\\p{N}| ?[^\\s\\p{L}\\p{N}]+|[^\\S\\n]+';

type Pair = readonly [left: string, right: string];

/** A word of the texts as the tokens it has become so far. */
interface Word {
  tokens: string[];
  readonly count: number;
}

/**
 * @param vocabularySize at most so many tokens, the 256 bytes and the end of text among them
 * @returns the content of tokenizer.json
 */
export function trainTokenizer(texts: Iterable<string>, vocabularySize: number): object {
  const words = countWords(texts);
  const tokens = [...byteAlphabet()].sort();
  const merges: Pair[] = [];
  while (tokens.length + 1 < vocabularySize) {
    const best = mostFrequentPair(words);
    if (best === null) break;
    merges.push(best);
    tokens.push(best.join(''));
    for (const word of words) merge(word, best);
  }
  return tokenizerJson(tokens, merges);
}

function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  const pattern = new RegExp(WORD, 'gu');
  for (const text of texts) {
    for (const [word] of text.matchAll(pattern)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const characters = byteAlphabet();
  return Array.from(counts, ([word, count]) => ({
    tokens: Array.from(Buffer.from(word), (byte) => characters[byte]!),
    count,
  }));
}

/** Of pairs equally frequent the first in the alphabet; null where no pair comes twice. */
function mostFrequentPair(words: readonly Word[]): Pair | null {
  const counts = new Map<string, number>();
  for (const { tokens, count } of words) {
    for (let i = 0; i + 1 < tokens.length; i++) {
      const pair = `${tokens[i]!} ${tokens[i + 1]!}`; // no token has a space: a byte's character is none
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | null = null;
  let most = 1;
  for (const [pair, count] of counts) {
    if (count > most || (count === most && best !== null && pair < best)) [best, most] = [pair, count];
  }
  if (best === null) return null;
  const [left, right] = best.split(' ');
  return [left!, right!];
}

function merge(word: Word, [left, right]: Pair): void {
  const merged: string[] = [];
  for (const token of word.tokens) {
    if (token === right && merged.at(-1) === left) merged[merged.length - 1] = left + right;
    else merged.push(token);
  }
  word.tokens = merged;
}

/** The character that stands for each byte (`bytes_to_unicode` in GPT-2's encoder.py). */
function byteAlphabet(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(printable ? byte : next++);
  });
}

function tokenizerJson(tokens: readonly string[], merges: readonly Pair[]): object {
  const endOfText = {
    id: 0,
    content: END_OF_TEXT,
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [endOfText],
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Split', pattern: { Regex: WORD }, behavior: 'Isolated', invert: false }, byteLevel],
    },
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([END_OF_TEXT, ...tokens].map((token, id) => [token, id])),
      merges,
    },
  };
}
