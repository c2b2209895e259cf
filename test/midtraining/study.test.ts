import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Counts } from '../../src/evaluation/compare.ts';
import { parseTrainingConfig } from '../../src/midtraining/config.ts';
import { readStudy } from '../../src/midtraining/study.ts';
import { studyMarkdown, studySvg, summarizeStudy } from '../../src/midtraining/studyReport.ts';

const folder = mkdtempSync(join(tmpdir(), 'midtrain-study-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const examples = join(import.meta.dirname, '../../docs/examples');

async function read(value: unknown): ReturnType<typeof readStudy> {
  const file = join(folder, 'a.study.json');
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value));
  return readStudy(file);
}
const least = { methods: { NTP: {}, RA3: { method: 'ra3' } }, reference: 'NTP', seeds: [0], benchmark: 'starter' };

describe('a study', () => {
  it('gives each method its keys over the common ones, and each training its seed', async () => {
    const study = await read({
      ...least,
      common: { steps: 7, abstractions: { groupSize: 4, snippets: 3 } },
      methods: { base: null, NTP: {}, RA3: { method: 'ra3', abstractions: { groupSize: 6 } } },
    });
    const [base, ntp, ra3] = study.methods;
    expect(base).toEqual({ name: 'base', configOf: null });
    expect(ntp!.configOf!(3).config).toMatchObject({ method: 'ntp', steps: 7, seed: 3 });
    const { config } = ra3!.configOf!(4);
    expect(config).toMatchObject({ method: 'ra3', seed: 4, abstractions: { groupSize: 6, snippets: 3 } });
    expect(study).toMatchObject({ name: 'a', model: 'starter:midtrain', problems: null });
  });

  it.each([
    ['{"methods"', /cannot be read/],
    [{ ...least, methods: { NTP: {} } }, /compares two methods or more/],
    [{ ...least, reference: 'SFT' }, /"reference" is SFT, which is none of NTP, RA3/],
    [{ ...least, methods: { NTP: {}, RA3: { method: 'ra4' } } }, /"method" is not as it should be/],
    [{ ...least, common: { step: 3 } }, /no key "step"\. Did you mean "steps"/],
    [{ ...least, seeds: [] }, /"seeds"/],
    [{ ...least, methods: { NTP: {}, '../RA3': {} } }, /methods/],
  ])('%j is refused', async (value, why) => {
    await expect(read(value)).rejects.toThrow(why);
  });

  it('and the configs among the examples are right', async () => {
    for (const name of readdirSync(examples)) {
      if (name.endsWith('.study.json')) await readStudy(join(examples, name));
      else parseTrainingConfig(readFileSync(join(examples, name), 'utf8'), name);
    }
  });
});

describe('its report', () => {
  const counts = (solved: readonly boolean[]): Counts =>
    new Map(solved.map((passed, i) => [`Task/${i}`, { samples: 1, correct: Number(passed) }]));
  const every = (n: number): boolean[] => Array.from({ length: 40 }, (_, i) => i % n === 0);
  const of = (seed: number, n: number) => ({ seed, counts: counts(every(n)), seconds: 10 * n });
  const methods = [
    { name: 'base', seeds: [{ seed: null, counts: counts(every(10)), seconds: null }] },
    { name: 'NTP', seeds: [of(0, 4), of(1, 5)] },
    { name: 'RA3 <b>', seeds: [of(0, 2), of(1, 5)] },
  ];

  it('pairs methods by problem, over all seeds', () => {
    const [base, ntp, ra3] = summarizeStudy(methods, 'NTP');
    expect(base).toMatchObject({ value: 0.1, bySeed: [0.1], seconds: null });
    expect(ntp).toMatchObject({ value: 0.225, bySeed: [0.25, 0.2], difference: null, seconds: 45 });
    expect(ra3).toMatchObject({ value: 0.35, bySeed: [0.5, 0.2] });
    const { value, low, high, above } = ra3!.difference!;
    expect(value).toBeCloseTo(0.125, 9);
    expect(low).toBeLessThan(value);
    expect(high).toBeGreaterThan(value);
    expect(above).toBe(1);
    expect(base!.difference!.above).toBe(0);
  });

  it('is a table and a picture, in which names are text', () => {
    const summaries = summarizeStudy(methods, 'NTP');
    const report = { title: 'Study', command: 'midtrain study a', summaries, reference: 'NTP', benchmark: 'Starter' };
    const text = studyMarkdown({ ...report, problems: 40, picture: 'a.svg', seconds: 600, machine: '2 cores' });
    expect(text).toContain('| RA3 <b> | 35.0 (');
    expect(text).toContain('| 50.0, 20.0 | +12.5 (');
    expect(text).toContain('| 1 of 2 | 35 s |');
    const svg = studySvg(summaries);
    expect(svg).toContain('RA3 &lt;b>');
    expect(svg.match(/<rect/g)).toHaveLength(4);
    expect(svg).not.toContain('NaN');
  });
});
