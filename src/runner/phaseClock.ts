/**
 * Tells each change of phase of a training, and adds up what they take. Knows nothing of what is done in them.
 */
import type { EventBody, Phase } from './events.ts';
import type { TrainingOutcome } from './types.ts';

export class PhaseClock {
  readonly #tell: (event: EventBody) => void;
  readonly #spent = new Map<Phase, number>();
  readonly #begun = performance.now();
  #phase: Phase | null = null;
  #since = 0;

  constructor(tell: (event: EventBody) => void) {
    this.#tell = tell;
  }

  /** A pause: what it takes is in no phase. */
  hold(): void {
    this.#book();
    this.#phase = null;
  }

  enter(phase: Phase): void {
    if (phase === this.#phase) return;
    this.#book();
    this.#phase = phase;
    this.#tell({ type: 'phase', phase });
  }

  /** Wall seconds by phase, and since the clock was made. */
  seconds(): TrainingOutcome['seconds'] {
    this.#book();
    const of = (phase: Phase): number => this.#spent.get(phase) ?? 0;
    return {
      load: of('load'),
      prepare: of('prepare'),
      explore: of('explore'),
      train: of('train'),
      evaluate: of('evaluate') + of('sample'),
      save: of('save'),
      total: (performance.now() - this.#begun) / 1000,
    };
  }

  #book(): void {
    const now = performance.now();
    if (this.#phase !== null) {
      this.#spent.set(this.#phase, (this.#spent.get(this.#phase) ?? 0) + (now - this.#since) / 1000);
    }
    this.#since = now;
  }
}
