/**
 * The verbs on a training run. They act between two steps: the work asks there for what was wished meanwhile.
 * Knows nothing of how a step is done.
 */
import { Control, type ControlEffect } from './control.ts';
import type { Settings, Verb } from './events.ts';
import { placeIn, PlannedSettings } from './plannedSettings.ts';

/** What is done between two steps, also in a pause. */
export type Wish = Extract<Verb, 'release' | 'checkpoint' | 'sample'>;

const WISHES: Readonly<Record<Wish, string>> = {
  release: 'It saves a checkpoint before the next step, gives its memory back and holds. Resumed, it goes on exactly.',
  checkpoint: 'It saves a checkpoint before the next step.',
  sample: 'It shows before the next step what the model writes now.',
};

export class TrainingControl extends Control {
  /** Steps done when the next ones begin; null before training. */
  #step: number | null = null;
  /** The same of updates of q; null where there is none. */
  #update: number | null = null;
  /** Set last, as far as it is known here. */
  #current: Settings = {};
  #planned = new PlannedSettings();
  readonly #wishes = new Set<Wish>();
  #released = false;
  #savesAtStop = false;
  #wake: () => void = () => undefined;

  override doneBefore(): { readonly step: number; readonly update: number | null } | null {
    return this.#step === null ? null : { step: this.#step, update: this.#update };
  }

  /** Whether a checkpoint is wanted before it stops. */
  get savesAtStop(): boolean {
    return this.#savesAtStop;
  }

  /**
   * Training goes on from here: from now on there is something to set and to save.
   * @param settings that hold now
   * @param planned what earlier launches had set for steps that are to be done again
   * @param update updates of q done; null where there is none
   */
  ready(step: number, settings: Settings, planned: PlannedSettings, update: number | null): void {
    this.#step = step;
    this.#update = update;
    this.#current = settings;
    this.#planned = planned;
  }

  /** Settles as a pause ends, and in between when something is wished for. */
  override gate(): Promise<void> {
    if (!this.isPaused || this.#wishes.size > 0) return Promise.resolve();
    return Promise.race([super.gate(), new Promise<void>((resolve) => (this.#wake = resolve))]);
  }

  /** The next thing that was wished for since it was last asked, or null. */
  takeWish(): Wish | null {
    const [wish] = this.#wishes;
    if (wish === undefined) return null;
    this.#wishes.delete(wish);
    return wish;
  }

  /** Begins the step after so many. @returns what is set with it; what comes later holds after it */
  begin(step: number): Settings {
    const settings = this.#begin(step, this.#update ?? 0);
    this.#step = step + 1;
    return settings;
  }

  /** Begins the update of q after so many, before that step. @returns as `begin` */
  beginUpdate(step: number, update: number): Settings {
    const settings = this.#begin(step, update);
    this.#update = update + 1;
    return settings;
  }

  #begin(step: number, update: number): Settings {
    const settings = this.#planned.at(placeIn(step, update));
    this.#current = { ...this.#current, ...settings };
    return settings;
  }

  protected override act(verb: Verb, settings: Settings): void {
    super.act(verb === 'release' && !this.isPaused ? 'pause' : verb, settings);
    switch (verb) {
      case 'set':
        this.#planned.add(placeIn(this.#step!, this.#update ?? 0), settings);
        this.#current = { ...this.#current, ...settings };
        break;
      case 'stop-and-save':
        this.#savesAtStop = true;
        break;
      case 'resume':
        this.#released = false;
        this.#wishes.delete('release');
        break;
      case 'release':
      case 'checkpoint':
      case 'sample':
        if (verb === 'release') this.#released = true;
        this.#wishes.add(verb);
        this.#wake();
        break;
      case 'pause':
      case 'stop':
        break;
    }
  }

  protected override effectOf(verb: Verb, settings: Settings): ControlEffect {
    const effect = super.effectOf(verb, settings);
    switch (verb) {
      case 'pause':
        if (effect.applied) return yes('Training holds before the next step; the model stays in memory.');
        return this.#released && !this.signal.aborted
          ? no('It is paused already, and its memory is given back.')
          : effect;
      case 'resume':
        return effect.applied ? yes('Training goes on.') : effect;
      case 'stop':
        return effect.applied
          ? yes('It stops before the next step. Resumed, it goes on from its last checkpoint.')
          : effect;
      case 'stop-and-save':
        return effect.applied ? yes('It saves a checkpoint before the next step and stops.') : effect;
      case 'release':
      case 'sample':
      case 'checkpoint':
      case 'set':
        if (this.signal.aborted) return no('It is stopping.');
        if (this.#step === null) return no('It has not begun to train yet.');
        return verb === 'set' ? this.#setEffect(settings, this.#step) : this.#wishEffect(verb);
    }
  }

  #wishEffect(wish: Wish): ControlEffect {
    if (this.#released) {
      if (wish === 'release') return no('Its memory is given back already.');
      if (wish === 'checkpoint') return no('Its state was saved when its memory was given back.');
      return no('Its memory is given back, so there is no model to ask. Resume it first.');
    }
    return this.#wishes.has(wish) ? no('That is asked for already.') : yes(WISHES[wish]);
  }

  #setEffect(settings: Settings, step: number): ControlEffect {
    const keys = Object.keys(settings) as (keyof Settings)[];
    const parts = keys.flatMap((key) => {
      const value = settings[key];
      return value === undefined ? [] : [SAID[key](value)];
    });
    if (parts.length === 0) return no(`There is nothing to set: give one of ${Object.keys(SAID).join(', ')}.`);
    const ofQ = keys.find((key) => key !== 'learningRate' && key !== 'evaluationInterval');
    if (ofQ !== undefined && this.#update === null)
      return no(`This run's method has no ${ofQ}: it explores no latents.`);
    if (keys.every((key) => settings[key] === this.#current[key]))
      return no(`That is so already: ${parts.join(', ')}.`);
    const when = ofQ !== undefined ? `update ${this.#update! + 1} of q` : `step ${step + 1}`;
    return yes(`From ${when} on ${parts.join(', and ')}.`);
  }
}

/** What each setting says. */
const SAID: { readonly [Key in keyof Required<Settings>]: (value: number | null) => string } = {
  learningRate: (value) =>
    value === null ? 'the learning rate follows its schedule' : `the learning rate is ${value}`,
  evaluationInterval: (value) => (value === 0 ? 'nothing is evaluated' : `every ${value} steps are evaluated`),
  thinkPenalty: (value) => `a thought costs ${value} nats`,
  temperature: (value) => `rollouts have temperature ${value}`,
  groupSize: (value) => `a group has ${value} rollouts`,
  eUpdates: (value) => `a round has ${value} updates of q`,
  mSteps: (value) => `a round has ${value} steps of the model`,
};

const yes = (detail: string): ControlEffect => ({ applied: true, detail });
const no = (detail: string): ControlEffect => ({ applied: false, detail });
