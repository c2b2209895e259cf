/** The estimate of memory and disk: near what a real trainer takes, falling with what is said to help, and quick. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import type { ModelConfig } from '../../src/engine/model.ts';
import { Graph } from '../../src/engine/onnx/graph.ts';
import { add, concat, mul } from '../../src/engine/onnx/operators.ts';
import { peakOf } from '../../src/engine/training/memory.ts';
import { parseTrainingConfig } from '../../src/midtraining/config.ts';
import { estimateDisk, estimateMemory, whatFitsDisk, whatFitsMemory } from '../../src/midtraining/estimate.ts';

const root = join(import.meta.dirname, '../..');
const small: ModelConfig = {
  family: 'llama',
  hiddenSize: 128,
  layerCount: 4,
  headCount: 4,
  kvHeadCount: 2,
  headSize: 32,
  intermediateSize: 344,
  vocabularySize: 2048,
  contextLength: 1_000_000,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: null,
  tiedHead: true,
  qkvBias: false,
  attentionOutputBias: false,
  mlpBias: false,
};
const config = (keys: object) => parseTrainingConfig(JSON.stringify(keys), 'config');
const total = async (keys: object) => (await estimateMemory(small, config(keys))).total;

describe('values that are live at once', () => {
  it('are those computed and still needed', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [256]);
    const a = add(graph, x, x); // 1024 bytes, needed until the end
    const b = concat(graph, [a, a], 0); // 2048
    const c = concat(graph, [b, b], 0); // 4096, while b is there: 7168
    graph.output('y', concat(graph, [c, a], 0)); // 5120 with c and a: 10240
    expect(peakOf(graph)).toBe(10_240);
  });

  it('share a place where an operator can work in it', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [256]);
    graph.output('y', mul(graph, add(graph, x, x), x));
    expect(peakOf(graph)).toBe(1024);
  });
});

describe('the memory of a training', () => {
  it.skipIf(process.platform !== 'linux')(
    'is within a quarter of the peak of a real trainer',
    async () => {
      const bundle = join(root, '.cache/test-memory/memoryServer.mjs');
      mkdirSync(join(bundle, '..'), { recursive: true });
      await build({
        entryPoints: [join(root, 'test/bench/memoryServer.ts')],
        bundle: true,
        platform: 'node',
        format: 'esm',
        external: ['onnxruntime-node'],
        outfile: bundle,
        logLevel: 'error',
      });
      const model = {
        model_type: 'llama',
        vocab_size: 4096,
        hidden_size: 256,
        intermediate_size: 688,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: 4096,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
      };
      for (const keys of [
        { train: 'full', context: 512, batchTokens: 1024, threads: 1 },
        { train: 'lora', context: 512, batchTokens: 512, threads: 1 },
      ]) {
        const out = execFileSync(process.execPath, [bundle, JSON.stringify(keys), `random:${JSON.stringify(model)}`]);
        const { peak, estimate } = JSON.parse(out.toString()) as { peak: number; estimate: { total: number } };
        expect(estimate.total / peak, JSON.stringify(keys)).toBeGreaterThan(0.75);
        expect(estimate.total / peak, JSON.stringify(keys)).toBeLessThan(1.25);
      }
    },
    180_000,
  );

  it('falls with checkpointing, fewer tokens and without held-out losses, and grows with the square of long rows', async () => {
    const usual = await total({ train: 'full' });
    const ra3 = await total({ train: 'full', method: 'ra3' });
    expect(ra3).toBeGreaterThan(usual);
    expect(await total({ train: 'full', method: 'ra3', abstractions: { kl: 0 } })).toBeLessThan(ra3);
    expect(await total({ train: 'full', method: 'ra3', abstractions: { asynchronous: true } })).toBeGreaterThan(ra3);
    expect(await total({ train: 'full', method: 'synthetic' })).toBe(usual);
    expect(await total({ train: 'full', checkpointing: true })).toBeLessThan(usual);
    expect(await total({ train: 'full', context: 256, batchTokens: 256 })).toBeLessThan(usual);
    expect(await total({ train: 'full', evaluationInterval: 0 })).toBeLessThan(usual);
    const [long, longer] = [await total({ context: 16_384 }), await total({ context: 32_768 })];
    expect(longer / long).toBeGreaterThan(2.5);
    expect(longer / long).toBeLessThan(4.5);
  });

  it('has alternatives that fit, each by itself, or all together, or none', async () => {
    const asked = config({ train: 'full', context: 512, batchTokens: 2048 });
    const { total: needed } = await estimateMemory(small, asked);
    const fits = await whatFitsMemory(small, asked, 0.9 * needed);
    expect(fits.map(({ change }) => Object.keys(change).join())).toEqual(
      expect.arrayContaining(['checkpointing', 'context']),
    );
    for (const { change, bytes } of fits) {
      expect(bytes).toBeLessThanOrEqual(0.9 * needed);
      expect((await estimateMemory(small, { ...asked, ...change })).total).toBe(bytes);
    }
    const least = await whatFitsMemory(small, asked, 0.2 * needed);
    expect(least.every(({ bytes }) => bytes <= 0.2 * needed)).toBe(true);
    expect(await whatFitsMemory(small, asked, 1e6)).toEqual([]);
  });
});

it('the disk of a training holds checkpoints, model and data', () => {
  const asked = config({ train: 'full', keep: 3 });
  const { checkpoints, model, corpus, total: bytes } = estimateDisk(small, asked, 1000);
  expect(checkpoints).toBe(5 * 3 * model);
  expect([corpus, bytes]).toEqual([2000, checkpoints + model + 2000]);
  expect(whatFitsDisk(small, asked, bytes - 1).map(({ change }) => change)).toEqual([{ keep: 1 }, { train: 'lora' }]);
  expect(whatFitsDisk(small, asked, 1000)).toEqual([]);
});
