/** Verdicts, values across the strict border, output, cancellation, lost servers, orphans, missing Python. */
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { createNativeExecutor, findPython } from '../../../src/evaluation/executor/native.ts';
import type { Executor, Program, Verdict } from '../../../src/evaluation/types.ts';
import { descendants, program } from './tools.ts';

const windows = process.platform === 'win32';
const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'executor-')));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const kinds = [
  { mode: 'fork', strict: false },
  { mode: 'fork', strict: true },
  { mode: 'one-shot', strict: false },
  { mode: 'one-shot', strict: true },
] as const;

/** Candidate, check, what must come out, and what stands after `failed: `. */
const verdicts: readonly (readonly [string, string, Verdict, string?])[] = [
  ['def f(x): return x + 1', 'assert f(1) == 2', 'passed'],
  ['def f(x): return x', 'assert f(1) == 2', 'failed', ''],
  ['def f(x): return x', 'assert f(1) == 2, "no"', 'failed', 'no'],
  ['def f(x): return y', 'assert f(1) == 2', 'failed', "name 'y' is not defined"],
  ['def g(x): return x', 'assert f(1) == 2', 'failed', "name 'f' is not defined"],
  ['def f(x): return {}[x]', 'f("a")', 'failed', "'a'"],
  ['def f(x) return x', 'f(1)', 'failed'],
  ['import no_such_module', 'f(1)', 'failed', "No module named 'no_such_module'"],
  ['class E(Exception): pass\ndef f(x): raise E("mine", 1)', 'f(1)', 'failed', "('mine', 1)"],
  [
    'def f(x): raise ValueError(x)',
    'try:\n  f(1)\n  assert False\nexcept ValueError as e:\n  assert e.args == (1,)',
    'passed',
  ],
  ['def f(x):\n  while True: pass', 'f(1)', 'timed out'],
  ['def f(x): return f(x)', 'try:\n  f(1)\nexcept RecursionError: pass', 'passed'],
  ['x = 1 \\', 'pass', 'passed'],
  ['if True:', 'pass', 'failed'],
  ['def f(x): return x', 'import math, re\nassert math.sqrt(f(4)) == 2', 'passed'],
];

