/**
 * Training steps against PyTorch eager in float32, in turns, one server each, from the same weights on the same batch:
 * prints CPU seconds a step, the ratios of each round and their median, peak memory, and how far the losses are apart;
 * PyTorch under autocast to bfloat16 beside them.
 *
 *   node test/bench/training.mjs --python VENV/bin/python [--threads 1] [--rounds 5] [--steps 2] [--tasks 7m,35m,7m-lora]
 *
 * A task may say its rows and their length (`7m@8x256`). `--growth` takes one round of tasks that differ in one thing, and
 * prints with which power of parameters, tokens and context the time of a step grows.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle, median, start } from './sides.mjs';

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    steps: { type: 'string', default: '2' },
    tasks: { type: 'string', default: '7m,35m' },
    growth: { type: 'boolean', default: false },
  },
});
const { python, threads } = values;
if (!python) throw new Error('--python is needed; the header says what it is.');

const llama = (vocabulary, hidden, intermediate, layers, heads, kvHeads) => ({
  model_type: 'llama',
  vocab_size: vocabulary,
  hidden_size: hidden,
  intermediate_size: intermediate,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
});
const lora = {
  rank: 16,
  alpha: 32,
  targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
  base: 'fp32',
};
const int8 = { ...lora, base: 'int8' };
/** Rows and their tokens; 135m has the shape of SmolLM2-135M. */
const tasks = {
  '7m': { config: llama(4096, 256, 688, 8, 4, 2), rows: 4, length: 512, lora: null },
  '35m': { config: llama(8192, 512, 1376, 10, 8, 4), rows: 1, length: 512, lora: null },
  '135m': { config: llama(49152, 576, 1536, 30, 9, 3), rows: 1, length: 512, lora: null },
  '7m-lora': { config: llama(4096, 256, 688, 8, 4, 2), rows: 4, length: 512, lora },
  '35m-lora': { config: llama(8192, 512, 1376, 10, 8, 4), rows: 1, length: 512, lora },
  '135m-lora': { config: llama(49152, 576, 1536, 30, 9, 3), rows: 1, length: 512, lora },
  '7m-switchback': { config: llama(4096, 256, 688, 8, 4, 2), rows: 4, length: 512, lora: null, switchBack: true },
  '35m-switchback': { config: llama(8192, 512, 1376, 10, 8, 4), rows: 1, length: 512, lora: null, switchBack: true },
  '135m-switchback': { config: llama(49152, 576, 1536, 30, 9, 3), rows: 1, length: 512, lora: null, switchBack: true },
  '7m-int8': { config: llama(4096, 256, 688, 8, 4, 2), rows: 4, length: 512, lora: int8 },
  '35m-int8': { config: llama(8192, 512, 1376, 10, 8, 4), rows: 1, length: 512, lora: int8 },
  '135m-int8': { config: llama(49152, 576, 1536, 30, 9, 3), rows: 1, length: 512, lora: int8 },
};

/** Tasks that differ in one thing, and how much of it each has. */
const growth = {
  parameters: { '7m@1x512': 6.9, '35m@1x512': 33, '135m@1x512': 134.5 },
  'tokens (rows of 512)': { '7m@1x512': 512, '7m@2x512': 1024, '7m@4x512': 2048, '7m@8x512': 4096 },
  'context (4,096 tokens)': { '7m@16x256': 256, '7m@8x512': 512, '7m@4x1024': 1024, '7m@2x2048': 2048 },
};

const here = import.meta.dirname;
const program = await bundle('trainingServer.ts');

if (values.growth) {
  const names = new Set(Object.values(growth).flatMap((of) => Object.keys(of)));
  const measured = {};
  for (const name of names) measured[name] = await inFolder(name, 1);
  for (const [what, of] of Object.entries(growth)) {
    const points = Object.entries(of).map(([name, x]) => ({ x, ...measured[name] }));
    console.log(`growth with ${what}: midtrain ^${power(points, 'midtrain')}, torch ^${power(points, 'torch')}`);
  }
} else {
  for (const name of values.tasks.split(',')) await inFolder(name, Number(values.rounds));
}

