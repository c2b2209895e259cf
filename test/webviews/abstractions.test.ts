/** The pure parts of the abstractions panel: bands, pieces, units, scales, keys, search, pictures, and what may come in. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  beginsUnit,
  figuresOf,
  gain,
  mostSurprising,
  natsScale,
  percent,
  thinkers,
  unitOf,
} from '../../src/webviews/abstractions/figures.ts';
import {
  columnsOf,
  FOUND,
  type Layout,
  layoutOf,
  piecesOf,
  search,
  startOf,
  tokenAt,
  withMatches,
} from '../../src/webviews/abstractions/layout.ts';
import {
  GRANULARITIES,
  parseFromPanel,
  parseReading,
  parseSaved,
  parseToPanel,
  type Reading,
} from '../../src/webviews/abstractions/messages.ts';
import { type Focus, moved, sameFocus } from '../../src/webviews/abstractions/movement.ts';
import { type Palette, pictureOf, rowsOfCanvas, svgOf } from '../../src/webviews/abstractions/picture.ts';
import { handmadeReading, longCode, variedCode } from './handmadeReading.ts';

async function read(text: string): Promise<Reading> {
  const reading = parseReading(await handmadeReading(text));
  if (reading === null) throw new Error('it is no reading');
  return reading;
}

let layout: Layout;
beforeAll(async () => {
  layout = layoutOf(await read(variedCode));
});

const codeOf = ({ reading, codeRows }: Layout, row: number): string =>
  reading.code.slice(codeRows[row]!.from, codeRows[row]!.to);
/** Place of the line whose first row has the words. */
const lineWith = (one: Layout, words: string): number => {
  const place = one.reading.lines.findIndex(({ row }) => codeOf(one, row).includes(words));
  expect(place, words).toBeGreaterThanOrEqual(0);
  return place;
};

describe('a layout', () => {
  it('has each row of the code once, and latents as rows above what they govern, indented as it is', () => {
    const shown = layout.rows.map(({ latent, codeRow }) => latent ?? codeOf(layout, codeRow));
    expect(shown.join('\n')).toBe(variedCode);
    expect(layout.rows.filter(({ latent }) => latent !== null).map(({ latent }) => latent)).toContain(
      '    # and keep 日本語 whole',
    );
    layout.placeOf.forEach((place, row) => {
      expect(layout.rows[place]).toMatchObject({ codeRow: row, latent: null });
    });
  });

  it('begins a band where a latent comes into force, at its first row', () => {
    const { rows, segments, segmentOf, reading } = layout;
    const latents = reading.lines.filter(({ latent }) => latent !== null).length;
    expect(segments.length).toBe(latents + 1);
    expect(segments[0]).toMatchObject({ latent: null, from: 0 });
    expect(rows.filter(({ isBoundary }) => isBoundary).length).toBe(segments.length);
    for (const { isBoundary, segment, line } of rows) {
      if (isBoundary) expect(segments[segment!]!.from).toBe(line);
    }
    expect(segmentOf.every((segment, line) => segment >= (segmentOf[line - 1] ?? 0))).toBe(true);
    const place = startOf(layout, lineWith(layout, 'parts = re'));
    expect(rows[place]).toMatchObject({ isBoundary: true, latent: '    # cut at what is no letter' });
    // Rows of one statement are one line; figures are drawn at the first.
    const line = lineWith(layout, 'parts = re');
    const own = rows.filter((row) => row.line === line && row.latent === null);
    expect(own.map(({ isFirstOfLine }) => isFirstOfLine)).toEqual([true, false, false, false]);
    // A blank row behind a line belongs to its band and to no line.
    const blank = rows[startOf(layout, lineWith(layout, 'class Counter')) - 1];
    expect(blank).toMatchObject({ line: null, isFirstOfLine: false, isBoundary: false });
    expect(blank!.segment).not.toBeNull();
    expect(rows[0]).toMatchObject({ line: null, segment: null }); // a comment above the first line
  });

  it.each([
    ['LF', '\n'],
    ['CR LF', '\r\n'],
    ['CR', '\r'],
  ])('takes rows that end with %s', async (_, newline) => {
    const one = layoutOf(await read(variedCode.replaceAll('\n', newline)));
    expect(one.rows.map(({ latent, codeRow }) => latent ?? codeOf(one, codeRow))).toEqual(variedCode.split('\n'));
    expect(one.rows.map(({ line, segment, isBoundary }) => [line, segment, isBoundary])).toEqual(
      layout.rows.map(({ line, segment, isBoundary }) => [line, segment, isBoundary]),
    );
  });

  it('of nothing is one empty row', async () => {
    const empty = layoutOf(await read(''));
    expect(empty.rows.length).toBe(1);
    expect(moved(empty, null, { key: 'ArrowDown', altKey: false }, 'line', 10)).toBeNull();
    expect(natsScale(empty.reading)).toBe(1);
  });

  it('counts columns as an editor does', () => {
    expect(['', 'ab', '\t', 'a\tb', '日本', '😀', 'e\u0301', 'a\r'].map(columnsOf)).toEqual([0, 2, 4, 5, 4, 2, 1, 2]);
  });
});

