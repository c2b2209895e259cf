import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { Graph } from '../../../src/engine/onnx/graph.ts';
import { matMul, reshape, toInt64 } from '../../../src/engine/onnx/operators.ts';
import { seededRandom } from '../../../src/engine/random.ts';
import { attention, attentionBlocks } from '../../../src/engine/training/operators/attention.ts';
import { crossEntropy } from '../../../src/engine/training/operators/crossEntropy.ts';
import { add, mul } from '../../../src/engine/training/operators/elementwise.ts';
import { embedding } from '../../../src/engine/training/operators/embedding.ts';
import { mergeHeads, splitHeads } from '../../../src/engine/training/operators/heads.ts';
import { int8Linear, int8Weight } from '../../../src/engine/training/operators/int8Linear.ts';
import { linear, plusLowRank } from '../../../src/engine/training/operators/linear.ts';
import { rmsNorm } from '../../../src/engine/training/operators/rmsNorm.ts';
import { rotary } from '../../../src/engine/training/operators/rotary.ts';
import { siluGate } from '../../../src/engine/training/operators/siluGate.ts';
import { switchBackLinear } from '../../../src/engine/training/operators/switchBack.ts';
import { Tape } from '../../../src/engine/training/tape.ts';
import { checkGradients, relativeError } from './gradients.ts';

describe('gradients against finite differences', () => {
  it('sums and products, broadcast over leading and inner dimensions', async () => {
    await checkGradients({
      floats: { a: { shape: [2, 3, 4] }, b: { shape: [4] }, c: { shape: [2, 1, 4] } },
      build: (tape, { a, b, c }) => ({ output: mul(tape, add(tape, a!, b!), c!) }),
    });
    await checkGradients({
      floats: { a: { shape: [4] }, b: { shape: [3, 4] } },
      build: (tape, { a, b }) => ({ output: add(tape, mul(tape, a!, b!), a!) }),
    });
  });

  it('a value that is used twice', async () => {
    await checkGradients({
      floats: { x: { shape: [3, 3] }, w: { shape: [3, 3] } },
      build: (tape, { x, w }) => ({ output: linear(tape, linear(tape, add(tape, x!, x!), w!), w!) }),
    });
  });

  it('linear layers, with a frozen input or a frozen weight', async () => {
    for (const frozen of ['', 'x', 'w']) {
      await checkGradients({
        floats: {
          x: { shape: [5, 3], tracked: frozen !== 'x' },
          w: { shape: [4, 3], tracked: frozen !== 'w' },
          bias: { shape: [4] },
        },
        build: (tape, { x, w, bias }) => ({ output: add(tape, linear(tape, x!, w!), bias!) }),
      });
    }
  });

  it('the low-rank update', async () => {
    for (const tracked of [true, false]) {
      await checkGradients({
        floats: {
          x: { shape: [5, 3], tracked },
          w: { shape: [4, 3], tracked },
          a: { shape: [2, 3] },
          b: { shape: [4, 2] },
        },
        build: (tape, { x, w, a, b }) => ({ output: plusLowRank(tape, linear(tape, x!, w!), x!, a!, b!, 0.7) }),
      });
    }
  });

  it('RMSNorm', async () => {
    await checkGradients({
      floats: { x: { shape: [4, 6] }, w: { shape: [6] } },
      build: (tape, { x, w }) => ({ output: rmsNorm(tape, x!, w!, 1e-5) }),
    });
  });

  it('rotary embedding', async () => {
    await checkGradients({
      floats: {
        x: { shape: [2, 3, 2, 8] },
        cos: { shape: [3, 4], tracked: false, values: angles(Math.cos) },
        sin: { shape: [3, 4], tracked: false, values: angles(Math.sin) },
        minusSin: { shape: [3, 4], tracked: false, values: angles((angle) => -Math.sin(angle)) },
      },
      integers: { positions: { shape: [2, 2], values: [0, 1, 2, 0] } },
      build: (tape, { x, cos, sin, minusSin, positions }) => {
        const rotation = { positions: toInt64(tape.graph, positions!), cos: cos!, sin: sin!, minusSin: minusSin! };
        return { output: rotary(tape, x!, rotation) };
      },
    });
  });

  it('heads apart and together', async () => {
    await checkGradients({
      floats: { x: { shape: [6, 8] }, y: { shape: [6, 8] } },
      build: (tape, { x, y }) => ({ output: mul(tape, mergeHeads(tape, splitHeads(tape, x!, 2, 4)), y!) }),
    });
  });

  it.each([
    ['one block', 8, 4, 2],
    ['blocks of different sizes', 3, 4, 2],
    ['one query head to a key head', 2, 2, 2],
  ])('attention in packed rows: %s', async (_, block, heads, kvHeads) => {
    await checkGradients({
      floats: {
        q: { shape: [2, heads, 7, 4] },
        k: { shape: [2, kvHeads, 7, 4] },
        v: { shape: [2, kvHeads, 7, 4] },
      },
      integers: { segments: { shape: [2, 7], values: [1, 1, 1, 2, 2, 0, 0, 3, 3, 3, 3, 3, 3, 3] } },
      build: (tape, { q, k, v, segments }) => ({
        output: attention(tape, q!, k!, v!, attentionBlocks(tape, segments!, heads / kvHeads, block)),
      }),
    });
  });

  it('the SiLU gate', async () => {
    await checkGradients({
      floats: { gate: { shape: [3, 4] }, up: { shape: [3, 4] } },
      build: (tape, { gate, up }) => ({ output: siluGate(tape, gate!, up!) }),
    });
  });

  it('embedding, with ids that repeat', async () => {
    await checkGradients({
      floats: { table: { shape: [5, 3] } },
      integers: { ids: { shape: [6], values: [4, 0, 4, 4, 2, 0] } },
      build: (tape, { table, ids }) => ({ output: embedding(tape, table!, ids!) }),
    });
  });

  it.each([
    ['whole', 7, false],
    ['in chunks', 3, false],
    ['with a tied head', 2, true],
  ])('cross-entropy, %s', async (_, chunk, tied) => {
    await checkGradients({
      floats: {
        table: { shape: [6, 4] },
        ...(tied ? {} : { head: { shape: [6, 4] } }),
        shares: { shape: [7, 1], tracked: false, values: [0.2, 0.1, 0, 0.3, 0.2, 0, 0.2] },
      },
      integers: {
        ids: { shape: [7], values: [0, 3, 3, 5, 1, 2, 4] },
        targets: { shape: [7], values: [3, 3, 5, 1, 2, 4, 0] },
      },
      build: (tape, { table, head, shares, ids, targets }) => {
        const hidden = embedding(tape, table!, ids!);
        return crossEntropy(tape, hidden, head ?? table!, targets!, (part) => ({ tokens: part(shares!), sets: null }), {
          chunk,
        });
      },
    });
  });
});

