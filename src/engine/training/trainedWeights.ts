/**
 * The weights of a model as a trainer has them now, as a source like any file's: for generating with them, and for writing
 * them. Nothing is copied but what is read. Knows nothing of files.
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
  return weightsWith(trainer.config, base, trainer.options.method, (parameter) =>
    trained.has(parameter) ? trainer.parameter(parameter) : undefined,
  );
}

/** The same with parameters from elsewhere. @param trained as for `trainedTensor` */
export function weightsWith(
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
