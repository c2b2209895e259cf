/**
 * Small Python functions of several steps, drawn at random: which steps, how they are said in a docstring, how each is
 * written, and comments above some of the lines. The same random numbers give the same function.
 * Knows nothing of which functions are held out.
 */
import type { Random } from '../../engine/random.ts';
import { type Step, type StepType, type StepValue, STEPS } from './steps.ts';

/** A step with its number, where it takes one. */
export interface ChosenStep {
  readonly step: Step;
  readonly k: number;
}

/** What a function does: its steps, in order. */
export type Composition = readonly ChosenStep[];

/** Names the steps, without their numbers: two functions of one key differ in numbers and wording alone. */
export function compositionKey(composition: Composition): string {
  return composition.map(({ step }) => step.id).join(' ');
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[random.below(items.length)]!;
}

const STARTS: readonly StepType[] = ['numbers', 'numbers', 'text', 'words'];
/** Steps of a function; two and three are the most usual. */
const LENGTHS = [2, 2, 3, 3, 3, 4];

/** Steps that fit each other; none twice, and no function of one step. */
export function drawComposition(random: Random): Composition {
  const wanted = pick(random, LENGTHS);
  const composition: ChosenStep[] = [];
  let type = pick(random, STARTS);
  while (composition.length < wanted) {
    const fitting = STEPS.filter(
      (step) =>
        step.from === type &&
        !composition.some((earlier) => earlier.step === step) &&
        // Two steps at most on a single number, and nothing ends on one that only splits.
        !(step.from === 'number' && composition.at(-1)?.step.from === 'number'),
    );
    if (fitting.length === 0) break;
    const step = pick(random, fitting);
    composition.push({ step, k: step.constants.length === 0 ? 0 : pick(random, step.constants) });
    type = step.to;
  }
  return composition.length < 2 ? drawComposition(random) : composition;
}

/** What the function gives. @throws RangeError for a value on which Python would fail */
export function runComposition(composition: Composition, value: StepValue): StepValue {
  let result = value;
  for (const { step, k } of composition) result = step.run(result as never, k);
  return result;
}

const SAMPLE_WORDS = [
  ...['apple', 'river', 'Stone', 'idea', 'cloud', 'Orange', 'tree', 'under', 'Kite', 'sand', 'echo', 'lamp', 'banana'],
  ...['Mouse', 'ocean', 'ink', 'garden', 'Up', 'yellow', 'a', 'bread', 'Island', 'tea', 'planet', 'of', 'train'],
];

/** An argument of a type, for examples and tests. */
export function drawArgument(random: Random, type: StepType): StepValue {
  if (type === 'numbers') {
    const all = Array.from({ length: 3 + random.below(6) }, () => random.below(25) - 6);
    if (random.below(2) === 0) all.push(pick(random, all)); // a number twice
    return all;
  }
  const all = Array.from({ length: 2 + random.below(4) }, () => pick(random, SAMPLE_WORDS));
  return type === 'words' ? all : all.join(' ');
}

/** As Python's `repr` writes it. Texts here have neither quotes nor backslashes. */
export function pythonLiteral(value: StepValue): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return `'${value}'`;
  return `[${value.map((item: number | string) => pythonLiteral(item)).join(', ')}]`;
}

/** A name that says what it does: the steps' names, shortened, the last first as in English. */
export function functionName(composition: Composition): string {
  const parts = composition.map(({ step, k }) => step.id.replace(/_k$/, `_${k}`));
  return parts.join('_');
}

/** What is ordered, a phrase a step: `keep only the even numbers`, `square each number`, `return the sum`; one more may end it. */
export function phrases(random: Random, composition: Composition): string[] {
  const said = composition.map(({ step, k }, at) => {
    const isLast = at === composition.length - 1;
    const noun = isLast && step.nouns.length > 0 && random.below(4) > 0 ? pick(random, step.nouns) : undefined;
    return (noun === undefined ? pick(random, step.orders) : `return ${noun}`).replaceAll('{k}', String(k));
  });
  if (!said.at(-1)!.startsWith('return ')) {
    said.push(pick(random, ['return the result', 'return it', 'give back the result']));
  }
  return said;
}

/** `Keep only the even numbers, square each number and return the sum.`, put in one of several ways. */
export function describe(random: Random, phrases: readonly string[]): string {
  const said = [...phrases];
  const last = said.pop()!;
  switch (random.below(4)) {
    case 0:
      return `${capital(said.join(', '))}, ${last}.`;
    case 1:
      return `${capital(said.join(', then '))} and ${last}.`;
    case 2:
      return `First ${said.join('. Then ')}. Finally ${last}.`;
    default:
      return `${[...said, last].map(capital).join('. ')}.`;
  }
}

/** A call and what it gives, as Python writes them. */
export interface Example {
  readonly name: string;
  readonly argument: string;
  readonly result: string;
}

