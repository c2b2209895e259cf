/**
 * One training run, from a request to a trained model: the data become tokens, steps are taken and evaluated, checkpoints
 * kept, and the model written as a Hugging Face folder. All of it is in the run's folder (runFolder.ts), from which a
 * second call goes on exactly: the same losses as if it had never ended.
 * Knows nothing of processes, sockets, terminals or VS Code.
 */
import { availableParallelism, loadavg } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import type { ModelSource } from '../engine/model.ts';
import { createTokenizer } from '../engine/text/tokenizer.ts';
import { randomWeights } from '../engine/training/randomWeights.ts';
import { trainedWeights } from '../engine/training/trainedWeights.ts';
import { Trainer } from '../engine/training/trainer.ts';
import { huggingFaceConfig, writeHuggingFaceFolder } from '../engine/weights/huggingFaceFolder.ts';
import { openModel } from '../engine/weights/open.ts';
import { UserError } from '../errors.ts';
import { Checkpoints } from '../midtraining/checkpoint.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import type { TokenStore } from '../midtraining/data/tokenStore.ts';
import {
  baseOf,
  deviceOf,
  deviceText,
  infuses,
  learningRateOf,
  rowOptions,
  trainerOptions,
} from '../midtraining/trainerOptions.ts';
import { needRoom, roomFor } from './fit.ts';
import { type CommentWriter, openWriter } from './commentWriter.ts';
import { Exploration } from './exploration.ts';
import { LiveModel } from './liveModel.ts';
import { LiveSamples } from './liveSamples.ts';
import { PhaseClock } from './phaseClock.ts';
import { ProgramsInLoop } from './programsInLoop.ts';
import { readDescription, refuseRequest, runPaths, writeDescription } from './runFolder.ts';
import { openCorpus } from './trainingData.ts';
import { TrainingLoop } from './trainingLoop.ts';
import type { TrainingWork } from './trainingWork.ts';
import type { TrainingOutcome } from './types.ts';

/**
 * @throws UserError for what a user can mend, divergence included; the last good checkpoint is in the folder.
 *   StoppedError when it was stopped before its first step
 */
export async function runTraining(work: TrainingWork): Promise<TrainingOutcome> {
  const { folder, request, benchmark, tell, control } = work;
  const { config } = request;
  const clock = new PhaseClock(tell);
  clock.enter('load');
  const source = await openModel(request.model.path, { weightsOptional: config.initialWeights === 'random' });
  try {
    checkContext(config, source);
    huggingFaceConfig(source.config, source.tokenizer); // what cannot be written is not trained
    await needRoom(source.config, config, await roomFor(folder));
    const tokenizer = createTokenizer(source.tokenizer);
    const programs =
      config.passAt1 === null || benchmark === null
        ? null
        : await ProgramsInLoop.open(config.passAt1, benchmark.path, source, tokenizer, request.python ?? null);
    const store = await openCorpus(work, source, tokenizer, clock);
    let writer: CommentWriter | null = null;
    try {
      if (work.writer !== null) writer = await openWriter(work.writer.path, config);
      control.signal.throwIfAborted();
      clock.enter('load');
      const identity = await checkIdentity(folder, config, source, store);
      const checkpoints = await Checkpoints.open(runPaths(folder).checkpoints, config.keep, identity);
      const weights = config.initialWeights === 'random' ? randomWeights(source.config, config.seed) : source.weights;
      const options = trainerOptions(config);
      const device = `${deviceText(config)}, ${options.rows} × ${config.context} tokens at a time`;
      const live = new LiveModel(source, weights, tokenizer, config.threads);
      const loop = await TrainingLoop.open({
        ...{ work, store, checkpoints, clock, rowOptions: rowOptions(config, tokenizer) },
        open: async () => {
          const trainer = await Trainer.create(source.config, weights, options);
          try {
            const command = process.argv[1]!;
            const parts = {
              command,
              config,
              source,
              weights,
              tokenizer,
              store,
              pi: trainer,
              writer,
              tell,
              signal: control.signal,
            };
            return { trainer, exploration: infuses(config) ? await Exploration.open(parts) : null };
          } catch (error) {
            await trainer.close();
            throw error;
          }
        },
        samples: new LiveSamples(live, programs, store, tell, control.signal),
      });
      try {
        tell({ type: 'engine', device });
        const description = await readDescription(folder);
        await writeDescription(folder, {
          ...description,
          engine: { device: deviceOf(config), threads: config.threads },
        });
        const finished = await loop.run();
        if (finished) {
          clock.enter('save');
          const trained = trainedWeights(loop.trainer, weights);
          await writeHuggingFaceFolder(runPaths(folder).model, source, (name) => trained.readFloat32(name));
        }
        const { steps, loss, heldOutLoss, firstHeldOutLoss, tokens } = loop;
        return {
          status: finished ? 'finished' : 'stopped',
          ...{ steps, stepsAsked: config.steps, tokens, loss, heldOutLoss, firstHeldOutLoss, folder, device },
          modelFolder: finished ? runPaths(folder).model : null,
          seconds: clock.seconds(),
        };
      } finally {
        await loop.close();
      }
    } finally {
      await writer?.close();
      await store.close();
    }
  } finally {
    await source.close();
  }
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
  const {
    $schema,
    model,
    data,
    keep,
    checkpointInterval,
    evaluationTokens,
    passAt1,
    device,
    threads,
    checkpointing,
    abstractions: { evaluationSnippets, ...abstractions },
    ...decides
  } = config;
  const { train, heldOut } = store.description;
  const identity = {
    ...decides,
    ...(infuses(config) ? { abstractions } : {}),
    lora: { ...config.lora, base: baseOf(config) },
    learningRate: learningRateOf(config),
    model: await source.hash(),
    train: train.sha256,
    heldOutSide: heldOut.sha256,
  };
  const description = await readDescription(folder);
  const written = JSON.parse(JSON.stringify(identity)) as Record<string, unknown>;
  if (description.identity !== undefined && !isDeepStrictEqual(description.identity, written)) {
    await refuseRequest(folder, description);
    const differs = Object.keys(written).filter((key) => !isDeepStrictEqual(description.identity![key], written[key]));
    throw new UserError(
      `${folder} holds a training that differs in ${differs.join(', ')}. Name another folder with --out, or remove this one.`,
    );
  }
  const host = { cores: availableParallelism(), load: loadavg()[0], platform: `${process.platform}-${process.arch}` };
  const { before, ...accepted } = description;
  await writeDescription(folder, { ...accepted, identity, host });
  return written;
}

/** @throws UserError when the rows are longer than the model takes */
export function checkContext({ context }: TrainingConfig, { config, path }: ModelSource): void {
  if (context <= config.contextLength) return;
  throw new UserError(
    `"context" is ${context} in the config, and ${path} takes at most ${config.contextLength} tokens. Set it lower.`,
  );
}
