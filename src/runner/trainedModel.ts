/**
 * Opens what a training run has trained by the run's folder: its request, the model it began from and a checkpoint. Takes no
 * lock: the run may be at work. Knows nothing of what the model is wanted for.
 */
import { resolveModel } from '../catalog/models.ts';
import type { ModelSource } from '../engine/model.ts';
import { openModel } from '../engine/weights/open.ts';
import { UserError } from '../errors.ts';
import type { OpenCheckpoint } from '../midtraining/checkpoint.ts';
import { chooseCheckpoint } from '../midtraining/export.ts';
import type { CheckpointChoice } from '../midtraining/exportFormats.ts';
import { readDescription, runPaths } from './runFolder.ts';
import type { TrainingRequest } from './types.ts';

export interface OpenTraining {
  readonly request: TrainingRequest;
  /** What it began from. */
  readonly source: ModelSource;
  /** Null: as it was before training. */
  readonly checkpoint: OpenCheckpoint | null;
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
  try {
    const checkpoint = await chooseCheckpoint(runPaths(folder).checkpoints, choice, config);
    const close = async (): Promise<void> => {
      await checkpoint?.close();
      await source.close();
    };
    return { request, source, checkpoint, close };
  } catch (error) {
    await source.close();
    throw error;
  }
}
