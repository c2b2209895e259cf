/**
 * Puts a model's weights into a graph in the precision asked for: norms and biases as they are,
 * linear layers and the embedding dense or in 8-bit blocks. One tensor is in memory at a time.
 */
import type { ElementType, Graph, Value } from '../onnx/graph.ts';
import {
  add,
  fusedMatMul,
  gather,
  gatherBlockQuantized,
  matMul,
  matMulNBits,
  reshape,
  transpose,
} from '../onnx/operators.ts';
import type { TensorSource } from '../model.ts';
import { FOUR_BIT_BLOCK, isFourBit, repackFourBit, type FourBitBlocks } from './fourBit.ts';
import { blockSizeFor, quantizeTo8Bits, rotate, rotationMatrix } from './quantize.ts';

/**
 * How linear layers are held. `fp32` and `fp16`: dense (`fp16` for GPUs: the whole graph computes in it).
 * `int8`: symmetric 8-bit blocks; activations are quantised to int8 by the same blocks on the CPU,
 * which is why both are rotated before, most of them.
 * `int4`: Q4_0 and Q4_1 matrices of the file as they are, all others as `int8`.
 */
export type Precision = 'fp32' | 'fp16' | 'int8' | 'int4';

/** What a graph may use on a device. */
export interface GraphTarget {
  readonly precision: Precision;
  /** Weights in a block of 8-bit precision, a power of two. */
  readonly blockSize: number;
  /** FusedMatMul exists (CPU, CUDA); elsewhere a transposed copy is multiplied. */
  readonly fusedMatMul: boolean;
  /**
   * The inputs of 8-bit layers are rotated (`rotate`), unless this is false. Pays where they are quantised too, which the
   * CPU always does.
   */
  readonly rotation?: boolean;
}

export type Linear = (x: Value) => Value;

export interface LinearOptions {
  /** Values in each group of the last matrix's outputs that come out rotated (`rotate`); 1 if not given. */
  readonly turned?: number;
  /** The same of the inputs, which this layer then need not rotate. */
  readonly inputsTurned?: number;
  /** False where rotating the inputs is not worth its time. */
  readonly rotates?: boolean;
}

export class GraphWeights {
  readonly #graph: Graph;
  readonly #source: TensorSource;
  readonly #target: GraphTarget;
  readonly #summing = new Map<number, Value>();
  readonly #rotations = new Map<number, Value>();

  constructor(graph: Graph, source: TensorSource, target: GraphTarget) {
    this.#graph = graph;
    this.#source = source;
    this.#target = target;
  }

  /** Type of activations, norms and biases. */
  get type(): ElementType {
    return this.#target.precision === 'fp16' ? 'float16' : 'float32';
  }

  /** A norm weight, 1-dimensional. */
  async vector(...names: string[]): Promise<Value> {
    return this.#vector(names, await this.#read(names));
  }

