/**
 * One training run, from a request to a trained model: the data become tokens, steps are taken and evaluated, checkpoints
 * kept, and the model written as a Hugging Face folder. All of it is in the run's folder (runFolder.ts), from which a
 * second call goes on exactly: the same losses as if it had never ended.
 * Knows nothing of processes, sockets, terminals or VS Code.
 */
import { createHash } from 'node:crypto';
import { availableParallelism, loadavg } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { findBenchmark } from '../catalog/datasets.ts';
import type { ModelSource, TensorSource } from '../engine/model.ts';
import { createTokenizer, type Tokenizer } from '../engine/text/tokenizer.ts';
import { trainedTensor } from '../engine/training/merge.ts';
import type { TrainingMethod } from '../engine/training/method.ts';
import { randomWeights } from '../engine/training/randomWeights.ts';
import { DEFAULT_ADAMW, type StepResult, Trainer, type TrainingDevice } from '../engine/training/trainer.ts';
import { writeHuggingFaceFolder } from '../engine/weights/huggingFaceFolder.ts';
import { openModel } from '../engine/weights/open.ts';
import { UserError } from '../errors.ts';
import { BENCHMARKS, loadBenchmark } from '../evaluation/benchmarks/index.ts';
import type { BenchmarkId, Problem } from '../evaluation/types.ts';
import { Checkpoints, type TrainingProgress } from '../midtraining/checkpoint.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import { prepareCorpus } from '../midtraining/data/prepare.ts';
import { DEFAULT_LIMITS } from '../midtraining/data/snippets.ts';
import { readSources } from '../midtraining/data/sources/source.ts';
import { hasTokenStore, openTokenStore, type TokenStore } from '../midtraining/data/tokenStore.ts';
import { type RowOptions, TrainingRows } from '../midtraining/data/trainingRows.ts';
import { nextTokenBatch } from '../midtraining/nextTokenPrediction.ts';
import { starterProblems } from '../midtraining/starter/benchmark.ts';
import type { EventBody, MetricEvent, Phase, Settings } from './events.ts';
import { readDescription, readEvents, runPaths, writeDescription } from './runFolder.ts';
import type { TrainingControl } from './trainingControl.ts';
import type { FoundModel, TrainingOutcome, TrainingRequest } from './types.ts';

/** Tokens of a micro-batch: its activations are in memory at a time. */
const MICRO_TOKENS = 2048;
/** A loss this far above the smoothed one, so many times in a row, is divergence. */
const SPIKE = { factor: 2, nats: 1, steps: 3 };
/** Weight of a new loss in the smoothed one. */
const SMOOTHING = 0.1;

export interface TrainingWork {
  /** Holds `run.json`; the caller holds its lock. */
  readonly folder: string;
  /** What that says, with its model found. */
  readonly request: TrainingRequest & { readonly model: FoundModel };
  readonly tell: (event: EventBody) => void;
  readonly control: TrainingControl;
}

/**
 * @throws UserError for what a user can mend, divergence included; the last good checkpoint is in the folder.
 *   StoppedError when it was stopped before its first step
 */
export async function runTraining(work: TrainingWork): Promise<TrainingOutcome> {
  const { folder, request, tell, control } = work;
  const { config } = request;
  const clock = new PhaseClock(tell);
  clock.enter('load');
  const source = await openModel(request.model.path);
  try {
    checkContext(config, source);
    const tokenizer = createTokenizer(source.tokenizer);
    const store = await openCorpus(work, source, tokenizer, clock);
    try {
      control.signal.throwIfAborted();
      clock.enter('load');
      const identity = await checkIdentity(folder, config, source, store);
      const checkpoints = await Checkpoints.open(runPaths(folder).checkpoints, config.keep, identity);
      const weights = config.initialWeights === 'random' ? randomWeights(source.config, config.seed) : source.weights;
      const trainer = await createTrainer(source, weights, config);
      try {
        const { method, rows } = trainer.options;
        const precision = method.type === 'lora' && method.base === 'int8' ? 'fp32 on an int8 base' : 'fp32';
        const device = `${deviceOf(config)}, ${precision}, ${rows} × ${config.context} tokens at a time`;
        tell({ type: 'engine', device });
        const description = await readDescription(folder);
        await writeDescription(folder, {
          ...description,
          engine: { device: deviceOf(config), threads: config.threads },
        });
        const training = new Training(work, trainer, store, rowOptions(config, tokenizer), checkpoints, clock);
        await training.load();
        const finished = await training.run();
        if (finished) {
          clock.enter('save');
          await writeHuggingFaceFolder(runPaths(folder).model, source, (name) =>
            trainedTensor(name, weights, trainer.options.method, (parameter) => parameterOf(trainer, parameter)),
          );
        }
        const { loss, heldOutLoss, firstHeldOutLoss, tokens } = training;
        return {
          status: finished ? 'finished' : 'stopped',
          steps: trainer.stepCount,
          stepsAsked: config.steps,
          ...{ tokens, loss, heldOutLoss, firstHeldOutLoss, folder, device },
          modelFolder: finished ? runPaths(folder).model : null,
          seconds: clock.seconds(),
        };
      } finally {
        await trainer.close();
      }
    } finally {
      await store.close();
    }
  } finally {
    await source.close();
  }
}

