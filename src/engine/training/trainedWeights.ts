/**
 * The weights of a trained model as a source like any file's: for generating with them, and for writing them. They come from
 * a trainer as it has them now, or from wherever its parameters were kept. Nothing is copied but what is read.
 * Knows nothing of files.
 */
import type { ModelConfig, TensorInfo, TensorSource } from '../model.ts';
import { requiredTensors } from '../weights/names.ts';
import { trainedTensor } from './merge.ts';
import type { TrainingMethod } from './method.ts';
import type { Trainer } from './trainer.ts';

/**
 * @param base what the trainer began from; adapters are added to it
 * @returns tensors in float32, valid until the next step
 */
export function trainedWeights(trainer: Trainer, base: TensorSource): TensorSource {
  const trained = new Set(trainer.parameters.map(({ name }) => name));
  return mergedWeights(trainer.config, base, trainer.options.method, (parameter) =>
    trained.has(parameter) ? trainer.parameter(parameter) : undefined,
  );
}

/**
 * @param base what training began from; adapters are added to it
 * @param trained as `trainedTensor` asks for it
 * @returns tensors in float32; closing it closes nothing
 */
export function mergedWeights(
  config: ModelConfig,
  base: TensorSource,
  method: TrainingMethod,
  trained: Parameters<typeof trainedTensor>[3],
): TensorSource {
  const read = (name: string): Promise<Float32Array> => trainedTensor(name, base, method, trained);
  const infoOf = (name: string, shape: readonly number[]): TensorInfo => ({
    ...{ name, type: 'F32', shape },
    byteLength: 4 * shape.reduce((product, size) => product * size, 1),
  });
  return {
    tensors: new Map([...requiredTensors(config)].map(([name, shape]) => [name, infoOf(name, shape)])),
    readFloat32: read,
    readRaw: async (name) => {
      const { buffer, byteOffset, byteLength } = await read(name);
      return new Uint8Array(buffer, byteOffset, byteLength);
    },
    close: () => Promise.resolve(),
  };
}
