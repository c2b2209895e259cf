/**
 * The verbs on work that goes in steps: it asks `gate()` between two of them, and ends when `signal` says so.
 * Knows nothing of sockets or of what the work is.
 */
import type { Verb } from './events.ts';

export interface ControlEffect {
  readonly applied: boolean;
  /** A sentence for a person. */
  readonly detail: string;
}

/** The reason of the signal when somebody stopped the work. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

export class Control {
  readonly #stop = new AbortController();
  #resume: (() => void) | null = null;
  #paused: Promise<void> = Promise.resolve();

  /** Aborted by `stop`. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get isPaused(): boolean {
    return this.#resume !== null;
  }

  /** Settles at once, or when a pause is over or the work is to stop. */
  gate(): Promise<void> {
    return this.#paused;
  }

  /** Does what the verb says, or with `dryRun` only tells. Repeated, it changes nothing and says so. */
  apply(verb: Verb, dryRun = false): ControlEffect {
    const effect = this.#effectOf(verb);
    if (effect.applied && !dryRun) {
      if (verb === 'pause') this.#paused = new Promise((resolve) => (this.#resume = resolve));
      else this.#go();
      if (verb === 'stop' || verb === 'stop-and-save') this.#stop.abort(new StoppedError('It was stopped.'));
    }
    return effect;
  }

  #go(): void {
    this.#resume?.();
    this.#resume = null;
  }

  #effectOf(verb: Verb): ControlEffect {
    const stopping = this.signal.aborted;
    switch (verb) {
      case 'pause':
        if (stopping) return { applied: false, detail: 'It is stopping.' };
        if (this.isPaused) return { applied: false, detail: 'It is paused already.' };
        return { applied: true, detail: 'Sampling holds before the next token; the model stays in memory.' };
      case 'resume':
        if (!this.isPaused) return { applied: false, detail: 'It is not paused.' };
        return { applied: true, detail: 'Sampling goes on.' };
      case 'stop':
      case 'stop-and-save':
        if (stopping) return { applied: false, detail: 'It is stopping already.' };
        return {
          applied: true,
          detail: 'It stops before the next token. Finished samples are kept; it can be resumed.',
        };
      case 'checkpoint':
      case 'set':
        return { applied: false, detail: 'An evaluation keeps every sample as it comes and has nothing to set.' };
    }
  }
}
