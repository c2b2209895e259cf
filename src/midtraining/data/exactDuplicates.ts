/**
 * Texts that were seen before. Knows nothing of syntax.
 */
import { createHash } from 'node:crypto';

/**
 * Remembers 52 bits of SHA-256 of each text, about 40 bytes of memory: among ten million texts the chance that any two
 * different ones are taken for the same is 1 %.
 */
export class ExactDuplicates {
  readonly #seen = new Set<number>();

  /** True when the text is new; it is then remembered. */
  add(text: string): boolean {
    const hash = createHash('sha256').update(text).digest();
    const key = hash.readUIntBE(0, 6) * 16 + (hash[6]! >>> 4);
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }
}

/** The text with every run of white space as one space, so that texts which differ in layout alone are the same. */
export function withoutLayout(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