async function inFolder(name, rounds) {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-bench-'));
  try {
    const [, base, rows, length] = /^([^@]+)(?:@(\d+)x(\d+))?$/.exec(name);
    const shape = rows === undefined ? {} : { rows: Number(rows), length: Number(length) };
    return await compare(name, { ...tasks[base], ...shape }, folder, rounds);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Slope of the least-squares line through the logarithms. */
function power(points, side) {
  const [xs, ys] = [points.map(({ x }) => Math.log(x)), points.map((point) => Math.log(point[side]))];
  const mean = (of) => of.reduce((sum, value) => sum + value, 0) / of.length;
  const [x, y] = [mean(xs), mean(ys)];
  return (mean(xs.map((value, i) => (value - x) * (ys[i] - y))) / mean(xs.map((value) => (value - x) ** 2))).toFixed(2);
}

/** @returns the median CPU seconds a step of either side. */
async function compare(name, { config, rows, length, lora, switchBack = false }, folder, rounds) {
  const ids = Array.from({ length: rows }, (_, row) =>
    Array.from({ length }, (_, i) => (row * 7919 + i * 4729 + ((i * i) % 31)) % config.vocab_size),
  );
  const optimizer = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clip: 1, rate: 3e-4 };
  const task = { config, tensors: tensorsOf(config, lora), lora, switchBack, ids, optimizer };
  writeFileSync(join(folder, 'task.json'), JSON.stringify(task));
  const ours = await start('midtrain', 'inherit', process.execPath, program, folder, threads);
  const script = join(here, 'peers', 'torch_training.py');
  const torch = await start('torch', 'inherit', python, script, '--folder', folder, '--threads', threads);
  const bf16 = await start('bf16', 'inherit', python, script, '--folder', folder, '--threads', threads, '--bf16');
  const losses = { torch: [], midtrain: [], bf16: [] };
  const seconds = { torch: [], midtrain: [], bf16: [] };
  const peak = {};
  const ratios = [];
  for (let round = -1; round < rounds; round++) {
    const steps = round < 0 ? 3 : Number(values.steps); // the first touches the memory
    for (const server of round % 2 === 0 ? [torch, ours, bf16] : [bf16, ours, torch]) {
      const answer = await server.ask({ op: 'step', steps });
      losses[server.name].push(...answer.losses);
      peak[server.name] = answer.peak_mb;
      if (round >= 0) seconds[server.name].push(answer.cpu_seconds / steps);
    }
    if (round >= 0) ratios.push(seconds.midtrain.at(-1) / seconds.torch.at(-1));
  }
  const apart = Math.max(...losses.torch.map((loss, i) => Math.abs(losses.midtrain[i] / loss - 1)));
  console.log(
    `${name.padEnd(10)} torch ${median(seconds.torch).toFixed(3)}  midtrain ${median(seconds.midtrain).toFixed(3)} CPU s a step  ` +
      `ratio ${median(ratios).toFixed(2)} (${ratios.map((ratio) => ratio.toFixed(2)).join(', ')})  ` +
      `peak MB ${peak.torch} / ${peak.midtrain}  ` +
      `(torch bf16 ${median(seconds.bf16).toFixed(3)}, ratio to torch ${(median(seconds.bf16) / median(seconds.torch)).toFixed(2)}, peak MB ${peak.bf16})  losses apart by ${apart.toExponential(1)} over ${losses.torch.length} steps`,
  );
  await torch.stop();
  await bf16.stop();
  await ours.stop();
  return { midtrain: median(seconds.midtrain), torch: median(seconds.torch) };
}

/** Names of all parameters, adapters among them, as both sides have them. */
function tensorsOf(config, lora) {
  const layers = ['q', 'k', 'v', 'o'].map((part) => `self_attn.${part}_proj`);
  layers.push(...['gate', 'up', 'down'].map((part) => `mlp.${part}_proj`));
  const adapters = lora ? ['lora_A.weight', 'lora_B.weight'] : [];
  return [
    'model.embed_tokens.weight',
    ...Array.from({ length: config.num_hidden_layers }, (_, layer) =>
      [
        'input_layernorm.weight',
        'post_attention_layernorm.weight',
        ...layers.flatMap((linear) => ['weight', ...adapters].map((kind) => `${linear}.${kind}`)),
      ].map((tensor) => `model.layers.${layer}.${tensor}`),
    ).flat(),
    'model.norm.weight',
  ];
}
