/**
 * The steps of a training run, from its latest checkpoint on: trained, evaluated, kept, and told. The verbs act between two
 * of them. Knows nothing of where model and data come from or what becomes of the trained model.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { StepResult, Trainer } from '../engine/training/trainer.ts';
import { UserError } from '../errors.ts';
import type { Checkpoint, Checkpoints, TrainingProgress } from '../midtraining/checkpoint.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import type { PackedRow } from '../midtraining/data/packing.ts';
import type { TokenStore } from '../midtraining/data/tokenStore.ts';
import { type RowOptions, type RowPosition, TrainingRows } from '../midtraining/data/trainingRows.ts';
import { heldOutLoss } from '../midtraining/heldOutLoss.ts';
import { nextTokenBatch, partedLosses } from '../midtraining/nextTokenPrediction.ts';
import type { InfusedRow } from '../midtraining/rollouts/infusedRows.ts';
import { batchRows } from '../midtraining/trainerOptions.ts';
import type { MetricEvent, Settings } from './events.ts';
import type { Exploration } from './exploration.ts';
import type { LiveSamples } from './liveSamples.ts';
import { collectGarbage, residentBytes } from './memory.ts';
import type { PhaseClock } from './phaseClock.ts';
import { placeIn, PlannedSettings } from './plannedSettings.ts';
import { readEvents } from './runFolder.ts';
import type { TrainingWork } from './trainingWork.ts';

/** Of the data, before the first step. */
const START: RowPosition = { epoch: 0, window: 0, row: 0 };
/** A loss this far above the smoothed one, so many times in a row, is divergence. */
const SPIKE = { factor: 2, nats: 1, steps: 3 };
/** Weight of a new loss in the smoothed one. */
const SMOOTHING = 0.1;

/** What is trained, in memory. */
export interface LoopModels {
  readonly trainer: Trainer;
  /** Of methods that write latents. */
  readonly exploration: Exploration | null;
}

export interface LoopParts {
  readonly work: TrainingWork;
  /** Makes the models as they are before the first step. */
  readonly open: () => Promise<LoopModels>;
  readonly store: TokenStore;
  readonly rowOptions: RowOptions;
  readonly checkpoints: Checkpoints;
  readonly samples: LiveSamples;
  readonly clock: PhaseClock;
}

export class TrainingLoop {
  readonly #parts: LoopParts;
  /** Null while their memory is given back. */
  #models: LoopModels | null;
  /** Of methods that write no latents; those of the others are the exploration's. */
  #rows: TrainingRows | null;
  #progress: TrainingProgress;
  /** The step whose state was kept last, and the updates of q then. */
  #saved: { readonly step: number; readonly updates: number } | null = null;
  /** Losses of the last step, of methods that write latents. */
  #parted: Pick<MetricEvent, 'codeLoss' | 'latentLoss'> | null = null;
  /** What was told last, by this launch or an earlier one. */
  #told: MetricEvent | null = null;
  loss: number | null = null;
  heldOutLoss: number | null = null;
  firstHeldOutLoss: number | null = null;

