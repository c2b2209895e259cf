/**
 * The weights of a trained model: what was trained, and frozen weights with their adapters added to them.
 * Knows nothing of files.
 */
import type { TensorSource } from '../model.ts';
import { adapterNames, type TrainingMethod } from './method.ts';

/**
 * @param trained the values of a parameter of the method, or undefined where it has none of that name
 * @returns the tensor's values, not to be written to
 */
export async function trainedTensor(
  name: string,
  base: TensorSource,
  method: TrainingMethod,
  trained: (parameter: string) => Float32Array | undefined | Promise<Float32Array | undefined>,
): Promise<Float32Array> {
  const own = await trained(name);
  if (own !== undefined) return own;
  const values = await base.readFloat32(name);
  if (method.type === 'full') return values;
  const [nameA, nameB] = adapterNames(name.replace(/\.weight$/, ''));
  const [a, b] = [await trained(nameA), await trained(nameB)];
  if (a === undefined || b === undefined) return values;
  return withAdapter(values, a, b, method.rank, method.alpha / method.rank);
}

/** weights [out, in] + scale * b [out, rank] a [rank, in]. */
function withAdapter(
  weights: Float32Array,
  a: Float32Array,
  b: Float32Array,
  rank: number,
  scale: number,
): Float32Array {
  const columns = a.length / rank;
  const merged = Float32Array.from(weights);
  for (let row = 0; row < b.length / rank; row++) {
    for (let k = 0; k < rank; k++) {
      const factor = scale * b[row * rank + k]!;
      for (let column = 0; column < columns; column++) {
        merged[row * columns + column]! += factor * a[k * columns + column]!;
      }
    }
  }
  return merged;
}
