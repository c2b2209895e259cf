/**
 * Opens what a training run has trained by the run's folder: its request, the model it began from and a checkpoint. Takes no
 * lock: the run may be at work. Knows nothing of what the model is wanted for.
 */
import { resolveModel } from '../catalog/models.ts';
import type { ModelSource } from '../engine/model.ts';
import { openModel } from '../engine/weights/open.ts';
import { UserError } from '../errors.ts';
import { openCheckpoint, type OpenCheckpoint } from '../midtraining/checkpoint.ts';
import { chooseCheckpoint } from '../midtraining/export.ts';
import type { CheckpointChoice } from '../midtraining/exportFormats.ts';
import { explores } from '../midtraining/trainerOptions.ts';
import { readDescription, runPaths } from './runFolder.ts';
import type { TrainingRequest } from './types.ts';

export interface OpenTraining {
  readonly request: TrainingRequest;
  /** What it began from. */
  readonly source: ModelSource;
  /** Null: as it was before training. */
  readonly checkpoint: OpenCheckpoint | null;
  /** The same of the model that writes latents, where the method has one. */
  readonly q: OpenCheckpoint | null;
  readonly close: () => Promise<void>;
}

/** @throws UserError when the folder holds no training, has no such checkpoint, or its model is not there */
export async function openTraining(folder: string, choice: CheckpointChoice): Promise<OpenTraining> {
  const description = await readDescription(folder);
  if (description.kind !== 'training') {
    throw new UserError(`${folder} holds an evaluation, which has trained nothing. Name the folder of a training.`);
  }
  const { request } = description;
  const { config, model } = request;
  const weightsOptional = config.initialWeights === 'random';
  const path = model.path ?? (await resolveModel(model.spec, { weightsOptional })).path;
  const source = await openModel(path, { weightsOptional });
  const opened: { close(): Promise<void> }[] = [source];
  const close = async (): Promise<void> => {
    for (const one of opened) await one.close();
  };
  try {
    const folderOfAll = runPaths(folder).checkpoints;
    const checkpoint = await chooseCheckpoint(folderOfAll, choice, config);
    if (checkpoint !== null) opened.push(checkpoint);
    const hasQ = checkpoint !== null && explores(config);
    const q = hasQ ? await openCheckpoint(folderOfAll, checkpoint.step, 'q') : null;
    if (q !== null) opened.push(q);
    return { request, source, checkpoint, q, close };
  } catch (error) {
    await close();
    throw error;
  }
}