  private constructor(parts: LoopParts, models: LoopModels) {
    this.#parts = parts;
    this.#models = models;
    this.#rows = models.exploration === null ? new TrainingRows(parts.store.train, parts.rowOptions) : null;
    this.#progress = {
      position: START,
      tokens: 0,
      evaluationInterval: this.#config.evaluationInterval,
      heldOutLoss: null,
      bestHeldOutLoss: null,
      evaluationsWithoutGain: 0,
      smoothedLoss: null,
      stepsAbove: 0,
    };
  }

  /** Takes up the latest checkpoint, and what was set after it. @throws UserError when none that is there can be used */
  static async open(parts: LoopParts): Promise<TrainingLoop> {
    const loop = new TrainingLoop(parts, await parts.open());
    try {
      await loop.#load();
      return loop;
    } catch (error) {
      await loop.close();
      throw error;
    }
  }

  /** The trained model. @throws Error while its memory is given back */
  get trainer(): Trainer {
    return this.#opened.trainer;
  }

  get #opened(): LoopModels {
    if (this.#models === null) throw new Error('the trainer is closed');
    return this.#models;
  }

  /** Steps done. */
  get steps(): number {
    return this.#models?.trainer.stepCount ?? this.#saved!.step; // it is closed only when it was saved
  }

  /** Updates of q done. */
  get #updates(): number {
    return this.#models === null ? this.#saved!.updates : (this.#models.exploration?.updates ?? 0);
  }

  /** Targets trained on, those of earlier launches too. */
  get tokens(): number {
    return this.#progress.tokens;
  }

  get #config(): TrainingConfig {
    return this.#parts.work.request.config;
  }

  async close(): Promise<void> {
    const models = this.#models;
    this.#models = null;
    await models?.exploration?.close();
    await models?.trainer.close();
  }

  async #load(): Promise<void> {
    const { checkpoints, store, rowOptions, work } = this.#parts;
    const { folder, tell, control } = work;
    const checkpoint = await checkpoints.latest((why) => {
      tell({ type: 'note', level: 'warning', text: `${why} The one before it is looked at.` });
    });
    const step = checkpoint?.trainer.step ?? 0;
    if (checkpoint !== null) {
      await this.#take(checkpoint);
      this.#progress = checkpoint.progress;
      if (this.#rows !== null) this.#rows = new TrainingRows(store.train, rowOptions, checkpoint.progress.position);
      this.#saved = { step, updates: this.#updates };
      tell({ type: 'note', level: 'info', text: `It goes on from the checkpoint of step ${step}.` });
    }
    const planned = new PlannedSettings();
    for (const event of (await readEvents(folder, 0)).events) {
      if (event.type === 'metric' && event.step <= step) {
        const { seq, time, ...metric } = event;
        this.#remember(metric);
      }
      if (event.type === 'control' && event.settings !== undefined) {
        planned.add(placeIn(event.step ?? 0, event.update ?? 0), event.settings);
      }
    }
    const { evaluationInterval } = this.#progress;
    const exploration = this.#opened.exploration?.progress;
    const learningRate = checkpoint?.trainer.learningRate ?? null;
    const settings = { learningRate, evaluationInterval, ...exploration?.settings };
    control.ready(step, settings, planned, exploration?.updates ?? null);
  }

  /** The models go on from a checkpoint. */
  async #take({ trainer, q, progress }: Checkpoint): Promise<void> {
    const models = this.#opened;
    await models.trainer.importState(trainer);
    const explored = q === null || progress.exploration === undefined ? null : { q, progress: progress.exploration };
    await models.exploration?.resume(progress.position, explored);
  }

  /** @returns whether it came to its end; else it was stopped. @throws UserError when it diverges or the disk is full */
  async run(): Promise<boolean> {
    const { tell, control } = this.#parts.work;
    const { steps, checkpointInterval, patience } = this.#config;
    if (this.steps === 0 && this.#saved === null) await this.#evaluateFirst();
    else await this.#completeLast();
    while (this.steps < steps && !this.#isOutOfPatience()) {
      if (!(await this.#mayGoOn())) return false;
      if (this.#opened.exploration?.isDue(this.steps) === true) {
        await this.#explore(this.#opened.exploration);
        continue;
      }
      this.#set(control.begin(this.steps));
      const result = await this.#step();
      const step = this.steps;
      const isLast = step === steps;
      const isBest = this.#isDue(this.#progress.evaluationInterval) && (await this.#evaluate());
      tell(this.#metric(result, await this.#passAt1()));
      const isSafe = this.#progress.stepsAbove === 0;
      if (isLast || (isSafe && (step % checkpointInterval === 0 || (isBest && patience !== null)))) await this.#save();
    }
    if (this.#isOutOfPatience()) await this.#returnToBest();
    return true;
  }

  // --- Between two steps ---

  /** Waits while it is paused, and does what is wished for. @returns false when it is to stop */
  async #mayGoOn(): Promise<boolean> {
    const { control } = this.#parts.work;
    do {
      if (control.isPaused) this.#parts.clock.hold();
      await control.gate();
      await turn(); // messages are read between two steps
      for (let wish = control.takeWish(); wish !== null; wish = control.takeWish()) {
        if (wish === 'checkpoint') await this.#save();
        else if (wish === 'sample') await this.#show();
        else await this.#release();
      }
    } while (control.isPaused && !control.signal.aborted);
    if (control.signal.aborted) {
      if (control.savesAtStop) await this.#save();
      return false;
    }
    if (this.#models === null) await this.#reopen();
    return true;
  }

  async #show(): Promise<void> {
    this.#parts.clock.enter('sample');
    await this.#parts.samples.show(this.trainer);
  }

  /** Keeps the state and gives the memory back. */
  async #release(): Promise<void> {
    await this.#save();
    const before = residentBytes();
    await this.close();
    collectGarbage();
    const [from, to] = [before, residentBytes()].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
    const text = `The memory is given back: ${from} in use before, ${to} now.`;
    this.#parts.work.tell({ type: 'note', level: 'info', text });
  }

  /** Goes on from the state that `release` kept. */
  async #reopen(): Promise<void> {
    const { clock, checkpoints, open } = this.#parts;
    clock.enter('load');
    const checkpoint = await checkpoints.read(this.#saved!.step);
    this.#models = await open();
    await this.#take(checkpoint);
  }

  /** Keeps the state between two steps, unless it is kept already. */
  async #save(): Promise<void> {
    const now = { step: this.steps, updates: this.#updates };
    if (this.#saved?.step === now.step && this.#saved.updates === now.updates) return;
    const { clock, checkpoints } = this.#parts;
    clock.enter('save');
    const { trainer, exploration } = this.#opened;
    const explored = exploration?.progress;
    const position = exploration?.position ?? this.#progress.position;
    this.#progress = { ...this.#progress, position, ...(explored === undefined ? {} : { exploration: explored }) };
    const q = (await exploration?.viewState()) ?? null;
    await checkpoints.save(await trainer.viewState(), trainer.parameters, this.#progress, q);
    this.#saved = now;
  }

  #set(settings: Settings): void {
    const { learningRate, evaluationInterval } = settings;
    if (learningRate !== undefined) this.trainer.setLearningRate(learningRate);
    if (evaluationInterval !== undefined) this.#progress = { ...this.#progress, evaluationInterval };
    this.#opened.exploration?.set(settings);
  }

  // --- An update of q ---

  async #explore(exploration: Exploration): Promise<void> {
    const { clock, work } = this.#parts;
    clock.enter('explore');
    this.#set(work.control.beginUpdate(this.steps, exploration.updates));
    await exploration.update(this.steps);
    if (!exploration.isDue(this.steps) && !work.control.signal.aborted) await this.#save();
  }

  // --- A step ---

  async #step(): Promise<StepResult> {
    const { clock, rowOptions } = this.#parts;
    clock.enter('train');
    const { trainer, exploration } = this.#opened;
    const rows: (PackedRow & Partial<InfusedRow>)[] = [];
    while (rows.length < batchRows(this.#config)) {
      rows.push(await (exploration === null ? this.#rows!.next() : exploration.nextRow()));
    }
    const batch = nextTokenBatch(rows, rowOptions.rowLength);
    const result = await trainer.step(batch);
    this.#parted = exploration === null ? null : partedLosses(batch, rows, result.tokenLosses);
    this.#progress = {
      ...this.#progress,
      position: (exploration ?? this.#rows!).position,
      tokens: this.#progress.tokens + result.tokens,
      heldOutLoss: null,
      ...guarded(this.#progress, result.loss),
    };
    if (!result.updated || this.#progress.stepsAbove >= SPIKE.steps) throw this.#diverged(result);
    return result;
  }

  #metric(result: StepResult | null, passAt1: MetricEvent['passAt1']): MetricEvent {
    const event: MetricEvent = {
      type: 'metric',
      step: this.steps,
      steps: this.#config.steps,
      loss: result?.loss ?? null,
      heldOutLoss: this.#progress.heldOutLoss,
      learningRate: result?.learningRate ?? null,
      gradientNorm: result?.gradientNorm ?? null,
      tokens: this.#progress.tokens,
      tokensPerSecond: result === null ? 0 : result.tokens / result.seconds,
      memory: residentBytes(),
      ...(result !== null && result.bytesMoved > 0 ? { bytesMoved: result.bytesMoved } : {}),
      ...(result === null ? {} : this.#parted),
      ...(passAt1 === undefined ? {} : { passAt1 }),
    };
    this.#remember(event);
    return event;
  }

  #remember(event: MetricEvent): void {
    const { step, loss, heldOutLoss } = event;
    this.#told = event;
    this.loss = loss ?? this.loss;
    this.heldOutLoss = heldOutLoss ?? this.heldOutLoss;
    if (step === 0) this.firstHeldOutLoss = heldOutLoss;
  }

  #diverged({ loss, learningRate }: StepResult): UserError {
    const how = Number.isFinite(loss) ? `rose to ${loss.toFixed(2)}` : 'or its gradients are no numbers any more';
    const kept =
      this.#saved === null ? 'No checkpoint was kept yet.' : `The checkpoint of step ${this.#saved.step} is kept.`;
    return new UserError(
      `Training diverges: after step ${this.steps} the loss ${how}, at a learning rate of ${learningRate}. ${kept} ` +
        'Lower learningRate in the config, or lengthen warmup, and start again.',
    );
  }

  // --- Evaluation ---

  /** Whether what is done at this interval is due after the step. */
  #isDue(interval: number): boolean {
    return interval > 0 && (this.steps % interval === 0 || this.steps === this.#config.steps);
  }

  /** The model before training, which is no step. */
  async #evaluateFirst(): Promise<void> {
    if (this.#progress.evaluationInterval === 0) return;
    const isBest = await this.#evaluate();
    this.#parts.work.tell(this.#metric(null, await this.#passAt1()));
    if (isBest && this.#config.patience !== null) await this.#save(); // training may only make it worse
  }

  /** A stop may have cut the evaluation short that came before the state was kept. */
  async #completeLast(): Promise<void> {
    const told = this.#told;
    if (told?.step !== this.steps || told.passAt1 !== undefined) return;
    const passAt1 = await this.#passAt1();
    if (passAt1 === undefined) return;
    this.#parts.work.tell({ ...told, memory: residentBytes(), passAt1 });
  }

  /** Takes the held-out loss, where there is a held-out side. @returns whether it is the lowest so far */
  async #evaluate(): Promise<boolean> {
    const { store, rowOptions, clock } = this.#parts;
    clock.enter('evaluate');
    const loss = await heldOutLoss(this.trainer, store.heldOut, rowOptions, this.#config.evaluationTokens);
    if (loss === null) return false;
    const { bestHeldOutLoss: best, evaluationsWithoutGain } = this.#progress;
    const isBest = best === null || loss < best;
    this.#progress = {
      ...this.#progress,
      heldOutLoss: loss,
      bestHeldOutLoss: isBest ? loss : best,
      evaluationsWithoutGain: isBest ? 0 : evaluationsWithoutGain + 1,
    };
    return isBest;
  }

  /** Where it is due and not cut short. */
  async #passAt1(): Promise<MetricEvent['passAt1']> {
    const { evaluationInterval } = this.#progress;
    const interval = evaluationInterval === 0 ? 0 : (this.#config.passAt1?.interval ?? evaluationInterval);
    if (!this.#parts.samples.judges || !this.#isDue(interval)) return undefined;
    this.#parts.clock.enter('evaluate');
    return this.#parts.samples.passAt1(this.trainer);
  }

  // --- Early stopping ---

  #isOutOfPatience(): boolean {
    const { patience } = this.#config;
    return patience !== null && this.#progress.evaluationsWithoutGain >= patience;
  }

  /** Ends early: keeps where it stands, so that it is over when it is resumed, and takes the best weights there were. */
  async #returnToBest(): Promise<void> {
    await this.#save();
    const { checkpoints } = this.#parts;
    const best = await checkpoints.best();
    if (best === null) return;
    const text = `The held-out loss has not fallen for ${this.#config.patience} evaluations: it ends with the weights of step ${best}.`;
    this.#parts.work.tell({ type: 'note', level: 'info', text });
    await this.trainer.importState((await checkpoints.read(best)).trainer);
  }
}

/** The smoothed loss and the steps far above it, after one more. A loss far above is not smoothed in. */
function guarded(
  { smoothedLoss, stepsAbove }: TrainingProgress,
  loss: number,
): Pick<TrainingProgress, 'smoothedLoss' | 'stepsAbove'> {
  if (smoothedLoss === null) return { smoothedLoss: loss, stepsAbove: 0 };
  if (loss > SPIKE.factor * smoothedLoss + SPIKE.nats) return { smoothedLoss, stepsAbove: stepsAbove + 1 };
  return { smoothedLoss: smoothedLoss + SMOOTHING * (loss - smoothedLoss), stepsAbove: 0 };
}
