/** The run config: defaults that run, and sentences for what is wrong. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  checkTrainingConfig,
  configSections,
  parseTrainingConfig,
  readTrainingConfig,
} from '../../src/midtraining/config.ts';
import { type JsonSchema, trainingConfigJsonSchema } from '../../src/midtraining/configSchema.ts';

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
      data: [{ kind: 'starter', functions: 5000, seed: 0, comments: 'some' }],
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
      { kind: 'starter', functions: 5000, seed: 0, comments: 'some' },
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
    ['{"data": [{"kind": "folder"}]}', /"data\.0\.path" is missing\./],
    ['{"data": []}', /"data" is not as it should be/],
    ['{"steps": "3"}', /"steps" is not as it should be: .*Expected number but received "3"/],
    ['{"steps": 0}', /"steps" is not as it should be/],
    ['{"learningRate": -1}', /"learningRate" is not as it should be/],
    ['{"train": "half"}', /"train" is not as it should be/],
    ['[]', /a config is a JSON object/],
    ['null', /a config is a JSON object/],
    ['{"steps": 3', /: it is not JSON/],
  ])('%s is refused', (text, why) => {
    expect(() => parse(text)).toThrow(why);
    expect(() => parse(text)).toThrow(/^run\.midtrain\.json/);
  });
});

describe('problems', () => {
  it('are told with where they are, a key that there is not first', () => {
    const { config, problems } = checkTrainingConfig('{"steps": 0, "data": [{"kind": "folder", "pth": "x"}]}');
    expect(config).toBeNull();
    expect(problems.map(({ path, kind }) => [path.join('.'), kind])).toEqual([
      ['data.0.pth', 'key'],
      ['data.0.path', 'value'],
      ['steps', 'value'],
    ]);
    expect(problems[0]!.sentence).toMatch(
      /^there is no key "data\.0\.pth"\. Did you mean "path"\? Keys are kind, path\.$/,
    );
    expect(checkTrainingConfig('{}').problems).toEqual([]);
  });
});

describe('the JSON schema', () => {
  const schema = trainingConfigJsonSchema();

  it('has every key, each described, with the default that holds', () => {
    const keys = configSections.flatMap((section) => section.keys);
    expect(Object.keys(schema.properties!).sort()).toEqual(['$schema', ...keys].sort());
    const defaults = parse('{}') as unknown as Record<string, unknown>;
    expect(keys.sort()).toEqual(Object.keys(defaults).sort());
    const described = (at: string, one: JsonSchema): void => {
      if (one.oneOf === undefined && at !== '') expect(one.description, at).toMatch(/^[`A-Z0-9].*[.?]$/s);
      for (const [key, inner] of Object.entries(one.properties ?? {})) described(`${at}.${key}`, inner);
      for (const inner of one.items?.oneOf ?? []) {
        for (const [key, value] of Object.entries(inner.properties!)) described(`${at}.${key}`, value);
      }
    };
    described('', schema);
    for (const key of keys) {
      const written = { [key]: schema.properties![key]!.default };
      expect(parse(JSON.stringify(written)), key).toEqual(parse('{}'));
    }
  });

  it('leaves keys that there are not to our own sentence, and says the bounds of values', () => {
    expect(JSON.stringify(schema)).not.toContain('additionalProperties');
    expect(schema.properties!['steps']).toMatchObject({ type: 'integer', minimum: 1, default: 250 });
    expect(schema.properties!['heldOut']).toMatchObject({ minimum: 0, exclusiveMaximum: 1 });
    expect(schema.properties!['train']).toMatchObject({ enum: ['full', 'lora'] });
    expect(schema.properties!['data']!.items!.oneOf!.map((one) => one.properties!['kind']!.const)).toEqual([
      'folder',
      'jsonl',
      'workspace',
      'starter',
    ]);
  });
});
