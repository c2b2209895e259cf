import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtInBenchmark } from '../../../src/catalog/builtIn.ts';
import { loadBenchmark } from '../../../src/evaluation/benchmarks/index.ts';
import { replaceJsonLines } from '../../../src/evaluation/jsonl.ts';
import { CorpusReader } from '../../../src/midtraining/data/corpus.ts';
import { Decontaminator } from '../../../src/midtraining/data/decontamination.ts';
import { pythonParser } from '../../../src/midtraining/data/pythonGrammar.ts';
import { parseLatents } from '../../../src/midtraining/abstractions/latents.ts';
import { readSources } from '../../../src/midtraining/data/sources/source.ts';
import { isHeldOutComposition, starterProblems, toRow } from '../../../src/midtraining/starter/benchmark.ts';
import { starterCorpus } from '../../../src/midtraining/starter/corpus.ts';
import { STEPS } from '../../../src/midtraining/starter/steps.ts';
import { words } from '../data/files.ts';

const problems = starterProblems();
let folder: string;
let functions: string[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'midtrain-starter-'));
  functions = await texts(2000, 5);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function texts(...asked: Parameters<typeof starterCorpus>): Promise<string[]> {
  const all: string[] = [];
  for await (const { text } of starterCorpus(...asked)) all.push(text);
  return all;
}

const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython) console.warn('skipped: no python3, which would run the starter problems and functions');

/** Runs a program with the functions and problems at hand; it fails with what Python says. */
function python(program: string, data: unknown): string {
  const file = join(folder, 'data.json');
  writeFileSync(file, JSON.stringify(data));
  const lead = 'import json, sys\ndata = json.load(open(sys.argv[1]))\n';
  return execFileSync('python3', ['-I', '-c', lead + program, file], { encoding: 'utf8', stdio: 'pipe' });
}

describe('the starter benchmark', () => {
  it("has 150 different problems in HumanEval's format", async () => {
    expect(problems.length).toBe(150);
    expect(new Set(problems.map(({ entryPoint }) => entryPoint)).size).toBe(150);
    const file = join(folder, 'benchmark.jsonl');
    await replaceJsonLines(file, problems.map(toRow));
    expect((await loadBenchmark('starter', file)).problems).toEqual(problems);
    expect((await loadBenchmark('starter', builtInBenchmark)).problems).toEqual(problems);
    expect(starterProblems()).toEqual(problems);
  });

  it.skipIf(!hasPython)(
    'is solved by its canonical solutions, in Python itself, and not by an answer that ignores its argument',
    () => {
      const check = `
for row in data:
    space = {}
    exec(row['prompt'] + row['canonical_solution'] + row['test'], space)
    space['check'](space[row['entry_point']])
    import doctest
    test = doctest.DocTestParser().get_doctest(row['prompt'].split('"""')[1], space, row['task_id'], None, 0)
    assert len(test.examples) == 1 and doctest.DocTestRunner().run(test).failed == 0
    constant = space[row['entry_point']](eval(test.examples[0].source.split('(', 1)[1].rsplit(')', 1)[0]))
    for wrong in (lambda value: value, lambda value: constant):
        try:
            space['check'](wrong)
        except AssertionError:
            continue
        raise SystemExit(row['task_id'] + ' is passed by a wrong answer')
print(len(data))`;
      expect(python(check, problems.map(toRow)).trim()).toBe('150');
    },
  );
});

