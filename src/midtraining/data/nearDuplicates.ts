/**
 * Texts that are nearly the same as an earlier one, by MinHash and locality-sensitive hashing: Jaccard similarity over
 * shingles of 5 words, threshold 0.7, as BigCode deduplicated The Stack (Kocetkov et al. 2022, section 3; Lee et al. 2022).
 * The same texts in the same order give the same answers everywhere. Knows nothing of syntax.
 *
 * 128 hashes in 16 bands of 8: a pair of similarity s meets in some band with probability 1 - (1 - s^8)^16, that is 6 % at
 * 0.5, 61 % at 0.7, 95 % at 0.8 and 99.99 % at 0.9. A pair that met is compared by all 128 hashes, of which 8 bits each are kept
 * (b-bit minwise hashing, Li and König 2010), so that the estimate's standard error is 0.04 at 0.7.
 */
import { seededRandom } from '../../engine/random.ts';

const SHINGLE_WORDS = 5;
const BANDS = 16;
const ROWS = 8;
const HASHES = BANDS * ROWS;
/** Of the earlier texts in a band's bucket this many, the latest, are compared. */
const MOST_COMPARED = 32;

const { masks, factors } = (() => {
  const random = seededRandom(0x6d696e68);
  const draw = (): number => random.below(2 ** 32);
  return {
    masks: Uint32Array.from({ length: HASHES }, draw),
    factors: Uint32Array.from({ length: HASHES }, () => draw() | 1),
  };
})();

/** Holds 500 to 1,000 bytes for each text that was new: up to a gigabyte for a million. */
export class NearDuplicates {
  readonly #threshold: number;
  readonly #buckets = new Buckets();
  /** 8 bits of each hash, text by text. */
  #sketches = new Uint8Array(HASHES * 1024);
  #count = 0;

  constructor(threshold = 0.7) {
    this.#threshold = threshold;
  }

  /** Texts remembered. */
  get size(): number {
    return this.#count;
  }

  /**
   * The number of an earlier text (from 0, in the order of those that were new) that this one nearly repeats; else null,
   * and the text is remembered. Texts of fewer than 5 words are always new and are not remembered.
   */
  add(text: string): number | null {
    const signature = minHash(text);
    if (signature === null) return null;
    const sketch = Uint8Array.from(signature, (hash) => hash >>> 24);
    const keys = Uint32Array.from({ length: BANDS }, (_, band) => bandKey(signature, band));
    const compared = new Set<number>();
    for (const key of keys) {
      for (const earlier of this.#buckets.find(key)) {
        if (compared.has(earlier)) continue;
        compared.add(earlier);
        if (this.#similarity(sketch, earlier) >= this.#threshold) return earlier;
      }
    }
    this.#remember(sketch, keys);
    return null;
  }

  /** Estimated Jaccard similarity: 8-bit hashes agree by chance once in 256. */
  #similarity(sketch: Uint8Array, earlier: number): number {
    const base = earlier * HASHES;
    let same = 0;
    for (let hash = 0; hash < HASHES; hash++) if (this.#sketches[base + hash] === sketch[hash]) same += 1;
    return (same / HASHES - 1 / 256) / (1 - 1 / 256);
  }

  #remember(sketch: Uint8Array, keys: Uint32Array): void {
    if (this.#sketches.length < (this.#count + 1) * HASHES) {
      const grown = new Uint8Array(this.#sketches.length * 2);
      grown.set(this.#sketches);
      this.#sketches = grown;
    }
    this.#sketches.set(sketch, this.#count * HASHES);
    for (const key of keys) this.#buckets.add(key, this.#count);
    this.#count += 1;
  }
}

/** The least value of each hash function over the text's shingles; null when it has none. */
function minHash(text: string): Uint32Array | null {
  const words = text.match(/\w+/g) ?? [];
  if (words.length < SHINGLE_WORDS) return null;
  const wordHashes = words.map(fnv1a);
  const shingles = new Set<number>();
  for (let at = 0; at + SHINGLE_WORDS <= wordHashes.length; at++) {
    let hash = 0;
    for (let word = 0; word < SHINGLE_WORDS; word++) hash = mixed(Math.imul(hash, 31) + wordHashes[at + word]!);
    shingles.add(hash >>> 0);
  }
  const signature = new Uint32Array(HASHES).fill(0xffff_ffff);
  for (const shingle of shingles) {
    for (let at = 0; at < HASHES; at++) {
      const hash = mixed(Math.imul(shingle ^ masks[at]!, factors[at]!)) >>> 0;
      if (hash < signature[at]!) signature[at] = hash;
    }
  }
  // The least of many hashes has few bits left in front: spread them, so that any 8 bits tell two values apart.
  for (let at = 0; at < HASHES; at++) signature[at] = mixed(Math.imul(signature[at]!, 0x9e37_79b1));
  return signature;
}

function bandKey(signature: Uint32Array, band: number): number {
  let key = band + 1;
  for (let row = 0; row < ROWS; row++) key = mixed(Math.imul(key, 31) + signature[band * ROWS + row]!);
  return key >>> 0;
}

function fnv1a(word: string): number {
  let hash = 0x811c_9dc5;
  for (let at = 0; at < word.length; at++) hash = Math.imul(hash ^ word.charCodeAt(at), 0x0100_0193);
  return hash;
}

/** Half of MurmurHash3's finalizer. */
function mixed(value: number): number {
  const hash = Math.imul(value ^ (value >>> 16), 0x85eb_ca6b);
  return hash ^ (hash >>> 13);
}

/**
 * Numbers by key, in typed arrays: an open-addressed table of keys, each with a chain of entries, the latest first.
 * A JavaScript Map would take three times the memory.
 */
class Buckets {
  /** Two places a slot: key, and its latest entry + 1 (0 where the slot is free). */
  #table = new Uint32Array(2 * 4096);
  #keys = 0;
  /** Two places an entry: its number, and the entry before it + 1. */
  #entries = new Uint32Array(2 * 4096);
  #count = 0;

  *find(key: number): Generator<number, void, undefined> {
    let entry = this.#table[2 * this.#slot(key) + 1]!;
    for (let compared = 0; entry !== 0 && compared < MOST_COMPARED; compared++) {
      yield this.#entries[2 * (entry - 1)]!;
      entry = this.#entries[2 * (entry - 1) + 1]!;
    }
  }

  add(key: number, number: number): void {
    if (3 * this.#keys >= this.#table.length) this.#grow();
    if (2 * this.#count === this.#entries.length) {
      const grown = new Uint32Array(this.#entries.length * 2);
      grown.set(this.#entries);
      this.#entries = grown;
    }
    const slot = this.#slot(key);
    const latest = this.#table[2 * slot + 1]!;
    if (latest === 0) this.#keys += 1;
    this.#entries[2 * this.#count] = number;
    this.#entries[2 * this.#count + 1] = latest;
    this.#count += 1;
    this.#table[2 * slot] = key;
    this.#table[2 * slot + 1] = this.#count;
  }

  /** Where the key is, or would be put. */
  #slot(key: number): number {
    const mask = this.#table.length / 2 - 1;
    let slot = key & mask;
    while (this.#table[2 * slot + 1] !== 0 && this.#table[2 * slot] !== key) slot = (slot + 1) & mask;
    return slot;
  }

  /** At two thirds full. */
  #grow(): void {
    const old = this.#table;
    this.#table = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += 2) {
      if (old[at + 1] === 0) continue;
      const slot = this.#slot(old[at]!);
      this.#table[2 * slot] = old[at]!;
      this.#table[2 * slot + 1] = old[at + 1]!;
    }
  }
}
