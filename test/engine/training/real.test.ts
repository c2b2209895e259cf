import { describe, expect, it } from 'vitest';
import { packRows } from '../../../src/engine/training/batch.ts';
import { LINEAR_LAYERS } from '../../../src/engine/training/method.ts';
import { DEFAULT_ADAMW, Trainer } from '../../../src/engine/training/trainer.ts';
import { openModel } from '../../../src/engine/weights/open.ts';
import { realModelPath, realReference, whyNoRealModel } from '../generation/models.ts';

if (realModelPath === undefined) console.log(whyNoRealModel);

describe.skipIf(realModelPath === undefined)('SmolLM2-135M-Instruct', () => {
  it('has the losses of transformers in packed rows, and LoRA lowers them', async () => {
    const rows = realReference().nll.rows.slice(0, 3);
    const batch = packRows(
      rows.map(({ ids, scored }) => ({
        ids: [...ids, ...scored],
        weights: [...ids.map(() => 0), ...scored.map(() => 1)],
      })),
      128,
    );
    const source = await openModel(realModelPath!);
    const trainer = await Trainer.create(source.config, source.weights, {
      method: { type: 'lora', rank: 8, alpha: 16, targets: LINEAR_LAYERS, base: 'fp32', seed: 1 },
      rows: batch.rows,
      length: batch.length,
      optimizer: DEFAULT_ADAMW,
      schedule: { shape: 'constant', peak: 1e-3, warmup: 0, total: 2, floor: 1 },
      clip: 1,
      threads: 0,
    });
    const before = await trainer.step(batch);
    rows.forEach(({ ids, nll }, i) => {
      const start = batch.segments.indexOf(i + 1) + ids.length - 1;
      nll.forEach((value, j) => {
        expect(before.tokenLosses[start + j]).toBeCloseTo(value, 4);
      });
    });
    expect((await trainer.step(batch)).loss).toBeLessThan(before.loss - 0.05);
    await trainer.close();
    await source.close();
  }, 200_000);
});
