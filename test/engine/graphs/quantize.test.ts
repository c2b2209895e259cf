import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { blockSizeFor, quantizeTo8Bits, rotate, rotationMatrix } from '../../../src/engine/graphs/quantize.ts';
import { GraphWeights, type GraphTarget } from '../../../src/engine/graphs/weights.ts';
import type { TensorSource } from '../../../src/engine/model.ts';
import { Graph } from '../../../src/engine/onnx/graph.ts';
import { seededRandom } from '../../../src/engine/random.ts';

describe('quantizeTo8Bits', () => {
  it('is off by half a scale at most, the largest of a block by nothing', () => {
    const values = normal(4 * 64, 1);
    values.fill(0, 32, 64);
    const { data, scales } = quantizeTo8Bits(values, 32);
    expect(scales[1]).toBe(0);
    for (let i = 0; i < values.length; i++) {
      const scale = scales[Math.floor(i / 32)]!;
      expect(Math.abs((data[i]! - 128) * scale - values[i]!)).toBeLessThanOrEqual(scale * 0.5001);
    }
    for (const [block, scale] of scales.entries()) {
      const largest = Math.max(...values.subarray(32 * block, 32 * block + 32).map(Math.abs));
      expect(scale * 127).toBeCloseTo(largest, 5);
    }
  });

  it('keeps values that lie on its grid', () => {
    const values = Float32Array.from({ length: 64 }, (_, i) => (i === 5 || i === 40 ? -127 : (i * 37) % 127) * 0.25);
    const { data, scales } = quantizeTo8Bits(values, 32);
    expect(Float32Array.from(data, (level, i) => (level - 128) * scales[Math.floor(i / 32)]!)).toEqual(values);
  });

  it('holds the rotated values when asked to, in blocks smaller or larger than the rotation, and leaves its input', () => {
    const values = normal(3 * 64, 2);
    const before = values.slice();
    for (const [blockSize, rotation] of [
      [16, 64],
      [32, 64],
      [64, 64],
      [64, 16],
    ] as const) {
      const rotated = values.slice();
      rotate(rotated, rotation);
      expect(quantizeTo8Bits(values, blockSize, rotation)).toEqual(quantizeTo8Bits(rotated, blockSize));
    }
    expect(values).toEqual(before);
  });
});

describe('rotate', () => {
  it('multiplies each group with the matrix, which is orthonormal, symmetric and its own inverse', () => {
    for (const [i, sign] of [1, 1, 1, -1].entries()) expect(rotationMatrix(2)[i]).toBeCloseTo(sign / Math.SQRT2, 6);
    const matrix = rotationMatrix(32);
    const values = normal(64, 3);
    const rotated = values.slice();
    rotate(rotated, 32);
    for (let i = 0; i < 64; i++) {
      let sum = 0;
      for (let j = 0; j < 32; j++) sum += matrix[(i % 32) * 32 + j]! * values[i - (i % 32) + j]!;
      expect(rotated[i]).toBeCloseTo(sum, 5);
    }
    rotate(rotated, 32);
    for (const [i, value] of rotated.entries()) expect(value).toBeCloseTo(values[i]!, 5);
  });

  it('turns columns of a matrix as it turns rows of its transpose', () => {
    const [rows, width] = [32, 3];
    const matrix = normal(rows * width, 4);
    const transposed = Float32Array.from(
      { length: rows * width },
      (_, i) => matrix[(i % rows) * width + Math.floor(i / rows)]!,
    );
    rotate(matrix, 16, width);
    rotate(transposed, 16);
    for (const [i, value] of transposed.entries()) {
      expect(matrix[(i % rows) * width + Math.floor(i / rows)]).toBeCloseTo(value, 6);
    }
  });

  it('of size 1 changes nothing', () => {
    const values = Float32Array.of(1, -2);
    rotate(values, 1);
    expect([...values]).toEqual([1, -2]);
  });
});

describe('blockSizeFor', () => {
  it('takes the largest that divides the width', () => {
    expect([576, 1536, 96, 48, 40].map((width) => blockSizeFor(width, 128))).toEqual([64, 128, 32, 16, null]);
    expect(blockSizeFor(576, 32)).toBe(32);
  });
});

describe('an 8-bit layer', () => {
  const [inputs, outputs, rows] = [192, 48, 8];
  const weight = normal(outputs * inputs, 4);

  it('is close to the dense layer, also for inputs with outliers, which its rotation is for', async () => {
    const x = normal(rows * inputs, 5);
    for (let row = 0; row < rows; row++) for (const at of [3, 70, 150]) x[row * inputs + at] = 60;
    const exact = await run({ precision: 'fp32', blockSize: 32, fusedMatMul: true }, x, rows);
    const rotated = await run({ precision: 'int8', blockSize: 32, fusedMatMul: true }, x, rows);
    const plain = await run({ precision: 'int8', blockSize: 32, fusedMatMul: true, rotation: false }, x, rows);
    expect(relativeError(rotated, exact)).toBeLessThan(0.01);
    expect(relativeError(rotated, exact)).toBeLessThan(0.75 * relativeError(plain, exact));
  });

  it('takes no rows', async () => {
    const none = await run({ precision: 'int8', blockSize: 32, fusedMatMul: true }, new Float32Array(0), 0);
    expect(none).toHaveLength(0);
  });

  it.each([96, 48, 24])('works for a width of %i, whatever divides it', async (width) => {
    const x = normal(rows * width, 6);
    const exact = await run({ precision: 'fp32', blockSize: 64, fusedMatMul: true }, x, rows, width);
    const quantized = await run({ precision: 'int8', blockSize: 64, fusedMatMul: true }, x, rows, width);
    expect(relativeError(quantized, exact)).toBeLessThan(0.02);
  });

  /** x [count, width] times the weights' transpose, as the graph does it. */
  async function run(target: GraphTarget, x: Float32Array, count: number, width = inputs): Promise<Float32Array> {
    const values = weight.slice(0, outputs * width);
    const source: TensorSource = {
      tensors: new Map([
        ['w.weight', { name: 'w.weight', type: 'F32', shape: [outputs, width], byteLength: 4 * values.length }],
      ]),
      readFloat32: () => Promise.resolve(values),
      readRaw: () => Promise.reject(new Error('not read')),
      close: () => Promise.resolve(),
    };
    const graph = new Graph();
    const linear = await new GraphWeights(graph, source, target).linear(['w'], { bias: false });
    graph.output('y', linear(graph.input('x', 'float32', ['N', width])));
    const session = await ort.InferenceSession.create(graph.serialize(), { intraOpNumThreads: 1 });
    const { y } = await session.run({ x: new ort.Tensor('float32', x, [count, width]) });
    await session.release();
    return y!.data as Float32Array;
  }
});

function relativeError(actual: Float32Array, expected: Float32Array): number {
  let [error, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(error / size);
}

function normal(count: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  const draw = (): number => Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
  return Float32Array.from({ length: count }, draw);
}
