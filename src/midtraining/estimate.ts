import type { ModelConfig } from '../engine/model.ts';
import { trainableParameters } from '../engine/training/method.ts';
import { requiredTensors } from '../engine/weights/names.ts';
import type { TrainingConfig } from './config.ts';
import { trainerOptions } from './stepShape.ts';
export function estimateMemory(model: ModelConfig, config: TrainingConfig) {
  const o = trainerOptions(config);
  const P = [...requiredTensors(model)].reduce((s, [, x]) => s + x.reduce((a, b) => a * b, 1), 0);
  const T = trainableParameters(model, o.method).reduce((s, { shape }) => s + shape.reduce((a, b) => a * b, 1), 0);
  return { base: P * 4, trained: T * 4, total: 0 };
}
