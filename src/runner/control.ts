/**
 * The verbs on work that goes in steps: it asks `gate()` between two of them, and ends when `signal` says so.
 * Knows nothing of sockets. As it stands it is an evaluation's; trainingControl.ts adds what training can do.
 */
import type { Settings, Verb } from './events.ts';

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

  /** Aborted by `stop` and `stop-and-save`. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get isPaused(): boolean {
    return this.#resume !== null;
  }

  /** Steps and updates of q that are done before something that is set now holds; null where nothing can be set. */
  doneBefore(): { readonly step: number; readonly update: number | null } | null {
    return null;
  }

  /** Settles at once, or when a pause is over or the work is to stop. */
  gate(): Promise<void> {
    return this.#paused;
  }

  /** Does what the verb says, or with `dryRun` only tells. Repeated, it changes nothing and says so. */
  apply(verb: Verb, dryRun = false, settings: Settings = {}): ControlEffect {
    const effect = this.effectOf(verb, settings);
    if (effect.applied && !dryRun) this.act(verb, settings);
    return effect;
  }

  protected act(verb: Verb, _settings: Settings): void {
    if (verb === 'pause') this.#paused = new Promise((resolve) => (this.#resume = resolve));
    else if (verb === 'resume') this.#go();
    else if (verb === 'stop' || verb === 'stop-and-save') {
      this.#stop.abort(new StoppedError('It was stopped.'));
      this.#go();
    }
  }

  protected effectOf(verb: Verb, _settings: Settings): ControlEffect {
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
      case 'release':
      case 'checkpoint':
      case 'sample':
      case 'set':
        return { applied: false, detail: 'An evaluation keeps every sample as it comes and has nothing to set.' };
    }
  }

  #go(): void {
    this.#resume?.();
    this.#resume = null;
  }
}
