/**
 * Finds benchmark problems in training texts: any n words in a row that a problem has too. Knows nothing of syntax.
 *
 * n = 10, as DeepSeek-Coder (Guo et al. 2024, section 2.3: "a 10-gram string identical to any in the test data"; shorter
 * pieces by exact match) and Qwen2.5-Coder (Hui et al. 2024, section 3.1: 10-gram word-level overlap). GPT-3 (Brown et al.
 * 2020, appendix C) took 13 words, lower case and without punctuation, for prose. Words here are runs of letters, digits and
 * `_`, in lower case, so that layout, quotes and operators do not matter.
 */
import { hasHumanEvalForm, type Problem } from '../../evaluation/types.ts';

export const NGRAM_WORDS = 10;
/** A piece of a problem that is shorter than n counts whole, if it has this many words; an assert statement, if this many. */
const SHORTEST_PIECE = 6;
const SHORTEST_ASSERT = 3;
/**
 * An n-gram needs this many different words of two letters or more, `[1, 2, 3, …]` and `a, b, c` being in many programs;
 * or it is a test that names the function.
 */
const DISTINCT_WORDS = 3;

/** A benchmark problem found in a text. */
export interface Contamination {
  readonly taskId: string;
  /** The words in common, from the first n-gram that was found, for a person. */
  readonly words: string;
}

export class Decontaminator {
  readonly #n: number;
  /** Words that occur in the problems, by number: a word that is not here ends every n-gram. */
  readonly #vocabulary = new Map<string, number>();
  /** Tasks by n-gram; a key is the numbers of its words. */
  readonly #tasks = new Map<string, Set<string>>();
  /** Lengths of the n-grams that begin with a word: n, and those of shorter pieces. */
  readonly #lengths = new Map<number, Set<number>>();

  /** @param n words in a row that count as contamination */
  constructor(problems: Iterable<Problem>, n = NGRAM_WORDS) {
    this.#n = n;
    for (const problem of problems) for (const piece of piecesOf(problem)) this.#addPiece(piece, problem);
  }

  /** Different n-grams held. */
  get size(): number {
    return this.#tasks.size;
  }

  /** The problems that the text overlaps with, each once, in the order of their first place in the text. */
  find(text: string): Contamination[] {
    const found = new Map<string, Contamination>();
    const words = wordsOf(text);
    const numbers = words.map((word) => this.#vocabulary.get(word));
    let unknown = -1; // the first unknown word from `start` on
    for (const [start, number] of numbers.entries()) {
      if (number === undefined) continue;
      if (unknown < start) {
        unknown = numbers.indexOf(undefined, start);
        if (unknown < 0) unknown = numbers.length;
      }
      for (const length of this.#lengths.get(number) ?? []) {
        const end = start + length;
        if (end > unknown) continue;
        for (const taskId of this.#tasks.get(numbers.slice(start, end).join(' ')) ?? []) {
          if (!found.has(taskId)) found.set(taskId, { taskId, words: words.slice(start, end).join(' ') });
        }
      }
    }
    return [...found.values()];
  }

  #addPiece(piece: string, problem: Problem): void {
    const { taskId, entryPoint } = problem;
    const words = wordsOf(piece);
    const length = Math.min(this.#n, words.length);
    if (length < Math.min(words[0] === 'assert' ? SHORTEST_ASSERT : SHORTEST_PIECE, this.#n)) return;
    const numbers = words.map((word) => {
      const number = this.#vocabulary.get(word) ?? this.#vocabulary.size;
      this.#vocabulary.set(word, number);
      return number;
    });
    const tested = hasHumanEvalForm(problem) ? 'candidate' : entryPoint.toLowerCase();
    for (let start = 0; start + length <= words.length; start++) {
      const ngram = words.slice(start, start + length);
      if (!isTelling(ngram) && !(ngram.includes('assert') && ngram.includes(tested))) continue;
      const key = numbers.slice(start, start + length).join(' ');
      addTo(this.#tasks, key, taskId);
      addTo(this.#lengths, numbers[start]!, length);
    }
  }
}

function addTo<Key, Value>(sets: Map<Key, Set<Value>>, key: Key, value: Value): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

/** What of a problem must not be trained on. A solution that continues its prompt is taken with it. */
function piecesOf(problem: Problem): string[] {
  const { prompt, canonicalSolution, tests } = problem;
  const texts = hasHumanEvalForm(problem) ? [prompt + canonicalSolution] : [prompt, canonicalSolution];
  return [...texts, ...tests];
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? [];
}

function isTelling(words: readonly string[]): boolean {
  return new Set(words.filter((word) => /\p{L}{2}/u.test(word))).size >= DISTINCT_WORDS;
}
