/**
 * Weights for a model that begins from nothing, as a source like any file's: each tensor is drawn from its own seeded
 * stream, so the order in which they are read does not matter.
 */
import type { ModelConfig, TensorSource } from '../model.ts';
import { mixSeed, seededRandom, type Random } from '../random.ts';
import { requiredTensors } from '../weights/names.ts';

/** Standard deviation of matrices, `initializer_range` in Hugging Face's configurations. */
const DEVIATION = 0.02;

/** Matrices from N(0, 0.02^2), norms 1, biases 0, as transformers initialises Llama and Qwen2. */
export function randomWeights(config: ModelConfig, seed: number): TensorSource {
  const shapes = new Map(requiredTensors(config));
  const read = (name: string): Float32Array => {
    const shape = shapes.get(name);
    if (shape === undefined) throw new RangeError(`The model has no tensor "${name}"`);
    const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
    if (shape.length > 1) fillNormal(values, seededRandom(mixSeed(seed, name)), DEVIATION);
    else if (name.endsWith('norm.weight')) values.fill(1);
    return values;
  };
  return {
    tensors: new Map(
      [...shapes].map(([name, shape]) => [
        name,
        { name, type: 'F32', shape, byteLength: 4 * shape.reduce((product, size) => product * size, 1) },
      ]),
    ),
    readFloat32: (name) => Promise.resolve(read(name)),
    readRaw: (name) => Promise.resolve(new Uint8Array(read(name).buffer)),
    close: () => Promise.resolve(),
  };
}

/** Normal values with mean 0 (Box and Muller, 1958). */
export function fillNormal(values: Float32Array, random: Random, deviation: number): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random.uniform()));
    const angle = 2 * Math.PI * random.uniform();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}
