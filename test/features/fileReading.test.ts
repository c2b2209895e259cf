/** Which rows of a file a reading is of, what an edit leaves of it, and how it is worded. */
import { describe, expect, it } from 'vitest';
import { code, explainLine, explainToken, gainText } from '../../src/features/readingText.ts';
import { FileReading } from '../../src/features/fileReading.ts';
import type { LatentReading, LineReading, TokenReading } from '../../src/midtraining/abstractions/reading.ts';
import type { ReadAnswer } from '../../src/runner/readerProtocol.ts';

const TEXT = [
  'def f(x):',
  '    # twice',
  '    # as much',
  '    y = [',
  '        2 * x]',
  '',
  '    # done',
  '    return y',
  '',
];
const NEWLINES = ['\n', '\r\n'] as const;

/** A reading in which each line is one token, made by hand: its figures can be told apart. */
function answer(newline: string, origin: LatentReading['origin'] = 'text'): ReadAnswer {
  const rows = origin === 'text' ? TEXT : TEXT.filter((row) => !row.includes('#'));
  const pieces = [['def f(x):'], ['    y = [', '        2 * x]'], ['', '    return y']].map((part) =>
    part.map((row) => row + newline).join(''),
  );
  const latent = (text: string, gain: number): LatentReading => ({ text, origin, tokens: 3, logProbability: -2, gain });
  const latents = [null, latent('# twice\n# as much', 2), latent('# done', -0.5)];
  let at = 0;
  const tokens: TokenReading[] = [];
  const lines = pieces.map((piece, i): LineReading => {
    const from = i === 2 ? at + newline.length : at;
    tokens.push({
      ...{ from: at, to: at + piece.length },
      ...(i === 0
        ? { logProbability: null, without: null, entropy: null, alternatives: [] }
        : {
            logProbability: -i,
            without: -2 * i,
            entropy: 0.5,
            alternatives: [{ text: '\n  `x`', logProbability: Math.log(0.25) }],
          }),
    });
    at += piece.length;
    return {
      ...{ from, to: at, row: [0, 1, 4][i]!, rows: [1, 2, 1][i]!, firstToken: i, endToken: i + 1 },
      ...{ statement: true, block: i === 0, thinkProbability: i === 0 ? null : 0.125 },
      ...{ logProbability: -i, without: -2 * i, entropy: 0.5, latent: latents[i]!, contextTokens: Math.min(i, 1) },
    };
  });
  const reading = {
    code: pieces.join(''),
    name: 'f.py',
    model: { name: 'tiny', step: 7 },
    latents: origin,
    lines,
    tokens,
    hasError: false,
  };
  return { reading, rows: origin === 'text' ? [0, 3, 7] : [0, 1, rows.indexOf('    return y')] };
}

describe.each(NEWLINES)('a reading of a file (%j)', (newline) => {
  it('knows the rows of lines, of latents in the file, and of tokens', () => {
    const file = new FileReading(answer(newline));
    expect(TEXT.map((_, row) => file.lineAt(row))).toEqual([0, 1, 1, 1, 1, null, 2, 2, null]);
    expect([0, 1, 2].map((line) => file.latentRows(line))).toEqual([0, 2, 1]);
    expect(file.segments().map(({ firstRow, codeRow, endRow }) => [firstRow, codeRow, endRow])).toEqual([
      [0, 0, 1],
      [1, 3, 6],
      [6, 7, 8],
    ]);
    const { tokens } = file.reading;
    expect([file.tokenAt(0, 4), file.tokenAt(4, 2), file.tokenAt(7, 4)]).toEqual(tokens);
    expect([file.tokenAt(1, 4), file.tokenAt(5, 0)]).toEqual([null, null]);
  });

  it('knows that latents of the model stand nowhere in it', () => {
    const file = new FileReading(answer(newline, 'model'));
    expect([0, 1, 2].map((line) => file.latentRows(line))).toEqual([0, 0, 0]);
    expect(file.segments().map(({ firstRow, endRow }) => [firstRow, endRow])).toEqual([
      [0, 1],
      [1, 4],
      [4, 5],
    ]);
    expect(file.tokenAt(2, 0)).toBe(file.reading.tokens[1]);
  });

  it('keeps what precedes an edit, and counts gains over what is left', () => {
    const file = new FileReading(answer(newline));
    expect(file.cut(8)).toBe(false);
    expect(file.segments().map(({ gain }) => gain)).toEqual([0, 1, 2]);
    expect(file.cut(7)).toBe(true);
    expect(file.lines).toHaveLength(2);
    expect([file.lineAt(4), file.lineAt(7)]).toEqual([1, null]);
    expect(file.segments().at(-1)).toMatchObject({ from: 1, to: 2, endRow: 5, gain: 1 });
    expect([file.cut(4), file.lines.length]).toEqual([true, 1]); // the second row of a line
    expect([file.cut(0), file.lines.length]).toEqual([true, 0]);
    expect(file.segments()).toEqual([]);
  });
});

describe('a reading in words', () => {
  const file = new FileReading(answer('\n'));

  it('says of a line what surprised, which latent is in force, and who has read it', () => {
    expect(explainLine(file, 1)).toEqual([
      '**Surprise 1.00 nats**, without latents 2.00 nats · P(think) 13 % · entropy 0.50 nats a token',
      '`␣␣␣␣y = [↵        2 * x]↵` had 37 % (1.00 nats). Likeliest: ``↵  `x` `` 25 %'.replace(
        '``↵  `x` ``',
        code('\n  `x`'),
      ),
      'Latent in force, in the file: `# twice↵# as much`, worth +1.00 nats over this line.',
      'Read by `tiny, step 7`.',
    ]);
    expect(explainLine(file, 0)).toEqual([
      '**Surprise 0.00 nats** · entropy 0.50 nats a token',
      'No latent is in force here.',
      'Read by `tiny, step 7`.',
    ]);
    expect(explainLine(file, 2).at(-1)).toBe('Read by `tiny, step 7`, with 1 of 2 tokens of context.');
  });

  it('says of a token how probable it was', () => {
    const { tokens } = file.reading;
    expect(explainToken(tokens[2]!, file.reading)[0]).toBe(
      '`↵    return y↵` 14 % (2.00 nats), without latents 1.8 %; entropy 0.50 nats',
    );
    expect(explainToken(tokens[0]!, file.reading)).toEqual(['`def f(x):↵`: nothing precedes it.']);
    expect(gainText({ gain: -0.5, from: 1, to: 3 })).toBe('−0.50 nats over 2 lines');
  });

  it('keeps Markdown and white space from being read', () => {
    expect(code('a`b')).toBe('``a`b``');
    expect(code('```')).toBe('```` ``` ````');
    expect(code('<b>**x**</b>')).toBe('`<b>**x**</b>`');
    expect(code('\t x \r')).toBe('`⇥ x \\r`');
    expect(code('  ')).toBe('`␣␣`');
  });
});