/** Checks on what crosses between judge and candidate; all pass. */
const crossing: readonly (readonly [string, string, string])[] = [
  [
    'every kind of plain data',
    'def f(x): return x',
    `
from collections import Counter, OrderedDict, defaultdict, deque
from fractions import Fraction
from decimal import Decimal
from array import array
import datetime
for value in [None, True, 0, -1, 2 ** 63, -2 ** 63, 2 ** 64, -2 ** 200, 1.5, float('inf'), -0.0, 1e-320, 1 + 2j, '', 'ü\\0\\ud800', b'\\xff',
              bytearray(b'x'), [], [1, 'a', [2.5]], (), (1,), {1, 2}, frozenset({'a'}), {}, {1: [2], 'a': {None: ()}}, range(2, 9, 3),
              Counter('abca'), OrderedDict(a=1), deque([1, 2], 5), Fraction(1, 3), Decimal('1.20'), datetime.date(2020, 2, 29),
              datetime.datetime(2020, 1, 2, 3, 4, 5, 6), datetime.timedelta(1, 2, 3), array('i', [1, 2]), list(range(1000)),
              [0.5] * 100, [True, 1] * 10, [2 ** 70] * 10, tuple(range(100)), len, int, ValueError, ...]:
    back = f(value)
    assert back == value and type(back) is type(value), repr(value)
assert f(float('nan')) != f(float('nan'))
assert f({1: 2}).__class__ is dict and str(f(-0.0)) == '-0.0'`,
  ],
  [
    'changes to arguments',
    'def f(a, b, c, d):\n  a.append(1); b["k"] = 2; c.add(3); d[0].sort(); return a',
    `
a, b, c, d = [], {}, set(), [[3, 1, 2]]
inner = d[0]
assert f(a, b, c, d) is a
assert a == [1] and b == {'k': 2} and c == {3} and inner == [1, 2, 3] and d[0] is inner`,
  ],
  [
    'changes before an exception',
    'def f(a):\n  a.clear()\n  raise KeyError(1)',
    'a = [1]\ntry: f(a)\nexcept KeyError: pass\nassert a == []',
  ],
  [
    'shared and recursive values',
    'def f(a): a.append(a); return [a, a]',
    'a = []\nr = f(a)\nassert r[0] is a and r[1] is a and a[0] is a',
  ],
  [
    'functions as arguments',
    'def f(g, x): return [g(y) for y in x]',
    'assert f(lambda y: y * 2, [1, 2]) == [2, 4]\nassert f(str, [1]) == ["1"]',
  ],
  [
    'an argument called with the candidate itself',
    'def f(g, x): return x if x == 0 else g(x - 1)',
    'assert f(lambda y: f(lambda z: z, y), 3) == 1',
  ],
  ['closures', 'def f(x): return lambda y: x + y', 'assert f(1)(2) == 3'],
  [
    'generators',
    'def f(n):\n  for i in range(n): yield i',
    'assert list(f(3)) == [0, 1, 2]\ng = f(2)\nassert next(g) == 0 and next(g) == 1\ntry: next(g)\nexcept StopIteration: pass',
  ],
  [
    'iterators as arguments',
    'def f(x): return sum(x)',
    'assert f(i for i in range(4)) == 6\nassert f(iter([1, 2])) == 3',
  ],
  ['views', 'def f(d): return d.keys()', 'assert f({1: 2}) == {1} and sorted(f({2: 1, 1: 1})) == [1, 2]'],
  ['map and zip', 'def f(x): return zip(x, map(str, x))', 'assert list(f([1, 2])) == [(1, "1"), (2, "2")]'],
  [
    'named tuples and subclasses',
    'from collections import namedtuple\nimport enum\nP = namedtuple("P", "x y")\nclass C(enum.IntEnum):\n  A = 3\ndef f(): return P(1, C.A)',
    'assert f() == (1, 3)',
  ],
  [
    'objects of the candidate',
    'class Node:\n  def __init__(self, v): self.v, self.left = v, None\n  def get(self): return self.v\ndef f(n): return n.v + n.left.v',
    'n = Node(1)\nn.left = Node(2)\nassert f(n) == 3 and n.get() == 1 and n.left.v == 2',
  ],
  [
    'objects of the check',
    'def f(p): return p.x + p.twice()',
    'class P:\n  x = 1\n  def twice(self): return 2\nassert f(P()) == 3',
  ],
  ['keyword arguments', 'def f(a, *, b=1): return a - b', 'assert f(3, b=2) == 1'],
  ['constants of the candidate', 'LIMIT = [1]\ndef f(): return LIMIT', 'assert LIMIT == [1] == f()'],
  [
    'a hundred thousand numbers',
    'def f(a): a.reverse(); return a',
    'a = list(range(100000))\nassert f(a) == list(range(99999, -1, -1))',
  ],
];

