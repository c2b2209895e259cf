import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Parser } from 'web-tree-sitter';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelSource, TensorSource } from '../../../src/engine/model.ts';
import { createTokenizer, type Tokenizer } from '../../../src/engine/text/tokenizer.ts';
import { packRows } from '../../../src/engine/training/batch.ts';
import { DEFAULT_ADAMW, Trainer, type TrainerOptions } from '../../../src/engine/training/trainer.ts';
import { pythonParser } from '../../../src/midtraining/data/pythonGrammar.ts';
import {
  credit,
  type CreditSettings,
  type JudgedSnippet,
  judge,
  rolloutFigures,
  updateQ,
} from '../../../src/midtraining/rollouts/eStep.ts';
import { ActionSets, type Rollout } from '../../../src/midtraining/rollouts/rollout.ts';
import { snippetTokens, type SnippetTokens } from '../../../src/midtraining/rollouts/snippetTokens.ts';
import { openTiny } from '../../engine/generation/models.ts';

interface Form {
  readonly returns: number[][];
  readonly decisions: number[][];
  readonly latents: number[][];
}

interface Expected {
  readonly settings: Record<'thinkPenalty' | 'formatPenalty' | 'clip' | 'kl' | 'entropy', number>;
  readonly scales: { readonly q: number; readonly base: number };
  readonly never: number[][];
  readonly rewards: number[][];
  readonly forms: Readonly<Record<'ra3' | 'brite' | 'normalised', Form>>;
  readonly choices: number;
  readonly kl: number;
  readonly entropy: number;
  readonly clipped: number;
  readonly norm: number;
  readonly gradients: Readonly<Record<string, string>>;
}

const stored = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../../fixtures/estep', name), 'utf8'));
/** Made by test/fixtures/estep/rollouts.ts, and what PyTorch makes of them by make.py there. */
const { texts, rollouts } = stored('rollouts.json') as { texts: string[]; rollouts: Rollout[] };
const expected = stored('expected.json') as Expected;
const { thinkPenalty, formatPenalty, ...policy } = expected.settings;

let parser: Parser;
let source: ModelSource;
let tokenizer: Tokenizer;
let snippets: SnippetTokens[];
const open: Trainer[] = [];
beforeAll(async () => {
  parser = await pythonParser();
  ({ source } = await openTiny('llama-gqa-tied'));
  tokenizer = createTokenizer(source.tokenizer);
  snippets = texts.map((text) => snippetTokens(parser, tokenizer, text));
});
afterAll(async () => {
  for (const trainer of open) await trainer.close();
  parser.delete();
  await source.close();
});

function scaled(weights: TensorSource, by: number): TensorSource {
  return { ...weights, readFloat32: async (name) => (await weights.readFloat32(name)).map((value) => value * by) };
}

async function trainerOf(scale: number, changes: Partial<TrainerOptions> = {}): Promise<Trainer> {
  const trainer = await Trainer.create(source.config, scaled(source.weights, scale), {
    method: { type: 'full' },
    rows: 3,
    length: 96,
    optimizer: DEFAULT_ADAMW,
    schedule: { shape: 'constant', peak: 1e-3, warmup: 0, total: 10, floor: 1 },
    clip: null,
    threads: 1,
    policy,
    ...changes,
  });
  open.push(trainer);
  return trainer;
}

const groups = (): { number: number; snippet: SnippetTokens; rollouts: Rollout[] }[] =>
  snippets.map((snippet, number) => ({
    number,
    snippet,
    rollouts: rollouts.filter(({ id }) => id === String(number)),
  }));
const judgeBy = async (pi: Trainer): Promise<JudgedSnippet[]> =>
  judge(pi, tokenizer, groups(), { thinkPenalty, formatPenalty });
const close = (actual: ArrayLike<number>[], wanted: number[][], digits = 3): void => {
  expect(actual).toHaveLength(wanted.length);
  actual.forEach((row, i) => {
    expect(row).toHaveLength(wanted[i]!.length);
    Array.from(row).forEach((value, t) => {
      expect(value, `${i}, ${t}`).toBeCloseTo(wanted[i]![t]!, digits);
    });
  });
};