/** The lines of a docstring, indented. */
export function docstring(description: string, examples: readonly Example[]): string[] {
  if (examples.length === 0) return [`    """${description}"""`];
  const calls = examples.flatMap(({ name, argument, result }) => [`    >>> ${name}(${argument})`, `    ${result}`]);
  return [`    """${description}`, '', ...calls, '    """'];
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const NAMES: Readonly<
  Record<StepType, { readonly arguments: readonly string[]; readonly results: readonly string[] }>
> = {
  numbers: {
    arguments: ['numbers', 'values', 'nums', 'data', 'items'],
    results: ['result', 'kept', 'output', 'changed', 'selected', 'updated', 'found', 'new_numbers'],
  },
  text: {
    arguments: ['text', 'string', 's', 'sentence', 'line'],
    results: ['result', 'output', 'changed', 'new_text', 'answer', 'built'],
  },
  words: {
    arguments: ['words', 'names', 'parts', 'tokens', 'strings'],
    results: ['result', 'kept', 'output', 'selected', 'pieces', 'new_words', 'chosen'],
  },
  number: { arguments: [], results: ['total', 'answer', 'amount', 'outcome', 'number', 'final'] },
};
const ITEMS: Readonly<Record<StepType, readonly string[]>> = {
  numbers: ['x', 'n', 'value', 'num', 'number_'],
  text: ['c', 'char', 'letter', 'ch'],
  words: ['w', 'word', 'name', 'part'],
  number: ['x'],
};
const INDICES = ['i', 'index', 'j', 'pos'];

/** Which lines have a comment. The functions are the same with all of them. */
export type StarterComments = (typeof STARTER_COMMENTS)[number];
/**
 * `some`: a third of the lines, with what the line does, or with little. `none`. `steps`: the first line of each step, with
 * the words of the docstring. `someSteps`: two in five of these.
 */
export const STARTER_COMMENTS = ['some', 'none', 'steps', 'someSteps'] as const;
/** Share of the steps with a comment, in `someSteps`. */
export const COMMENTED_STEPS = 0.4;

/** Share of the lines with a comment, in `some`. */
const COMMENTED = 1 / 3;

/** A function as it stands in the corpus, without its docstring's examples. */
export interface WrittenFunction {
  /** `def name(argument):` */
  readonly head: string;
  readonly name: string;
  readonly body: readonly WrittenLine[];
}

export interface WrittenLine {
  /** Indented. */
  readonly text: string;
  /** What a comment above it says. */
  readonly note: string;
  /** The step that begins here; null where one goes on, and of a last `return`. */
  readonly begins: number | null;
  /** True of those drawn to have a comment. */
  readonly isCommented: boolean;
}

/** Writes the function in one of many ways. */
export function write(random: Random, composition: Composition): WrittenFunction {
  const type = composition[0]!.step.from;
  const argument = pick(random, NAMES[type].arguments);
  const name = functionName(composition);
  const used = new Set([argument]);
  let current = argument;
  const lines: Omit<WrittenLine, 'isCommented'>[] = [];
  composition.forEach(({ step, k }, at) => {
    const isLast = at === composition.length - 1;
    const item = pick(
      random,
      ITEMS[step.from].filter((one) => !used.has(one)),
    );
    const fill = (template: string, out: string): string =>
      template
        .replaceAll('{in}', current)
        .replaceAll('{out}', out)
        .replaceAll('{v}', item)
        .replaceAll('{i}', index)
        .replaceAll('{k}', String(k));
    const index = pick(random, INDICES);
    const note = pick(random, step.orders).replaceAll('{k}', String(k));
    const way = random.below(step.expressions.length + step.statements.length);
    const expression = step.expressions[way];
    if (expression !== undefined && isLast && random.below(2) === 0) {
      lines.push({ text: `return ${fill(expression, '')}`, note, begins: at });
      current = '';
      return;
    }
    const again = expression !== undefined && step.from === step.to && random.below(3) === 0;
    const out = again
      ? current
      : pick(
          random,
          NAMES[step.to].results.filter((one) => !used.has(one)),
        );
    used.add(out);
    const statements =
      expression === undefined ? step.statements[way - step.expressions.length]! : `*{out} = ${expression}`;
    for (const [row, line] of fill(statements, out).split('\n').entries()) {
      const isKey = line.trimStart().startsWith('*');
      const begins = row === 0 ? at : null;
      lines.push({ text: line.replace('*', isKey ? '' : '*'), note: isKey ? note : noteOf(random, line), begins });
    }
    current = out;
  });
  if (current !== '') lines.push({ text: `return ${current}`, note: noteOf(random, 'return'), begins: null });

  const body = lines.map((line) => ({
    ...line,
    text: `    ${line.text}`,
    isCommented: random.uniform() < COMMENTED,
  }));
  return { head: `def ${name}(${argument}):`, name, body };
}

/** The lines with a comment above each that has one. @param commentOf null: none */
export function withComments(body: readonly WrittenLine[], commentOf: (line: WrittenLine) => string | null): string[] {
  return body.flatMap((line) => {
    const comment = commentOf(line);
    return comment === null ? [line.text] : [`${/^ */.exec(line.text)![0]}# ${comment}`, line.text];
  });
}

/** Comments on lines that only serve a step. */
const NOTES: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^return/, ['give back the result', 'done', 'this is the answer']],
  [/^\s*for /, ['go through all of them', 'one after another', 'look at each in turn', 'loop over everything']],
  [/= (?:\[\]|''|set\(\))$/, ['start with nothing', 'collect here', 'empty at first']],
  [/= 0$/, ['start at zero', 'nothing counted yet']],
  [/continue$/, ['not this one', 'leave it out', 'go on with the next']],
  [/append|\+=/, ['take it', 'add it at the end']],
  [/^\s*if /, ['check it first', 'only then']],
];

const OTHER_NOTES = ['prepare the next line', 'needed below', 'keep it for later'];

function noteOf(random: Random, line: string): string {
  const notes = NOTES.find(([form]) => form.test(line))?.[1] ?? OTHER_NOTES;
  return pick(random, notes);
}

/** True of what is said of helper lines alone. */
export function isNote(text: string): boolean {
  return NOTES.some(([, notes]) => notes.includes(text)) || OTHER_NOTES.includes(text);
}
