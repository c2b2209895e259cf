import { describe, expect, it } from 'vitest';
import { runName } from '../../src/runner/store.ts';
import { evaluationRequest, type EvaluateOptions } from '../../src/cli/commands/evaluate.ts';
import { numberBetween, seconds, wholeNumber } from '../../src/cli/options.ts';

const options: EvaluateOptions = {
  model: 'starter:smollm2',
  benchmark: 'humaneval',
  selection: 'test',
  samples: 1,
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 0,
  device: 'auto',
  precision: 'auto',
  strict: false,
  json: false,
  yes: true,
};
const benchmark = { id: 'humaneval', path: '/data/HumanEval.jsonl.gz' } as const;
const model = { path: '/m.gguf', spec: 'starter:smollm2', label: 'SmolLM2-135M-Instruct (Q4_1)' };

describe('option values', () => {
  it('are numbers as written, or refused', () => {
    expect(['1', '64', '0007'].map(wholeNumber(1))).toEqual([1, 64, 7]);
    for (const text of ['0', '-1', '1.5', '1e3', '', ' 1', 'x', '99999999999999999999'])
      expect(() => wholeNumber(1)(text)).toThrow(/at least 1/);
    expect(['0', '0.95', '1', '.5', '1.'].map(numberBetween(0, 1))).toEqual([0, 0.95, 1, 0.5, 1]);
    for (const text of ['1.01', '-0', '', 'NaN', '0x1', '.'])
      expect(() => numberBetween(0, 1)(text)).toThrow(/from 0 to 1/);
    expect(seconds('0.5')).toBe(0.5);
    expect(() => seconds('0')).toThrow(/more than 0/);
  });
});

describe('the request', () => {
  it('names the same run for the same question, whatever the speed asked for', () => {
    const name = (changes: Partial<EvaluateOptions>): string =>
      runName(evaluationRequest({ ...options, ...changes }, benchmark, model));
    const first = name({});
    expect(first).toMatch(/^humaneval-smollm2-135m-instruct-q4-1-[0-9a-f]{8}$/);
    expect(name({ batch: 4, threads: 2, workers: 1, python: 'python3.12', json: true, yes: false })).toBe(first);
    const others = [
      { limit: 8 },
      { samples: 2 },
      { temperature: 0.2 },
      { seed: 1 },
      { protocol: 'codex' },
      { strict: true },
    ].map(name);
    expect(new Set([first, ...others]).size).toBe(7);
  });

  it('says null for what was not said', () => {
    expect(evaluationRequest(options, benchmark, model)).toMatchObject({
      limit: null,
      maxTokens: null,
      protocol: null,
      batch: null,
      threads: null,
      workers: null,
      timeLimit: null,
      python: null,
      sampling: { temperature: 0, topP: 1, topK: 0, minP: 0 },
    });
  });
});
