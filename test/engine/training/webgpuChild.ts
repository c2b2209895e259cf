/**
 * The WebGPU part of webgpu.test.ts, in a process of its own: the Vulkan driver is chosen by its environment, and a native
 * abort must not end the tests. Prints one line of JSON, a WebGpuResult: for each run of the fixtures, how far loss and
 * gradients of the plain-node training graph on WebGPU are from those on the CPU, as a part of each one's largest value, and
 * the same of a trainer's steps.
 */
import { isDeepStrictEqual } from 'node:util';
import * as ort from 'onnxruntime-node';
import { trainableParameters } from '../../../src/engine/training/method.ts';
import { buildTrainingGraph } from '../../../src/engine/training/trainingGraph.ts';
import { batchOf, openRun, trainingRuns } from './fixtures.ts';

export interface TrainerComparison {
  /** Relative differences: of losses and gradient norms, of the state at the end by each tensor's largest value, of a loss. */
  readonly apart: number;
  readonly parametersApart: number;
  readonly evaluationApart: number;
  /** Whether going on from an exported state gave the same losses and the same end, to the bit. */
  readonly resumed: boolean;
  /** The most that a step moved. */
  readonly bytesMoved: number;
  readonly stateBytes: number;
}

export interface WebGpuResult {
  readonly gradients: Record<string, number>;
  readonly trainers: Record<string, TrainerComparison>;
}

type Outputs = Readonly<Record<string, ort.Tensor>>;

async function differences(name: (typeof trainingRuns)[number]): Promise<Record<string, number>> {
  const run = openRun(name);
  const batch = batchOf(run, 0);
  const { rows, length } = batch;
  const tokens = rows * length;
  const trainer = await run.trainer();
  const { parameters } = await trainer.exportState();
  await trainer.close();
  const weight = batch.weights.reduce((sum, value) => sum + value);
  const feeds: Record<string, ort.Tensor> = {
    ids: new ort.Tensor('int32', batch.ids, [tokens]),
    targets: new ort.Tensor('int32', batch.targets, [tokens]),
    weights: new ort.Tensor('float32', batch.weights, [tokens]),
    normalizer: new ort.Tensor('float32', Float32Array.of(weight), []),
    segments: new ort.Tensor('int32', batch.segments, [rows, length]),
    positions: new ort.Tensor('int32', batch.positions, [rows, length]),
  };
  for (const parameter of trainableParameters(run.config, run.method)) {
    feeds[parameter.name] = new ort.Tensor('float32', parameters.get(parameter.name)!, parameter.shape);
  }
  const options = {
    rows,
    length,
    method: run.method,
    gradients: true,
    checkpointing: false,
    fusedMatMul: false,
    chunk: 20,
  };
  const outputs = async (provider: 'cpu' | 'webgpu'): Promise<Outputs> => {
    const graph = await buildTrainingGraph(run.config, run.weights, options, null);
    const session = await ort.InferenceSession.create(graph.serialize(), {
      executionProviders: [provider],
      logSeverityLevel: 3,
    });
    return session.run(feeds);
  };
  const expected = await outputs('cpu');
  const actual = await outputs('webgpu');
  return Object.fromEntries(
    Object.entries(expected).map(([output, tensor]) => {
      const [theirs, ours] = [tensor.data as Float32Array, actual[output]!.data as Float32Array];
      const largest = theirs.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const apart = theirs.reduce((most, value, i) => Math.max(most, Math.abs(value - ours[i]!)), 0);
      return [`${name}, ${output}`, apart / largest];
    }),
  );
}

/** What a few optimizer steps on WebGPU, with micro-batches of one row, are beside those of the CPU. */
async function steps(name: (typeof trainingRuns)[number]): Promise<TrainerComparison> {
  const run = openRun(name);
  const [cpu, webgpu] = [await run.trainer({ rows: 1 }), await run.trainer({ rows: 1, chunk: 20, device: 'webgpu' })];
  let apart = 0;
  let bytesMoved = 0;
  const take = async (step: number): Promise<number> => {
    const [expected, actual] = [await cpu.step(batchOf(run, step)), await webgpu.step(batchOf(run, step))];
    for (const key of ['loss', 'gradientNorm'] as const) {
      apart = Math.max(apart, Math.abs(actual[key] / expected[key] - 1));
    }
    bytesMoved = Math.max(bytesMoved, actual.bytesMoved);
    return actual.loss;
  };
  for (let step = 0; step < 2; step++) await take(step);
  const middle = await webgpu.exportState();
  const losses = [await take(2), await take(3)];
  let parametersApart = 0;
  const [expected, end] = [await cpu.exportState(), await webgpu.exportState()];
  for (const kind of ['parameters', 'firstMoments', 'secondMoments'] as const) {
    for (const [parameter, values] of expected[kind]) {
      const ours = end[kind].get(parameter)!;
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const furthest = values.reduce((most, value, i) => Math.max(most, Math.abs(value - ours[i]!)), 0);
      parametersApart = Math.max(parametersApart, furthest / largest);
    }
  }
  const { loss: evaluated } = await webgpu.evaluate(batchOf(run, 0));
  const evaluationApart = Math.abs(evaluated / (await cpu.evaluate(batchOf(run, 0))).loss - 1);

  await webgpu.importState(middle);
  const again = [(await webgpu.step(batchOf(run, 2))).loss, (await webgpu.step(batchOf(run, 3))).loss];
  const resumed = isDeepStrictEqual(again, losses) && isDeepStrictEqual(await webgpu.exportState(), end);
  const { stateBytes } = webgpu;
  await cpu.close();
  await webgpu.close();
  return { apart, parametersApart, evaluationApart, resumed, bytesMoved, stateBytes };
}

async function main(): Promise<void> {
  const result: WebGpuResult = { gradients: {}, trainers: {} };
  for (const name of trainingRuns) {
    Object.assign(result.gradients, await differences(name));
    result.trainers[name] = await steps(name);
  }
  console.log(JSON.stringify(result));
  process.exit(0);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