describe.each(kinds)('$mode, strict $strict', ({ mode, strict }) => {
  let executor: Executor;
  const scratch = path.join(folder, `${mode}-${String(strict)}`);

  beforeAll(async () => {
    mkdirSync(scratch);
    executor = await createNativeExecutor({ workers: 2, strict, mode, scratch });
  });

  afterAll(async () => {
    await executor.close();
    expect(readdirSync(scratch)).toEqual([]);
    if (!windows) expect(await descendants(process.pid)).toEqual([]);
  });

  test.each(verdicts.map(([candidate, check, verdict, detail]) => ({ candidate, check, verdict, detail })))(
    '$candidate then $check: $verdict',
    async ({ candidate, check, verdict, detail }) => {
      const result = await executor.run(program(candidate, check, { timeLimit: verdict === 'timed out' ? 0.5 : 10 }));
      expect(result.verdict, JSON.stringify(result)).toBe(verdict);
      if (detail !== undefined) expect(result.detail).toBe(detail);
      if (verdict !== 'timed out') expect(result.retried).toBe(false);
    },
  );

  test.each(crossing)('%s', async (_, candidate, check) => {
    const result = await executor.run(program(candidate, check));
    expect(result.verdict, `${result.detail}\n${result.traceback}`).toBe('passed');
  });

  test('the traceback has the lines of candidate and check', async () => {
    const { traceback } = await executor.run(program('\ndef f(x):\n    return 1 / x  # here', '\n\nf(0)'));
    expect(traceback).toContain('File "<candidate>", line 3, in f\n    return 1 / x  # here');
    expect(traceback).toContain('File "<check>", line 3');
    expect(traceback).not.toContain('.py"');
  });

  test('output comes in order, and is cut', async () => {
    const both = await executor.run(
      program('import sys\nprint("a")\nprint("b", file=sys.stderr)\nprint("c")\ndef f(): pass', 'f()'),
    );
    expect(both).toMatchObject({ verdict: 'passed', output: 'a\nb\nc\n' });
    const much = await executor.run(program('print("x" * 10 ** 6)\ndef f(): pass', 'f()'));
    expect(much.verdict).toBe('passed');
    expect(much.output).toHaveLength(64 * 1024);
  });

  test('a gigabyte of output is neither a time-out nor kept', async () => {
    const code = 'line = "x" * 999999\nfor _ in range(1000): print(line)\ndef f(): pass';
    const result = await executor.run(program(code, 'f()', { timeLimit: 20 }));
    expect(result).toMatchObject({ verdict: 'passed', retried: false });
    expect(result.output).toHaveLength(64 * 1024);
  });

  test('times are measured', async () => {
    const result = await executor.run(program('import time\ntime.sleep(0.3)\ndef f(): pass', 'f()'));
    expect(result.wallSeconds).toBeGreaterThan(0.3);
    expect(result.cpuSeconds).toBeLessThan(result.wallSeconds);
    expect(result.cpuSeconds).toBeGreaterThan(0);
  });

  test('an aborted program ends at once, a queued one never starts', async () => {
    const sleeper = program('import time\ntime.sleep(60)', 'pass', { timeLimit: 60 });
    const controller = new AbortController();
    const started = performance.now();
    const runs = [1, 2, 3, 4].map(() => executor.run(sleeper, controller.signal));
    setTimeout(() => {
      controller.abort(new Error('enough'));
    }, 300);
    for (const run of runs) await expect(run).rejects.toThrow('enough');
    expect(performance.now() - started).toBeLessThan(5000);
    await expect(executor.run(sleeper, AbortSignal.abort(new Error('never')))).rejects.toThrow('never');
    expect((await executor.run(program('def f(x): return x', 'assert f(1) == 1'))).verdict).toBe('passed');
  });

  test('a time-out for want of a processor is looked at again, alone', async () => {
    // Twelve at a time cannot all have a processor on a small machine; each alone needs a tenth of the limit.
    const work = program('import time\ndef f():\n  while time.process_time() < 0.3: pass', 'f()', { timeLimit: 1.5 });
    const crowded = await createNativeExecutor({ workers: 12, strict, mode });
    const results = await Promise.all(Array.from({ length: 24 }, () => crowded.run(work)));
    await crowded.close();
    expect(results.map(({ verdict }) => verdict)).toEqual(Array(24).fill('passed'));
  });

  test('programs do not see each other', async () => {
    const write = program(
      'import builtins, math\nopen("left", "w").close()\nbuiltins.hex = math.pi = 3\ndef f(): pass',
      'f()',
    );
    const look = program(
      'import os, math\ndef f(): return os.listdir("."), hex(10), math.pi > 3',
      'assert f() == ([], "0xa", True)',
    );
    const runs = [write, write, look, look, look].map((one) => executor.run(one));
    expect((await Promise.all(runs)).map(({ verdict }) => verdict)).toEqual(Array(5).fill('passed'));
  });
});

