import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { packRows } from '../../../src/engine/training/batch.ts';
import { randomWeights } from '../../../src/engine/training/randomWeights.ts';
import type { Trainer, TrainerState } from '../../../src/engine/training/trainer.ts';
import { batchOf, openRun, trainingRuns, type TrainingRun } from './fixtures.ts';
import { relativeError } from './gradients.ts';

async function losses(trainer: Trainer, run: TrainingRun, from: number, to: number): Promise<number[]> {
  const found: number[] = [];
  for (let step = from; step < to; step++) found.push((await trainer.step(batchOf(run, step))).loss);
  return found;
}

describe.each(trainingRuns)('%s against PyTorch', (name) => {
  const run = openRun(name);
  const { expected } = run;

  it('gives the same loss of every token and the same gradient of every parameter', async () => {
    const trainer = await run.trainer();
    const batch = batchOf(run, 0);
    const { loss, gradientNorm, tokenLosses } = await trainer.step(batch);
    expect(relativeError([loss], [expected.losses[0]!])).toBeLessThan(1e-6);
    expect(relativeError([gradientNorm], [expected.norms[0]!])).toBeLessThan(1e-5);
    run.batches[0]!.forEach((sequence, i) => {
      const start = batch.segments.indexOf(i + 1);
      const mine = tokenLosses.subarray(start, start + sequence.ids.length - 1);
      expect(relativeError(mine, expected.tokenLosses[i]!)).toBeLessThan(5e-6);
    });
    expect(trainer.parameters.map((each) => each.name).sort()).toEqual([...expected.gradients.keys()].sort());
    let worst = 0;
    for (const [parameter, gradient] of expected.gradients) {
      worst = Math.max(worst, relativeError(await trainer.gradient(parameter), gradient));
    }
    expect(worst).toBeLessThan(1e-5);
    await trainer.close();
  });

  it('takes the same 20 steps of AdamW', async () => {
    const trainer = await run.trainer();
    let worstLoss = 0;
    let worstNorm = 0;
    for (const [step, loss] of expected.losses.entries()) {
      const result = await trainer.step(batchOf(run, step));
      worstLoss = Math.max(worstLoss, relativeError([result.loss], [loss]));
      worstNorm = Math.max(worstNorm, relativeError([result.gradientNorm], [expected.norms[step]!]));
    }
    let worst = 0;
    for (const [parameter, values] of expected.trained) {
      worst = Math.max(worst, relativeError(await trainer.parameter(parameter), values));
    }
    expect(worstLoss).toBeLessThan(2e-6);
    expect(worstNorm).toBeLessThan(5e-6);
    expect(worst).toBeLessThan(2e-5);
    await trainer.close();
  });

  it('is the same to the bit when it is run again, and when it goes on from an exported state', async () => {
    const undisturbed = await run.trainer({ threads: 2 });
    const first = await losses(undisturbed, run, 0, 4);
    const state = structuredClone(await undisturbed.exportState());
    const rest = await losses(undisturbed, run, 4, 8);
    const end = await undisturbed.exportState();
    await undisturbed.close();

    const again = await run.trainer({ threads: 2 });
    expect(await losses(again, run, 0, 4)).toEqual(first);
    await losses(again, run, 4, 7); // somewhere else
    await again.importState(state);
    expect(again.stepCount).toBe(4);
    expect(await losses(again, run, 4, 8)).toEqual(rest);
    expect(await again.exportState()).toEqual(end);
    await again.close();
  });
});

