import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseToken, logProbabilityOf } from '../../../src/engine/generation/sampler.ts';
import type { SamplingSettings } from '../../../src/engine/generation/types.ts';
import { seededRandom } from '../../../src/engine/random.ts';

const greedy: SamplingSettings = { temperature: 0, topP: 1, topK: 0, minP: 0 };
const row = fc
  .array(fc.float({ min: -60, max: 60, noNaN: true }), { minLength: 6, maxLength: 400 })
  .map((values) => Float32Array.from(values));

/** The probabilities that the settings leave, by the definitions and without any shortcut. */
function distribution(logits: Float32Array, { temperature, topP, topK, minP }: SamplingSettings): Map<number, number> {
  const largest = Math.max(...logits);
  const ranked = [...logits]
    .map((logit, id) => ({ id, weight: Math.exp((logit - largest) / temperature) }))
    .sort((a, b) => logits[b.id]! - logits[a.id]! || a.id - b.id);
  let kept = topK > 0 ? ranked.slice(0, topK) : ranked;
  const total = kept.reduce((sum, { weight }) => sum + weight, 0);
  let mass = 0;
  if (topP < 1)
    kept = kept.filter(({ weight }, i) => (i === 0 || mass < topP * total ? ((mass += weight), true) : false));
  kept = kept.filter(({ weight }, i) => i === 0 || weight >= minP);
  const sum = kept.reduce((all, { weight }) => all + weight, 0);
  return new Map(kept.map(({ id, weight }) => [id, weight / sum]));
}

describe('chooseToken', () => {
  it('gives log-probabilities, entropy and the five likeliest as their definitions have them', () => {
    fc.assert(
      fc.property(row, (logits) => {
        const choice = chooseToken(logits, greedy, seededRandom(1));
        const largest = Math.max(...logits);
        const logSum = largest + Math.log([...logits].reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
        const probabilities = [...logits].map((logit) => Math.exp(logit - logSum));
        const entropy = probabilities.reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0);
        expect(choice.entropy).toBeCloseTo(entropy, 6);
        expect(choice.logProbability).toBeCloseTo(logits[choice.id]! - logSum, 6);
        expect(logProbabilityOf(logits, 3)).toBeCloseTo(logits[3]! - logSum, 6);
        const ids = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, 5);
        expect(choice.top.map(({ id }) => id)).toEqual(ids);
        expect(choice.id).toBe(ids[0]);
      }),
    );
  });

  it('draws only what temperature, top-k, top-p and min-p leave', () => {
    fc.assert(
      fc.property(
        row,
        fc.record({
          temperature: fc.double({ min: 0.1, max: 3, noNaN: true }),
          topP: fc.oneof(fc.constant(1), fc.double({ min: 0.05, max: 0.999, noNaN: true })),
          topK: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })),
          minP: fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 0.9, noNaN: true })),
        }),
        fc.integer({ min: 0, max: 2 ** 31 }),
        (logits, settings, seed) => {
          const allowed = distribution(logits, settings);
          const { id } = chooseToken(logits, settings, seededRandom(seed));
          // A token on the very border may fall either way by the last digit.
          const border = [...allowed.keys()].at(-1)!;
          expect(allowed.has(id) || Math.abs(logits[id]! - logits[border]!) < 1e-4).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('draws in proportion (chi-squared over 20,000 draws)', () => {
    const logits = Float32Array.from([2, 1.5, 1, 0.5, 0, -0.5, -1, -3]);
    for (const settings of [
      { temperature: 0.7, topP: 1, topK: 0, minP: 0 },
      { temperature: 1.3, topP: 0.9, topK: 0, minP: 0 },
      { temperature: 1, topP: 1, topK: 4, minP: 0 },
      { temperature: 1, topP: 0.95, topK: 6, minP: 0.1 },
    ]) {
      const random = seededRandom(7);
      const counts = new Map<number, number>();
      const draws = 20_000;
      for (let i = 0; i < draws; i++) {
        const { id } = chooseToken(logits, settings, random);
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }
      let chiSquared = 0;
      for (const [id, p] of distribution(logits, settings)) {
        chiSquared += ((counts.get(id) ?? 0) - p * draws) ** 2 / (p * draws);
        counts.delete(id);
      }
      expect(counts.size).toBe(0);
      expect(chiSquared).toBeLessThan(30); // 7 degrees of freedom at most: p < 0.0001 beyond
    }
  });
});
