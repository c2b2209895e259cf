import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Parser } from 'web-tree-sitter';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import {
  infuseLatents,
  isLatent,
  parseLatents,
  segmentsOf,
  stripLatents,
} from '../../../src/midtraining/abstractions/latents.ts';
import { pythonParser } from '../../../src/midtraining/data/pythonGrammar.ts';
import { mixSeed, seededRandom } from '../../../src/engine/random.ts';

let parser: Parser;
beforeAll(async () => {
  parser = await pythonParser();
});
afterAll(() => {
  parser.delete();
});

const parse = (text: string) => parseLatents(parser, text);
/** The text of each line of code. */
const linesOf = (text: string): string[] => {
  const { code, lines } = parse(text);
  return lines.map(({ start, end }) => code.slice(start, end));
};

describe('lines of code', () => {
  it('are rows with the rows that continue them', () => {
    const lines = [
      '@cache\n',
      '@wraps(\n    f,  # )\n    # not above a line\n)\n',
      'def f(a,\n      b=(\n1)):  # behind code\n',
      '    """Says\n# no comment\n    more."""\n',
      '    x = a + \\\n        b\n',
      '    if x: y = [\n1]; z = """\n"""\n',
      '    elif (x or\n          y):\n',
      '        return f"{x}\n" if False else """{\n"""\n'.replace('f"{x}\n"', 'f"{x}"'),
      '    else:\n',
      '        pass; pass\n',
      'with (open(a) as b,\n      c as d):\n',
      '    match x:\n',
      '        case {"a":\n              1}: pass\n',
      '        case _:\n',
      '            pass',
    ];
    expect(linesOf(lines.join(''))).toEqual(lines);
    const flags = parse(lines.join('')).lines.map(
      ({ statement, block }) => (statement ? 's' : '-') + (block ? 'b' : '-'),
    );
    expect(flags.join(' ')).toBe('s- -- -b s- s- sb -b s- -b s- sb sb -b -b s-');
  });

  it('have blank rows and comments between them', () => {
    expect(linesOf('\n\n# c\n\na\n\f\n  # d\n\fb\n\n')).toEqual(['a\n', '\fb\n']);
    expect(linesOf('')).toEqual([]);
    expect(linesOf('# only\n')).toEqual([]);
  });
});

describe('parseLatents', () => {
  it('takes comments right above a line, indented as it is', () => {
    const text = `#!/usr/bin/env python
# -*- coding: utf-8 -*-
# first
import a

# a heading

# two
# rows
def f(x):  # behind code
    # type: (int) -> str
    # ------
    y = [
        # inside
        x]
    # deeper
    if y:
        return y
        # at the end of a block
    # noqa
    return 0
`;
    const { code, latents, lines, rows } = parse(text);
    expect(latents).toEqual(['# first', '# two\n# rows', null, '# deeper', null, null]);
    const gone = /^ *# (?:first|two|rows|deeper)\n/gm;
    expect(code).toBe(text.replace(gone, ''));
    expect(lines.map(({ row }) => row)).toEqual([2, 6, 9, 12, 13, 16]);
    expect(rows).toEqual([3, 9, 12, 16, 17, 20]);
    expect(rows.map((row) => text.split('\n')[row])).toEqual(lines.map(({ row }) => code.split('\n')[row]));
    expect(segmentsOf(latents)).toEqual([
      { latent: '# first', from: 0, to: 1, tau: 1 },
      { latent: '# two\n# rows', from: 1, to: 3, tau: 2 },
      { latent: '# deeper', from: 3, to: 6, tau: 3 },
    ]);
    expect(segmentsOf([null, null, '# a'])[0]).toEqual({ latent: null, from: 0, to: 2, tau: 2 });
    expect(segmentsOf([])).toEqual([]);
  });

  it('knows what is read by programs', () => {
    for (const comment of ['# a', '#b', '#: doc', '# 1', '# 数', '# type of x', '# noqar', '# a\n# b', '# \u2028a']) {
      expect([comment, isLatent(comment)]).toEqual([comment, true]);
    }
    const others = [
      '#',
      '# --',
      '#!x',
      '# type: int',
      '#noqa',
      '# noqa: E501',
      '# vim: fileencoding=latin-1',
      '# %% a',
    ];
    for (const comment of [...others, 'a', '# a\nb', '# a\r', '# a\0', '', '# a\n', ' # a', '# pylint: disable=x']) {
      expect([comment, isLatent(comment)]).toEqual([comment, false]);
    }
  });

  it.each([
    ['CR LF', '# a\r\nx = 1\r\n\r\ny = 2\r\n# b\r\nz'],
    ['CR', '# a\rx = """\r"""\ry = 2\r# b\rz'],
    ['a mark of byte order', '\uFEFF# a\nx\ny\n# b\nz'],
    ['tabs', 'if 1:\n\tx\n\t# a\n\ty = (\n\t\t# c\n\t1)\n# b\nz\n'],
    ['emoji and CJK', '# 你好 🎉\nx = "🎉"\n# b 👩‍👩‍👧\n変数 = x\n'],
    ['a strange end', '# a\nx = 1\n# b\ny = 2 \\'],
  ])('keeps %s', (_, text) => {
    const { code, latents } = parse(text);
    expect(latents.filter((latent) => latent !== null)).toHaveLength(2);
    expect(infuseLatents(parser, code, latents)).toBe(text);
    expect(stripLatents(parser, code)).toBe(code);
  });
});

