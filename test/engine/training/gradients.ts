/** Compares the gradients that a tape lays with central differences of the graph's own output, summed in float64. */
import * as ort from 'onnxruntime-node';
import { expect } from 'vitest';
import { Graph, type Value } from '../../../src/engine/onnx/graph.ts';
import { seededRandom } from '../../../src/engine/random.ts';
import { Tape } from '../../../src/engine/training/tape.ts';

export interface FloatInput {
  readonly shape: readonly number[];
  /** Default: normal-like values from -1 to 1. */
  readonly values?: readonly number[];
  /** False: no gradient is asked for. */
  readonly tracked?: boolean;
}

export interface Check {
  readonly floats: Readonly<Record<string, FloatInput>>;
  /** int32. */
  readonly integers?: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly values: readonly number[] }>
  >;
  /** Lays the operator. A scalar `loss` seeds itself; any other output is multiplied with random values and summed. */
  readonly build: (
    tape: Tape,
    inputs: Readonly<Record<string, Value>>,
  ) => { readonly output: Value } | { readonly loss: Value };
}

const STEP = 2 ** -8;

/** @param tolerance of a gradient, as a part of the largest one of its input */
export async function checkGradients({ floats, integers = {}, build }: Check, tolerance = 2e-3): Promise<void> {
  for (const fusedMatMul of [true, false]) {
    const random = seededRandom(7);
    const draw = (size: number): Float32Array => Float32Array.from({ length: size }, () => 2 * random.uniform() - 1);
    const graph = new Graph();
    const tape = new Tape(graph, { fusedMatMul });
    const inputs: Record<string, Value> = {};
    const feeds: Record<string, ort.Tensor> = {};
    for (const [name, { shape, values, tracked = true }] of Object.entries(floats)) {
      inputs[name] = graph.input(name, 'float32', shape);
      if (tracked) tape.track(inputs[name]);
      const data = values ? Float32Array.from(values) : draw(sizeOf(shape));
      feeds[name] = new ort.Tensor('float32', data, shape);
    }
    for (const [name, { shape, values }] of Object.entries(integers)) {
      inputs[name] = graph.input(name, 'int32', shape);
      feeds[name] = new ort.Tensor('int32', Int32Array.from(values), shape);
    }
    const built = build(tape, inputs);
    const result = 'output' in built ? built.output : built.loss;
    const factors = 'output' in built ? draw(sizeOf(result.shape as number[])) : Float32Array.of(1);
    if ('output' in built) {
      const seed = graph.input('seed', 'float32', result.shape);
      feeds['seed'] = new ort.Tensor('float32', factors, result.shape as number[]);
      tape.seed(result, seed);
    }
    graph.output('result', result);
    const checked = Object.keys(floats).filter((name) => floats[name]!.tracked ?? true);
    tape.gradients(checked.map((name) => inputs[name]!)).forEach((gradient, i) => {
      graph.output(`gradient:${checked[i]!}`, gradient);
    });
    const session = await ort.InferenceSession.create(graph.serialize(), { executionProviders: ['cpu'] });
    const loss = async (): Promise<number> => {
      const { result: y } = await session.run(feeds);
      return (y!.data as Float32Array).reduce((sum, value, i) => sum + value * factors[i]!, 0);
    };
    const gradients = await session.run(feeds);
    for (const name of checked) {
      const data = feeds[name]!.data as Float32Array;
      const gradient = gradients[`gradient:${name}`]!.data as Float32Array;
      const expected: number[] = [];
      for (let i = 0; i < data.length; i++) {
        const value = data[i]!;
        data[i] = value + STEP;
        const above = await loss();
        data[i] = value - STEP;
        const below = await loss();
        data[i] = value;
        expected.push((above - below) / (2 * STEP));
      }
      expect(relativeError(gradient, expected), `${name}, fusedMatMul ${fusedMatMul}`).toBeLessThan(tolerance);
    }
    await session.release();
  }
}

/** The largest difference as a part of the largest expected value; NaN counts as infinite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const each = Math.abs(actual[i]! - expected[i]!);
    difference = Number.isNaN(each) ? Infinity : Math.max(difference, each);
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
