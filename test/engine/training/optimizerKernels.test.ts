import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { seededRandom } from '../../../src/engine/random.ts';
import { ParameterStore } from '../../../src/engine/training/parameterStore.ts';
import { relativeError } from './gradients.ts';

const options = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };
const shapes = [
  { name: 'matrix', shape: [7, 13] },
  { name: 'norm', shape: [5] },
  { name: 'head', shape: [33, 2] },
];

describe('AdamW in WebAssembly', () => {
  it('takes the steps of the same formula in plain JavaScript', () => {
    const store = new ParameterStore(shapes, { accumulates: false });
    const random = seededRandom(3);
    const expected = shapes.map(({ name }) => {
      const p = store.values(name, 'parameter');
      p.forEach((_, i) => (p[i] = random.uniform() - 0.5));
      return { name, p: Float64Array.from(p), m: new Float64Array(p.length), v: new Float64Array(p.length) };
    });
    for (let step = 1; step <= 10; step++) {
      const rate = 0.01 * step;
      const scale = 0.5;
      for (const { name, p, m, v } of expected) {
        const gradient = store.values(name, 'gradient');
        for (let i = 0; i < p.length; i++) {
          gradient[i] = random.uniform() - 0.4;
          const g = gradient[i]! * scale;
          m[i] = options.beta1 * m[i]! + (1 - options.beta1) * g;
          v[i] = options.beta2 * v[i]! + (1 - options.beta2) * g * g;
          p[i]! *= name === 'norm' ? 1 : 1 - rate * options.weightDecay;
          const root = Math.sqrt(v[i]! / (1 - options.beta2 ** step));
          p[i]! -= (rate * (m[i]! / (1 - options.beta1 ** step))) / (root + options.epsilon);
        }
      }
      store.update(options, rate, step, scale);
    }
    for (const { name, p, m, v } of expected) {
      expect(relativeError(store.values(name, 'parameter'), p)).toBeLessThan(2e-6);
      expect(relativeError(store.values(name, 'firstMoment'), m)).toBeLessThan(1e-6);
      expect(relativeError(store.values(name, 'secondMoment'), v)).toBeLessThan(1e-6);
    }
  });

  it('sums gradients and gives their norm', () => {
    const store = new ParameterStore(shapes, { accumulates: true });
    let squares = 0;
    for (const { name } of shapes) {
      const [gradient, fresh] = [store.values(name, 'gradient'), store.values(name, 'fresh')];
      gradient.forEach((_, i) => {
        gradient[i] = i % 5;
        fresh[i] = -i;
        squares += ((i % 5) - i) ** 2;
      });
    }
    store.accumulate();
    expect([...store.values('norm', 'gradient')]).toEqual([0, 0, 0, 0, 0]);
    expect(store.gradientNorm()).toBe(Math.sqrt(squares));
    expect(() => store.values('other', 'parameter')).toThrow(/no parameter of other/);
  });

  it('spreads parameters over several memories, and refuses what fits none', () => {
    const large = [1, 2, 3].map((i) => ({ name: `large${i}`, shape: [8192, 2048] }));
    const store = new ParameterStore(large, { accumulates: false });
    expect(store.byteLength).toBe(3 * 4 * 4 * 8192 * 2048);
    const memories = new Set(large.map(({ name }) => store.values(name, 'gradient').buffer));
    expect(memories.size).toBe(1);
    const more = Array.from({ length: 5 }, (_, i) => ({ name: `more${i}`, shape: [8192, 2048] }));
    const spread = new ParameterStore(more, { accumulates: false });
    for (const { name } of more) spread.values(name, 'gradient')[8192 * 2048 - 1] = 3;
    expect(new Set(more.map(({ name }) => spread.values(name, 'gradient').buffer)).size).toBe(2);
    expect(spread.gradientNorm()).toBeCloseTo(Math.sqrt(45), 12);
    expect(() => new ParameterStore([{ name: 'huge', shape: [1 << 20, 1024] }], { accumulates: false })).toThrow(
      UserError,
    );
  });
});