describe('rows in pieces', () => {
  it('hold the whole row; the pieces of a token are its text, whatever newlines, emoji and tabs there are', async () => {
    const text = fc.array(
      fc.constantFrom('\n', '\r\n', '\t', '    ', 'x = 1', '# note 日本', '😀', '"""', 'if y:', '# a', '<b>', '\r'),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(text, async (parts) => {
        const one = layoutOf(await read(parts.join('')));
        const { reading, codeRows } = one;
        const shown = reading.tokens.map(() => '');
        codeRows.forEach((row) => {
          const { pieces, endToken } = piecesOf(one, row, []);
          expect(pieces.map((piece) => piece.text).join('')).toBe(reading.code.slice(row.from, row.to));
          for (const piece of pieces) if (piece.token !== null) shown[piece.token]! += piece.text;
          if (endToken !== null) shown[endToken]! += reading.code.slice(row.to, row.end);
        });
        expect(shown).toEqual(reading.tokens.map(({ from, to }) => reading.code.slice(from, to)));
      }),
      { numRuns: 60 },
    );
  });

  it('cut no letter in two where a token ends amid it, and need no tokens at all', () => {
    const halves = { ...layout.reading, code: 'a😀b', lines: [], tokens: layout.reading.tokens.slice(0, 3) };
    const cut = (at: number[]): Reading['tokens'] =>
      at.map((from, i) => ({ ...halves.tokens[0]!, from, to: at[i + 1] ?? 4 }));
    const one = layoutOf({ ...halves, tokens: cut([0, 2, 3]) });
    expect(piecesOf(one, one.codeRows[0]!, []).pieces.map(({ text }) => text)).toEqual(['a😀', 'b']);
    const none = layoutOf({ ...halves, tokens: [] });
    expect(piecesOf(none, none.codeRows[0]!, [])).toMatchObject({ endToken: null });
  });

  it('mark what was looked for, in code and in latents, without touching colours', () => {
    const { inCode, latentRows } = search(layout, 'WORDS');
    expect(inCode.map(({ from, to }) => layout.reading.code.slice(from, to).toLowerCase())).toEqual(
      inCode.map(() => 'words'),
    );
    expect(inCode.length).toBeGreaterThan(2);
    expect(latentRows.map((place) => layout.rows[place]!.latent)).toEqual(['        # emoji count as words 🎉']);
    const row = layout.codeRows.find(({ from, to }) => inCode[0]!.from >= from && inCode[0]!.to <= to)!;
    const found = piecesOf(layout, row, inCode).pieces.filter(({ kind }) => kind.split(' ').includes(FOUND));
    expect(found.map(({ text }) => text).join('')).toBe('words');
    expect(search(layout, '(').inCode.length).toBeGreaterThan(5); // it is no pattern
    expect(search(layout, '')).toEqual({ inCode: [], latentRows: [] });
    expect(withMatches([{ from: 0, to: 4, kind: 'k-name' }], [{ from: 2, to: 6 }])).toEqual([
      { from: 0, to: 2, kind: 'k-name' },
      { from: 2, to: 4, kind: `k-name ${FOUND}` },
      { from: 4, to: 6, kind: FOUND },
    ]);
  });
});

