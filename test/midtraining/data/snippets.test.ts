import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Parser } from 'web-tree-sitter';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonParser } from '../../../src/midtraining/data/pythonGrammar.ts';
import { type Cut, cutSnippets, type SnippetLimits } from '../../../src/midtraining/data/snippets.ts';
import { cleanText } from '../../../src/midtraining/data/sources/textFile.ts';
import { words } from './files.ts';

let parser: Parser;
beforeAll(async () => {
  parser = await pythonParser();
});
afterAll(() => {
  parser.delete();
});

const anything: SnippetLimits = { minLines: 1, maxLines: 1000, minTokens: 1, maxTokens: 100_000 };
function cut(text: string, limits: Partial<SnippetLimits> = {}): Cut {
  const result = cutSnippets(parser, text, words, { ...anything, ...limits });
  if (result === null) throw new Error('does not parse');
  return result;
}
const texts = (text: string, limits?: Partial<SnippetLimits>): string[] =>
  cut(text, limits).snippets.map((s) => s.text);

describe('definitions', () => {
  it('keep decorators, docstrings and the comments right above, and are led by the imports they use', () => {
    const source = `#!/usr/bin/env python
"""A module."""
from __future__ import annotations
import os, os.path
import numpy as np  # numbers
from typing import (
    Any,
    List,
)
from shutil import *
import unused

LIMIT = 3

# not its comment

# its comment,
# in two lines
@np.decorator
@other
def first(x: List) -> int:
    """Says np, unused."""
    return os.sep + x  # unused


class Second(Base):
    pass
`;
    const { snippets } = cut(source);
    expect(snippets.map(({ kind, line }) => [kind, line])).toEqual([
      ['module', 13],
      ['function', 17],
      ['class', 26],
    ]);
    expect(snippets[0]!.text).toBe('LIMIT = 3\n\n# not its comment\n');
    expect(snippets[1]!.text).toBe(`import os, os.path
import numpy as np  # numbers
from typing import (
    Any,
    List,
)


# its comment,
# in two lines
@np.decorator
@other
def first(x: List) -> int:
    """Says np, unused."""
    return os.sep + x  # unused
`);
    expect(snippets[2]!.text).toBe('class Second(Base):\n    pass\n');
    expect(snippets[1]!.tokens).toEqual(words(snippets[1]!.text));
  });

  it('keep multi-line strings, brackets and joined lines whole', () => {
    const definition = 'def f(a,\n      b):\n    s = """\ndef g():\n  x\n"""\n    return s + \\\n        a\n';
    expect(texts(`${definition}x = '''\nclass A:\n'''; y = [\n1]\n`)).toEqual([
      definition,
      "x = '''\nclass A:\n'''; y = [\n1]\n",
    ]);
  });

  it('is not confused by async, lambdas, match, type aliases, walrus and Python 2', () => {
    const source = `async def f():
    async with a as b:
        await b
match f:
    case [x, *_] if (n := 3) > 2:
        pass
type A[T] = list[T]
def g[T: int](x: T, /, *, y) -> T:
    return f"{x!r:>{y}} {'a' + "b"}"
print "old"
`;
    expect(cut(source).snippets.map(({ kind }) => kind)).toEqual(['function', 'module', 'function', 'module']);
  });
});

describe('limits', () => {
  const source = `import os


@decorated
class Long(
    Base,
):
    """What it is."""
    # about x

    x = os.sep

    # its comment
    def first(self):
        return 1

    def second(self):
        return """
two
"""
`;
  it('cut a long class between members, each piece led by its head', () => {
    const head = '@decorated\nclass Long(\n    Base,\n):\n    """What it is."""\n';
    const { snippets, leftOut } = cut(source, { maxLines: 10 });
    expect(snippets.map(({ text }) => text)).toEqual([
      `import os\n\n\n${head}\n    # about x\n\n    x = os.sep\n`,
      `${head}\n    # its comment\n    def first(self):\n        return 1\n`,
      `${head}\n    def second(self):\n        return """\ntwo\n"""\n`,
    ]);
    expect(snippets.map(({ line }) => line)).toEqual([9, 13, 17]);
    expect(leftOut).toEqual([]);
  });

  it('say what is too long and too short', () => {
    const { snippets, leftOut } = cut(`${source}def f():\n    return ${'1 + '.repeat(50)}1\n\n\nx = 1\n# only this\n`, {
      maxTokens: 80,
      minTokens: 5,
      minLines: 2,
    });
    expect(snippets.length).toBe(4);
    expect(leftOut).toEqual([{ reason: 'tooLong', line: 21, detail: '215 tokens' }]);
    expect(cut('x = 1\n', { minLines: 2 }).leftOut).toEqual([{ reason: 'tooShort', line: 1, detail: '1 lines' }]);
    expect(cut('# a\n"""b"""\n').leftOut).toEqual([{ reason: 'tooShort', line: 1, detail: 'no statements' }]);
  });

  it('leave a class that has no lines to cut between', () => {
    expect(cut('class A(\n    B): x = [\n1,\n2]\n', { maxLines: 3 }).leftOut).toEqual([
      { reason: 'tooLong', line: 1, detail: '4 lines' },
    ]);
  });

  it('put short statements together as far as they fit', () => {
    expect(texts('a = 1\nb = 2\nc = 3\nd = 4\ne = 5\n', { maxLines: 2 })).toEqual([
      'a = 1\nb = 2\n',
      'c = 3\nd = 4\n',
      'e = 5\n',
    ]);
  });
});

