/**
 * Our engine as a measuring server, with the commands of peers/server.py. Tokens are chosen as `generate` does it:
 * log-probabilities, entropy and alternatives are part of the measured time. Arguments: GGUF, precision, threads, places.
 */
import { createInterface } from 'node:readline';
import type { Prefix } from '../../src/engine/generation/decoder.ts';
import { chooseToken } from '../../src/engine/generation/sampler.ts';
import { loadDecoder, type PrecisionChoice } from '../../src/engine/languageModel.ts';
import { seededRandom } from '../../src/engine/random.ts';
import { openModel } from '../../src/engine/weights/open.ts';

interface Command {
  readonly op: 'prefill' | 'decode' | 'quit';
  readonly tokens: number;
  readonly repeat: number;
  readonly streams: number;
  readonly context: number;
  readonly steps: number;
  readonly ids?: number[][];
  readonly return_tokens?: boolean;
}

const [, , path = '', precision = 'auto', threads = '1', places = '32'] = process.argv;
const source = await openModel(path);
const loaded = await loadDecoder(source, {
  device: 'cpu',
  precision: precision as PrecisionChoice,
  places: Number(places),
  threads: Number(threads),
  contextLength: 2048,
});
const { decoder } = loaded;
const vocabulary = decoder.config.vocabularySize;
const greedy = { temperature: 0, topP: 1, topK: 0, minP: 0 };
const random = seededRandom(0);

const arbitrary = (row: number, length: number): number[] =>
  Array.from({ length }, (_, i) => 1000 + ((row * 7919 + i * 4729) % 20000));

async function measured(work: () => Promise<void>): Promise<{ cpu_seconds: number; wall_seconds: number }> {
  const cpu = process.cpuUsage();
  const wall = performance.now();
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { cpu_seconds: (user + system) / 1e6, wall_seconds: (performance.now() - wall) / 1000 };
}

async function prefill(tokens: number, repeat: number): Promise<object> {
  const ids = arbitrary(0, tokens);
  await decoder.prefill(ids);
  const clock = await measured(async () => {
    for (let i = 0; i < repeat; i++) await decoder.prefill(ids);
  });
  return { tokens: tokens * repeat, ...clock };
}

async function decode(prompts: readonly number[][], steps: number): Promise<object> {
  const context = prompts[0]!.length;
  const prefixes: Prefix[] = [];
  for (const prompt of prompts) prefixes.push(await decoder.prefill(prompt));
  const run = async (count: number): Promise<number[][]> => {
    decoder.cache.reserve(context + 1, 0);
    const outputs = prefixes.map((prefix, place) => {
      decoder.cache.load(place, prefix);
      return [chooseToken(prefix.logits, greedy, random).id];
    });
    for (let step = 0; step < count; step++) {
      const logits = await decoder.step(
        outputs.map((tokens) => tokens.at(-1)!),
        outputs.map(() => context + step),
      );
      outputs.forEach((tokens, place) => {
        const row = logits.subarray(place * vocabulary, (place + 1) * vocabulary);
        tokens.push(chooseToken(row, greedy, random).id);
      });
    }
    return outputs;
  };
  await run(3);
  let outputs: number[][] = [];
  const clock = await measured(async () => {
    outputs = await run(steps);
  });
  return { tokens: prompts.length * steps, ...clock, outputs };
}

const say = (value: object): void => {
  process.stdout.write(`${JSON.stringify({ ...value, rss_mb: Math.round(process.memoryUsage.rss() / 2 ** 20) })}\n`);
};
say({
  hello: {
    engine: 'midtrain',
    precision: loaded.precision,
    threads: loaded.threads,
    weights_mb: decoder.weightBytes / 1e6,
  },
});
for await (const line of createInterface(process.stdin)) {
  const command = JSON.parse(line) as Command;
  if (command.op === 'quit') break;
  if (command.op === 'prefill') say(await prefill(command.tokens, command.repeat));
  else {
    const ids = command.ids ?? Array.from({ length: command.streams }, (_, row) => arbitrary(row, command.context));
    say(await decode(ids, command.steps));
  }
}
process.exit();
