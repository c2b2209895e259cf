/** Rollouts as rows of a table: every line of every rollout is there once, with what it gained, whatever its code is. */
import { describe, expect, it } from 'vitest';
import type { Rollout } from '../../src/webviews/run/messages.ts';
import { nats, rolloutRows, signed } from '../../src/webviews/run/rolloutRows.ts';
import { groupOf } from '../runner/exploration.ts';

const told = (size: number, lines?: number): Rollout[] =>
  groupOf(5, 1, size, lines).map(({ lines: own, ...rollout }) => ({ ...rollout, lines: [...own] }));
const line = (code: string, more: Partial<Rollout['lines'][number]> = {}): Rollout['lines'][number] => ({
  ...{ code, latent: null, thinkProbability: 0.5, reward: -1, without: -1, error: null },
  ...more,
});
const one = (...lines: Rollout['lines']): Rollout => ({ index: 0, returnWith: 0, returnNever: 0, lines });
const textOf = (pieces: readonly { readonly text: string }[]): string => pieces.map(({ text }) => text).join('');

describe('rollouts', () => {
  it('stand side by side, a row a line, as high as the highest of its cells', () => {
    const rollouts = told(4, 20);
    const rows = rolloutRows(rollouts, false);
    expect(rows.map((row) => row.line)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    rows.forEach(({ cells, height }, i) => {
      expect(cells).toHaveLength(4);
      cells.forEach((cell, column) => {
        const { code, reward, without } = rollouts[column]!.lines[i]!;
        expect(cell!.code.map(textOf).join('\n')).toBe(code);
        expect(cell!.gain).toBeCloseTo(reward - without, 12);
      });
      const thinks = rollouts.some(({ lines }) => lines[i]!.latent !== null);
      expect(height).toBe((thinks ? 1 : 0) + rollouts[0]!.lines[i]!.code.split('\n').length);
    });
    expect(rows[0]!.cells[0]!.code[0]!.map(({ kind }) => kind)).toContain('k-keyword');
  });

  it('stand one below the other, each under a head', () => {
    const rows = rolloutRows(told(3, 8), true);
    expect(rows).toHaveLength(3 * 9);
    expect(rows.flatMap(({ head }, i) => (head === null ? [] : [[i, head]]))).toEqual([
      [0, 0],
      [9, 1],
      [18, 2],
    ]);
  });

  it('have latents indented as their code, on one row; ends of lines are none of the code', () => {
    const [row, wrong, last] = rolloutRows(
      [one(line('\tx = 1\r\n', { latent: '# set\nit\n' }), line('y', { error: 'It is no comment.' }), line(''))],
      false,
    );
    expect(row!.cells[0]).toMatchObject({ latent: '\t# set ↵ it', think: 0.5 });
    expect(row!.cells[0]!.code.map(textOf)).toEqual(['\tx = 1']);
    expect([row!.height, wrong!.height, last!.height]).toEqual([2, 2, 1]);
    expect(wrong!.cells[0]).toMatchObject({ latent: null, error: 'It is no comment.' });
  });

  it('may differ in their lines, or have none', () => {
    const rows = rolloutRows([one(line('a')), one(line('a'), line('b'))], false);
    expect(rows.map(({ cells }) => cells.map((cell) => cell === null))).toEqual([
      [false, false],
      [true, false],
    ]);
    expect(rolloutRows([], false)).toEqual([]);
    expect(rolloutRows([one()], true)).toHaveLength(1);
  });
});

it('gains have a sign, but not where they are nothing', () => {
  expect([1.234, -1.256, 0, -0.001, 0.004].map(signed)).toEqual(['+1.23', '−1.26', '0.00', '0.00', '0.00']);
  expect([1.234, -1.256, -0.001].map(nats)).toEqual(['1.23', '−1.26', '0.00']);
});
