/**
 * The memory estimate against the peak of real trainers, one process each: prints both and how far they are apart.
 *
 *   node test/bench/memory.mjs [--model GGUF] [--only 7m]
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { bundle } from './sides.mjs';

const { values } = parseArgs({
  options: { model: { type: 'string', default: process.env.MIDTRAIN_TEST_MODEL ?? '' }, only: { type: 'string' } },
});

const llama = (vocabulary, hidden, intermediate, layers, heads, kvHeads) =>
  `random:${JSON.stringify({
    model_type: 'llama',
    vocab_size: vocabulary,
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
  })}`;
const small = llama(4096, 256, 688, 8, 4, 2);
const middle = llama(8192, 512, 1376, 10, 8, 4);
const smollm2 = values.model || llama(49152, 576, 1536, 30, 9, 3);
const shapes = {
  '7m': [small, { train: 'full', context: 512, batchTokens: 2048 }],
  '7m accumulating': [small, { train: 'full', context: 1024, batchTokens: 8192 }],
  '7m long': [small, { train: 'full', context: 4096, batchTokens: 4096 }],
  '7m long, checkpointing': [small, { train: 'full', context: 4096, batchTokens: 4096, checkpointing: true }],
  '7m lora': [small, { train: 'lora', context: 512, batchTokens: 2048 }],
  '33m': [middle, { train: 'full', context: 1024, batchTokens: 2048 }],
  '33m, checkpointing': [middle, { train: 'full', context: 1024, batchTokens: 2048, checkpointing: true }],
  'smollm2 lora': [smollm2, { train: 'lora', context: 1024, batchTokens: 2048 }],
  'smollm2 lora short': [smollm2, { train: 'lora', context: 256, batchTokens: 256 }],
  'smollm2 lora, no held-out loss': [smollm2, { train: 'lora', context: 512, batchTokens: 512, evaluationInterval: 0 }],
  'smollm2 lora, checkpointing': [smollm2, { train: 'lora', context: 1024, batchTokens: 2048, checkpointing: true }],
  'smollm2 full': [smollm2, { train: 'full', context: 512, batchTokens: 512 }],
};

const program = await bundle('memoryServer.ts');

const MB = (bytes) => Math.round(bytes / 1e6);
for (const [name, [model, config]] of Object.entries(shapes)) {
  if (values.only !== undefined && !name.startsWith(values.only)) continue;
  const out = execFileSync(process.execPath, [program, JSON.stringify({ threads: 1, ...config }), model]);
  const { before, created, stepped, peak, estimate } = JSON.parse(out);
  const { total, ...parts } = estimate;
  const list = Object.entries(parts).map(([part, bytes]) => `${part} ${MB(bytes)}`);
  console.log(
    `${name.padEnd(31)} estimate ${MB(total)}  peak ${MB(peak)} MB  ${((total / peak - 1) * 100).toFixed(0).padStart(4)} %  ` +
      `(${list.join(', ')}; measured: begun ${MB(before)}, made ${MB(created)}, steps ${MB(stepped)})`,
  );
}