describe('units and figures', () => {
  const unit = (words: string, granularity: 'statement' | 'segment' | 'line'): string[] => {
    const { from, to } = unitOf(layout, lineWith(layout, words), granularity);
    return layout.reading.lines.slice(from, to).map(({ row }) => codeOf(layout, row).trim());
  };

  it('are a line, a statement with its block, or a segment', () => {
    expect(unit('parts = re', 'line')).toEqual(['parts = re.split(']);
    expect(unit('parts = re', 'statement')).toEqual(['parts = re.split(']);
    expect(unit('for number', 'statement')[0]).toMatch(/^for/);
    expect(unit('for number', 'statement').at(-1)).toBe('kept[number] = part.lower()');
    // A clause belongs to its statement, what is decorated to its decorator.
    expect(unit('else:', 'statement')).toEqual(unit("if part == '😀'", 'statement'));
    expect(unit('elif not', 'statement')).toContain('continue'); // tabs count to eight
    expect(unit('def words', 'statement')[0]).toBe('@cache');
    expect(unit('def words', 'statement').at(-1)).toMatch(/^return sorted/);
    expect(unit('kept = [', 'segment')).toEqual([
      'kept = [part for part in parts if len(part) >= least]',
      'for number, part in enumerate(kept):',
    ]);
  });

  it('add up, and are drawn where a unit begins', () => {
    const { reading } = layout;
    const all = figuresOf(reading, { from: 0, to: reading.lines.length });
    const sum = reading.lines.reduce((total, { logProbability }) => total + logProbability, 0);
    expect(all.logProbability).toBeCloseTo(sum, 9);
    expect(all.surprise).toBeCloseTo(-sum / all.tokens, 9);
    expect(figuresOf(reading, { from: 3, to: 3 })).toMatchObject({ tokens: 0, entropy: null, surprise: null });
    const starts = GRANULARITIES.map(
      (granularity) => reading.lines.filter((_, line) => beginsUnit(layout, line, granularity)).length,
    );
    expect(starts[0]).toBe(reading.lines.length);
    expect(starts[1]).toBe(reading.lines.length);
    expect(starts[2]).toBe(reading.lines.filter(({ statement }) => statement).length);
    expect(starts[3]).toBe(layout.segments.length);
  });

  it('have a scale that one odd line does not set', () => {
    const { reading } = layout;
    const scale = natsScale(reading);
    const odd = {
      ...reading,
      lines: reading.lines.map((line, i) => (i === 5 ? { ...line, logProbability: -1e6 } : line)),
    };
    expect(natsScale(odd)).toBeLessThan(3 * scale);
    expect(scale).toBeGreaterThanOrEqual(1);
  });

  it('say how many lines would think, of those that can', () => {
    const { reading } = layout;
    const thinks = [0.5, 0.2, null, 1, 0.5];
    const some = {
      ...reading,
      lines: thinks.map((thinkProbability, i) => ({ ...reading.lines[i]!, thinkProbability })),
    };
    expect([0, 0.5, 0.51, 1].map((threshold) => thinkers(some, threshold).thinking)).toEqual([4, 3, 1, 1]);
    expect(thinkers(some, 0.5).able).toBe(4);
  });

  it('are worded', () => {
    expect([2.114, -0.001, -3].map(gain)).toEqual(['+2.11', '0.00', '−3.00']);
    expect([0, 0.0123, 0.5, 1].map(percent)).toEqual(['0 %', '1.2 %', '50 %', '100 %']);
    const line = layout.reading.lines[3]!;
    const worst = layout.reading.tokens[mostSurprising(layout.reading, line)!]!.logProbability!;
    for (const token of layout.reading.tokens.slice(line.firstToken, line.endToken)) {
      expect(token.logProbability!).toBeGreaterThanOrEqual(worst);
    }
  });
});

