/** Checkpoints: what is read is what was kept, whatever is cut is refused, and the last and the best are kept. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { TrainerState } from '../../src/engine/training/trainer.ts';
import { Checkpoints, type TrainingProgress } from '../../src/midtraining/checkpoint.ts';

const home = mkdtempSync(join(tmpdir(), 'midtrain-checkpoint-'));
afterAll(() => {
  rmSync(home, { recursive: true });
});

const parameters = [
  { name: 'a.weight', shape: [2, 3] },
  { name: 'norm.weight', shape: [3] },
];
const identity = { model: 'abc', seed: 1 };

/** Values that no other step has, with some that text would not keep. */
function stateAt(step: number, learningRate: number | null = null): TrainerState {
  const values = (offset: number): Map<string, Float32Array> =>
    new Map([
      ['a.weight', Float32Array.of(step, offset, -0, 1e-45, Math.fround(0.1), Infinity)],
      ['norm.weight', Float32Array.of(offset, step, 3)],
    ]);
  return { step, learningRate, parameters: values(0), firstMoments: values(1), secondMoments: values(2) };
}

const progressAt = (step: number, heldOutLoss: number | null = null): TrainingProgress => ({
  position: { epoch: 1, window: 2, row: step },
  tokens: 100 * step,
  evaluationInterval: 5,
  heldOutLoss,
  bestHeldOutLoss: heldOutLoss,
  evaluationsWithoutGain: 0,
  smoothedLoss: 0.1 + 0.2,
  stepsAbove: 0,
});

let folders = 0;
async function opened(keep = 3): Promise<Checkpoints> {
  return Checkpoints.open(join(home, `${(folders += 1)}`), keep, identity);
}
const save = (checkpoints: Checkpoints, step: number, heldOutLoss: number | null = null): Promise<void> =>
  checkpoints.save(stateAt(step), parameters, progressAt(step, heldOutLoss));
const fail = (why: string): never => {
  throw new Error(why);
};

describe('checkpoints', () => {
  it('give back every bit of the latest', async () => {
    const checkpoints = await opened();
    expect(await checkpoints.latest(fail)).toBeNull();
    await save(checkpoints, 1);
    await checkpoints.save(stateAt(2, 1 / 3), parameters, progressAt(2, 0.1));
    expect(await checkpoints.latest(fail)).toEqual({ trainer: stateAt(2, 1 / 3), q: null, progress: progressAt(2, 0.1) });
    expect(await checkpoints.read(1)).toEqual({ trainer: stateAt(1), q: null, progress: progressAt(1) });
  });

  it('are kept: the last ones and the best', async () => {
    const checkpoints = await opened(2);
    const losses = [3, 1, 2, null, 1.5, 4];
    for (const [step, loss] of losses.entries()) await save(checkpoints, step, loss);
    expect(await checkpoints.steps()).toEqual([5, 4, 1]);
    expect(await checkpoints.best()).toBe(1);
    expect(readdirSync(checkpoints.folder)).toHaveLength(3);
  });

  it('cut at any byte, broken or gone, are refused, and the one before is taken', async () => {
    const checkpoints = await opened();
    await save(checkpoints, 1);
    const at = (name: string): string => join(checkpoints.folder, 'step-00000002', name);
    const spoil: [string, (path: string) => void, RegExp][] = [
      [
        'model.safetensors',
        (path) => {
          truncateSync(path, 9);
        },
        /step 2 is cut: .*model\.safetensors has 9 bytes of/,
      ],
      [
        'optimizer.safetensors',
        (path) => {
          truncateSync(path, readFileSync(path).length - 1);
        },
        /step 2 is cut/,
      ],
      [
        'optimizer.safetensors',
        (path) => {
          rmSync(path);
        },
        /There is no .*optimizer\.safetensors/,
      ],
      [
        'state.json',
        (path) => {
          truncateSync(path, 40);
        },
        /step 2 is cut: .*state\.json cannot be read/,
      ],
      [
        'state.json',
        (path) => {
          writeFileSync(path, '{}');
        },
        /step 2 is broken or of another version/,
      ],
      [
        'model.safetensors',
        (path) => {
          const bytes = readFileSync(path);
          bytes[bytes.length - 1]! ^= 1;
          writeFileSync(path, bytes);
        },
        /step 2 is broken: .* is not what was written/,
      ],
    ];
    for (const [name, harm, why] of spoil) {
      await save(checkpoints, 2); // over one that is broken too
      harm(at(name));
      const refused: string[] = [];
      expect((await checkpoints.latest((text) => refused.push(text)))?.trainer.step).toBe(1);
      expect(refused).toEqual([expect.stringMatching(why)]);
    }
  });

  it('of another run are refused by what differs', async () => {
    const own = await opened();
    await save(own, 1);
    const other = await Checkpoints.open(own.folder, 3, { ...identity, model: 'xyz' });
    await expect(other.latest(() => undefined)).rejects.toThrow(
      /No checkpoint in .* can be used\. The checkpoint of step 1 .* belongs to another run: it differs in model\./,
    );
    expect(await own.steps()).toEqual([1]);
  });

  it('that a kill left half written or half removed are taken away', async () => {
    const before = await opened();
    await save(before, 1);
    for (const name of ['.step-00000002.new', '.step-00000000.old']) {
      mkdirSync(join(before.folder, name));
      writeFileSync(join(before.folder, name, 'model.safetensors'), 'half');
    }
    const after = await Checkpoints.open(before.folder, 3, identity);
    expect(readdirSync(after.folder)).toEqual(['step-00000001']);
  });

  it('that cannot be written say so and leave nothing behind', async () => {
    const file = join(home, 'file');
    writeFileSync(file, '');
    const checkpoints = await Checkpoints.open(join(file, 'checkpoints'), 2, identity);
    await expect(save(checkpoints, 1)).rejects.toThrow(/The checkpoint of step 1 cannot be written to .*ENOTDIR/);
  });
});
