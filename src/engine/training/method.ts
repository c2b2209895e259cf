/**
 * What is trained: all parameters, or low-rank adapters beside some of the linear layers (LoRA; Hu et al., arXiv 2106.09685).
 * Names, shapes and first values of the trainable parameters.
 */
import { UserError } from '../../errors.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import { mixSeed, seededRandom } from '../random.ts';
import { requiredTensors } from '../weights/names.ts';
import type { ParameterInfo } from './parameterStore.ts';

/** The linear layers of a block. */
export const LINEAR_LAYERS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
export type LinearLayer = (typeof LINEAR_LAYERS)[number];

export interface LoraMethod {
  readonly type: 'lora';
  readonly rank: number;
  /** The update is scaled by alpha / rank. */
  readonly alpha: number;
  readonly targets: readonly LinearLayer[];
  /**
   * How the frozen linear layers are held. `int8`: products with them run in 8 bits, forward and backward; a step takes two
   * thirds of the time and memory, and how exact it is says docs/log.md. On the CPU alone.
   */
  readonly base: 'fp32' | 'int8';
  /** Of the adapters' first values. */
  readonly seed: number;
}

export interface FullMethod {
  readonly type: 'full';
  /** Linear layers take their outputs and input gradients in 8 bits (operators/switchBack.ts). On the CPU alone. */
  readonly switchBack?: boolean;
}

export type TrainingMethod = FullMethod | LoraMethod;

/** Whether the products with this frozen tensor run in 8 bits. */
export function isInt8(name: string, method: TrainingMethod): boolean {
  return method.type === 'lora' && method.base === 'int8' && name.endsWith('_proj.weight');
}

/** The trainable parameters in the order the graph uses them. @throws UserError when there are none */
export function trainableParameters(config: ModelConfig, method: TrainingMethod): ParameterInfo[] {
  const tensors = [...requiredTensors(config)].map(([name, shape]) => ({ name, shape }));
  if (method.type === 'full') return tensors;
  const { rank, targets } = method;
  if (!Number.isInteger(rank) || rank < 1) throw new UserError(`The rank of LoRA is ${rank}; give a positive integer.`);
  const adapters = tensors.flatMap(({ name, shape }): ParameterInfo[] => {
    const layer = /\.(\w+)\.weight$/.exec(name)?.[1];
    if (!targets.some((target) => target === layer)) return [];
    const [out, into] = shape as [number, number];
    const [a, b] = adapterNames(name.replace(/\.weight$/, ''));
    return [
      { name: a, shape: [rank, into] },
      { name: b, shape: [out, rank] },
    ];
  });
  if (adapters.length === 0) throw new UserError(`LoRA has no targets. Choose among ${LINEAR_LAYERS.join(', ')}.`);
  return adapters;
}

/** Names of A [rank, in] and B [out, rank] beside the linear layer `name`, as in PEFT without its prefix. */
export function adapterNames(name: string): [a: string, b: string] {
  return [`${name}.lora_A.weight`, `${name}.lora_B.weight`];
}

/** First values of a parameter: the model's own, or for an adapter A uniform in ±1 / sqrt(in) as in PEFT, and B zero. */
export async function initialValues(
  { name, shape }: ParameterInfo,
  weights: TensorSource,
  method: TrainingMethod,
): Promise<Float32Array> {
  if (method.type === 'full') return weights.readFloat32(name);
  const [rows, columns] = shape as [number, number];
  const values = new Float32Array(rows * columns);
  if (!name.endsWith('.lora_A.weight')) return values;
  const random = seededRandom(mixSeed(method.seed, name));
  const bound = 1 / Math.sqrt(columns);
  for (let i = 0; i < values.length; i++) values[i] = (2 * random.uniform() - 1) * bound;
  return values;
}
