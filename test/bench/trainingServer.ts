/**
 * Our trainer as a measuring server, with the commands of peers/torch_training.py. Arguments: folder, threads.
 * It writes the folder's `weights.bin` before it answers, from which the peer begins too.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { packRows } from '../../src/engine/training/batch.ts';
import type { LoraMethod } from '../../src/engine/training/method.ts';
import { randomWeights } from '../../src/engine/training/randomWeights.ts';
import { Trainer } from '../../src/engine/training/trainer.ts';
import { configFromHuggingFace } from '../../src/engine/weights/config.ts';

interface Task {
  readonly config: unknown;
  readonly tensors: readonly string[];
  readonly lora: Omit<LoraMethod, 'type' | 'seed'> | null;
  readonly switchBack: boolean;
  readonly ids: readonly (readonly number[])[];
  readonly optimizer: Record<'beta1' | 'beta2' | 'epsilon' | 'weightDecay' | 'clip' | 'rate', number>;
}

interface Command {
  readonly op: 'step' | 'quit';
  readonly steps: number;
}

const [, , folder = '', threads = '1'] = process.argv;
const task = JSON.parse(readFileSync(join(folder, 'task.json'), 'utf8')) as Task;
const config = configFromHuggingFace('task.json', task.config, false);
const weights = randomWeights(config, 1);
const { beta1, beta2, epsilon, weightDecay, clip, rate } = task.optimizer;
const length = task.ids[0]!.length;
const trainer = await Trainer.create(config, weights, {
  method: task.lora ? { type: 'lora', ...task.lora, seed: 2 } : { type: 'full', switchBack: task.switchBack },
  rows: task.ids.length,
  length,
  optimizer: { beta1, beta2, epsilon, weightDecay },
  schedule: { shape: 'constant', peak: rate, warmup: 0, total: 1, floor: 1 },
  clip,
  threads: Number(threads),
  accumulates: false,
});
const trained = new Set(trainer.parameters.map(({ name }) => name));
const file = openSync(join(folder, 'weights.bin'), 'w');
for (const name of task.tensors) {
  writeSync(file, await (trained.has(name) ? trainer.parameter(name) : weights.readFloat32(name)));
}
closeSync(file);

const batch = packRows(
  task.ids.map((ids) => ({ ids })),
  length,
);
const count = trainer.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
console.log(JSON.stringify({ hello: { node: process.version, threads: Number(threads), trained: count } }));
for await (const line of createInterface(process.stdin)) {
  const command = JSON.parse(line) as Command;
  if (command.op === 'quit') break;
  const losses: number[] = [];
  const before = process.cpuUsage();
  for (let i = 0; i < command.steps; i++) losses.push((await trainer.step(batch)).loss);
  const { user, system } = process.cpuUsage(before);
  const peak = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(JSON.stringify({ cpu_seconds: (user + system) / 1e6, losses, peak_mb: peak }));
}
await trainer.close();
