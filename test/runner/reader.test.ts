/** What reads code: a checkpoint's model as pi, and the model that writes latents as q where the run has trained one. */
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HostDecoder } from '../../src/engine/generation/hostDecoder.ts';
import type { Decoder } from '../../src/engine/generation/decoder.ts';
import type { ModelSource } from '../../src/engine/model.ts';
import { mixSeed, seededRandom } from '../../src/engine/random.ts';
import { weightsWith } from '../../src/engine/training/trainedWeights.ts';
import { trainableParameters } from '../../src/engine/training/method.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { Checkpoints } from '../../src/midtraining/checkpoint.ts';
import { methodOf } from '../../src/midtraining/trainerOptions.ts';
import { openReader } from '../../src/runner/reader.ts';
import { runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { smallRequest, temporaryFolder } from './smallRun.ts';
import { smallTraining } from './smallTraining.ts';

const home = temporaryFolder();
const path = join(import.meta.dirname, '../fixtures/engine/llama-gqa-tied');
const options = { device: 'cpu', precision: 'auto', threads: 1 } as const;
const decoders: Decoder[] = [];
afterAll(async () => {
  for (const decoder of decoders) await decoder.close();
});

const ids = Array.from({ length: 24 }, (_, i) => (i * 37) % 100);
async function logitsOf(decoder: Decoder): Promise<number[]> {
  const logits: number[] = [];
  await decoder.score(ids, 0, (_, row) => logits.push(...row));
  return logits;
}

/** A run with one checkpoint, whose adapters are as training could have left them. */
async function keepRun(method: 'ntp' | 'ra3', source: ModelSource) {
  const request = smallTraining(path, { method, train: 'lora', lora: { rank: 3, alpha: 6 }, context: 256 });
  const { config } = request;
  const folder = await createRun(join(home, method), request);
  const parameters = trainableParameters(source.config, methodOf(config));
  const valuesOf = (role: string): Map<string, Float32Array> =>
    new Map(
      parameters.map(({ name, shape }) => {
        const random = seededRandom(mixSeed(role, name));
        const count = shape.reduce((product, size) => product * size, 1);
        return [name, Float32Array.from({ length: count }, () => random.uniform() - 0.5)];
      }),
    );
  const stateOf = (role: string) => {
    const moments = new Map(parameters.map(({ name }) => [name, new Float32Array(valuesOf(role).get(name)!.length)]));
    return { step: 4, learningRate: null, parameters: valuesOf(role), firstMoments: moments, secondMoments: moments };
  };
  const checkpoints = await Checkpoints.open(runPaths(folder).checkpoints, 9, { model: await source.hash() });
  const progress = {
    position: { epoch: 0, window: 0, row: 0 },
    ...{ tokens: 0, evaluationInterval: 0, heldOutLoss: null, bestHeldOutLoss: null },
    ...{ evaluationsWithoutGain: 0, smoothedLoss: null, stepsAbove: 0 },
  };
  await checkpoints.save(
    stateOf('model'),
    parameters,
    progress,
    method === 'ra3' ? { trainer: stateOf('q'), rollouts: [] } : null,
  );
  /** Logits of the model without a file. */
  const expected = async (role: string | null): Promise<number[]> => {
    const values = role === null ? new Map<string, Float32Array>() : valuesOf(role);
    const weights = weightsWith(source.config, source.weights, methodOf(config), (name) => values.get(name));
    const limits = { precision: 'fp32', places: 1, threads: 1, contextLength: 64 } as const;
    const decoder = await HostDecoder.create(source.config, weights, limits);
    decoders.push(decoder);
    return logitsOf(decoder);
  };
  return { folder, expected };
}

describe('what reads code', () => {
  it('is the checkpoint of a run, with q where there is one', async () => {
    const source = await openModel(path);
    const ra3 = await keepRun('ra3', source);
    const both = await openReader({ run: ra3.folder, checkpoint: 4 }, options);
    expect(both.model).toEqual({ name: 'small: tiny', step: 4 });
    expect(await logitsOf(both.reader.pi)).toEqual(await ra3.expected('model'));
    expect(await logitsOf(both.reader.q)).toEqual(await ra3.expected('q'));
    expect(await ra3.expected('q')).not.toEqual(await ra3.expected('model'));
    await both.close();

    const ntp = await keepRun('ntp', source);
    const one = await openReader({ run: ntp.folder, checkpoint: 'final' }, options);
    expect(one.reader.q).toBe(one.reader.pi);
    await one.close();
    const base = await openReader({ run: ra3.folder, checkpoint: 'base' }, options);
    expect(base.model.step).toBeNull();
    expect(base.reader.q).toBe(base.reader.pi);
    expect(await logitsOf(base.reader.pi)).toEqual(await ra3.expected(null));
    await base.close();
    await source.close();
  });

  it('is refused in words', async () => {
    const source = await openModel(path);
    const { folder } = await keepRun('ntp', source);
    await source.close();
    await expect(openReader({ run: folder, checkpoint: 5 }, options)).rejects.toThrow(/no checkpoint of step 5/);
    const evaluation = await createRun(join(home, 'evaluations'), smallRequest(join(home, 'none.jsonl')));
    await expect(openReader({ run: evaluation, checkpoint: 'final' }, options)).rejects.toThrow(/trained nothing/);
    await expect(openReader({ path: join(home, 'none'), label: 'none' }, options)).rejects.toThrow(/none/);
  });
});
