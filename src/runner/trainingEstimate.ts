/**
 * What a training will need, before it starts: memory, disk, and time by steps that were measured, in an earlier run of the
 * same shape on this machine or now, on the data's first rows. Nothing is written.
 */
import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { packRows, rowsOf, type Batch, type Sequence } from '../engine/training/batch.ts';
import type { ModelSource } from '../engine/model.ts';
import { createTokenizer } from '../engine/text/tokenizer.ts';
import { randomWeights } from '../engine/training/randomWeights.ts';
import { Trainer } from '../engine/training/trainer.ts';
import { openModel } from '../engine/weights/open.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import { CorpusReader } from '../midtraining/data/corpus.ts';
import { previewCorpus } from '../midtraining/data/preview.ts';
import {
  countParameters,
  type DiskEstimate,
  estimateDisk,
  estimateMemory,
  type MemoryEstimate,
} from '../midtraining/estimate.ts';
import { batchRows, trainerOptions } from '../midtraining/trainerOptions.ts';
import { type Room, roomFor, whyNoRoom } from './fit.ts';
import { readDescription, readEvents } from './runFolder.ts';
import { listRuns } from './store.ts';
import { corpusOptions } from './trainingData.ts';
import { checkContext } from './trainingJob.ts';
import type { FoundModel, TrainingRequest } from './types.ts';

/** Seconds of one step, and of one held-out loss. */
interface Pace {
  readonly step: number;
  readonly evaluation: number;
}

export interface TrainingEstimate {
  readonly parameters: number;
  readonly trained: number;
  readonly memory: MemoryEstimate;
  readonly disk: DiskEstimate;
  readonly room: Room;
  /** `complete`: all of the data were read; else only their beginning. */
  readonly data: {
    readonly snippets: number;
    readonly tokens: number;
    readonly heldOutTokens: number;
    readonly complete: boolean;
  };
  /** Tokens of a step, with what its rows are filled up by. */
  readonly stepTokens: number;
  /** Null: it does not fit, so nothing was measured. */
  readonly seconds: (Pace & { readonly total: number; readonly from: 'an earlier run' | 'steps taken now' }) | null;
  /** Why it will not start, and what would fit; null: it fits. */
  readonly refusal: string | null;
}

export interface EstimateOptions {
  /** Where runs are kept, for earlier ones. */
  readonly store: string;
  readonly signal: AbortSignal;
  /** Told what it is at. */
  readonly tell?: (text: string) => void;
  /** What is free; this machine's unless told. */
  readonly room?: Room;
}

/** Data are read for at most so long to be counted. */
const PREVIEW_SECONDS = 5;
/** The first step touches the memory; it is not counted. */
const STEPS = 3;

/** @throws UserError for what is wrong with config, model or data; the signal's reason */
export async function estimateTraining(
  request: TrainingRequest & { readonly model: FoundModel },
  options: EstimateOptions,
): Promise<TrainingEstimate> {
  const { config } = request;
  const { store, signal, tell = () => undefined, room = await roomFor(store) } = options;
  const source = await openModel(request.model.path, { weightsOptional: config.initialWeights === 'random' });
  try {
    checkContext(config, source);
    tell('Reading the data.');
    const corpus = { ...corpusOptions(config, createTokenizer(source.tokenizer)), signal };
    const { train, heldOut, complete } = await previewCorpus({ ...corpus, maxSeconds: PREVIEW_SECONDS, examples: 0 });
    const refusal = await whyNoRoom(source.config, config, room);
    const heldOutTokens = Math.min(heldOut.tokens, config.evaluationTokens);
    let seconds: TrainingEstimate['seconds'] = null;
    if (refusal === null) {
      const earlier = await earlierPace(request, store);
      if (earlier === null) tell(`Taking ${STEPS} steps.`);
      const pace =
        earlier ??
        (await measuredPace(source, config, await firstRows(new CorpusReader(corpus), config), heldOutTokens, signal));
      const { steps, evaluationInterval } = config;
      const evaluations = evaluationInterval === 0 ? 0 : 1 + Math.ceil(steps / evaluationInterval);
      const total = steps * pace.step + evaluations * pace.evaluation;
      seconds = { ...pace, total, from: earlier === null ? 'steps taken now' : 'an earlier run' };
    }
    return {
      ...countParameters(source.config, config),
      memory: await estimateMemory(source.config, config),
      disk: estimateDisk(source.config, config, train.tokens + heldOut.tokens),
      room,
      data: { snippets: train.snippets, tokens: train.tokens, heldOutTokens: heldOut.tokens, complete },
      stepTokens: batchRows(config) * config.context,
      seconds,
      refusal,
    };
  } finally {
    await source.close();
  }
}