  #vector(names: readonly string[], values: Float32Array): Value {
    return this.#graph.initializer(names.join('|'), this.type, [values.length], this.#encode(values));
  }

  /** Values that are no tensor of the model, in the type of the activations. */
  table(name: string, shape: readonly number[], values: Float32Array): Value {
    return this.#graph.initializer(name, this.type, shape, this.#encode(values));
  }

  /** x [..., in] to [..., out] by the [out, in] matrices of these names, stacked along `out`. */
  async linear(names: readonly string[], options: LinearOptions & { readonly bias: boolean }): Promise<Linear> {
    const multiply = await this.#matrix(
      names.map((name) => `${name}.weight`),
      options,
    );
    if (!options.bias) return multiply;
    const biases = names.map((name) => `${name}.bias`);
    const offset = this.#vector(biases, await this.#read(biases, options.turned));
    return (x) => add(this.#graph, multiply(x), offset);
  }

  /**
   * Values in a group that the layer of this name has rotated, where such groups do not cross from one head to the next: the
   * layer whose outputs it mixes head by head can then turn them beforehand, in its weights. Else 1.
   */
  groupWithin(headSize: number, name: string): number {
    const { precision, rotation } = this.#target;
    const size = blockSizeFor(this.#shape([`${name}.weight`])[1], ROTATION) ?? 1;
    return precision === 'int8' && rotation !== false && headSize % size === 0 ? size : 1;
  }

  /** Token embedding [vocabulary, hidden] and, of the same matrix where the head is tied, the output head. */
  async embedding(name: string): Promise<{ embed: (ids: Value) => Value; head: () => Promise<Linear> }> {
    const { precision } = this.#target;
    const [rows, width] = this.#shape([name]);
    const blockSize = precision.startsWith('int') ? blockSizeFor(width, EMBEDDING_BLOCK) : null;
    const values = await this.#read([name]);
    if (blockSize === null) {
      const table = this.#graph.initializer(name, this.type, [rows, width], this.#encode(values));
      return {
        embed: (ids) => gather(this.#graph, table, ids),
        head: () => Promise.resolve((x) => this.#dense(x, table)),
      };
    }
    const blocks = quantizeTo8Bits(values, blockSize);
    const data = this.#graph.initializer(`${name}|rows`, 'uint8', [rows, width], blocks.data);
    const scales = this.#graph.initializer(
      `${name}|row_scales`,
      'float32',
      [rows, width / blockSize],
      bytesOf(blocks.scales),
    );
    return {
      embed: (ids) => gatherBlockQuantized(this.#graph, data, scales, ids, { bits: 8, blockSize, width }),
      head: () => this.#matrix([name]),
    };
  }

  async #matrix(
    names: readonly string[],
    { turned = 1, inputsTurned = 1, rotates = true }: LinearOptions = {},
  ): Promise<Linear> {
    const [rows, width] = this.#shape(names);
    const { precision, blockSize: preferred } = this.#target;
    const name = names.join('|');
    if (precision === 'int4') {
      const types = names.map((part) => this.#source.tensors.get(part)!.type);
      if (types.every(isFourBit)) return this.#fourBit(name, names, types, rows, width);
    }
    const blockSize = precision.startsWith('int') ? blockSizeFor(width, preferred) : null;
    const values = await this.#read(names, turned);
    if (blockSize === null) {
      const weight = this.#graph.initializer(name, this.type, [rows, width], this.#encode(values));
      return (x) => this.#dense(x, weight);
    }
    const rotation = this.#target.rotation === false || !rotates ? 1 : (blockSizeFor(width, ROTATION) ?? 1);
    const blocks = quantizeTo8Bits(values, blockSize, rotation);
    const data = this.#graph.initializer(name, 'uint8', [rows, width / blockSize, blockSize], blocks.data);
    const scales = this.#graph.initializer(`${name}|scales`, 'float32', [blocks.scales.length], bytesOf(blocks.scales));
    const shape = { inputs: width, outputs: rows, bits: 8, blockSize };
    return (x) => {
      const input = inputsTurned === rotation ? x : this.#rotate(x, width, rotation);
      return matMulNBits(this.#graph, input, data, scales, shape, 4);
    };
  }

  /** As `rotate` of quantize.ts, for each group of `size` in x [..., width]. */
  #rotate(x: Value, width: number, size: number): Value {
    if (size === 1) return x;
    let matrix = this.#rotations.get(size);
    if (matrix === undefined) {
      matrix = this.#graph.initializer(`rotation_${size}`, 'float32', [size, size], bytesOf(rotationMatrix(size)));
      this.#rotations.set(size, matrix);
    }
    const leading = x.shape.slice(0, -1);
    const kept = leading.map(() => 0); // no -1: it is refused where a run asks for no rows
    const groups = reshape(this.#graph, x, [...kept, width / size, size], [...leading, width / size, size]);
    return reshape(this.#graph, matMul(this.#graph, groups, matrix), [...kept, width], x.shape);
  }

  /** The file's own 4-bit blocks; what their minima add is a product of the inputs' block sums with a 32nd of the matrix. */
  async #fourBit(
    name: string,
    names: readonly string[],
    types: readonly ('Q4_0' | 'Q4_1')[],
    rows: number,
    width: number,
  ): Promise<Linear> {
    const parts: FourBitBlocks[] = [];
    for (const [i, type] of types.entries()) parts.push(repackFourBit(type, await this.#source.readRaw(names[i]!)));
    const blocks = width / FOUR_BIT_BLOCK;
    const bytes = Buffer.concat(parts.map(({ data }) => data));
    const data = this.#graph.initializer(name, 'uint8', [rows, blocks, FOUR_BIT_BLOCK / 2], bytes);
    const scaleBytes = Buffer.concat(parts.map(({ scales }) => bytesOf(scales)));
    const scales = this.#graph.initializer(`${name}|scales`, 'float32', [rows * blocks], scaleBytes);
    const shape = { inputs: width, outputs: rows, bits: 4, blockSize: FOUR_BIT_BLOCK };
    const multiply: Linear = (x) => matMulNBits(this.#graph, x, data, scales, shape, 4);
    if (types.every((type) => type === 'Q4_0')) return multiply;
    const offsetBytes = Buffer.concat(parts.map(({ offsets }) => bytesOf(offsets)));
    const offsets = this.#graph.initializer(`${name}|offsets`, 'float32', [rows, blocks], offsetBytes);
    const summing = this.#blockSums(width);
    return (x) => add(this.#graph, multiply(x), this.#dense(matMul(this.#graph, x, summing), offsets));
  }

  /** [width, width / 32]: multiplied with it, a vector becomes the sums of its blocks. */
  #blockSums(width: number): Value {
    let matrix = this.#summing.get(width);
    if (matrix === undefined) {
      const blocks = width / FOUR_BIT_BLOCK;
      const ones = new Float32Array(width * blocks);
      for (let i = 0; i < width; i++) ones[i * blocks + Math.floor(i / FOUR_BIT_BLOCK)] = 1;
      matrix = this.#graph.initializer(`block_sums_${width}`, 'float32', [width, blocks], bytesOf(ones));
      this.#summing.set(width, matrix);
    }
    return matrix;
  }

  #dense(x: Value, weight: Value): Value {
    if (this.#target.fusedMatMul) return fusedMatMul(this.#graph, x, weight, { transposeB: true });
    return matMul(this.#graph, x, transpose(this.#graph, weight, [1, 0])); // folded when the session is made
  }

  /** Rows of all of them together, and their common width. */
  #shape(names: readonly string[]): [number, number] {
    let rows = 0;
    let width = 0;
    for (const name of names) {
      const shape = this.#source.tensors.get(name)!.shape;
      rows += shape[0]!;
      width = shape[1]!;
    }
    return [rows, width];
  }

  /** @param turned as in `linear`; each tensor is [out, in] or [out]. */
  async #read(names: readonly string[], turned = 1): Promise<Float32Array> {
    const parts: Float32Array[] = [];
    for (const name of names) parts.push(await this.#source.readFloat32(name));
    const last = this.#source.tensors.get(names.at(-1)!)!;
    rotate(parts.at(-1)!, turned, last.shape[1] ?? 1);
    if (parts.length === 1) return parts[0]!;
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let offset = 0;
    for (const part of parts) {
      all.set(part, offset);
      offset += part.length;
    }
    return all;
  }

  #encode(values: Float32Array): Uint8Array {
    return this.type === 'float32' ? bytesOf(values) : bytesOf(toFloat16(values));
  }
}

/** Values that are rotated together, at most: 64 are as good as a whole row and cost less (docs/log.md). */
const ROTATION = 64;
/** Block of the embedding's rows: as Q8_0 files have it. */
const EMBEDDING_BLOCK = 32;

function bytesOf(array: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

const floatBits = new Float32Array(1);
const integerBits = new Uint32Array(floatBits.buffer);

/** IEEE binary16 of each value, rounded to nearest even; beyond 65504 infinite. */
export function toFloat16(values: Float32Array): Uint16Array {
  const result = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    floatBits[0] = values[i]!;
    const bits = integerBits[0]!;
    const sign = (bits >>> 16) & 0x8000;
    const magnitude = bits & 0x7fffffff;
    if (magnitude >= 0x47800000) {
      result[i] = sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
    } else if (magnitude < 0x38800000) {
      // Subnormal in binary16: adding 0.5 lets the hardware shift and round.
      floatBits[0] = Math.abs(values[i]!) + 0.5;
      result[i] = sign | (integerBits[0]! - 0x3f000000);
    } else {
      result[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    }
  }
  return result;
}
