/**
 * The WebGPU part of devices.test.ts, in a process of its own: the Vulkan driver is chosen by its environment, and a native
 * abort must not end the tests. Arguments: `FOLDER=PRECISION`, one a model. Prints one line of JSON: `Comparison[]`.
 */
import type { Decoder } from '../../../src/engine/generation/decoder.ts';
import { DeviceDecoder } from '../../../src/engine/generation/deviceDecoder.ts';
import { HostDecoder } from '../../../src/engine/generation/hostDecoder.ts';
import { logitDifference } from '../../../src/engine/generation/selfCheck.ts';
import type { Precision } from '../../../src/engine/graphs/weights.ts';
import { openModel } from '../../../src/engine/weights/open.ts';

/** Largest difference of logits as a part of their range, for each thing that is computed. */
export interface Comparison {
  readonly folder: string;
  readonly precision: Precision;
  readonly differences: Readonly<Record<string, number>>;
}

/** Prompts longer and shorter than a run of 32, ragged steps, growth of the cache, a move, teacher forcing. */
async function everything(decoder: Decoder): Promise<Map<string, Float32Array>> {
  const results = new Map<string, Float32Array>();
  const prompt = Array.from({ length: 60 }, (_, i) => (i * 37 + 11) % decoder.config.vocabularySize);
  const prompts = [prompt, prompt.slice(0, 7), prompt.slice(3, 15)];
  const lengths = prompts.map(({ length }) => length);
  for (const [place, tokens] of prompts.entries()) {
    const prefix = await decoder.prefill(tokens);
    results.set(`prompt of ${tokens.length}`, prefix.logits);
    decoder.cache.reserve(61, 60);
    decoder.cache.load(place, prefix);
    prefix.release?.();
  }
  const step = async (name: string, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const tokens = lengths.map((length, place) => (length * 5 + place) % decoder.config.vocabularySize);
      const logits = await decoder.step(tokens, lengths);
      lengths.forEach((length, place) => (lengths[place] = length + 1));
      results.set(name, logits.slice());
    }
  };
  await step('ragged steps', 2);
  await step('after growth', 5);
  decoder.cache.move(2, 0, lengths[2]!);
  lengths[0] = lengths.pop()!;
  await step('after a move', 2);
  results.set('runs of several', (await decoder.extend([prompt.slice(0, 5), prompt.slice(7, 9)], lengths)).slice());
  lengths[0] += 5;
  lengths[1]! += 2;
  results.set('a run beside none', (await decoder.extend([[], prompt.slice(20, 23)], lengths)).slice());
  lengths[1]! += 3;
  await step('steps after runs', 2);
  const rows: number[] = [];
  await decoder.score(prompt, 2, (_, logits) => rows.push(...logits));
  results.set('teacher forcing', Float32Array.from(rows));
  return results;
}

async function compare(folder: string, precision: Precision): Promise<Comparison> {
  const source = await openModel(folder);
  const { config, weights } = source;
  const options = { precision, places: 3, threads: 1, contextLength: 128 };
  const host = await HostDecoder.create(config, weights, {
    ...options,
    precision: precision === 'fp16' ? 'fp32' : precision,
  });
  const expected = await everything(host);
  await host.close();
  const device = await DeviceDecoder.create(config, weights, options);
  const actual = await everything(device);
  await device.close();
  await source.close();
  const differences = Object.fromEntries(
    [...expected].map(([name, logits]) => [name, logitDifference(logits, actual.get(name)!)]),
  );
  return { folder, precision, differences };
}

async function main(): Promise<void> {
  const comparisons: Comparison[] = [];
  for (const argument of process.argv.slice(2)) {
    const [folder, precision] = argument.split('=') as [string, Precision];
    comparisons.push(await compare(folder, precision));
  }
  console.log(JSON.stringify(comparisons));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
