import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { UserError } from '../../../src/errors.ts';
import { StopFinder } from '../../../src/engine/text/stopStrings.ts';

/** The definition: the stop string that begins first in the whole text. */
function search(text: string, stops: readonly string[]): number {
  const positions = stops.map((stop) => text.indexOf(stop)).filter((position) => position >= 0);
  return positions.length === 0 ? -1 : Math.min(...positions);
}

/** Few letters, so that stop strings occur, overlap and are prefixes of each other; emoji that share a surrogate. */
const letters = fc.constantFrom('a', 'b', '\n', '😀', '😁', '\ud83d', '\ude00');
const text = fc.array(letters, { maxLength: 40 }).map((parts) => parts.join(''));
const stops = fc.array(
  fc.array(letters, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('')),
  { maxLength: 5 },
);

function cut(whole: string, at: readonly number[]): string[] {
  const borders = [0, ...at.map((position) => position % (whole.length + 1)).sort((a, b) => a - b), whole.length];
  return borders.slice(1).map((border, i) => whole.slice(borders[i], border));
}

describe('StopFinder', () => {
  it('agrees with searching the whole text, however it is cut', () => {
    fc.assert(
      fc.property(text, stops, fc.array(fc.nat(), { maxLength: 10 }), (whole, stops, cuts) => {
        const finder = new StopFinder(stops);
        let out = '';
        for (const piece of cut(whole, cuts)) {
          out += finder.push(piece);
          expect(whole.startsWith(out)).toBe(true);
        }
        out += finder.flush();
        const position = search(whole, stops);
        expect(finder.match?.position ?? -1).toBe(position);
        expect(out).toBe(position < 0 ? whole : whole.slice(0, position));
        if (finder.match !== null) {
          const { stop } = finder.match;
          expect(whole.startsWith(stop, position)).toBe(true);
          expect(
            stops.filter((other) => whole.startsWith(other, position)).every((other) => stop.length <= other.length),
          );
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('holds back no more than what a stop string could begin with', () => {
    fc.assert(
      fc.property(text, stops, (whole, stops) => {
        const finder = new StopFinder(stops);
        let given = 0;
        for (let end = 1; end <= whole.length && search(whole.slice(0, end), stops) < 0; end++) {
          given += finder.push(whole[end - 1]!).length;
          const held = whole.slice(given, end);
          expect(held === '' || stops.some((stop) => stop.startsWith(held))).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('reports a match as soon as it is certain, and then gives nothing more', () => {
    const finder = new StopFinder(['\ndef', '\nclass', '```']);
    expect(finder.push('    return 1\n')).toBe('    return 1');
    expect(finder.push('\nde')).toBe('\n');
    expect(finder.match).toBeNull();
    expect(finder.push('f g():')).toBe('');
    expect(finder.match).toEqual({ position: 13, stop: '\ndef' });
    expect(finder.push('more') + finder.flush()).toBe('');
  });

  it('waits for a stop string that begins earlier and ends later', () => {
    const finder = new StopFinder(['abcd', 'bc']);
    expect(finder.push('xabc')).toBe('x');
    expect(finder.match).toBeNull();
    expect(finder.push('d')).toBe('');
    expect(finder.match).toEqual({ position: 1, stop: 'abcd' });

    const other = new StopFinder(['abcd', 'bc']);
    expect(other.push('xabc') + other.push('e')).toBe('xa');
    expect(other.match).toEqual({ position: 2, stop: 'bc' });

    const cutOff = new StopFinder(['abcd', 'bc']);
    expect(cutOff.push('xabc') + cutOff.flush()).toBe('xa');
    expect(cutOff.match).toEqual({ position: 2, stop: 'bc' });
  });

  it('takes time linear in the text', () => {
    const finder = new StopFinder(['a'.repeat(2000) + 'b', 'a'.repeat(1999) + 'c']);
    const begin = performance.now();
    let length = 0;
    for (let i = 0; i < 200_000; i++) length += finder.push('a').length;
    expect(length).toBe(200_000 - 2000);
    expect(performance.now() - begin).toBeLessThan(5000);
  });

  it('refuses an empty stop string', () => {
    expect(() => new StopFinder(['a', ''])).toThrow(UserError);
  });
});
