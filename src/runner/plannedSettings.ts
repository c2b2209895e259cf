/**
 * What was set by hand, and from which step on it holds. What was set later holds from its own step on, whatever had been
 * set for the steps behind it: so a run that goes back to a checkpoint does again what was set, and takes up new wishes on
 * the way. Knows nothing of what the settings mean.
 */
import type { Settings } from './events.ts';

/** A place in a run: steps done, and updates of q between them. Grows as the run goes on. @param updates of all rounds, below 2^21 */
export function placeIn(step: number, updates: number): number {
  return step + updates / 2 ** 21;
}

export class PlannedSettings {
  readonly #steps = new Map<number, Settings>();

  /** @param step steps done before it holds, as a `place` */
  add(step: number, settings: Settings): void {
    for (const [at, planned] of this.#steps) {
      if (at < step) continue;
      const left = Object.entries(planned).filter(([key]) => !(key in settings));
      this.#steps.set(at, Object.fromEntries(left));
    }
    this.#steps.set(step, { ...this.#steps.get(step), ...settings });
  }

  /** What begins to hold when so many steps are done, as a `place`. */
  at(step: number): Settings {
    return this.#steps.get(step) ?? {};
  }
}