describe('keys', () => {
  const go = (
    from: Focus | null,
    key: string,
    granularity: 'token' | 'line' | 'statement' | 'segment',
    altKey = false,
  ) => moved(layout, from, { key, altKey }, granularity, 5);
  const last = (): number => layout.reading.lines.length - 1;

  it('go by line, token, statement and segment, and stop at the ends', () => {
    expect(go(null, 'ArrowDown', 'line')).toEqual({ line: 0, token: null });
    expect(go({ line: 0, token: null }, 'ArrowDown', 'line')).toEqual({ line: 1, token: null });
    expect(go({ line: 0, token: null }, 'ArrowUp', 'line')).toEqual({ line: 0, token: null });
    expect(go({ line: last(), token: null }, 'ArrowDown', 'line')).toEqual({ line: last(), token: null });
    expect(go({ line: 0, token: null }, 'End', 'line')).toEqual({ line: last(), token: null });
    expect(go({ line: 0, token: null }, 'PageDown', 'line')).toEqual({ line: 5, token: null });
    expect(go({ line: 0, token: null }, 'ArrowDown', 'token')).toEqual({
      line: 1,
      token: layout.reading.lines[1]!.firstToken,
    });
    const second = layout.segments[1]!;
    expect(go({ line: 0, token: null }, 'ArrowDown', 'segment')).toEqual({ line: second.from, token: null });
    const elif = lineWith(layout, 'elif not');
    expect(go({ line: elif - 1, token: null }, 'ArrowDown', 'statement')!.line).toBe(elif + 1); // a clause is passed over
    expect(go({ line: 0, token: null }, 'x', 'line')).toBeNull();
  });

  it('go through all tokens of lines, one by one and back', () => {
    const inLines = layout.reading.lines.flatMap(({ firstToken, endToken }) =>
      Array.from({ length: endToken - firstToken }, (_, i) => firstToken + i),
    );
    let at: Focus = { line: 0, token: null };
    const seen: number[] = [];
    for (let i = 0; i < layout.reading.tokens.length + 5; i += 1) {
      const next = go(at, 'ArrowRight', 'line')!;
      if (next.token === at.token) break;
      at = next;
      seen.push(at.token!);
    }
    expect(seen).toEqual(expect.arrayContaining(inLines));
    expect(at.line).toBe(last());
    for (let i = 0; i < seen.length - 1; i += 1) at = go(at, 'ArrowLeft', 'line')!;
    expect(at).toEqual({ line: 0, token: inLines[0] });
  });

  it('go to the boundaries before and behind', () => {
    const starts = layout.segments.map(({ from }) => from);
    let at: Focus = { line: 0, token: null };
    const seen = [at.line];
    for (let i = 1; i < starts.length; i += 1) seen.push((at = go(at, ']', 'line')!).line);
    expect(seen).toEqual(starts);
    expect(go(at, 'ArrowDown', 'line', true)).toEqual(at);
    const inside = { line: starts[2]! + 1, token: null };
    expect(go(inside, '[', 'line')!.line).toBe(starts[2]);
    expect(go({ line: starts[2]!, token: null }, 'ArrowUp', 'line', true)!.line).toBe(starts[1]);
  });

  it('go to the same place of another reading of the same code only', async () => {
    const other = layoutOf(parseReading(await handmadeReading(variedCode, { latents: 'none', seed: 9 }))!);
    const focus = { line: 4, token: layout.reading.lines[4]!.firstToken + 1 };
    const at = (offset: number): number | null => tokenAt(other.reading, offset);
    expect(sameFocus(layout, other, focus, at)).toEqual(focus);
    const different = layoutOf(await read('x = 1\n'));
    expect(sameFocus(layout, different, focus, at)).toBeNull();
  });
});

