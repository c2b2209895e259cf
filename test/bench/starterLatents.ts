/**
 * The work of starterLatents.mjs; its header says what is measured. A comment is judged by the table of steps: right where it
 * is a wording of the step that its line belongs to, wrong where it is one of another step, a note where it is one of those on
 * helper lines; else it is none of these. Its gain is log pi of the rest of its step with it alone, less that with none.
 */
import { parseArgs } from 'node:util';
import { loadDecoder } from '../../src/engine/languageModel.ts';
import { mixSeed, seededRandom } from '../../src/engine/random.ts';
import { createTokenizer } from '../../src/engine/text/tokenizer.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { pythonParser } from '../../src/midtraining/data/pythonGrammar.ts';
import { scoreCode } from '../../src/midtraining/rollouts/rewards.ts';
import { groupAdvantages, returnsOf, rewardsOf } from '../../src/midtraining/rollouts/advantages.ts';
import { latentsOf, type Rollout, sampleRollouts } from '../../src/midtraining/rollouts/rollout.ts';
import { snippetTokens } from '../../src/midtraining/rollouts/snippetTokens.ts';
import { isHeldOutComposition } from '../../src/midtraining/starter/benchmark.ts';
import * as starter from '../../src/midtraining/starter/functions.ts';
import { STEPS } from '../../src/midtraining/starter/steps.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'media/study-model' },
    functions: { type: 'string', default: '60' },
    group: { type: 'string', default: '4' },
    seed: { type: 'string', default: '900' },
    threads: { type: 'string', default: '1' },
    penalty: { type: 'string', default: '0' },
    temperature: { type: 'string', default: '1' },
  },
});
const source = await openModel(values.model);
const tokenizer = createTokenizer(source.tokenizer);
const group = Number(values.group);
const { decoder } = await loadDecoder(source, {
  device: 'cpu',
  precision: 'fp32',
  places: 32,
  threads: Number(values.threads),
  contextLength: 512,
});
const parser = await pythonParser();

interface Line {
  /** Index of the step; null: head, docstring, last return. */
  readonly step: number | null;
  readonly begins: boolean;
}
const functions = Array.from({ length: Number(values.functions) }, (_, number) => {
  const random = seededRandom(mixSeed('starter latents', Number(values.seed), number));
  let composition = starter.drawComposition(random);
  while (isHeldOutComposition(composition)) composition = starter.drawComposition(random);
  const { head, body } = starter.write(random, composition);
  const phrases = starter.phrases(random, composition);
  const code = [head, ...starter.docstring(starter.describe(random, phrases), []), ...body.map(({ text }) => text), ''];
  let step: number | null = null;
  const lines: Line[] = [
    { step: null, begins: false },
    { step: null, begins: false },
  ];
  for (const [at, { begins, text }] of body.entries()) {
    step = begins ?? (at === body.length - 1 && text.startsWith('    return ') ? null : step);
    lines.push({ step, begins: begins !== null });
  }
  const snippet = snippetTokens(parser, tokenizer, code.join('\n'));
  if (snippet.lines.length !== lines.length) throw new Error(`The lines do not match:\n${code.join('\n')}`);
  return { composition, phrases, lines, snippet };
});

type Judgement = 'right' | 'wrong' | 'note' | 'other';
const fill = (text: string, k: number): string => text.replaceAll('{k}', String(k));
const wordings = ({ step, k }: starter.ChosenStep): string[] =>
  [...step.orders, ...step.nouns.map((noun) => `return ${noun}`)].map((one) => fill(one, k));