/** The steps of a run, from its latest checkpoint on. */
class Training {
  readonly #work: TrainingWork;
  readonly #trainer: Trainer;
  readonly #store: TokenStore;
  readonly #rowOptions: RowOptions;
  readonly #checkpoints: Checkpoints;
  readonly #clock: PhaseClock;
  #rows: TrainingRows;
  #progress: TrainingProgress;
  /** The step whose state was kept last. */
  #saved: number | null = null;
  /** What earlier launches set, by the number of steps done before it held. */
  readonly #replayed = new Map<number, Settings>();
  loss: number | null = null;
  heldOutLoss: number | null = null;
  firstHeldOutLoss: number | null = null;

  constructor(
    work: TrainingWork,
    trainer: Trainer,
    store: TokenStore,
    options: RowOptions,
    checkpoints: Checkpoints,
    clock: PhaseClock,
  ) {
    this.#work = work;
    this.#trainer = trainer;
    this.#store = store;
    this.#rowOptions = options;
    this.#checkpoints = checkpoints;
    this.#clock = clock;
    this.#rows = new TrainingRows(store.train, options);
    this.#progress = {
      position: this.#rows.position,
      tokens: 0,
      evaluationInterval: this.#config.evaluationInterval,
      heldOutLoss: null,
      bestHeldOutLoss: null,
      evaluationsWithoutGain: 0,
      smoothedLoss: null,
      stepsAbove: 0,
    };
  }

  /** Targets trained on, those of earlier launches too. */
  get tokens(): number {
    return this.#progress.tokens;
  }

  get #config(): TrainingConfig {
    return this.#work.request.config;
  }

  /** Takes up the latest checkpoint, and what was set after it. @throws UserError when none that is there can be used */
  async load(): Promise<void> {
    const { folder, tell } = this.#work;
    const checkpoint = await this.#checkpoints.latest((why) => {
      tell({ type: 'note', level: 'warning', text: `${why} The one before it is looked at.` });
    });
    const step = checkpoint?.trainer.step ?? 0;
    if (checkpoint !== null) {
      await this.#trainer.importState(checkpoint.trainer);
      this.#progress = checkpoint.progress;
      this.#rows = new TrainingRows(this.#store.train, this.#rowOptions, checkpoint.progress.position);
      this.#saved = step;
      tell({ type: 'note', level: 'info', text: `It goes on from the checkpoint of step ${step}.` });
    }
    for (const event of (await readEvents(folder, 0)).events) {
      if (event.type === 'metric' && event.step <= step) this.#remember(event);
      if (event.type === 'control' && event.settings !== undefined && (event.step ?? -1) >= step) {
        this.#replayed.set(event.step!, { ...this.#replayed.get(event.step!), ...event.settings });
      }
    }
  }

  /** @returns whether it came to its end; else it was stopped. @throws UserError when it diverges or the disk is full */
  async run(): Promise<boolean> {
    const { control, tell } = this.#work;
    const { steps, checkpointInterval, patience } = this.#config;
    const trainer = this.#trainer;
    control.ready(trainer.stepCount);
    if (trainer.stepCount === 0 && this.#saved === null) await this.#evaluateFirst();
    while (trainer.stepCount < steps && !this.#isOutOfPatience()) {
      do {
        await control.gate();
        await turn(); // messages are read between two steps
        if (control.takeSave()) await this.#save();
      } while (control.isPaused && !control.signal.aborted);
      if (control.signal.aborted) {
        if (control.savesAtStop) await this.#save();
        return false;
      }
      this.#set({ ...this.#replayed.get(trainer.stepCount), ...control.begin(trainer.stepCount) });
      const result = await this.#step();
      const step = trainer.stepCount;
      const isLast = step === steps;
      const { evaluationInterval } = this.#progress;
      const isDue = evaluationInterval > 0 && (step % evaluationInterval === 0 || isLast);
      const isBest = isDue && (await this.#evaluate());
      tell(this.#metric(result));
      const isSafe = this.#progress.stepsAbove === 0;
      if (isLast || (isSafe && (step % checkpointInterval === 0 || (isBest && patience !== null)))) await this.#save();
    }
    if (this.#isOutOfPatience()) await this.#returnToBest();
    return true;
  }

  async #step(): Promise<StepResult> {
    this.#clock.enter('train');
    const { rowLength } = this.#rowOptions;
    const rows = [];
    while (rows.length < batchRows(this.#config)) rows.push(await this.#rows.next());
    const result = await this.#trainer.step(nextTokenBatch(rows, rowLength));
    this.#progress = {
      ...this.#progress,
      position: this.#rows.position,
      tokens: this.#progress.tokens + result.tokens,
      heldOutLoss: null,
      ...guarded(this.#progress, result.loss),
    };
    if (!result.updated || this.#progress.stepsAbove >= SPIKE.steps) throw this.#diverged(result);
    return result;
  }

  /** The model before training, which is no step. */
  async #evaluateFirst(): Promise<void> {
    if (this.#progress.evaluationInterval === 0) return;
    const isBest = await this.#evaluate();
    this.#work.tell(this.#metric(null));
    if (isBest && this.#config.patience !== null) await this.#save(); // training may only make it worse
  }

  /** Takes the held-out loss, where there is a held-out side. @returns whether it is the lowest so far */
  async #evaluate(): Promise<boolean> {
    const side = this.#store.heldOut;
    if (side.snippets === 0) return false;
    this.#clock.enter('evaluate');
    const { rowLength } = this.#rowOptions;
    const rows = new TrainingRows(side, this.#rowOptions);
    const most = Math.max(1, Math.floor(this.#config.evaluationTokens / rowLength));
    let left = Math.min(rows.epochSize().rows, most);
    let sum = 0;
    let tokens = 0;
    while (left > 0) {
      const batch = [];
      for (; batch.length < this.#trainer.options.rows && left > 0; left--) batch.push(await rows.next());
      const evaluated = await this.#trainer.evaluate(nextTokenBatch(batch, rowLength));
      sum += evaluated.loss * evaluated.tokens;
      tokens += evaluated.tokens;
    }
    const heldOutLoss = sum / tokens;
    const { bestHeldOutLoss: best, evaluationsWithoutGain } = this.#progress;
    const isBest = best === null || heldOutLoss < best;
    this.#progress = {
      ...this.#progress,
      heldOutLoss,
      bestHeldOutLoss: isBest ? heldOutLoss : best,
      evaluationsWithoutGain: isBest ? 0 : evaluationsWithoutGain + 1,
    };
    return isBest;
  }

  #metric(result: StepResult | null): MetricEvent {
    const event: MetricEvent = {
      type: 'metric',
      step: this.#trainer.stepCount,
      steps: this.#config.steps,
      loss: result?.loss ?? null,
      heldOutLoss: this.#progress.heldOutLoss,
      learningRate: result?.learningRate ?? null,
      gradientNorm: result?.gradientNorm ?? null,
      tokens: this.#progress.tokens,
      tokensPerSecond: result === null ? 0 : result.tokens / result.seconds,
    };
    this.#remember(event);
    return event;
  }

  #remember({ step, loss, heldOutLoss }: MetricEvent): void {
    this.loss = loss ?? this.loss;
    this.heldOutLoss = heldOutLoss ?? this.heldOutLoss;
    if (step === 0) this.firstHeldOutLoss = heldOutLoss;
  }

  #set({ learningRate, evaluationInterval }: Settings): void {
    if (learningRate !== undefined) this.#trainer.setLearningRate(learningRate);
    if (evaluationInterval !== undefined) this.#progress = { ...this.#progress, evaluationInterval };
  }

  /** Keeps the state between two steps, unless it is kept already. */
  async #save(): Promise<void> {
    const trainer = this.#trainer;
    if (this.#saved === trainer.stepCount) return;
    this.#clock.enter('save');
    await this.#checkpoints.save(await trainer.viewState(), trainer.parameters, this.#progress);
    this.#saved = trainer.stepCount;
  }

  #isOutOfPatience(): boolean {
    const { patience } = this.#config;
    return patience !== null && this.#progress.evaluationsWithoutGain >= patience;
  }

  /** Ends early: keeps where it stands, so that it is over when it is resumed, and takes the best weights there were. */
  async #returnToBest(): Promise<void> {
    await this.#save();
    const best = await this.#checkpoints.best();
    if (best === null) return;
    const text = `The held-out loss has not fallen for ${this.#config.patience} evaluations: it ends with the weights of step ${best}.`;
    this.#work.tell({ type: 'note', level: 'info', text });
    await this.#trainer.importState((await this.#checkpoints.read(best)).trainer);
  }

  #diverged({ loss, learningRate }: StepResult): UserError {
    const step = this.#trainer.stepCount;
    const how = Number.isFinite(loss) ? `rose to ${loss.toFixed(2)}` : 'or its gradients are no numbers any more';
    const kept =
      this.#saved === null ? 'No checkpoint was kept yet.' : `The checkpoint of step ${this.#saved} is kept.`;
    return new UserError(
      `Training diverges: after step ${step} the loss ${how}, at a learning rate of ${learningRate}. ${kept} ` +
        'Lower learningRate in the config, or lengthen warmup, and start again.',
    );
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

/** The data as tokens: those that are there already, or read now. */
async function openCorpus(
  { folder, request, tell, control }: TrainingWork,
  { tokenizer: definition, config: { vocabularySize } }: ModelSource,
  tokenizer: Tokenizer,
  clock: PhaseClock,
): Promise<TokenStore> {
  const { corpus } = runPaths(folder);
  const { config } = request;
  const name = createHash('sha256').update(JSON.stringify(definition.tokenizer)).digest('hex');
  if (!(await hasTokenStore(corpus))) {
    clock.enter('prepare');
    const onlyStarter = config.data.every(({ kind }) => kind === 'starter');
    const { train, heldOut, report } = await prepareCorpus({
      folder: corpus,
      tokenizer: name,
      vocabularySize,
      documents: (drops) => readSources(config.data, drops),
      encode: (text) => tokenizer.encode(text, { addSpecialTokens: false, parseSpecial: false }),
      limits: { ...DEFAULT_LIMITS, maxTokens: config.context - 1 },
      seed: config.seed,
      heldOutFraction: config.heldOut,
      benchmarks: await benchmarkProblems(tell),
      nearDuplicateThreshold: onlyStarter ? null : 0.7,
      signal: control.signal,
    });
    const dropped = report.dropped.map(({ meaning, count }) => `${count} ${meaning}`).join(', ');
    const text =
      `Data: ${train.snippets} snippets of ${train.tokens} tokens to train on, ${heldOut.snippets} of ${heldOut.tokens} held out` +
      (dropped === '' ? '.' : `; left out: ${dropped}.`);
    tell({ type: 'note', level: 'info', text });
  }
  return openTokenStore(corpus, name);
}

/** What must not be trained on: the starter benchmark, and those that are on this machine. */
async function benchmarkProblems(tell: TrainingWork['tell']): Promise<Problem[]> {
  const problems = starterProblems();
  const missing: string[] = [];
  for (const id of Object.keys(BENCHMARKS) as BenchmarkId[]) {
    const found = await findBenchmark(id, null);
    if (found === null) missing.push(BENCHMARKS[id].title);
    else problems.push(...(await loadBenchmark(id, found.path)).problems);
  }
  if (missing.length > 0) {
    const text = `Not on this machine, so the data were not compared with it: ${missing.join(', ')}.`;
    tell({ type: 'note', level: 'warning', text });
  }
  return problems;
}

/**
 * Makes the folder's run this one, or sees that it is. What decides losses is compared, not how often they are kept.
 * @throws UserError when the folder holds a run of another kind
 */
async function checkIdentity(
  folder: string,
  config: TrainingConfig,
  source: ModelSource,
  store: TokenStore,
): Promise<Record<string, unknown>> {
  const { $schema, model, data, keep, checkpointInterval, evaluationTokens, device, threads, ...decides } = config;
  const { train, heldOut } = store.description;
  const identity = {
    ...decides,
    lora: { ...config.lora, base: baseOf(config) },
    learningRate: learningRateOf(config),
    model: await source.hash(),
    train: train.sha256,
    heldOutSide: heldOut.sha256,
  };
  const description = await readDescription(folder);
  const written = JSON.parse(JSON.stringify(identity)) as Record<string, unknown>;
  if (description.identity !== undefined && !isDeepStrictEqual(description.identity, written)) {
    const differs = Object.keys(written).filter((key) => !isDeepStrictEqual(description.identity![key], written[key]));
    throw new UserError(
      `${folder} holds a training that differs in ${differs.join(', ')}. Name another folder with --out, or remove this one.`,
    );
  }
  const host = { cores: availableParallelism(), load: loadavg()[0], platform: `${process.platform}-${process.arch}` };
  await writeDescription(folder, { ...description, identity, host });
  return written;
}

function createTrainer(source: ModelSource, weights: TensorSource, config: TrainingConfig): Promise<Trainer> {
  const { context, schedule, warmup, steps, floor, weightDecay, clip, threads } = config;
  const rows = microRows(config);
  return Trainer.create(source.config, weights, {
    method: methodOf(config),
    rows,
    length: context,
    optimizer: { ...DEFAULT_ADAMW, weightDecay },
    schedule: { shape: schedule, peak: learningRateOf(config), warmup, total: steps, floor },
    clip,
    device: deviceOf(config),
    threads,
    accumulates: rows < batchRows(config),
  });
}

function methodOf(config: TrainingConfig): TrainingMethod {
  const { train, lora, seed } = config;
  return train === 'full' ? { type: 'full' } : { type: 'lora', ...lora, base: baseOf(config), seed };
}

function baseOf(config: TrainingConfig): 'fp32' | 'int8' {
  return config.lora.base ?? (deviceOf(config) === 'cpu' ? 'int8' : 'fp32');
}

function deviceOf({ device }: TrainingConfig): TrainingDevice {
  return device === 'auto' ? 'cpu' : device;
}

function learningRateOf({ learningRate, train }: TrainingConfig): number {
  return learningRate ?? (train === 'lora' ? 2e-4 : 5e-5);
}

/** Rows of a step. */
function batchRows({ batchTokens, context }: TrainingConfig): number {
  return Math.max(1, Math.floor(batchTokens / context));
}

/** Rows of a micro-batch: as many as divide a step's rows and are not too many tokens. */
function microRows(config: TrainingConfig): number {
  const rows = batchRows(config);
  let micro = Math.max(1, Math.min(rows, Math.floor(MICRO_TOKENS / config.context)));
  while (rows % micro !== 0) micro--;
  return micro;
}

function rowOptions({ context, seed }: TrainingConfig, { eosTokenIds }: Tokenizer): RowOptions {
  const end = eosTokenIds[0] ?? null;
  return { rowLength: context, seed, endTokenId: end, paddingTokenId: end ?? 0 };
}

function checkContext({ context }: TrainingConfig, { config, path }: ModelSource): void {
  if (context <= config.contextLength) return;
  throw new UserError(
    `"context" is ${context} in the config, and ${path} takes at most ${config.contextLength} tokens. Set it lower.`,
  );
}

async function parameterOf(trainer: Trainer, name: string): Promise<Float32Array | undefined> {
  return trainer.parameters.some((parameter) => parameter.name === name) ? trainer.parameter(name) : undefined;
}

/** Tells each change of phase, and adds up what they take. */
class PhaseClock {
  readonly #tell: (event: EventBody) => void;
  readonly #spent = new Map<Phase, number>();
  readonly #begun = performance.now();
  #phase: Phase | null = null;
  #since = 0;

  constructor(tell: (event: EventBody) => void) {
    this.#tell = tell;
  }

  enter(phase: Phase): void {
    if (phase === this.#phase) return;
    this.#book();
    this.#phase = phase;
    this.#tell({ type: 'phase', phase });
  }

  seconds(): TrainingOutcome['seconds'] {
    this.#book();
    const of = (phase: Phase): number => this.#spent.get(phase) ?? 0;
    return {
      load: of('load'),
      prepare: of('prepare'),
      train: of('train'),
      evaluate: of('evaluate'),
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
