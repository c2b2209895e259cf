import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadBenchmark } from '../../src/evaluation/benchmarks/index.ts';
import { scanPython } from '../../src/evaluation/pythonScan.ts';
import { benchmarkFile } from './benchmarkData.ts';

/** The part that is kept. */
const kept = (source: string) => source.slice(0, scanPython(source).end);
const F = 'def f(x):\n    return x\n';

describe('scanPython keeps whole sources', () => {
  it.each([
    ['nothing', ''],
    ['blank lines and comments', '\n  \n# comment\n\t\n'],
    ['no newline at the end', 'def f(x):\n    return x'],
    ['CRLF', 'def f(x):\r\n\treturn x\r\n\r\nx = 1\r\n'],
    ['strings', `a = 'it\\'s' "x" '''three\n' lines''' """a "quoted" b""" rb'\\d' f"{x!r:>{w}}" u"é"\n`],
    ['a formatted string with quotes in it', `a = f"{d["key"]}" + f'{{}}' + f"{x:'>10}"\n`],
    ['brackets over lines', 'a = [1,\n  2, # comment ]\n\n  (3,\n4)]\n'],
    ['a backslash', 'a = 1 + \\\n    2\nwith a, \\\n  b:\n    pass\n'],
    ['decorators', '@a.b(1)\n@c\ndef f(): ...\n\n@d\nclass C: pass\n'],
    ['clauses', 'if a: b\nelif c:\n  d\nelse:\n  e\nfor i in x:\n  pass\nelse: y\nwhile 1:\n  break\n'],
    ['try', 'try:\n  a\nexcept E as e:\n  b\nexcept:\n  c\nelse:\n  d\nfinally:\n  e\ntry: a\nfinally: b\n'],
    [
      'match',
      'match x:\n  case 1 | 2 if y:\n    a\n  case "s":\n    b\n  case {"k": v}:\n    c\n  case _:\n    d\nmatch = 1\n',
    ],
    ['async', 'async def f():\n  async for x in y:\n    await z\n  else:\n    pass\n'],
    [
      'lambdas and annotations',
      'f = lambda x, y=1: x\nx: int = 3\ny: "T"\nd = {k: (lambda: v)}\nif (lambda: 1)():\n  pass\n',
    ],
    ['imports', 'from a import *\nfrom . import (b,\n  c,)\nimport d.e as f, g\nfrom __future__ import annotations\n'],
    ['numbers', 'a = 1. + .5 + 1e-5j + 0xFF + 1_000 if 1 else 2.\nb = ...\n'],
    ['semicolons', 'a = 1; b = 2;\n'],
    ['dedent over blank lines', 'def f():\n    if a:\n        b\n\n# comment\n    c\nd\n'],
    ['soft words as names', 'type = 1\ncase = type\nmatch[case] = 2\nprint(match)\n'],
  ])('%s', (_, source) => {
    expect(kept(source)).toBe(source);
  });
});

describe('scanPython cuts back', () => {
  it.each([
    ['prose', 'This function works by iterating.\n'],
    ['a list of points', '1. First do this\n'],
    ['an apostrophe', "It's done\n"],
    ['a fence', '```\n'],
    ['a line without its colon', 'def g(x)\n'],
    ['a header without a body', 'def g(x):\n'],
    ['a header whose body is not indented', 'if x:\ny = 1\n'],
    ['an open bracket', 'y = [1,\n 2'],
    ['an open string', 'y = """text\n'],
    ['an operator at the end', 'y = 1 +'],
    ['half an import', 'from typing'],
    ['half a choice', 'y = 1 if x'],
    ['half a lambda', 'y = lambda x'],
    ['try without handler', 'try:\n    y = 1\n'],
    ['a decorator of nothing', '@cache\nx = 1\n'],
    ['a clause without its block', 'else:\n    y = 1\n'],
    ['a line indented too far', '      y = 1\n'],
    ['a bracket too many', 'y = 1)\n'],
    ['a statement of Python 2', 'print "y"\n'],
    ['a strange character', 'y = 1 → 2\n'],
  ])('%s', (_, tail) => {
    expect(kept(F + tail)).toBe(F);
    expect(kept(F + tail + F)).toBe(F);
  });

  it('inside a function, to the last whole line', () => {
    expect(kept('def f(x):\n    y = 1\n    return [y')).toBe('def f(x):\n    y = 1\n');
    expect(kept('def f(x):\n    try:\n        y = 1\n')).toBe('');
    expect(kept('def f(x):\n    """Doc')).toBe('');
    expect(kept(`${F}@cache\n`)).toBe(F);
  });
});

describe('statements', () => {
  it('are told apart, with what they bind and name', () => {
    const source =
      'import os\nfrom a import b\nX: int = g(os)\np, q = 1, 2\nt[0] = 3\n@deco\ndef f(x):\n    return X + x.y\nclass C: pass\nprint(f)\nif a:\n  z = 1\nelse:\n  z = 2\n"""doc"""\n';
    const { statements } = scanPython(source);
    expect(statements.map(({ kind, binds }) => [kind, ...binds])).toEqual([
      ['import'],
      ['import'],
      ['assignment', 'X'],
      ['assignment', 'p', 'q'],
      ['assignment', 't'],
      ['definition', 'f'],
      ['definition', 'C'],
      ['other'],
      ['other'],
      ['other'],
    ]);
    expect(source.slice(statements[5]!.start, statements[5]!.end)).toBe('@deco\ndef f(x):\n    return X + x.y\n');
    expect([...statements[5]!.names]).toEqual(expect.arrayContaining(['deco', 'X', 'x']));
    expect(statements.map(({ start, end }) => source.slice(start, end)).join('')).toBe(source);
  });
});

describe('any text', () => {
  it('is scanned without an error, to a place within it that scans as whole', () => {
    const pieces = fc.constantFrom(
      'def f(x):',
      '\n',
      '    ',
      '\t',
      'return',
      ' x',
      '"',
      "'",
      '"""',
      '(',
      ')',
      '[',
      ']',
      '{',
      '}',
      '#',
      '\\',
      ':',
      '=',
      '@',
      'try:',
      'except:',
      'else:',
      'é',
      '1',
      '.',
      'f"',
      '\r\n',
      'lambda',
      'if',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
        const source = parts.join('');
        const { end } = scanPython(source);
        expect(end).toBeLessThanOrEqual(source.length);
        expect(scanPython(source.slice(0, end)).end).toBe(end);
      }),
      { numRuns: 2000 },
    );
  });

  it('takes time linear in its length', () => {
    for (const unit of ['(', 'x ', 'a = 1\n', '"', 'if x:\n', 'f"{"', '\\\n', ' ']) {
      const began = performance.now();
      scanPython(unit.repeat(200_000));
      expect(performance.now() - began, unit).toBeLessThan(5000);
    }
  });
});

const humanEvalFile = benchmarkFile('HumanEval.jsonl.gz');
const mbppFile = benchmarkFile('mbpp.jsonl.gz');

describe.skipIf(humanEvalFile === undefined || mbppFile === undefined)('reference programs', () => {
  it('are all taken whole', async () => {
    const { problems } = await loadBenchmark('humaneval', humanEvalFile!);
    for (const { taskId, prompt, canonicalSolution, tests } of problems) {
      const source = `${prompt}${canonicalSolution}\n${tests[0]!}`;
      expect(kept(source), taskId).toBe(source);
    }
    for (const { taskId, canonicalSolution, tests } of (await loadBenchmark('mbpp', mbppFile!)).problems) {
      const source = `${canonicalSolution}\n${tests.join('\n')}`;
      expect(kept(source), taskId).toBe(source);
    }
  });
});
