/** What code is cut into before it is drawn: nothing is lost, and each piece has one colour and one token. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeLines } from '../../src/webviews/codeLines.ts';
import { percentOf, shadeOf, visible } from '../../src/webviews/probability.ts';
import { pythonStretches } from '../../src/webviews/python.ts';
import { failingLines } from '../../src/webviews/results/traceback.ts';

/** A text and a way to cut it into tokens, some of which may be empty. */
const cut = fc
  .tuple(
    fc.array(fc.oneof(fc.constantFrom('\n', ' ', 'def ', '"""', '# x', '"', '日本', '😀', 'f(1)'), fc.string())),
    fc.boolean(),
  )
  .map(([tokens, beyond]) => ({ tokens: beyond ? [...tokens, '\n```'] : tokens, text: tokens.join('') }));

describe('lines of code', () => {
  it('hold the whole text, cut where a line, a colour or a token ends', () => {
    fc.assert(
      fc.property(cut, ({ text, tokens }) => {
        const lines = codeLines(text, pythonStretches(text), tokens);
        expect(lines.map(({ pieces }) => pieces.map((piece) => piece.text).join('')).join('\n')).toBe(text);
        // Put together again, the pieces of a token are its text.
        const parts = tokens.map(() => '');
        for (const { pieces, endToken } of lines) {
          for (const piece of pieces) if (piece.token !== null) parts[piece.token]! += piece.text;
          if (endToken !== null) parts[endToken]! += '\n';
        }
        let left = text.length;
        const expected = tokens.map((token) => {
          const shown = token.slice(0, left);
          left -= shown.length;
          return shown;
        });
        expect(parts).toEqual(expected);
      }),
    );
  });

  it('need no tokens, and tokens need not reach the end', () => {
    expect(codeLines('a\n', [])).toEqual([
      { pieces: [{ text: 'a', kind: '', token: null }], endToken: null },
      { pieces: [], endToken: null },
    ]);
    expect(codeLines('ab', [], ['a'])[0]!.pieces.map(({ token }) => token)).toEqual([0, null]);
  });

  it('are coloured as Python, as far as it is Python', () => {
    const kinds = (text: string): string[] =>
      pythonStretches(text).map(({ from, to, kind }) => `${text.slice(from, to)}:${kind}`);
    expect(kinds('def f(x):\n    return "a" + 1  # why')).toEqual(
      expect.arrayContaining([
        'def:k-keyword',
        'f:k-function',
        'return:k-control',
        '"a":k-string',
        '1:k-number',
        '# why:k-comment',
      ]),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        let end = 0;
        for (const { from, to } of pythonStretches(text)) {
          expect(from).toBeGreaterThanOrEqual(end);
          expect(to).toBeGreaterThan(from);
          end = to;
        }
        expect(end).toBeLessThanOrEqual(text.length);
      }),
    );
  });
});

describe('probabilities', () => {
  it('have five shades and words', () => {
    expect([0, Math.log(0.9), Math.log(0.89), Math.log(0.2), Math.log(0.05), -20, -Infinity].map(shadeOf)).toEqual([
      0, 0, 1, 2, 3, 4, 4,
    ]);
    expect([0, Math.log(0.123), Math.log(0.0123), -30].map(percentOf)).toEqual([
      '100.0 %',
      '12.3 %',
      '1.2 %',
      'below 0.001 %',
    ]);
    expect(visible(' a\n\t')).toBe('␣a↵⇥');
  });
});

describe('a traceback', () => {
  it('says where the program failed', () => {
    const frames = (...lines: string[]): string =>
      ['Traceback (most recent call last):', ...lines, 'NameError: x'].join('\n');
    expect(failingLines('')).toEqual({ candidate: null, check: null, innermost: null });
    expect(failingLines(frames('  File "<check>", line 9, in <module>', '  File "<check>", line 3, in check'))).toEqual(
      {
        candidate: null,
        check: 3,
        innermost: 'check',
      },
    );
    expect(failingLines(frames('  File "<check>", line 3, in check', '  File "<candidate>", line 2, in f'))).toEqual({
      candidate: 2,
      check: 3,
      innermost: 'candidate',
    });
    expect(failingLines('AssertionError: File "<check>", line 7')).toEqual({
      candidate: null,
      check: null,
      innermost: null,
    });
  });
});