describe('the E-step, against PyTorch', () => {
  it('has its rewards, and its next-token prediction where nothing is thought', async () => {
    const pi = await trainerOf(1);
    const judgedSnippets = await judgeBy(pi);
    close(
      judgedSnippets.map(({ never }) => never),
      expected.never,
    );
    close(
      judgedSnippets.flatMap(({ outcomes }) => outcomes.map(({ rewards }) => rewards)),
      expected.rewards,
    );
    const { returnWithout, returnWith, penalty, thinkRate, formatErrors } = rolloutFigures(judgedSnippets);
    expect(returnWithout - returnWith).toBeCloseTo(penalty, 9);
    const lines = rollouts.flatMap((rollout) => rollout.lines);
    const latents = lines.flatMap(({ latent }) => latent ?? []);
    expect(thinkRate).toBeCloseTo(latents.length / lines.length, 9);
    expect(formatErrors).toBeCloseTo(latents.filter(({ error }) => error !== null).length / latents.length, 9);
  });

  it.each<[keyof Expected['forms'], CreditSettings]>([
    ['ra3', { horizon: Infinity, baseline: 'leaveOneOut', normalise: false }],
    ['brite', { horizon: 1, baseline: 'leaveOneOut', normalise: false }],
    ['normalised', { horizon: Infinity, baseline: 'mean', normalise: true }],
  ])('has its advantages: %s', async (form, settings) => {
    const { rollouts: credited } = credit(await judgeBy(await trainerOf(1)), settings);
    close(
      credited.map(({ decisions }) => decisions),
      expected.forms[form].decisions,
    );
    close(
      credited.map(({ latents }) => latents),
      expected.forms[form].latents,
    );
  });

  it('has its loss, its gradients and its figures', async () => {
    const pi = await trainerOf(1);
    const learner = {
      q: await trainerOf(expected.scales.q),
      base: await trainerOf(expected.scales.base),
      sets: new ActionSets(tokenizer),
    };
    const settings = { horizon: Infinity, baseline: 'leaveOneOut', normalise: false } as const;
    const learned = (await updateQ(learner, credit(await judgeBy(pi), settings).rollouts))!;
    expect(learned.choices).toBe(expected.choices);
    expect(learned.kl).toBeCloseTo(expected.kl, 5);
    expect(learned.entropy).toBeCloseTo(expected.entropy, 5);
    expect(learned.clipped).toBeCloseTo(expected.clipped, 9);
    expect(learned.clipped).toBeGreaterThan(0);
    expect(Math.abs(learned.gradientNorm / expected.norm - 1)).toBeLessThan(1e-3);
    for (const [name, text] of Object.entries(expected.gradients)) {
      const wanted = new Float32Array(new Uint8Array(Buffer.from(text, 'base64')).buffer);
      const actual = await learner.q.gradient(name);
      const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const apart = wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i]!)), 0);
      expect(apart / largest, name).toBeLessThan(1e-3);
    }
  });
});

describe('the E-step', () => {
  it('gives the very losses of next-token prediction where nothing is thought', async () => {
    const pi = await trainerOf(1);
    const silent = groups().map((group) => ({
      ...group,
      rollouts: [
        { ...group.rollouts[0]!, lines: group.rollouts[0]!.lines.map(() => ({ decision: null, latent: null })) },
      ],
    }));
    const judgedSnippets = await judge(pi, tokenizer, silent, { thinkPenalty: 1e6, formatPenalty: 1e6 });
    for (const { snippet, never, outcomes } of judgedSnippets) {
      expect(outcomes[0]!.rewards).toEqual(never);
      const { loss, tokens } = await pi.evaluate(packRows([{ ids: [...snippet.prompt, ...snippet.ids] }], 96));
      const sum = never.reduce((total, value) => total + value, 0);
      expect(Math.abs(-sum / tokens - loss)).toBeLessThan(1e-5);
    }
  });

  it('learns nothing, and breaks nothing, where no rollout chose anything or all are alike', async () => {
    const learner = { q: await trainerOf(1), base: null, sets: new ActionSets(tokenizer) };
    const silent = { ...rollouts[0]!, lines: rollouts[0]!.lines.map(() => ({ decision: null, latent: null })) };
    const zeros = silent.lines.map(() => 0);
    expect(await updateQ(learner, [{ rollout: silent, decisions: zeros, latents: zeros }])).toBeNull();
    const judgedSnippets = await judgeBy(await trainerOf(1));
    const alike = judgedSnippets.map((one) => ({ ...one, outcomes: [one.outcomes[0]!, one.outcomes[0]!] }));
    const { rollouts: credited, groupsWithoutSpread } = credit(alike, {
      ...{ horizon: Infinity, baseline: 'leaveOneOut', normalise: true },
    });
    expect(groupsWithoutSpread).toBe(1);
    expect(
      credited.every(({ decisions, latents }) =>
        [...Array.from(decisions), ...Array.from(latents)].every((value) => value === 0),
      ),
    ).toBe(true);
  });

  it('leaves q as it was when its gradients are no numbers', async () => {
    const q = await trainerOf(1);
    const state = await q.exportState();
    state.parameters.get('model.norm.weight')![0] = NaN;
    await q.importState(state);
    const before = (await q.exportState()).parameters;
    const ones = rollouts[0]!.lines.map(() => 1);
    const judgedRollout = { rollout: rollouts[0]!, decisions: ones, latents: ones };
    await expect(updateQ({ q, base: null, sets: new ActionSets(tokenizer) }, [judgedRollout])).rejects.toThrow(
      /The E-step diverges/,
    );
    await expect(judgeBy(q)).rejects.toThrow(/Its weights are broken/);
    expect((await q.exportState()).parameters).toEqual(before);
  });
});