describe('the starter corpus', () => {
  it('is the same for the same seed, however many functions are asked for, and another for another', async () => {
    expect(await texts(20, 5)).toEqual(functions.slice(0, 20));
    expect(await texts(20, 6)).not.toEqual(functions.slice(0, 20));
    expect(new Set(functions).size).toBeGreaterThan(1900);
  });

  it('shares no run of ten words with the benchmark, and no task', () => {
    const decontaminator = new Decontaminator(problems);
    expect(functions.filter((text) => decontaminator.find(text).length > 0)).toEqual([]);
    const names = new Set(problems.map(({ entryPoint }) => entryPoint));
    const nameOf = (text: string): string => /^def (\w+)/.exec(text)![1]!;
    expect(functions.map(nameOf).filter((name) => names.has(name))).toEqual([]);
    const [evenStep, sumStep] = ['even', 'sum'].map((id) => STEPS.find((step) => step.id === id)!);
    const twice = [2, 3].map((k) =>
      isHeldOutComposition([
        { step: evenStep!, k },
        { step: sumStep!, k },
      ]),
    );
    expect(twice[0]).toBe(twice[1]);
  });

  it.skipIf(!hasPython)('is Python whose examples hold', () => {
    const check = `
import doctest
failed = examples = 0
for text in data:
    space = {}
    exec(text, space)
    docstring = text.split('"""')[1]
    test = doctest.DocTestParser().get_doctest(docstring, space, text, None, 0)
    result = doctest.DocTestRunner(verbose=False).run(test)
    failed += result.failed
    examples += result.attempted
print(failed, examples)`;
    const [failed, examples] = python(check, functions).trim().split(' ').map(Number);
    expect(failed).toBe(0);
    expect(examples).toBeGreaterThan(1000);
  });

  it('has comments above about a third of its lines, one line each, at the indentation of the line below', () => {
    let lines = 0;
    let comments = 0;
    for (const text of functions) {
      const body = text
        .slice(text.lastIndexOf('"""') + 4)
        .trimEnd()
        .split('\n');
      for (const [at, line] of body.entries()) {
        if (!line.trimStart().startsWith('#')) {
          lines += 1;
          continue;
        }
        comments += 1;
        expect(body[at + 1]?.trimStart().startsWith('#')).toBe(false);
        expect(/^ */.exec(line)![0]).toBe(/^ */.exec(body[at + 1]!)![0]);
      }
    }
    expect(comments / lines).toBeCloseTo(1 / 3, 1);
  });

  it('has the same functions with other comments, or with none', async () => {
    const parser = await pythonParser();
    const bare = await texts(300, 5, 'none');
    const perStep: number[] = [];
    const counts = { steps: 0, someSteps: 0 };
    for (const comments of ['some', 'steps', 'someSteps'] as const) {
      for (const [number, text] of (await texts(300, 5, comments)).entries()) {
        const { code, latents } = parseLatents(parser, text);
        expect(code).toBe(bare[number]);
        if (comments === 'some') continue;
        const said = latents.filter((latent) => latent !== null);
        counts[comments] += said.length;
        if (comments === 'steps') perStep.push(said.length);
        const docstring = text.split('"""')[1]!.toLowerCase();
        let from = 0; // in the order in which the docstring has them
        for (const latent of said) {
          from = docstring.indexOf(latent.replace(/^# /, '').toLowerCase(), from);
          expect(from, text).toBeGreaterThanOrEqual(0);
        }
      }
    }
    expect(bare.join('')).not.toContain('#');
    expect(Math.min(...perStep)).toBe(2);
    expect(Math.max(...perStep)).toBe(4);
    expect(counts.someSteps / counts.steps).toBeCloseTo(0.4, 1);
    parser.delete();
  });

  it('uses every step', () => {
    const all = functions.join('\n');
    for (const { id } of STEPS) expect(all, id).toMatch(new RegExp(`[ _]${id.replace(/_k$/, '_\\d')}`));
  });

  it('goes through the pipeline as it is', async () => {
    const reader = new CorpusReader({
      documents: (drops) => readSources([{ kind: 'starter', functions: 500, seed: 5 }], drops),
      encode: words,
      benchmarks: problems,
      nearDuplicateThreshold: null,
    });
    const texts: string[] = [];
    for await (const { text } of reader) texts.push(text);
    const { dropped, contaminated } = reader.report();
    expect(contaminated).toEqual([]);
    expect(texts.length).toBeGreaterThan(480);
    expect(dropped.map(({ reason }) => reason).filter((reason) => reason !== 'duplicateFile')).toEqual([]);
    expect(functions).toEqual(expect.arrayContaining(texts));
  });
});
