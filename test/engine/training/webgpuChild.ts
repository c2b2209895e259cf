/**
 * The WebGPU part of webgpu.test.ts, in a process of its own: the Vulkan driver is chosen by its environment, and a native
 * abort must not end the tests. Prints one line of JSON: for each run of the fixtures, how far loss and gradients of the
 * plain-node training graph on WebGPU are from those on the CPU, as a part of each one's largest value.
 */
import * as ort from 'onnxruntime-node';
import { trainableParameters } from '../../../src/engine/training/method.ts';
import { buildTrainingGraph } from '../../../src/engine/training/trainingGraph.ts';
import { batchOf, openRun, trainingRuns } from './fixtures.ts';

type Outputs = Readonly<Record<string, ort.Tensor>>;

async function differences(name: (typeof trainingRuns)[number]): Promise<Record<string, number>> {
  const run = openRun(name);
  const batch = batchOf(run, 0);
  const { rows, length } = batch;
  const tokens = rows * length;
  const trainer = await run.trainer();
  const { parameters } = trainer.exportState();
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

async function main(): Promise<void> {
  const all: Record<string, number> = {};
  for (const name of trainingRuns) Object.assign(all, await differences(name));
  console.log(JSON.stringify(all));
  process.exit(0);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
