import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { Graph } from '../../../src/engine/onnx/graph.ts';
import {
  add,
  broadcast,
  concat,
  fusedMatMul,
  matMul,
  reshape,
  silu,
  softmax,
  split,
  transpose,
} from '../../../src/engine/onnx/operators.ts';
import { MessageWriter } from '../../../src/engine/onnx/protobuf.ts';

describe('MessageWriter', () => {
  it('writes the examples of the protocol-buffer encoding guide', () => {
    const inner = new MessageWriter().int(1, 150);
    expect([...inner.finish()]).toEqual([0x08, 0x96, 0x01]);
    expect([...new MessageWriter().string(2, 'testing').finish()]).toEqual([0x12, 0x07, ...Buffer.from('testing')]);
    expect([...new MessageWriter().message(3, inner).finish()]).toEqual([0x1a, 0x03, 0x08, 0x96, 0x01]);
    expect([...new MessageWriter().int(1, -2).finish()]).toEqual([0x08, 0xfe, ...Array<number>(8).fill(0xff), 0x01]);
  });
});

describe('Graph', () => {
  it('is a model that ONNX Runtime runs, with dimensions known at run time', async () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['N', 4]);
    const weight = graph.initializer(
      'w',
      'float32',
      [3, 4],
      new Uint8Array(Float32Array.from({ length: 12 }, (_, i) => i).buffer),
    );
    const product = fusedMatMul(graph, x, weight, { transposeB: true });
    const [left, right] = split(graph, product, [1, 2], -1);
    graph.output('y', concat(graph, [right!, left!], -1));
    graph.output('z', softmax(graph, silu(graph, matMul(graph, x, transpose(graph, weight, [1, 0])))));
    graph.output('r', reshape(graph, add(graph, x, graph.constant('float32', 1)), [-1], ['4*N']));
    const session = await ort.InferenceSession.create(graph.serialize());
    const input = new ort.Tensor('float32', Float32Array.from([1, 0, 0, 0, 0, 1, 0, 0]), [2, 4]);
    const { y, z, r } = await session.run({ x: input });
    expect([...(y!.data as Float32Array)]).toEqual([4, 8, 0, 5, 9, 1]);
    expect(z!.dims).toEqual([2, 3]);
    expect((z!.data as Float32Array).slice(0, 3).reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    expect([...(r!.data as Float32Array)]).toEqual([2, 1, 1, 1, 1, 2, 1, 1]);
    await session.release();
  });

  it('refuses shapes that do not fit while it is built', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['N', 4]);
    const weight = graph.initializer('w', 'float32', [3, 5], new Uint8Array(60));
    expect(() => fusedMatMul(graph, x, weight, { transposeB: true })).toThrow(/do not multiply/);
    expect(() => broadcast([2, 3], [4])).toThrow(/do not broadcast/);
    expect(broadcast(['B', 1, 3], [5, 1])).toEqual(['B', 5, 3]);
    expect(() => graph.input('x', 'float32', [1])).toThrow(/called x/);
  });
});
