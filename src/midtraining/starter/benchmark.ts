/**
 * The starter benchmark: 150 problems in HumanEval's format whose compositions of steps never occur in the starter corpus.
 * Knows nothing of files.
 */
import { mixSeed, seededRandom } from '../../engine/random.ts';
import type { Problem } from '../../evaluation/types.ts';
import * as functions from './functions.ts';

export const STARTER_PROBLEMS = 150;
/** Calls in a problem's check. */
const CASES = 6;
/** Of all compositions this share is never trained on. */
const HELD_OUT = 0.1;

/** True for compositions that belong to the benchmark's side, whatever their numbers and words. */
export function isHeldOutComposition(composition: functions.Composition): boolean {
  const key = functions.compositionKey(composition);
  return seededRandom(mixSeed('starter held out', key)).uniform() < HELD_OUT;
}

/** The problems: the same on every machine. They are in media/starter-benchmark.jsonl too. */
export function starterProblems(): Problem[] {
  const random = seededRandom(mixSeed('starter problems'));
  const problems: Problem[] = [];
  const taken = new Set<string>();
  while (problems.length < STARTER_PROBLEMS) {
    const composition = functions.drawComposition(random);
    const key = functions.compositionKey(composition);
    if (taken.has(key) || !isHeldOutComposition(composition)) continue;
    const cases = drawCases(random, composition);
    if (cases === null) continue;
    taken.add(key);
    problems.push(problemOf(random, composition, cases, problems.length));
  }
  return problems;
}

/** Rows as openai/human-eval's file has them. */
export function toRow({ taskId, prompt, entryPoint, canonicalSolution, tests }: Problem): object {
  const test = tests.join('\n');
  return { task_id: taskId, prompt, entry_point: entryPoint, canonical_solution: canonicalSolution, test };
}

interface Case {
  readonly argument: string;
  readonly result: string;
}

/** Arguments and results, of which enough differ; null where the steps leave too little to tell answers apart. */
function drawCases(random: ReturnType<typeof seededRandom>, composition: functions.Composition): Case[] | null {
  const cases = new Map<string, string>();
  for (let tries = 0; tries < 100 && cases.size < CASES; tries++) {
    const value = functions.drawArgument(random, composition[0]!.step.from);
    try {
      const result = functions.runComposition(composition, value);
      cases.set(functions.pythonLiteral(value), functions.pythonLiteral(result));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  if (cases.size < CASES || new Set(cases.values()).size < CASES - 1) return null;
  return Array.from(cases, ([argument, result]) => ({ argument, result }));
}

function problemOf(
  random: ReturnType<typeof seededRandom>,
  composition: functions.Composition,
  [example, ...cases]: readonly Case[],
  number: number,
): Problem {
  const name = functions.functionName(composition);
  const argument = { numbers: 'numbers', text: 'text', words: 'words', number: 'number' }[composition[0]!.step.from];
  const docstring = functions.docstring(functions.describe(random, functions.phrases(random, composition)), [
    { name, ...example! },
  ]);
  return {
    taskId: `Starter/${number}`,
    benchmark: 'starter',
    prompt: `def ${name}(${argument}):\n${docstring.join('\n')}\n`,
    entryPoint: name,
    canonicalSolution: referenceSolution(composition, argument),
    testSetup: '',
    tests: [
      `def check(candidate):\n${cases.map((one) => `    assert candidate(${one.argument}) == ${one.result}\n`).join('')}`,
    ],
  };
}

/** One statement a step, with names that the corpus never uses, so that no run of ten words can be in both. */
function referenceSolution(composition: functions.Composition, argument: string): string {
  let current = argument;
  const lines = composition.map(({ step, k }, at) => {
    const out = `step_${at + 1}`;
    const expression = step.expressions[0]!.replaceAll('{in}', current)
      .replaceAll('{v}', 'item')
      .replaceAll('{i}', 'place')
      .replaceAll('{k}', String(k));
    current = out;
    return `    ${out} = ${expression}\n`;
  });
  return `${lines.join('')}    return ${current}\n`;
}