const allWordings = new Set(
  STEPS.flatMap((step) => (step.constants.length === 0 ? [0] : step.constants).flatMap((k) => wordings({ step, k }))),
);
function judge(comment: string, step: starter.ChosenStep | undefined): Judgement {
  const text = comment.replace(/^#\s*/, '').trim();
  if (step !== undefined && wordings(step).includes(text)) return 'right';
  if (allWordings.has(text)) return 'wrong';
  return starter.isNote(text) ? 'note' : 'other';
}

class Mean {
  readonly #values: number[] = [];
  add(value: number): void {
    this.#values.push(value);
  }
  toString(): string {
    const n = this.#values.length;
    if (n === 0) return '-';
    const mean = this.#values.reduce((sum, value) => sum + value, 0) / n;
    const error = Math.sqrt(this.#values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n / n);
    const deviation = error * Math.sqrt(n);
    return `${mean.toFixed(3)} ± ${error.toFixed(3)} (deviation ${deviation.toFixed(2)} of ${n})`;
  }
}
const means = new Map<string, Mean>();
function note(name: string, value: number): void {
  if (!means.has(name)) means.set(name, new Mean());
  means.get(name)!.add(value);
}

/** Lines from `from` on that belong to the same step. */
function governed(lines: readonly Line[], from: number): number {
  let to = from + 1;
  while (to < lines.length && lines[to]!.step === lines[from]!.step && !lines[to]!.begins) to++;
  return to;
}
const sum = (all: Float64Array, from: number, to = all.length): number =>
  all.subarray(from, to).reduce((total, value) => total + value, 0);

const without: Float64Array[] = [];
for (const [number, { lines, snippet, phrases, composition }] of functions.entries()) {
  const nothing = lines.map((): string | null => null);
  const score = async (latents: readonly (string | null)[]): Promise<Float64Array> =>
    (await scoreCode(decoder, tokenizer, snippet, latents)).lines;
  without.push(await score(nothing));
  const plain = without[number]!;
  note('log pi of a whole body without comments', sum(plain, 2));
  const own = lines.map(({ step, begins }) => (begins ? `# ${phrases[step!]!}` : null));
  const other = lines.map(({ step, begins }) => {
    const k = composition[step!]?.k ?? 0;
    return begins
      ? `# ${fill(composition[step!]!.step.orders[(number + step!) % composition[step!]!.step.orders.length]!, k)}`
      : null;
  });
  note('gain a body, docstring phrase at each step', sum(await score(own), 2) - sum(plain, 2));
  note('gain a body, other wording at each step', sum(await score(other), 2) - sum(plain, 2));
  for (let t = 2; t < lines.length; t++) {
    const { step, begins } = lines[t]!;
    if (!begins) continue;
    const to = governed(lines, t);
    note('log pi of a step without comments', sum(plain, t, to));
    const gain = async (comment: string): Promise<number> => {
      const scored = await score(nothing.with(t, comment));
      note('(after the step too) ', sum(scored, t) - sum(plain, t));
      return sum(scored, t, to) - sum(plain, t, to);
    };
    note('gain, right: docstring phrase', await gain(own[t]!));
    note('gain, right: other wording', await gain(other[t]!));
    const next = (step! + 1) % composition.length;
    note("gain, wrong: another step's phrase", await gain(`# ${phrases[next]!}`));
    const strange = STEPS[(number * 7 + t) % STEPS.length]!;
    if (!composition.some((one) => one.step === strange)) {
      note('gain, wrong: a step that is not there', await gain(`# ${fill(strange.orders[0]!, 3)}`));
    }
  }
}

const examples: string[] = [];
const requests = functions.map(({ snippet }, number) => ({ id: String(number), snippet }));
const settings = { group, temperature: Number(values.temperature), maxLatentTokens: 24, seed: Number(values.seed) };
const counts = { begins: new Map<string, number>(), goesOn: new Map<string, number>() };
const groups = functions.map((): Rollout[] => []);
for await (const rollout of sampleRollouts(decoder, tokenizer, requests, settings)) {
  groups[Number(rollout.id)]!.push(rollout);
  const number = Number(rollout.id);
  const { lines, composition, snippet } = functions[number]!;
  for (const [t, { decision, latent }] of rollout.lines.entries()) {
    if (decision === null) continue;
    const { step, begins } = lines[t]!;
    const where = t < 2 ? 'head or docstring' : begins ? 'begins a step' : step === null ? 'last return' : 'goes on';
    note(`P(think): ${where}`, decision.thinkProbability);
    if (latent === null) continue;
    const judged = latent.error ?? judge(latent.text, composition[step ?? -1]);
    const table = begins ? counts.begins : counts.goesOn;
    table.set(judged, (table.get(judged) ?? 0) + 1);
    if (latent.error !== null || t < 2) continue;
    const { lines: scored } = await scoreCode(
      decoder,
      tokenizer,
      snippet,
      lines.map((_, i) => (i === t ? latent.text : null)),
    );
    const to = governed(lines, t);
    note(
      `own gain, ${begins ? 'begins a step' : 'elsewhere'}: ${judged}`,
      sum(scored, t, to) - sum(without[number]!, t, to),
    );
    note(`own gain, ${begins ? 'begins a step' : 'elsewhere'}: all`, sum(scored, t, to) - sum(without[number]!, t, to));
    if (begins && examples.length < 8) {
      examples.push(
        `${judged}: ${latent.text}  |  ${snippet.code.slice(snippet.codeLines[t]!.start, snippet.codeLines[t]!.end).trim()}`,
      );
    }
  }
}
// What RL would see: advantages of whole rollouts.
for (const [number, rollouts] of groups.entries()) {
  const { lines, composition, snippet } = functions[number]!;
  const outcomes = [];
  for (const rollout of rollouts) {
    const kept = rollout.lines.map(({ latent }) => (latent?.error === null ? latent.text : null));
    const { lines: logProbabilities } = await scoreCode(decoder, tokenizer, snippet, kept);
    const thinks = latentsOf(rollout).map((latent) => latent !== null);
    const errors = rollout.lines.map(({ latent }) => latent !== null && latent.error !== null);
    outcomes.push({ logProbabilities, thinks, errors });
    note('return without penalty less that of never thinking', sum(logProbabilities, 2) - sum(without[number]!, 2));
  }
  for (const horizon of [1, 3, Infinity]) {
    const returns = outcomes.map((outcome) =>
      returnsOf(rewardsOf(outcome, { thinkPenalty: Number(values.penalty), formatPenalty: 1 }), horizon),
    );
    const advantages = groupAdvantages(
      returns,
      outcomes.map(({ thinks }) => thinks),
      { baseline: 'leaveOneOut', normalise: false },
    );
    for (const [g, rollout] of rollouts.entries()) {
      for (let t = 2; t < lines.length; t++) {
        const { decision, latent } = rollout.lines[t]!;
        if (decision === null) continue;
        const { step, begins } = lines[t]!;
        const where = begins ? 'begins a step' : 'elsewhere';
        const name = `advantage, horizon ${horizon}`;
        note(`${name}, decision, ${where}: ${decision.thinks ? 'thinks' : 'acts'}`, advantages.decisions[g]![t]!);
        if (latent?.error !== null) continue;
        const judged = judge(latent.text, composition[step ?? -1]);
        note(`${name}, latent, ${where}: ${judged}`, advantages.latents[g]![t]!);
      }
    }
  }
}

console.log(`${values.model}: ${values.functions} functions, groups of ${group}`);
for (const [name, mean] of means) console.log(`${name.padEnd(48)} ${String(mean)}`);
for (const [name, table] of Object.entries(counts)) {
  const all = [...table.values()].reduce((a, b) => a + b, 0);
  console.log(
    `${name}: ${[...table].map(([key, count]) => `${key} ${((100 * count) / all).toFixed(1)} %`).join(', ')} of ${all}`,
  );
}
console.log(examples.join('\n'));
parser.delete();
await decoder.close();
await source.close();