describe.skipIf(windows)('what fork servers survive', () => {
  test.runIf(process.platform === 'linux')(
    'a server that is killed takes only its program with it, which is run again',
    async () => {
      const executor = await createNativeExecutor({ workers: 1, strict: false });
      const run = executor.run(program('import time\ntime.sleep(1)\ndef f(): pass', 'f()'));
      const queued = executor.run(program('def f(): pass', 'f()'));
      await expect.poll(() => serversBelow(process.pid).length, { timeout: 10_000 }).toBeGreaterThan(0);
      await new Promise((resolve) => setTimeout(resolve, 400)); // its program runs by now, or is run all the same
      const [server] = serversBelow(process.pid);
      process.kill(server!, 'SIGKILL');
      expect(await run).toMatchObject({ verdict: 'passed' });
      expect(await queued).toMatchObject({ verdict: 'passed' });
      await executor.close();
      expect(await descendants(process.pid)).toEqual([]);
    },
  );

  test('nothing is left when the process that owns it is killed', async () => {
    const scratch = path.join(folder, 'orphans');
    mkdirSync(scratch);
    const bundle = path.join(folder, 'owner.mjs');
    const source = path.resolve(import.meta.dirname, '../../../src/evaluation/executor');
    buildSync({
      stdin: {
        contents: `
          import { createNativeExecutor } from '${source}/native.ts';
          const executor = await createNativeExecutor({ workers: 2, strict: true, pythonFolder: '${source}/python', scratch: '${scratch}' });
          for (let i = 0; i < 4; i++) void executor.run({ id: '', candidate: 'import time\\ntime.sleep(99)', check: '', entryPoint: 'f', timeLimit: 99, memoryLimit: 2 ** 30 });
          setTimeout(() => console.log('running'), 500);`,
        resolveDir: folder,
      },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: bundle,
    });
    const owner = spawn(process.execPath, [bundle], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => owner.stdout.once('data', resolve));
    const servers = serversBelow(owner.pid!);
    expect(servers.length).toBeGreaterThanOrEqual(2);
    owner.kill('SIGKILL');
    for (let i = 0; i < 200 && servers.some(alive); i++) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(servers.filter(alive)).toEqual([]);
    for (let i = 0; i < 200 && readdirSync(scratch).length > 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(readdirSync(scratch, { recursive: true })).toEqual([]);
  });

  test('closing ends running programs', async () => {
    const executor = await createNativeExecutor({ workers: 2, strict: false });
    const run = executor.run(program('import time\ntime.sleep(60)', 'pass', { timeLimit: 60 }));
    const failure = expect(run).rejects.toThrow('closed');
    await new Promise((resolve) => setTimeout(resolve, 200));
    await executor.close();
    await failure;
    await expect(executor.run(program('', ''))).rejects.toThrow('closed');
    expect(await descendants(process.pid)).toEqual([]);
  });

  test('closing while a server starts leaves none', async () => {
    const executor = await createNativeExecutor({ workers: 4, strict: false });
    const runs = Array.from({ length: 8 }, () => executor.run(program('import time\ntime.sleep(60)', 'pass')));
    const settled = Promise.allSettled(runs);
    await executor.close();
    expect((await settled).map(({ status }) => status)).toEqual(Array(8).fill('rejected'));
    expect(await descendants(process.pid, 0)).toEqual([]);
  });

  test('a server that cannot be started again is a harness error, not a failure', async () => {
    const launcher = path.join(folder, 'python-once');
    const { executable } = await findPython();
    // Answers the question for its version, starts one server, and is broken from then on.
    writeFileSync(
      launcher,
      `#!/bin/sh\ncase "$*" in *platform*) printf '%s\\n3.11.0\\nCPython\\n' "$0"; exit;; esac\n` +
        `[ -e "$0.used" ] && { echo "no more" >&2; exit 1; }\n: > "$0.used"\nexec "${executable}" "$@"\n`,
    );
    chmodSync(launcher, 0o755);
    const executor = await createNativeExecutor({ workers: 1, strict: false, python: launcher });
    const crash: Program = program('import os\nos.abort()', 'pass'); // its server is not used again
    expect((await executor.run(crash)).verdict).toBe('crashed');
    const result = await executor.run(program('def f(): pass', 'f()'));
    expect(result.verdict).toBe('harness error');
    expect(result.detail).toContain('no more');
    await executor.close();
  });
});

describe('Python', () => {
  test('a missing interpreter is said with what was tried', async () => {
    const missing = createNativeExecutor({ workers: 1, strict: false, python: '/no/such/python' });
    await expect(missing).rejects.toThrow(UserError);
    await expect(missing).rejects.toThrow(/3\.9 or later.*Tried: \/no\/such\/python: not found.*Install Python/);
  });

  test.skipIf(windows)('an old or broken one too', async () => {
    const fake = (name: string, body: string): string => {
      const file = path.join(folder, name);
      writeFileSync(file, `#!/bin/sh\n${body}\n`);
      chmodSync(file, 0o755);
      return file;
    };
    await expect(findPython(fake('old', 'printf \'%s\\n3.8.18\\nCPython\\n\' "$0"'))).rejects.toThrow(
      /old is Python 3\.8\.18/,
    );
    await expect(findPython(fake('broken', 'echo "bad magic" >&2; exit 1'))).rejects.toThrow(
      /does not run \(bad magic\)/,
    );
    const bad = createNativeExecutor({
      workers: 1,
      strict: false,
      python: fake('liar', 'printf \'%s\\n3.11.0\\nCPython\\n\' "$0"'),
    });
    await expect(bad).rejects.toThrow(/could not be started/);
  });

  test('one that is found answers', async () => {
    const python = await findPython();
    expect(existsSync(python.executable)).toBe(true);
    expect(python.version).toMatch(/^3\.\d+\.\d+/);
  });
});

test.skipIf(process.getuid?.() !== 0)('root’s temporary folder may be closed to others', async () => {
  const before = process.env['TMPDIR'];
  const own = mkdtempSync(path.join(folder, 'own-')); // of mode 0700
  const ownUser = async (scratch?: string): Promise<boolean | undefined> => {
    const executor = await createNativeExecutor({ workers: 1, strict: false, ...(scratch && { scratch }) });
    const result = await executor.run(program('def f():\n    return 1\n', 'assert f() == 1\n'));
    expect(result.verdict).toBe('passed');
    await executor.close();
    return executor.layers.find(({ name }) => name === 'own user')?.inForce;
  };
  try {
    const possible = await ownUser(); // not with a Python that only root can read
    process.env['TMPDIR'] = own;
    expect(await ownUser()).toBe(possible);
    expect(await ownUser(own)).toBe(false); // and it is said
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
});

test.skipIf(windows || process.getuid?.() === 0)('a scratch folder that cannot be made is a user error', async () => {
  const locked = path.join(folder, 'locked');
  mkdirSync(locked, { mode: 0o500 });
  await expect(createNativeExecutor({ workers: 1, strict: false, scratch: locked })).rejects.toThrow(UserError);
});

test.runIf(process.platform === 'linux' && process.getuid?.() === 0)(
  'a full disk is a user error, and leaves nothing',
  async () => {
    const full = path.join(folder, 'full');
    mkdirSync(full);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k,nr_inodes=2', 'midtrain-test', full], { stdio: 'pipe' });
    } catch {
      console.log('skipped: this container may not mount');
      return;
    }
    try {
      const executor = createNativeExecutor({ workers: 1, strict: false, scratch: full });
      await expect(executor).rejects.toThrow(UserError);
      await expect(executor).rejects.toThrow(/no space left/i);
      expect(readdirSync(full)).toEqual([]);
    } finally {
      execFileSync('umount', [full]);
    }
  },
);

test.runIf(process.platform === 'linux')('every layer says whether it is in force and why not', async () => {
  const executor = await createNativeExecutor({ workers: 1, strict: true });
  const names = executor.layers.map(({ name }) => name);
  expect(names).toEqual(
    expect.arrayContaining(['strict mode', 'namespaces', 'Landlock', 'seccomp', 'memory limit', 'audit hook']),
  );
  for (const { detail } of executor.layers) expect(detail).not.toBe('');
  await executor.close();
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function serversBelow(root: number): number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' }).split('\n');
  return rows
    .map((row) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row))
    .filter((match) => match !== null && match[3]!.includes('server.py') && Number(match[2]) === root)
    .map((match) => Number(match![1]));
}
