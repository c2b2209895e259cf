/**
 * Finds benchmark problems in training texts: any n words in a row that a problem has too. Knows nothing of syntax.
 *
 * n = 10, as DeepSeek-Coder (Guo et al. 2024, section 2.3: "a 10-gram string identical to any in the test data"; shorter
 * pieces by exact match) and Qwen2.5-Coder (Hui et al. 2024, section 3.1: 10-gram word-level overlap). GPT-3 (Brown et al.
 * 2020, appendix C) took 13 words, lower case and without punctuation, for prose. Words here are runs of letters, digits and
 * `_`, in lower case, so that layout, quotes and operators do not matter.
 */
import type { Problem } from '../../evaluation/types.ts';

export const NGRAM_WORDS = 10;
/** A piece of a problem (an assert statement, say) that is shorter than n counts whole if it has this many words. */
const SHORTEST_PIECE = 6;
/** An n-gram needs this many different words that are no numbers: `[1, 2, 3, …]` is in many programs. */
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
  /** Lengths of the n-grams there are: n, and those of shorter pieces. */
  readonly #lengths = new Set<number>();

  /** @param n words in a row that count as contamination */
  constructor(problems: Iterable<Problem>, n = NGRAM_WORDS) {
    this.#n = n;
    for (const problem of problems) for (const piece of piecesOf(problem)) this.#addPiece(piece, problem.taskId);
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
    let run = 0; // known words in a row that end here
    for (let end = 1; end <= numbers.length; end++) {
      run = numbers[end - 1] === undefined ? 0 : run + 1;
      for (const length of this.#lengths) {
        if (run < length) continue;
        for (const taskId of this.#tasks.get(numbers.slice(end - length, end).join(' ')) ?? []) {
          if (!found.has(taskId)) found.set(taskId, { taskId, words: words.slice(end - length, end).join(' ') });
        }
      }
    }
    return [...found.values()];
  }

  #addPiece(piece: string, taskId: string): void {
    const words = wordsOf(piece);
    const length = Math.min(this.#n, words.length);
    if (length < Math.min(SHORTEST_PIECE, this.#n)) return;
    const numbers = words.map((word) => {
      const number = this.#vocabulary.get(word) ?? this.#vocabulary.size;
      this.#vocabulary.set(word, number);
      return number;
    });
    for (let start = 0; start + length <= words.length; start++) {
      if (!isTelling(words.slice(start, start + length))) continue;
      const key = numbers.slice(start, start + length).join(' ');
      const tasks = this.#tasks.get(key);
      if (tasks === undefined) this.#tasks.set(key, new Set([taskId]));
      else tasks.add(taskId);
      this.#lengths.add(length);
    }
  }
}

/** What of a problem must not be trained on. A solution that continues its prompt is taken with it. */
function piecesOf({ prompt, canonicalSolution, tests, benchmark }: Problem): string[] {
  const texts = benchmark === 'humaneval' ? [prompt + canonicalSolution] : [prompt, canonicalSolution];
  return [...texts, ...tests];
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? [];
}

function isTelling(words: readonly string[]): boolean {
  return new Set(words.filter((word) => /\p{L}/u.test(word))).size >= DISTINCT_WORDS;
}