it('refuses what does not parse', () => {
  expect(cutSnippets(parser, 'def f(:\n', words, anything)).toBeNull();
  expect(cutSnippets(parser, 'x = "abc\n', words, anything)).toBeNull();
  expect(cut('').snippets).toEqual([]);
  expect(cut('\n\n# nothing').snippets).toEqual([]);
});

it('cuts a file of 20,000 lines', () => {
  const source = `import os\n${Array.from({ length: 5000 }, (_, i) => `def f${i}(x):\n    return os.sep + x\n\n`).join('\n')}`;
  expect(source.split('\n').length).toBeGreaterThan(20_000);
  expect(cut(source).snippets.length).toBe(5000);
});

/** What holds for the snippets of any file. */
function check(text: string, limits: SnippetLimits): void {
  const result = cutSnippets(parser, text, words, limits);
  if (result === null) return;
  for (const snippet of result.snippets) {
    for (const part of snippet.parts) {
      const at = text.indexOf(part);
      expect(at).toBeGreaterThanOrEqual(0);
      expect(snippet.text).toContain(part);
    }
    const code = snippet.parts.at(-1)!;
    expect(
      text
        .split('\n')
        .slice(snippet.line - 1)
        .join('\n')
        .startsWith(code),
    ).toBe(true);
    expect(snippet.tokens.length).toBeLessThanOrEqual(limits.maxTokens);
    // Whole statements: a snippet that ended inside a string or a bracket would not parse.
    const tree = parser.parse(snippet.text)!;
    expect(tree.rootNode.hasError, snippet.text).toBe(false);
    tree.delete();
  }
}

describe('any text', () => {
  const pieces = fc.constantFrom(
    ...[
      'def f(x):\n',
      'class A:\n',
      '@d\n',
      '    ',
      '\t',
      '\n',
      '"""',
      "'''",
      '"',
      "'",
      'r"',
      'f"{x}"',
      '#',
      '\\\n',
      '; ',
    ],
    ...[
      'x = 1\n',
      'import os\n',
      'from a import b as c\n',
      'return x\n',
      '(',
      ')',
      '[',
      ']',
      'if x:\n',
      'else:\n',
      'é',
      '😀',
    ],
    ...[
      '    def m(self):\n        pass\n',
      '\f',
      '\r',
      'async ',
      'lambda: ',
      'try:\n',
      'except* E:\n',
      'match x:\n',
      '\u2028',
    ],
  );
  const soup = fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join(''));
  const limits = fc.record({
    minLines: fc.integer({ min: 1, max: 3 }),
    maxLines: fc.integer({ min: 1, max: 12 }),
    minTokens: fc.integer({ min: 1, max: 10 }),
    maxTokens: fc.integer({ min: 5, max: 60 }),
  });

  it('is cut into whole statements of the file, or refused', () => {
    const text = fc.oneof(soup, fc.string({ unit: 'binary', maxLength: 60 }));
    fc.assert(
      fc.property(text, limits, (raw, limit) => {
        const clean = cleanText(raw);
        if ('text' in clean) check(clean.text, limit);
      }),
      { numRuns: 700 },
    );
  });

  it('that is Python, made of statements of many kinds', () => {
    const name = fc.constantFrom('os', 'a', 'b', 'self');
    const simple = fc.oneof(
      name.map((id) => `${id} = [\n1, """x\n  y"""\n]`),
      name.map((id) => `import ${id}`),
      name.map((id) => `from m import x as ${id}; ${id}()`),
      fc.constant('# comment'),
      fc.constant('"""doc\nstring"""'),
      fc.constant(''),
    );
    const { block } = fc.letrec<{ block: string[]; statement: string }>((tie) => ({
      block: fc.array(tie('statement'), { minLength: 1, maxLength: 4 }),
      statement: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        simple,
        fc
          .tuple(fc.constantFrom('def f(x):', '@d\nclass A(\n  B):', 'if a:', 'with a as b:'), tie('block'))
          .map(
            ([head, body]) =>
              `${head}\n${[...body, 'pass'].join('\n').replace(/^(?! {2}y"""|\]|1, |string""")/gm, '    ')}`,
          ),
      ),
    }));
    fc.assert(
      fc.property(block, limits, (statements, limit) => {
        check(`${statements.join('\n')}\n`, limit);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the standard library', () => {
  const folder = (() => {
    try {
      const question = 'import sysconfig; print(sysconfig.get_path("stdlib"))';
      return execFileSync('python3', ['-c', question], { encoding: 'utf8' }).trim();
    } catch {
      console.warn('skipped: no python3, so no standard library to cut');
      return undefined;
    }
  })();

  it.skipIf(folder === undefined)('is cut into snippets that Python itself compiles', () => {
    const names = readdirSync(folder!).filter((name) => name.endsWith('.py'));
    const programs: string[] = [];
    for (const name of names.filter((_, at) => at % 6 === 0)) {
      const text = readFileSync(join(folder!, name), 'utf8');
      const result = cutSnippets(parser, text, words, { ...anything, maxLines: 60 });
      expect(result, name).not.toBeNull();
      programs.push(...result!.snippets.map((snippet) => snippet.text));
    }
    expect(programs.length).toBeGreaterThan(200);
    const scratch = mkdtempSync(join(tmpdir(), 'midtrain-snippets-'));
    try {
      const file = join(scratch, 'programs.json');
      writeFileSync(file, JSON.stringify(programs));
      const compile = 'import json, sys\nfor text in json.load(open(sys.argv[1])): compile(text, text, "exec")';
      execFileSync('python3', ['-W', 'ignore', '-c', compile, file], { stdio: 'pipe' });
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
});