describe('infuseLatents', () => {
  it('says what is wrong', () => {
    const infuse = (latents: (string | null)[]) => () => infuseLatents(parser, 'x = 1\ny = 2\n', latents);
    expect(infuse([null])).toThrow(UserError);
    expect(infuse([null])).toThrow('1 latents for 2 lines');
    expect(infuse([null, 'x = 3'])).toThrow('"x = 3" cannot be a latent');
    expect(infuse([null, '# a\ny = 4'])).toThrow(UserError);
    expect(infuse([null, '# a'])()).toBe('x = 1\n# a\ny = 2\n');
  });
});

/** Programs of all that may stand in one; their newline is `\n`. */
const program = fc
  .array(
    fc.record({
      deeper: fc.integer({ min: -2, max: 1 }),
      what: fc.constantFrom(
        ...[
          'x = 1',
          'x = [1,\n# in\n 2]',
          's = """a\n# no\n"""',
          'y = x + \\\n  1',
          'x = "#"  # behind',
          'a = 1; b = (\n2)',
        ],
        ...[
          "s = f\"{x!r:>{10}}\" '''\n#'''",
          'return_ = lambda: (\n  0)',
          'x: int = 3',
          'pass',
          'print("🎉", "漢字")',
          'x = 2  # type: int',
        ],
        ...[
          '@d\n',
          '@d(\n1)\n',
          '# a comment',
          '# type: ignore',
          '\n',
          '\f',
          '   ',
          '# ----',
          '        # elsewhere',
          "r'''\n    # x\n'''",
        ],
      ),
      head: fc.constantFrom(
        'if x:',
        'for i in (1,\n  2):',
        'def f(a,\n # p\n b): # c',
        'class A:',
        'while x: # d',
        'try:',
        'with a as b, \\\n c as d:',
      ),
    }),
    { maxLength: 25 },
  )
  .map((parts) => {
    const open: string[] = [];
    const rows: string[] = [];
    let wantsBody = false;
    const put = (text: string): void => void rows.push('    '.repeat(open.length) + text);
    const close = (): void => {
      if (wantsBody) put('pass');
      wantsBody = false;
      if (open.pop() === 'try:') {
        put('finally:');
        rows.push('    '.repeat(open.length + 1) + 'pass');
      }
    };
    for (const { deeper, what, head } of parts) {
      for (let i = deeper; i < 0 && open.length > 0; i++) close();
      if (what.startsWith('@')) {
        put(what.trimEnd());
        put('def g():');
        open.push('def');
        wantsBody = true;
      } else if (deeper > 0 && open.length < 6) {
        put(head);
        open.push(head);
        wantsBody = true;
      } else if (/^\s*(?:#|$)/.test(what)) rows.push(what.startsWith('#') ? '    '.repeat(open.length) + what : what);
      else {
        put(what);
        wantsBody = false;
      }
    }
    while (open.length > 0) close();
    return rows.join('\n');
  });
const ending = fc.constantFrom('', '\n', '\n\n', '\n# last', '\n  ');
const newline = fc.constantFrom('\n', '\r\n', '\r');
const anyProgram = fc
  .tuple(fc.constantFrom('', '\uFEFF', '#!/bin/python\n', '# coding: utf8\n'), program, ending, newline)
  .map(([start, body, end, line]) => (start + body + end).replaceAll('\n', line));
const latent = fc
  .oneof(
    fc.constantFrom(
      '# a',
      '# sort by length',
      '#x',
      '# two\n# rows',
      '# 你好 🎉',
      "# \"quote\" ''' \\",
      '# if x:',
      '# \t (',
    ),
    fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => `# ${text}`),
  )
  .filter(isLatent);

/** Latents for each line of the code, as many as are wanted. */
const choose = (code: string, latents: readonly (string | null)[]): (string | null)[] =>
  parse(code).lines.map((_, i) => latents[i % latents.length]!);
const someLatents = fc.array(fc.option(latent, { freq: 2 }), { minLength: 1, maxLength: 9 });

describe('writing, reading and taking away', () => {
  it('are each other’s inverse on any program', () => {
    fc.assert(
      fc.property(anyProgram, someLatents, (text, wanted) => {
        const code = stripLatents(parser, text);
        expect(stripLatents(parser, code)).toBe(code);
        const latents = choose(code, wanted);
        const infused = infuseLatents(parser, code, latents);
        const back = parse(infused);
        expect(back.code).toBe(code);
        expect(back.latents).toEqual(latents);
        expect(back.lines).toEqual(parse(code).lines);
        expect(infuseLatents(parser, infused, latents)).toBe(infused);
      }),
      { numRuns: 400 },
    );
  });

  it('are so on broken code and on any text, or refuse in words', () => {
    let refused = 0;
    const pieces = fc.constantFrom(
      ...[
        '(',
        ')',
        '"""',
        "'",
        '"',
        '[',
        '}',
        '\\',
        '\n',
        '\n',
        '\n    ',
        '\t',
        '#',
        '# c',
        ':',
        'def f',
        'x',
        ' = ',
        'f"{',
      ],
      ...['\r', '\r\n', '\f', '\0', '\uFEFF', '🎉', 'if ', 'else', '@', ';', 'class A:\n', '`', '\u2028', '$'],
    );
    const noise = fc.oneof(
      fc.array(pieces, { maxLength: 60 }).map((parts) => parts.join('')),
      fc.string({ unit: 'binary' }),
    );
    const broken = fc
      .tuple(anyProgram, fc.nat(), fc.nat({ max: 9 }), noise)
      .map(
        ([text, at, cut, more]) =>
          text.slice(0, at % (text.length + 1)) + more + text.slice((at % (text.length + 1)) + cut),
      );
    fc.assert(
      fc.property(fc.oneof(noise, broken), someLatents, (text, wanted) => {
        const { code } = parse(text);
        const latents = choose(code, wanted);
        let infused: string;
        try {
          infused = infuseLatents(parser, code, latents);
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
          refused++;
          return;
        }
        const back = parse(infused);
        expect(back.code).toBe(code);
        expect(back.latents).toEqual(latents);
      }),
      { numRuns: 400 },
    );
    expect(refused).toBeLessThan(20);
  });

  it('leave the syntax tree of CPython as it was', () => {
    const programs = fc.sample(fc.tuple(program, someLatents), { numRuns: 150, seed: 7 });
    const pairs = programs.flatMap(([text, wanted]) => {
      const code = stripLatents(parser, text);
      const infused = infuseLatents(parser, code, choose(code, wanted));
      return [
        [text, code],
        [code, infused],
      ];
    });
    expect(differences([...pairs, ...libraryPairs()])).toEqual([]);
  });

  it('cope with 2,000 rows and with 8,000, in the same time a row', () => {
    const text = (rows: number): string =>
      Array.from({ length: rows }, (_, i) => (i % 3 === 0 ? `# step ${i}\n` : `x${i} = f(${i}, """a""")\n`)).join('');
    const work = (rows: number): number => {
      const source = text(rows);
      const start = process.cpuUsage();
      const { code, latents } = parse(source);
      expect(infuseLatents(parser, code, latents)).toBe(source);
      expect(latents).toHaveLength(Math.floor((2 * rows) / 3));
      return process.cpuUsage(start).user;
    };
    work(500);
    console.log(`2,000 rows: ${(work(2000) / 1000).toFixed(0)} ms, 8,000: ${(work(8000) / 1000).toFixed(0)} ms`);
  });
});

/** Files of the standard library, stripped, and with latents at a third of their lines. */
function libraryPairs(): [string, string][] {
  const folder = execFileSync('python3', ['-c', 'import os; print(os.path.dirname(os.__file__))'], {
    encoding: 'utf8',
  }).trim();
  const files = readdirSync(folder).filter((name) => name.endsWith('.py'));
  const random = seededRandom(mixSeed('library'));
  return files
    .filter(() => random.below(16) === 0)
    .flatMap((name): [string, string][] => {
      const text = readFileSync(join(folder, name), 'utf8');
      const { code, lines } = parse(text);
      const latents = lines.map((_, i) => (random.below(3) === 0 ? `# latent ${i}` : null));
      const infused = infuseLatents(parser, code, latents);
      const back = parse(infused);
      expect(back.code === code && back.latents.every((z, i) => z === latents[i])).toBe(true);
      return [
        [text, code],
        [code, infused],
      ];
    });
}

/** The pairs of programs whose trees differ, by CPython's own parser, or of which just one has a tree. */
function differences(pairs: readonly (readonly string[])[]): unknown[] {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-latents-'));
  try {
    writeFileSync(join(folder, 'pairs.json'), JSON.stringify(pairs));
    const script = `
import ast, json, sys, warnings
warnings.simplefilter('ignore')
def tree(text):
    try:
        return ast.dump(ast.parse(text.encode('utf-8')))
    except (SyntaxError, ValueError) as error:
        return None
pairs = json.load(open(sys.argv[1], encoding='utf-8'))
trees = [(tree(a), tree(b)) for a, b in pairs]
bad = [pair for pair, (a, b) in zip(pairs, trees) if a != b]
print(json.dumps({'whole': sum(a is not None for a, b in trees), 'bad': bad}))
`;
    const output = execFileSync('python3', ['-c', script, join(folder, 'pairs.json')], {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    const { whole, bad } = JSON.parse(output) as { whole: number; bad: unknown[] };
    expect(whole).toBeGreaterThan(pairs.length * 0.9);
    return bad;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
