/** The work of rollouts.mjs; its header says what is measured. */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { generate } from '../../src/engine/generation/generator.ts';
import { chooseToken } from '../../src/engine/generation/sampler.ts';
import { loadDecoder, type PrecisionChoice } from '../../src/engine/languageModel.ts';
import { seededRandom } from '../../src/engine/random.ts';
import { createTokenizer } from '../../src/engine/text/tokenizer.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { pythonParser } from '../../src/midtraining/data/pythonGrammar.ts';
import { latentsOf, type Rollout, sampleRollouts } from '../../src/midtraining/rollouts/rollout.ts';
import { snippetTokens } from '../../src/midtraining/rollouts/snippetTokens.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    group: { type: 'string', default: '16' },
    places: { type: 'string', default: '16' },
    precision: { type: 'string', default: 'auto' },
    temperature: { type: 'string', default: '1.5' },
  },
});
if (values.model === undefined) throw new Error('--model is needed; the header of rollouts.mjs says what it is.');
const group = Number(values.group);
const source = await openModel(values.model);
const tokenizer = createTokenizer(source.tokenizer);
const { decoder, precision } = await loadDecoder(source, {
  device: 'cpu',
  precision: values.precision as PrecisionChoice,
  places: Number(values.places),
  threads: Number(values.threads),
  contextLength: 1024,
});
const parser = await pythonParser();
const snippets = [
  `def median(values):
    """The middle one of some numbers."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
`,
  `class Stack:
    """Last in, first out."""

    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        if not self.items:
            raise IndexError("the stack is empty")
        return self.items.pop()
`,
].map((text, i) => ({ id: `snippet ${i}`, snippet: snippetTokens(parser, tokenizer, text) }));
const settings = { group, temperature: Number(values.temperature), maxLatentTokens: 16, seed: 1 };

interface Measured {
  readonly seconds: number;
  readonly cpu: number;
}
async function measured(work: () => Promise<void>): Promise<Measured> {
  const [cpu, wall] = [process.cpuUsage(), performance.now()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: (performance.now() - wall) / 1000, cpu: (user + system) / 1e6 };
}

let rollouts: Rollout[] = [];
const roll = (): Promise<Measured> =>
  measured(async () => {
    rollouts = [];
    for await (const rollout of sampleRollouts(decoder, tokenizer, snippets, settings)) rollouts.push(rollout);
  });
/** Tokens of a rollout behind its prompt. */
const length = ({ id, ids }: Rollout): number => ids.length - promptOf(id).length;
const promptOf = (id: string): number[] => {
  const { snippet } = snippets.find((one) => one.id === id)!;
  return [...snippet.prompt, ...snippet.ids.slice(0, snippet.lines.find(({ place }) => place !== null)!.place!.at)];
};
const sampled = { temperature: 1, topP: 1, topK: 0, minP: 0 };
const plain = (): Promise<Measured> =>
  measured(async () => {
    // Without ends, so that each has as many tokens as its rollout.
    const endless = createTokenizer({ ...source.tokenizer, eosTokenIds: [] });
    const requests = rollouts.map((rollout, i) => {
      const request = { ...sampled, id: `${i}`, prompt: promptOf(rollout.id), samples: [0], stop: [], seed: 1 };
      return { ...request, maxTokens: length(rollout) };
    });
    // Lengths differ, so each is a request of its own with a prefill of its own, which is left out of the rate.
    let prefill = 0;
    const samples = generate(decoder, endless, requests, { onProgress: (now) => (prefill = now.prefillSeconds) });
    while ((await samples.next()).done !== true);
    plainPrefill = prefill;
  });
let plainPrefill = 0;
const apart = (some: readonly Rollout[]): Promise<Measured> =>
  measured(async () => {
    const random = seededRandom(1);
    for (const { lines, ids } of some) {
      for (const { decision, latent } of lines) {
        if (decision === null) continue;
        const prefix = await decoder.prefill(ids.slice(0, decision.position));
        chooseToken(prefix.logits, sampled, random);
        if (latent === null) continue;
        decoder.cache.reserve(prefix.length + 1, 0);
        decoder.cache.load(0, prefix);
        for (const [i, { id }] of latent.tokens.entries()) {
          chooseToken(await decoder.step([id], [prefix.length + i]), sampled, random);
        }
      }
    }
  });

const load = (): string => loadavg()[0]!.toFixed(1);
console.log(
  `${values.model.split('/').at(-1)}, ${precision}, ${values.threads} threads, ${values.places} places, 2 snippets x ${group} rollouts, temperature ${values.temperature}, load ${load()}`,
);
await roll();
const ratios: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const ours = await roll();
  const tokens = rollouts.reduce((sum, rollout) => sum + length(rollout), 0);
  const given = snippets.reduce((sum, { id, snippet }) => sum + snippet.ids.length - promptOf(id).length, 0) * group;
  const thinks = rollouts.flatMap(latentsOf).filter((latent) => latent !== null).length;
  const theirs = await plain();
  const some = rollouts.filter((_, i) => i % 8 === 0);
  const separate = await apart(some);
  const factor = rollouts.length / some.length;
  const rate = (seconds: number): string => (tokens / seconds).toFixed(0).padStart(5);
  ratios.push((theirs.seconds - plainPrefill) / ours.seconds);
  console.log(
    `rollouts ${(rollouts.length / ours.seconds).toFixed(2)} a second; tokens a second: rollouts ${rate(ours.seconds)}  ` +
      `plain ${rate(theirs.seconds - plainPrefill)}  apart ${rate(separate.seconds * factor)}  ` +
      `ratio to plain ${ratios.at(-1)!.toFixed(2)} (CPU ${(theirs.cpu / ours.cpu).toFixed(2)}, its prefills included)  ` +
      `to apart ${((separate.seconds * factor) / ours.seconds).toFixed(1)}  ` +
      `[${tokens} tokens, ${given} of them given, ${thinks} latents, load ${load()}]`,
  );
}
ratios.sort((a, b) => a - b);
console.log(`rollouts over plain sampling, median: ${ratios[Math.floor(ratios.length / 2)]!.toFixed(2)}`);
parser.delete();
await decoder.close();
await source.close();
