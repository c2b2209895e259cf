/**
 * Trainable parameters with their gradients and AdamW moments, as float32 in WebAssembly memories: there the optimizer
 * updates them in place, and ONNX Runtime reads parameters and writes gradients without a copy.
 * Knows nothing of graphs, schedules or files.
 */
import { UserError } from '../../errors.ts';
import { optimizerKernels, type OptimizerKernels } from './optimizerKernels.ts';

export interface ParameterInfo {
  /** Hugging Face name; of adapters `….lora_A.weight` and `….lora_B.weight`, as in PEFT. */
  readonly name: string;
  readonly shape: readonly number[];
}

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled; of matrices only, norms and biases do not decay. */
  readonly weightDecay: number;
}

/** The values kept for each parameter. `fresh` exists where gradients are accumulated. */
const KINDS = ['parameter', 'gradient', 'firstMoment', 'secondMoment', 'fresh'] as const;
export type ValueKind = (typeof KINDS)[number];

const PAGE = 65_536;
/** A WebAssembly memory ends at 4 GiB; a slab is closed earlier. */
const MOST_BYTES = 2 ** 32 - PAGE;
const SLAB_BYTES = 2 ** 30;
/** Tensors begin at multiples of so many values: cache lines, and whole SIMD vectors. Gaps stay zero. */
const ALIGNMENT = 16;

/** Parameters that lie in one memory: those that decay, then the others; each kind of value one region of `size` values. */
interface Slab {
  readonly memory: WebAssembly.Memory;
  readonly kernels: OptimizerKernels;
  readonly size: number;
  /** The first value of those that do not decay. */
  readonly undecayed: number;
}

interface Place {
  readonly slab: Slab;
  readonly offset: number;
  readonly length: number;
}

export class ParameterStore {
  readonly parameters: readonly ParameterInfo[];
  readonly #slabs: Slab[] = [];
  readonly #places = new Map<string, Place>();
  readonly #kinds: readonly ValueKind[];

  /**
   * All values are zero.
   * @param accumulates whether there is a `fresh` gradient beside the summed one
   * @throws UserError when the memory cannot be had, or one tensor is too large for a WebAssembly memory
   */
  constructor(parameters: readonly ParameterInfo[], { accumulates }: { readonly accumulates: boolean }) {
    this.parameters = parameters;
    this.#kinds = accumulates ? KINDS : KINDS.slice(0, -1);
    const bytes = (values: number): number => values * 4 * this.#kinds.length;
    let group: ParameterInfo[] = [];
    let size = 0;
    for (const parameter of parameters) {
      const values = aligned(valuesOf(parameter));
      if (group.length > 0 && bytes(size + values) > SLAB_BYTES) {
        this.#addSlab(group, size, bytes(size));
        [group, size] = [[], 0];
      }
      group.push(parameter);
      size += values;
    }
    if (group.length > 0) this.#addSlab(group, size, bytes(size));
  }

  /** Bytes of all kinds together. */
  get byteLength(): number {
    return this.#slabs.reduce((sum, { memory }) => sum + memory.buffer.byteLength, 0);
  }

  /** The values themselves, not a copy. @throws Error when there is no such parameter */
  values(name: string, kind: ValueKind): Float32Array<ArrayBuffer> {
    const place = this.#places.get(name);
    const region = this.#kinds.indexOf(kind);
    if (place === undefined || region < 0) throw new Error(`There is no ${kind} of ${name}.`);
    const { slab, offset, length } = place;
    return new Float32Array(slab.memory.buffer, 4 * (region * slab.size + offset), length);
  }

  /** Adds the fresh gradients to the gradients. */
  accumulate(): void {
    for (const slab of this.#slabs) {
      const [to, end] = this.#region(slab, 'gradient');
      slab.kernels.addTo(to, this.#region(slab, 'fresh')[0], end);
    }
  }

  /** Euclidean norm of all gradients together. */
  gradientNorm(): number {
    let sum = 0;
    for (const slab of this.#slabs) sum += slab.kernels.sumOfSquares(...this.#region(slab, 'gradient'));
    return Math.sqrt(sum);
  }

  /**
   * One AdamW step with the gradients times `scale`.
   * @param step counts from 1, for the bias correction
   */
  update(options: AdamWOptions, learningRate: number, step: number, scale: number): void {
    const { beta1, beta2, epsilon, weightDecay } = options;
    const rate = learningRate / (1 - beta1 ** step);
    const root = 1 / Math.sqrt(1 - beta2 ** step);
    for (const slab of this.#slabs) {
      const starts = (['parameter', 'gradient', 'firstMoment', 'secondMoment'] as const).map(
        (kind) => this.#region(slab, kind)[0],
      ) as [number, number, number, number];
      for (const [from, to, decay] of [
        [0, slab.undecayed, 1 - learningRate * weightDecay],
        [slab.undecayed, slab.size, 1],
      ] as const) {
        if (from === to) continue;
        const [p, gradient, m, v] = starts.map((start) => start + 4 * from) as [number, number, number, number];
        const end = starts[0] + 4 * to;
        slab.kernels.adamw(
          ...([p, gradient, m, v, end] as const),
          ...([scale, 1 - beta1, beta2, 1 - beta2, decay, rate, root, epsilon] as const),
        );
      }
    }
  }

  /** Begin and end of a kind's values in bytes. */
  #region(slab: Slab, kind: ValueKind): [start: number, end: number] {
    const start = 4 * this.#kinds.indexOf(kind) * slab.size;
    return [start, start + 4 * slab.size];
  }

  #addSlab(group: readonly ParameterInfo[], size: number, bytes: number): void {
    const pages = Math.ceil(bytes / PAGE);
    const megabytes = Math.ceil(bytes / 1e6);
    if (bytes > MOST_BYTES) {
      throw new UserError(
        `${group[0]!.name} takes ${megabytes} MB with its gradient and moments, more than the 4 GB that one tensor can have. ` +
          'Train it with LoRA, or train a smaller model.',
      );
    }
    let memory: WebAssembly.Memory;
    try {
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    } catch (error) {
      throw new UserError(
        `There is no memory for ${megabytes} MB of parameters, gradients and moments. ` +
          'Free some, train with LoRA, or train a smaller model.',
        { cause: error },
      );
    }
    const decayed = group.filter(decays);
    const undecayed = decayed.reduce((sum, parameter) => sum + aligned(valuesOf(parameter)), 0);
    const slab: Slab = { memory, kernels: optimizerKernels(memory, pages), size, undecayed };
    this.#slabs.push(slab);
    let offset = 0;
    for (const parameter of [...decayed, ...group.filter((one) => !decays(one))]) {
      const length = valuesOf(parameter);
      this.#places.set(parameter.name, { slab, offset, length });
      offset += aligned(length);
    }
  }
}

/** Whether weight decay works on it. */
export function decays({ shape }: ParameterInfo): boolean {
  return shape.length > 1;
}

function valuesOf({ shape }: ParameterInfo): number {
  return shape.reduce((product, size) => product * size, 1);
}

function aligned(values: number): number {
  return Math.ceil(values / ALIGNMENT) * ALIGNMENT;
}