describe('Tape', () => {
  it('refuses what the loss does not depend on, and gradients of another shape', () => {
    const graph = new Graph();
    const tape = new Tape(graph, { fusedMatMul: true });
    const a = tape.track(graph.input('a', 'float32', [2]));
    const b = tape.track(graph.input('b', 'float32', [2]));
    tape.seed(a, a);
    expect(() => tape.gradients([a, b])).toThrow(/does not depend on b/);
    expect(() => {
      tape.seed(b, reshape(graph, a, [1, 2], [1, 2]));
    }).toThrow(/has shape \[1,2\]/);
  });
});

function angles(wave: (angle: number) => number): number[] {
  return Array.from({ length: 12 }, (_, i) => wave(0.4 * i));
}

describe('8-bit linear layers', () => {
  const bytesOf = (array: Float32Array): Uint8Array => new Uint8Array(array.buffer);

  it('have the gradient of the products they are, where nothing is rounded', async () => {
    // Everything is a multiple of 1/256 with 127/256 in each row or column, so 8 bits hold it, and a step of 1/256 too.
    const [tokens, size] = [3, 8];
    const on = (row: number, column: number): number =>
      (row === column ? 127 : ((row * 31 + column * 17) % 60) - 30) / 256;
    const weight = Float32Array.from({ length: size * size }, (_, i) => on(Math.floor(i / size), i % size));
    const x = Array.from({ length: tokens * size }, (_, i) => (i % size === 0 ? 0 : on(i % 5, (i % 5) + 1 + (i % 3))));
    const fixed = Array.from({ length: tokens * size }, (_, i) => (i % size === 0 ? 127 / 256 : 0));
    const free = fixed.map((value) => (value === 0 ? 1 : 0));
    await checkGradients(
      {
        floats: {
          x: { shape: [tokens, size], values: x },
          fixed: { shape: [tokens, size], values: fixed, tracked: false },
          free: { shape: [tokens, size], values: free, tracked: false },
        },
        build: (tape, { x, fixed, free }) => ({
          output: int8Linear(
            tape,
            add(tape, mul(tape, x!, free!), fixed!),
            int8Weight(tape.graph, 'w', weight.slice(), [size, size], true),
          ),
        }),
      },
      1e-2, // what comes from above is rounded to 8 bits too
    );
  });

  it('are near the products of float32, and a row does not depend on the others', async () => {
    const [tokens, into, out] = [5, 128, 48];
    const random = seededRandom(3);
    const draw = (size: number): Float32Array => Float32Array.from({ length: size }, () => 2 * random.uniform() - 1);
    const graph = new Graph();
    const tape = new Tape(graph, { fusedMatMul: true });
    const x = tape.track(graph.input('x', 'float32', [tokens, into]));
    const dy = graph.input('dy', 'float32', [tokens, out]);
    const weight = draw(out * into);
    const y = int8Linear(tape, x, int8Weight(graph, 'w', weight.slice(), [out, into], true));
    const exact = linear(tape, x, graph.initializer('exact', 'float32', [out, into], bytesOf(weight)));
    graph.output('y', y);
    graph.output('exact_y', exact);
    tape.seed(y, dy);
    graph.output('dx', tape.gradients([x])[0]!);
    graph.output('exact_dx', matMul(graph, dy, graph.initializer('w2', 'float32', [out, into], bytesOf(weight))));
    const session = await ort.InferenceSession.create(graph.serialize(), { executionProviders: ['cpu'] });
    const inputs = draw(tokens * into);
    inputs[7] = 40; // an outlier
    const gradients = draw(tokens * out);
    const run = async (): Promise<Record<string, Float32Array>> => {
      const results = await session.run({
        x: new ort.Tensor('float32', inputs, [tokens, into]),
        dy: new ort.Tensor('float32', gradients, [tokens, out]),
      });
      return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]));
    };
    const first = await run();
    expect(relativeError(first['y']!, first['exact_y']!)).toBeLessThan(0.02);
    expect(relativeError(first['dx']!, first['exact_dx']!)).toBeLessThan(0.02);
    inputs.fill(9, into);
    gradients.fill(-9, out);
    const second = await run();
    expect(second['y']!.subarray(0, out)).toEqual(first['y']!.subarray(0, out));
    expect(second['dx']!.subarray(0, into)).toEqual(first['dx']!.subarray(0, into));
    await session.release();
  });

  it('of full training are near the products of float32, and the gradient of the weight is the very same', async () => {
    const [tokens, into, out] = [6, 64, 48];
    const random = seededRandom(4);
    const draw = (size: number): Float32Array => Float32Array.from({ length: size }, () => 2 * random.uniform() - 1);
    const values = { x: draw(tokens * into), w: draw(out * into), dy: draw(tokens * out) };
    const found = [];
    for (const layer of [linear, switchBackLinear]) {
      const graph = new Graph();
      const tape = new Tape(graph, { fusedMatMul: true });
      const x = tape.track(graph.input('x', 'float32', [tokens, into]));
      const w = tape.track(graph.input('w', 'float32', [out, into]));
      const y = layer(tape, x, w);
      tape.seed(y, graph.input('dy', 'float32', [tokens, out]));
      const [dx, dw] = tape.gradients([x, w]);
      for (const [name, value] of Object.entries({ y, dx: dx!, dw: dw! })) graph.output(name, value);
      const session = await ort.InferenceSession.create(graph.serialize(), { executionProviders: ['cpu'] });
      found.push(
        await session.run({
          x: new ort.Tensor('float32', values.x, [tokens, into]),
          w: new ort.Tensor('float32', values.w, [out, into]),
          dy: new ort.Tensor('float32', values.dy, [tokens, out]),
        }),
      );
      await session.release();
    }
    const [exact, int8] = found.map((results) => (name: string) => results[name]!.data as Float32Array);
    for (const name of ['y', 'dx']) expect(relativeError(int8!(name), exact!(name)), name).toBeLessThan(0.02);
    expect(int8!('y')).not.toEqual(exact!('y'));
    expect(int8!('dw')).toEqual(exact!('dw'));
  });
});