describe('a picture', () => {
  const palette: Palette = {
    ...{ background: '#fff', ink: '#000', dim: '#888', band: '#eee', rule: '#999', latent: '#063' },
    ...{ think: '#808', entropy: '#00f', surprise: '#f80', ofKind: (kind) => (kind === 'k-string' ? '#a11' : '#123') },
  };
  const options = { palette, codeFont: '"Fira Code", monospace', textFont: 'sans-serif', threshold: 0.5 };

  it('is XML in which code stays text: scripts, quotes, tabs, controls', async () => {
    const code = 'x = "<script>alert(1)</script>" # a & b\u0000\ud800\n\ty = \'日本😀\'\n';
    const one = layoutOf(await read(`# a <b> latent\n${code}`));
    const picture = pictureOf(one, { ...options, granularity: 'line', from: 0, to: one.rows.length });
    const svg = svgOf(picture);
    expect(svg).not.toMatch(/<script|<b>/);
    expect(svg).toContain('&lt;script&gt;alert');
    expect(svg).toContain('# a &lt;b&gt; latent');
    expect(svg).toContain('a &amp; b');
    expect(svg).toContain('font-family="\'Fira Code\', monospace"');

    expect(svg).not.toMatch(/[\t\0]|\p{Surrogate}/u);
    // Every tag is one of ours, and closed.
    const tags = [...svg.matchAll(/<(\/?)([\w:]+)[^<>]*?(\/?)>/g)].map(([, open, name, close]) => [open, name, close]);
    const open: string[] = [];
    for (const [slash, name, selfClosing] of tags) {
      expect(['svg', 'title', 'style', 'rect', 'text', 'tspan']).toContain(name);
      if (slash === '/') expect(open.pop()).toBe(name);
      else if (selfClosing !== '/') open.push(name!);
    }
    expect(open).toEqual([]);
  });

  it('has the bands, rules and bars of what it shows', () => {
    const whole = pictureOf(layout, { ...options, granularity: 'line', from: 0, to: layout.rows.length });
    const rects = (colour: string): number =>
      whole.shapes.filter((shape) => shape.is === 'rect' && shape.colour === colour).length;
    expect(rects('#eee')).toBe(layout.rows.filter(({ segment }) => segment !== null && segment % 2 === 1).length);
    expect(rects('#999')).toBe(layout.segments.length);
    expect(rects('#808')).toBe(layout.reading.lines.length);
    expect(rects('#000')).toBe(thinkers(layout.reading, 0.5).thinking);
    const part = pictureOf(layout, { ...options, granularity: 'segment', from: 10, to: 20 });
    expect(part.height).toBeLessThan(whole.height);
    expect(JSON.stringify(part.shapes)).toContain('rows 11 to 20');
    expect(rowsOfCanvas(1)).toBeGreaterThan(800);
    expect(rowsOfCanvas(2)).toBeLessThan(rowsOfCanvas(1));
  });
});

describe('what comes in', () => {
  it('is a reading, whole and in order, or is refused', async () => {
    const reading = await handmadeReading(variedCode);
    expect(parseReading(JSON.parse(JSON.stringify(reading)))).toEqual(reading);
    const spoilt: ((one: Reading) => unknown)[] = [
      (one) => ({ ...one, code: 3 }),
      (one) => ({ ...one, code: 'x' }), // tokens behind its end
      (one) => ({ ...one, tokens: one.tokens.toReversed() }),
      (one) => ({ ...one, lines: one.lines.toReversed() }),
      (one) => ({ ...one, lines: one.lines.map((line) => ({ ...line, endToken: 1e6 })) }),
      (one) => ({ ...one, lines: one.lines.map((line) => ({ ...line, row: 0 })) }),
      (one) => ({ ...one, lines: one.lines.map((line) => ({ ...line, thinkProbability: 1.5 })) }),
      (one) => ({ ...one, lines: one.lines.map((line) => ({ ...line, logProbability: NaN })) }),
      (one) => ({ ...one, tokens: one.tokens.map((token) => ({ ...token, entropy: Infinity })) }),
      (one) => ({ ...one, latents: 'all' }),
      (one) => ({ ...one, model: { name: 'x', step: -1 } }),
      () => null,
      () => [],
    ];
    for (const spoil of spoilt) expect(parseReading(spoil(structuredClone(reading) as Reading))).toBeNull();
  });

  it('of 2,000 lines is checked and laid out while one waits', async () => {
    const reading = await handmadeReading(longCode(2000));
    const one = layoutOf(parseReading(reading)!);
    expect(one.codeRows.length).toBeGreaterThan(1500);
    expect(one.rows.length).toBeGreaterThan(2000);
  });

  it('else than a message is nothing', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(parseToPanel(value)).toBeNull();
        expect(parseFromPanel(value)).toBeNull();
      }),
    );
    const address = { kind: 'readings', uri: 'file:///a.reading.json' };
    const side = { address, item: 0, step: null, latents: 'text' };
    expect(parseSaved({ sides: [side] })).toMatchObject({ granularity: 'line', threshold: 0.5 });
    expect(parseSaved({ sides: [] })).toBeNull();
    expect(parseSaved({ sides: [side, side, side] })).toBeNull();
    expect(parseSaved({ sides: [{ ...side, step: 1.5 }] })).toBeNull();
  });
});
