/**
 * The verbs on a training run. They act between two steps: the work asks there for what was wished meanwhile.
 * Knows nothing of how a step is done.
 */
import { Control, type ControlEffect } from './control.ts';
import type { Settings, Verb } from './events.ts';

export class TrainingControl extends Control {
  /** Steps done when the next ones begin; null before training. */
  #step: number | null = null;
  #settings: Settings = {};
  #saveAsked = false;
  #savesAtStop = false;
  #wake: () => void = () => undefined;

  override stepsBefore(): number | null {
    return this.#step;
  }

  /** Whether a checkpoint is wanted before it stops. */
  get savesAtStop(): boolean {
    return this.#savesAtStop;
  }

  /** Training goes on from here: from now on there is something to set and to save. */
  ready(step: number): void {
    this.#step = step;
  }

  /** Settles as a pause ends, and in between when a checkpoint is asked for. */
  override gate(): Promise<void> {
    if (!this.isPaused || this.#saveAsked) return Promise.resolve();
    return Promise.race([super.gate(), new Promise<void>((resolve) => (this.#wake = resolve))]);
  }

  /** Whether a checkpoint was asked for since the last call. */
  takeSave(): boolean {
    const asked = this.#saveAsked;
    this.#saveAsked = false;
    return asked;
  }

  /** Begins the step after so many. @returns what was set since the last one began; what comes later holds after it */
  begin(step: number): Settings {
    const settings = this.#settings;
    this.#settings = {};
    this.#step = step + 1;
    return settings;
  }

  protected override act(verb: Verb, settings: Settings): void {
    super.act(verb, settings);
    if (verb === 'set') this.#settings = { ...this.#settings, ...settings };
    if (verb === 'stop-and-save') this.#savesAtStop = true;
    if (verb === 'checkpoint') {
      this.#saveAsked = true;
      this.#wake();
    }
  }

  protected override effectOf(verb: Verb, settings: Settings): ControlEffect {
    const effect = super.effectOf(verb, settings);
    switch (verb) {
      case 'pause':
        return effect.applied
          ? { applied: true, detail: 'Training holds before the next step; the model stays in memory.' }
          : effect;
      case 'resume':
        return effect.applied ? { applied: true, detail: 'Training goes on.' } : effect;
      case 'stop':
        return effect.applied
          ? { applied: true, detail: 'It stops before the next step. Resumed, it goes on from its last checkpoint.' }
          : effect;
      case 'stop-and-save':
        return effect.applied
          ? { applied: true, detail: 'It saves a checkpoint before the next step and stops.' }
          : effect;
      case 'release':
      case 'sample':
        return effect;
      case 'checkpoint':
      case 'set':
        if (this.signal.aborted) return { applied: false, detail: 'It is stopping.' };
        if (this.#step === null) return { applied: false, detail: 'It has not begun to train yet.' };
        return verb === 'set' ? setEffect(settings, this.#step) : this.#saveEffect();
    }
  }

  #saveEffect(): ControlEffect {
    if (this.#saveAsked) return { applied: false, detail: 'A checkpoint is asked for already.' };
    return { applied: true, detail: 'It saves a checkpoint before the next step.' };
  }
}

function setEffect({ learningRate, evaluationInterval }: Settings, step: number): ControlEffect {
  const parts = [
    ...(learningRate === undefined
      ? []
      : [learningRate === null ? 'the learning rate follows its schedule' : `the learning rate is ${learningRate}`]),
    ...(evaluationInterval === undefined
      ? []
      : [evaluationInterval === 0 ? 'nothing is evaluated' : `every ${evaluationInterval} steps are evaluated`]),
  ];
  if (parts.length === 0) {
    return { applied: false, detail: 'There is nothing to set: give a learningRate or an evaluationInterval.' };
  }
  return { applied: true, detail: `From step ${step + 1} on ${parts.join(', and ')}.` };
}
