import { describe, expect, it } from 'vitest';
import { loadBenchmark } from '../../../src/evaluation/benchmarks/index.ts';
import type { Problem } from '../../../src/evaluation/types.ts';
import { Decontaminator } from '../../../src/midtraining/data/decontamination.ts';
import { benchmarkFile } from '../../evaluation/benchmarkData.ts';

const problem = (fields: Partial<Problem>): Problem => ({
  taskId: 'Mbpp/1',
  benchmark: 'mbpp',
  prompt: 'Write it.',
  entryPoint: 'f',
  canonicalSolution: 'pass',
  testSetup: '',
  tests: [],
  ...fields,
});
const tasks = (decontaminator: Decontaminator, text: string) => decontaminator.find(text).map(({ taskId }) => taskId);

describe('a problem', () => {
  const solution = 'def area_of(shape):\n    total = sum(side.length for side in shape.sides)\n    return total\n';
  const found = new Decontaminator([
    problem({ canonicalSolution: solution, tests: ['assert area_of(unit_square(side=2)) == expected_area'] }),
    problem({ taskId: 'Mbpp/2', prompt: 'Write a function that folds a map so that its marks lie upon each other.' }),
  ]);

  it('is found by ten words in a row, whatever their layout, case and quotes', () => {
    const copy = 'x = 1\nTOTAL = sum( side.length for side in shape["sides"])\nreturn total';
    expect(tasks(found, copy)).toEqual(['Mbpp/1']);
    expect(found.find(copy)[0]!.words).toBe('total sum side length for side in shape sides return');
    expect(tasks(found, copy.replace('return total', ''))).toEqual([]);
    expect(tasks(found, copy.replace('for', 'of'))).toEqual([]);
  });

  it('is found by its words in a docstring, and by a short test whole', () => {
    expect(tasks(found, '"""Folds a map\n    so that its marks lie upon each other.\n    """')).toEqual(['Mbpp/2']);
    expect(tasks(found, 'assert area_of(unit_square(side=2)) == expected_area')).toEqual(['Mbpp/1']);
    expect(tasks(found, 'assert area_of(unit_square(side=3)) == expected_area')).toEqual([]);
  });

  it('is named once, all of them in the order of the text', () => {
    const text = `${'so that its marks lie upon each other folds a map so that its marks lie upon each other. '.repeat(3)}${solution}`;
    expect(tasks(found, text)).toEqual(['Mbpp/2', 'Mbpp/1']);
  });

  it('of HumanEval counts as prompt and solution in one', () => {
    const one = new Decontaminator([
      problem({
        benchmark: 'humaneval',
        taskId: 'HumanEval/1',
        prompt: 'def f(a):\n    """Adds up these."""\n',
        canonicalSolution: '    return sum(values) over here too\n',
      }),
    ]);
    expect(tasks(one, 'def f(a): """Adds up these.""" return sum(values) over here')).toEqual(['HumanEval/1']);
  });

  it('does not stand for numbers and letters that many programs have', () => {
    const numbers = '[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] == [a, b, c, d, e, f, g, h, i, j, k, l]';
    expect(tasks(new Decontaminator([problem({ tests: [numbers] })]), numbers)).toEqual([]);
    expect(tasks(new Decontaminator([]), numbers)).toEqual([]);
  });
});

describe('the benchmarks', () => {
  const humaneval = benchmarkFile('HumanEval.jsonl.gz');
  const mbpp = benchmarkFile('mbpp.jsonl.gz');

  it.skipIf(humaneval === undefined || mbpp === undefined)('are found, each problem by its own text', async () => {
    const problems = [
      ...(await loadBenchmark('humaneval', humaneval!)).problems,
      ...(await loadBenchmark('mbpp', mbpp!)).problems,
    ];
    const decontaminator = new Decontaminator(problems);
    const missed = problems.filter(
      ({ taskId, prompt, canonicalSolution }) => !tasks(decontaminator, prompt + canonicalSolution).includes(taskId),
    );
    expect(missed.map(({ taskId }) => taskId)).toEqual([]);
    const unseen = problems.filter(({ taskId, tests }) => !tasks(decontaminator, tests.join('\n')).includes(taskId));
    expect(unseen.map(({ taskId }) => taskId)).toEqual([]);
  });
});