describe('Trainer', () => {
  const run = openRun('llama-full');

  it('gives the same gradients for separate rows, micro-batches of one row, and small chunks of the vocabulary', async () => {
    const packed = await run.trainer({ rows: 8 });
    const gradients = async (trainer: Trainer, length: number): Promise<number[]> => {
      const { loss } = await trainer.step(batchOf(run, 0, length));
      const each = await Promise.all(trainer.parameters.map(({ name }) => trainer.gradient(name)));
      return [loss, ...each.flatMap((gradient) => [...gradient])];
    };
    const reference = await gradients(packed, 32);
    await packed.close();
    for (const options of [
      { rows: 5, length: 17 }, // no two sequences fit
      { rows: 1, length: 32 },
      { rows: 2, length: 32, chunk: 5 },
    ]) {
      const trainer = await run.trainer(options);
      expect(relativeError(await gradients(trainer, options.length), reference)).toBeLessThan(2e-6);
      await trainer.close();
    }
  });

  it('gives the same gradients to the bit when layers are computed again in the backward pass', async () => {
    for (const name of trainingRuns) {
      const each = openRun(name);
      const gradients: Float32Array[][] = [];
      for (const checkpointing of [false, true]) {
        const trainer = await each.trainer({ checkpointing });
        await trainer.step(batchOf(each, 0));
        const found = await Promise.all(trainer.parameters.map((parameter) => trainer.gradient(parameter.name)));
        gradients.push(found.map((gradient) => gradient.slice()));
        await trainer.close();
      }
      expect(gradients[1]).toEqual(gradients[0]);
    }
  });

  it('trains adapters on an int8 base nearly as on the model itself, to the same bits each time', async () => {
    const lora = openRun('llama-lora');
    const { method } = lora;
    if (method.type !== 'lora') throw new Error('The run is no LoRA.');
    const int8 = { method: { ...method, base: 'int8' } } as const;
    const [exact, trainer, again] = [await lora.trainer(), await lora.trainer(int8), await lora.trainer(int8)];
    const first = await losses(exact, lora, 0, 8);
    const second = await losses(trainer, lora, 0, 8);
    expect(relativeError(second, first)).toBeLessThan(5e-3);
    expect(second).not.toEqual(first);
    expect(await losses(again, lora, 0, 8)).toEqual(second);
    for (const each of [exact, trainer, again]) await each.close();
    await expect(lora.trainer({ ...int8, device: 'webgpu' })).rejects.toThrow(/on the CPU only/);
  });

  it('trains all weights with products in 8 bits nearly as in float32, to the same bits each time', async () => {
    for (const name of ['llama-full', 'qwen2-full'] as const) {
      const full = openRun(name);
      const int8 = { method: { type: 'full', switchBack: true } } as const;
      const [exact, trainer, again] = [await full.trainer(), await full.trainer(int8), await full.trainer(int8)];
      expect((await trainer.evaluate(batchOf(full, 0))).loss).toBe((await exact.evaluate(batchOf(full, 0))).loss);
      const first = await losses(exact, full, 0, 20);
      const second = await losses(trainer, full, 0, 20);
      expect(relativeError(second, first)).toBeLessThan(2e-2);
      expect(second).not.toEqual(first);
      expect(await losses(again, full, 0, 20)).toEqual(second);
      for (const each of [exact, trainer, again]) await each.close();
      await expect(full.trainer({ ...int8, device: 'webgpu' })).rejects.toThrow(/on the CPU only/);
    }
  });

  it('evaluates without changing anything', async () => {
    for (const name of trainingRuns) {
      const each = openRun(name);
      const trainer = await each.trainer();
      const before = await trainer.exportState();
      const evaluated = await trainer.evaluate(batchOf(each, 0));
      expect(await trainer.exportState()).toEqual(before);
      const stepped = await trainer.step(batchOf(each, 0));
      expect(evaluated.loss).toBe(stepped.loss);
      expect(evaluated.tokens).toBe(stepped.tokens);
      const after = await trainer.evaluate(batchOf(each, 0));
      expect(after.loss).toBeLessThan(stepped.loss);
      await trainer.close();
    }
  });

  it('keeps the learning rate that was set by hand, also over a resume', async () => {
    const trainer = await run.trainer();
    trainer.setLearningRate(1e-4);
    expect((await trainer.step(batchOf(run, 0))).learningRate).toBe(1e-4);
    const state = await trainer.exportState();
    trainer.setLearningRate(null);
    expect((await trainer.step(batchOf(run, 1))).learningRate).toBe(1.5e-3);
    await trainer.importState(state);
    expect((await trainer.step(batchOf(run, 1))).learningRate).toBe(1e-4);
    await trainer.close();
  });

  it('leaves the parameters alone when the loss is not finite', async () => {
    const trainer = await run.trainer();
    (await trainer.parameter('model.norm.weight'))[0] = NaN;
    const before = await trainer.exportState();
    const { updated, loss } = await trainer.step(batchOf(run, 0));
    expect(updated).toBe(false);
    expect(loss).toBeNaN();
    expect(await trainer.exportState()).toEqual(before);
    await trainer.close();
  });

  it('refuses a state of another model, and batches that do not fit', async () => {
    const trainer = await run.trainer({ accumulates: false });
    const state = await trainer.exportState();
    const without = (name: string): TrainerState => {
      const firstMoments = new Map(state.firstMoments);
      firstMoments.delete(name);
      return { ...state, firstMoments };
    };
    await expect(trainer.importState(without('model.norm.weight'))).rejects.toThrow(UserError);
    const more = new Map([...state.parameters, ['lm_head.weight', new Float32Array(1)]]);
    await expect(trainer.importState({ ...state, parameters: more })).rejects.toThrow(/belongs to another model/);
    await expect(trainer.step(batchOf(run, 0, 17))).rejects.toThrow(/rows of 17 tokens/);
    await expect(trainer.step(packRows([{ ids: [1, 99] }], 32))).rejects.toThrow(/Token 99/);
    await expect(trainer.step(packRows([{ ids: [1, 2], weights: [1, 0] }], 32))).rejects.toThrow(/no target/);
    const three = Array.from({ length: 3 }, () => ({ ids: Array<number>(30).fill(1) }));
    await expect(trainer.step(packRows(three, 32))).rejects.toThrow(/accumulation/);
    await trainer.close();
    await expect(run.trainer({ length: 65 })).rejects.toThrow(/2 to 64 tokens/);
    await expect(run.trainer({ rows: 0 })).rejects.toThrow(UserError);
    const lora = { type: 'lora', rank: 2, alpha: 4, targets: ['q_proj'], base: 'fp32', seed: 1 } as const;
    await expect(run.trainer({ method: { ...lora, targets: [] } })).rejects.toThrow(/Choose among q_proj/);
    await expect(run.trainer({ method: { ...lora, rank: 0 } })).rejects.toThrow(/positive integer/);
  });

  it('learns from random weights, which depend on the seed alone', async () => {
    const { Trainer: Class } = await import('../../../src/engine/training/trainer.ts');
    const start = async (seed: number): Promise<Trainer> =>
      Class.create(run.config, randomWeights(run.config, seed), {
        ...run.options,
        schedule: { shape: 'constant', peak: 1e-2, warmup: 0, total: 60, floor: 0 },
      });
    const [one, same, other] = [await start(1), await start(1), await start(2)];
    expect(await one.exportState()).toEqual(await same.exportState());
    const table = 'model.embed_tokens.weight';
    expect(await one.parameter(table)).not.toEqual(await other.parameter(table));
    const text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    const batch = packRows([{ ids: text }, { ids: text.toReversed() }], 32);
    const first = (await one.step(batch)).loss;
    expect(first).toBeCloseTo(Math.log(40), 1);
    for (let i = 0; i < 60; i++) await one.step(batch);
    expect((await one.evaluate(batch)).loss).toBeLessThan(0.3);
    for (const trainer of [one, same, other]) await trainer.close();
  });
});
