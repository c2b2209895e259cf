/** The run config: defaults that run, and sentences for what is wrong. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseTrainingConfig, readTrainingConfig } from '../../src/midtraining/config.ts';

const home = mkdtempSync(join(tmpdir(), 'midtrain-config-'));
afterAll(() => {
  rmSync(home, { recursive: true });
});

const parse = (text: string) => parseTrainingConfig(text, 'run.midtrain.json');

describe('a run config', () => {
  it('has a default for every key', () => {
    expect(parse('{}')).toMatchObject({
      model: 'starter:midtrain',
      method: 'ntp',
      train: 'full',
      lora: { rank: 16, alpha: 32 },
      data: [{ kind: 'starter', functions: 5000, seed: 0 }],
      learningRate: null,
      keep: 2,
    });
  });

  it('names the run by its file, and its data from the folder it is in', async () => {
    const file = join(home, 'my-style.midtrain.json');
    writeFileSync(file, '{"data": [{"kind": "folder", "path": "code"}, {"kind": "workspace"}, {"kind": "starter"}]}');
    const { name, config } = await readTrainingConfig(file);
    expect(name).toBe('my-style');
    expect(config.data).toEqual([
      { kind: 'folder', path: join(home, 'code') },
      { kind: 'workspace', path: home },
      { kind: 'starter', functions: 5000, seed: 0 },
    ]);
    await expect(readTrainingConfig(join(home, 'none.midtrain.json'))).rejects.toThrow(
      /cannot be read.*Check the path/,
    );
  });

  it.each([
    ['{"learningrate": 1}', /there is no key "learningrate"\. Did you mean "learningRate"\?/],
    ['{"lr": 1}', /there is no key "lr"\..*Keys are model, initialWeights/],
    ['{"lora": {"ranks": 3}}', /no key "lora\.ranks"\. Did you mean "rank"\? Keys are rank, alpha, targets/],
    ['{"data": [{"kind": "folder", "pth": "x"}]}', /no key "data\.0\.pth"\. Did you mean "path"\?/],
    ['{"data": [{"kind": "foldr", "path": "x"}]}', /"data\.0\.kind" is not as it should be/],
    ['{"data": []}', /"data" is not as it should be/],
    ['{"steps": "3"}', /"steps" is not as it should be: .*Expected number but received "3"/],
    ['{"steps": 0}', /"steps" is not as it should be/],
    ['{"learningRate": -1}', /"learningRate" is not as it should be/],
    ['{"train": "half"}', /"train" is not as it should be/],
    ['[]', /a config is a JSON object/],
    ['null', /a config is a JSON object/],
    ['{"steps": 3', /is not JSON/],
  ])('%s is refused', (text, why) => {
    expect(() => parse(text)).toThrow(why);
    expect(() => parse(text)).toThrow(/^run\.midtrain\.json/);
  });
});
