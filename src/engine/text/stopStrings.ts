/**
 * Finds the first of several stop strings in a text that arrives in pieces, wherever the pieces are cut
 * (Aho-Corasick over UTF-16 code units: each unit is looked at once).
 * Knows nothing of tokens or of why a text stops there.
 */
import { UserError } from '../../errors.ts';

export interface StopMatch {
  /** Where the stop string begins, in UTF-16 code units from the beginning of the whole text. */
  readonly position: number;
  readonly stop: string;
}

/** A prefix of at least one stop string. */
interface State {
  readonly next: Map<number, State>;
  /** Length of the prefix, in UTF-16 code units. */
  readonly depth: number;
  /** The longest proper suffix of this prefix that is a prefix too; null at the root. */
  fallback: State | null;
  /** The longest stop string that ends here. */
  stop: string | null;
}

function newState(depth: number): State {
  return { next: new Map(), depth, fallback: null, stop: null };
}

function buildAutomaton(stops: readonly string[]): State {
  const root = newState(0);
  for (const stop of stops) {
    if (stop === '') throw new UserError('A stop string is empty: give at least one character, or leave it out.');
    let state = root;
    for (let i = 0; i < stop.length; i++) {
      const unit = stop.charCodeAt(i);
      let next = state.next.get(unit);
      if (next === undefined) state.next.set(unit, (next = newState(state.depth + 1)));
      state = next;
    }
    state.stop = stop;
  }
  const queue = [root]; // breadth first: a fallback is shallower, so it is complete before it is needed
  for (const state of queue) {
    for (const [unit, next] of state.next) {
      next.fallback = state.fallback === null ? root : step(state.fallback, unit);
      next.stop ??= next.fallback.stop;
      queue.push(next);
    }
  }
  return root;
}

function step(from: State, unit: number): State {
  for (let state = from; ;) {
    const next = state.next.get(unit);
    if (next !== undefined) return next;
    if (state.fallback === null) return state;
    state = state.fallback;
  }
}

/**
 * `push` pieces of text; what comes back is the text in which no stop string can begin any more. The rest is held back
 * until the next piece or `flush`. The match is the same as searching the whole text for the stop string that begins
 * first (of those that begin together, the shortest), so it does not depend on where the pieces were cut.
 */
export class StopFinder {
  readonly #root: State;
  #state: State;
  /** Units seen. */
  #end = 0;
  /** Text seen and not given out. */
  #held = '';
  /** A stop string was found, but one that begins before it may still be under way. */
  #candidate: StopMatch | null = null;
  #match: StopMatch | null = null;

  /** @throws UserError when a stop string is empty. */
  constructor(stops: readonly string[]) {
    this.#root = buildAutomaton(stops);
    this.#state = this.#root;
  }

  /** The first stop string, once it is certain; from then on nothing comes out. */
  get match(): StopMatch | null {
    return this.#match;
  }

  /** Takes the next piece; gives the text that is certain to come before any stop string. */
  push(piece: string): string {
    if (this.#match !== null) return '';
    const heldFrom = this.#end - this.#held.length;
    this.#held += piece;
    for (let i = 0; i < piece.length; i++) {
      this.#state = step(this.#state, piece.charCodeAt(i));
      this.#end++;
      const { stop } = this.#state;
      if (stop !== null) {
        const position = this.#end - stop.length;
        if (this.#candidate === null || position < this.#candidate.position) this.#candidate = { position, stop };
      }
      if (this.#candidate !== null && this.#candidate.position <= this.#end - this.#state.depth) {
        return this.#finish(this.#candidate, heldFrom);
      }
    }
    return this.#release(this.#end - this.#state.depth - heldFrom);
  }

  /** Ends the text; gives what was held back and belongs before the stop string, if there is one. */
  flush(): string {
    if (this.#match !== null) return '';
    if (this.#candidate !== null) return this.#finish(this.#candidate, this.#end - this.#held.length);
    return this.#release(this.#held.length);
  }

  #finish(match: StopMatch, heldFrom: number): string {
    this.#match = match;
    const text = this.#held.slice(0, match.position - heldFrom);
    this.#held = '';
    return text;
  }

  #release(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return text;
  }
}