/** Rows for one step from the data's beginning, padded where there are too few. */
async function firstRows(reader: CorpusReader, config: TrainingConfig): Promise<Batch> {
  const rows = batchRows(config);
  const sequences: Sequence[] = [];
  let tokens = 0;
  for await (const snippet of reader) {
    sequences.push({ ids: snippet.tokens });
    tokens += snippet.tokens.length;
    if (tokens >= rows * config.context) break;
  }
  return rowsOf(packRows(sequences, config.context), 0, rows);
}

async function measuredPace(
  source: ModelSource,
  config: TrainingConfig,
  batch: Batch,
  heldOutTokens: number,
  signal: AbortSignal,
): Promise<Pace> {
  const weights = config.initialWeights === 'random' ? randomWeights(source.config, config.seed) : source.weights;
  const trainer = await Trainer.create(source.config, weights, trainerOptions(config));
  try {
    const taken: number[] = [];
    for (let i = 0; i < STEPS; i++) {
      signal.throwIfAborted();
      taken.push((await trainer.step(batch)).seconds);
    }
    const step = taken.slice(1).reduce((sum, seconds) => sum + seconds, 0) / (STEPS - 1);
    if (config.evaluationInterval === 0 || heldOutTokens === 0) return { step, evaluation: 0 };
    await trainer.evaluate(batch);
    const started = performance.now();
    await trainer.evaluate(batch);
    const rows = Math.max(1, Math.floor(heldOutTokens / config.context));
    return { step, evaluation: ((performance.now() - started) / 1000) * (rows / batch.rows) };
  } finally {
    await trainer.close();
  }
}

/** What the time of a step depends on. */
function shapeOf({ model, config }: TrainingRequest): unknown {
  const { train, lora, context, batchTokens, evaluationTokens, threads, device, checkpointing, switchBack } = config;
  return [
    model.spec,
    train,
    train === 'lora' ? lora : null,
    context,
    batchTokens,
    evaluationTokens,
    threads,
    device,
    checkpointing,
    switchBack,
  ];
}

/** Of the latest run of the same shape that took steps here and said how long they were; null without one. */
async function earlierPace(request: TrainingRequest, store: string): Promise<Pace | null> {
  let latest: (Pace & { readonly time: number }) | null = null;
  for (const folder of await listRuns(store)) {
    const description = await readDescription(folder).catch(() => null);
    if (description?.kind !== 'training' || !isDeepStrictEqual(shapeOf(description.request), shapeOf(request)))
      continue;
    let isHere = false;
    let steps = 0;
    let evaluations = 0;
    for (const event of (await readEvents(folder, 0)).events) {
      if (event.type === 'launch') {
        isHere = event.host === hostname();
        steps = evaluations = 0;
      } else if (event.type === 'metric') {
        if (event.loss !== null) steps++;
        if (event.heldOutLoss !== null) evaluations++;
      } else if (
        event.type === 'done' &&
        isHere &&
        steps > 0 &&
        event.seconds !== null &&
        event.time > (latest?.time ?? 0)
      ) {
        const { train = 0, evaluate = 0 } = event.seconds;
        latest = { time: event.time, step: train / steps, evaluation: evaluate / Math.max(1, evaluations) };
      }
    }
  }
  return latest;
}
