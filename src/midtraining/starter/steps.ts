/**
 * The steps that the starter corpus is made of: what each does, how it is said, and ways to write it in Python.
 * A table; knows nothing of how steps become functions.
 *
 * Templates: `{in}` the value before the step, `{out}` the one after, `{v}` an item, `{i}` an index, `{k}` the step's number.
 */

/** Numbers (whole), a text, words, one number. */
export type StepType = 'numbers' | 'text' | 'words' | 'number';
export type StepValue = number[] | string | string[] | number;

export interface Step {
  /** A name in snake case that says what it does; with `k` where it takes a number. */
  readonly id: string;
  readonly from: StepType;
  readonly to: StepType;
  /** Values of `{k}`; none for a step without a number. */
  readonly constants: readonly number[];
  /** Sentences that order it, without capital and full stop. */
  readonly orders: readonly string[];
  /** Names for what it gives, to follow "return". */
  readonly nouns: readonly string[];
  /** Python expressions over `{in}`. The first is the reference's. */
  readonly expressions: readonly string[];
  /** Python statements that end with `{out}` bound; the line with `*` in front is the one that a comment explains. */
  readonly statements: readonly string[];
  /** The same in JavaScript. @throws RangeError where Python's would fail */
  readonly run: (value: never, k: number) => StepValue;
}

const SMALL = [2, 3, 4, 5];
const LARGER = [2, 3, 4, 5, 6, 7, 8, 9, 10];

interface Wording {
  readonly constants?: readonly number[];
  readonly orders: readonly string[];
  readonly nouns?: readonly string[];
  readonly expressions: readonly string[];
  readonly statements?: readonly string[];
}

function step(
  id: string,
  from: StepType,
  to: StepType,
  run: Step['run'],
  { constants = [], nouns = [], statements = [], ...rest }: Wording,
): Step {
  return { id, from, to, constants, nouns, statements, ...rest, run };
}

/** Keeps items that meet a condition over `{v}`. */
function keep(
  id: string,
  type: 'numbers' | 'words',
  test: (item: never, k: number) => boolean,
  condition: string,
  opposite: string,
  wording: Omit<Wording, 'expressions'>,
): Step {
  return step(id, type, type, (all: never[], k) => all.filter((item) => test(item, k)), {
    ...wording,
    expressions: [`[{v} for {v} in {in} if ${condition}]`, `list(filter(lambda {v}: ${condition}, {in}))`],
    statements: [
      `{out} = []\nfor {v} in {in}:\n    *if ${condition}:\n        {out}.append({v})`,
      `{out} = []\nfor {v} in {in}:\n    *if ${opposite}:\n        continue\n    {out}.append({v})`,
      `{out} = []\nfor {i} in range(len({in})):\n    {v} = {in}[{i}]\n    *if ${condition}:\n        {out}.append({v})`,
    ],
  });
}

/** Changes every item by an expression over `{v}`. */
function each(
  id: string,
  type: 'numbers' | 'words',
  change: (item: never, k: number) => number | string,
  expression: string,
  wording: Omit<Wording, 'expressions'>,
  to = type,
): Step {
  return step(id, type, to, (all: never[], k) => all.map((item) => change(item, k)) as StepValue, {
    ...wording,
    expressions: [`[${expression} for {v} in {in}]`, `list(map(lambda {v}: ${expression}, {in}))`],
    statements: [
      `{out} = []\nfor {v} in {in}:\n    *{out}.append(${expression})`,
      `{out} = []\nfor {i} in range(len({in})):\n    {v} = {in}[{i}]\n    *{out}.append(${expression})`,
      `{out} = []\nfor {v} in {in}:\n    *{out} += [${expression}]`,
    ],
  });
}

/** Python's remainder: of the divisor's sign. */
const modulo = (value: number, k: number): number => ((value % k) + k) % k;
const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);
function some<Item>(all: readonly Item[]): readonly Item[] {
  if (all.length === 0) throw new RangeError('nothing to choose from');
  return all;
}
const isVowel = (letter: string): boolean => 'aeiouAEIOU'.includes(letter);
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const numbersToNumbers: readonly Step[] = [
  keep('even', 'numbers', (x: number) => modulo(x, 2) === 0, '{v} % 2 == 0', '{v} % 2 != 0', {
    orders: ['keep only the even numbers', 'take the even numbers', 'remove all odd numbers', 'drop the odd numbers'],
    nouns: ['the even numbers', 'a list of the even numbers'],
  }),
  keep('odd', 'numbers', (x: number) => modulo(x, 2) === 1, '{v} % 2 == 1', '{v} % 2 == 0', {
    orders: ['keep only the odd numbers', 'take the odd numbers', 'remove all even numbers', 'drop the even numbers'],
    nouns: ['the odd numbers', 'a list of the odd numbers'],
  }),
  keep('positive', 'numbers', (x: number) => x > 0, '{v} > 0', '{v} <= 0', {
    orders: ['keep only the positive numbers', 'take numbers above zero', 'drop everything that is not positive'],
    nouns: ['the positive numbers'],
  }),
  keep('negative', 'numbers', (x: number) => x < 0, '{v} < 0', '{v} >= 0', {
    orders: ['keep only the negative numbers', 'take numbers below zero', 'drop everything that is not negative'],
    nouns: ['the negative numbers'],
  }),
  keep('nonzero', 'numbers', (x: number) => x !== 0, '{v} != 0', '{v} == 0', {
    orders: ['remove the zeros', 'drop every zero', 'keep numbers other than zero'],
    nouns: ['the numbers that are not zero'],
  }),
  keep('above_k', 'numbers', (x: number, k: number) => x > k, '{v} > {k}', '{v} <= {k}', {
    constants: LARGER,
    orders: ['keep the numbers greater than {k}', 'take numbers above {k}', 'drop numbers that are {k} or less'],
    nouns: ['the numbers greater than {k}'],
  }),
  keep('below_k', 'numbers', (x: number, k: number) => x < k, '{v} < {k}', '{v} >= {k}', {
    constants: LARGER,
    orders: ['keep the numbers less than {k}', 'take numbers under {k}', 'drop numbers that are {k} or more'],
    nouns: ['the numbers less than {k}'],
  }),
  keep('multiples_k', 'numbers', (x: number, k: number) => modulo(x, k) === 0, '{v} % {k} == 0', '{v} % {k} != 0', {
    constants: [3, 4, 5, 6, 7],
    orders: ['keep the multiples of {k}', 'take numbers divisible by {k}', 'drop numbers that {k} does not divide'],
    nouns: ['the multiples of {k}'],
  }),
  each('square', 'numbers', (x: number) => x * x, '{v} * {v}', {
    orders: ['square each number', 'square every number', 'multiply each number by itself'],
    nouns: ['the squares', 'the squares of the numbers'],
  }),
  each('double', 'numbers', (x: number) => 2 * x, '{v} * 2', {
    orders: ['double each number', 'double every number', 'multiply all numbers by two'],
    nouns: ['the doubled numbers'],
  }),
  each('half', 'numbers', (x: number) => Math.floor(x / 2), '{v} // 2', {
    orders: ['halve each number, rounding down', 'divide every number by two, rounding down'],
    nouns: ['the halves, rounded down'],
  }),
  each('add_k', 'numbers', (x: number, k: number) => x + k, '{v} + {k}', {
    constants: LARGER,
    orders: ['add {k} to each number', 'increase every number by {k}', 'raise all numbers by {k}'],
    nouns: ['the numbers plus {k}'],
  }),
  each('subtract_k', 'numbers', (x: number, k: number) => x - k, '{v} - {k}', {
    constants: LARGER,
    orders: ['subtract {k} from each number', 'decrease every number by {k}', 'lower all numbers by {k}'],
    nouns: ['the numbers minus {k}'],
  }),
  each('times_k', 'numbers', (x: number, k: number) => x * k, '{v} * {k}', {
    constants: [3, 4, 5, 6, 7, 8, 9, 10],
    orders: ['multiply each number by {k}', 'make every number {k} times as large', 'scale all numbers by {k}'],
    nouns: ['the numbers times {k}'],
  }),
  each('remainder_k', 'numbers', (x: number, k: number) => modulo(x, k), '{v} % {k}', {
    constants: [3, 4, 5, 6, 7, 10],
    orders: ['take each number modulo {k}', 'replace every number by its remainder after division by {k}'],
    nouns: ['the remainders after division by {k}'],
  }),
  each('negated', 'numbers', (x: number) => (x === 0 ? 0 : -x), '-{v}', {
    orders: ['negate each number', 'flip the sign of every number', 'change all signs'],
    nouns: ['the numbers with their signs flipped'],
  }),
  each('absolute', 'numbers', (x: number) => Math.abs(x), 'abs({v})', {
    orders: ['take the absolute value of each number', 'make every number positive', 'drop all minus signs'],
    nouns: ['the absolute values'],
  }),
  each('capped_k', 'numbers', (x: number, k: number) => Math.min(x, k), 'min({v}, {k})', {
    constants: LARGER,
    orders: ['cap each number at {k}', 'limit every number to at most {k}'],
    nouns: ['the numbers, none above {k}'],
  }),
  step('reversed', 'numbers', 'numbers', (all: number[]) => all.toReversed(), {
    orders: ['reverse the list', 'reverse the order', 'turn the list around'],
    nouns: ['the list in reverse order'],
    expressions: ['{in}[::-1]', 'list(reversed({in}))'],
    statements: [
      '{out} = []\nfor {v} in {in}:\n    *{out}.insert(0, {v})',
      '{out} = list({in})\n*{out}.reverse()',
      '{out} = []\nfor {i} in range(len({in}) - 1, -1, -1):\n    *{out}.append({in}[{i}])',
    ],
  }),
  step('sorted', 'numbers', 'numbers', (all: number[]) => all.toSorted((a, b) => a - b), {
    orders: ['sort the numbers', 'sort the list in ascending order', 'put the smallest numbers first'],
    nouns: ['the sorted list'],
    expressions: ['sorted({in})'],
    statements: ['{out} = list({in})\n*{out}.sort()'],
  }),
  step('descending', 'numbers', 'numbers', (all: number[]) => all.toSorted((a, b) => b - a), {
    orders: ['sort the numbers from largest to smallest', 'sort the list in descending order'],
    nouns: ['the list sorted from largest to smallest'],
    expressions: ['sorted({in}, reverse=True)', 'sorted({in})[::-1]'],
    statements: ['{out} = list({in})\n*{out}.sort(reverse=True)', '{out} = sorted({in})\n*{out}.reverse()'],
  }),
  step('unique', 'numbers', 'numbers', (all: number[]) => [...new Set(all)], {
    orders: ['remove duplicates, keeping the first of each', 'drop repeated numbers', 'keep each number once'],
    nouns: ['the different numbers in order'],
    expressions: ['list(dict.fromkeys({in}))'],
    statements: [
      '{out} = []\nfor {v} in {in}:\n    *if {v} not in {out}:\n        {out}.append({v})',
      '{out} = []\nfor {v} in {in}:\n    *if {v} in {out}:\n        continue\n    {out}.append({v})',
    ],
  }),
  step('first_k', 'numbers', 'numbers', (all: number[], k: number) => all.slice(0, k), {
    constants: SMALL,
    orders: ['take the first {k} numbers', 'keep the first {k}', 'cut the list after {k} numbers'],
    nouns: ['the first {k} numbers'],
    expressions: ['{in}[:{k}]'],
    statements: ['{out} = []\nfor {i}, {v} in enumerate({in}):\n    *if {i} < {k}:\n        {out}.append({v})'],
  }),
  step('skip_k', 'numbers', 'numbers', (all: number[], k: number) => all.slice(k), {
    constants: [1, 2, 3],
    orders: ['skip the first {k}', 'drop {k} from the front', 'leave out the first {k}'],
    nouns: ['all but the first {k}'],
    expressions: ['{in}[{k}:]'],
    statements: ['{out} = []\nfor {i}, {v} in enumerate({in}):\n    *if {i} >= {k}:\n        {out}.append({v})'],
  }),
  step('last_k', 'numbers', 'numbers', (all: number[], k: number) => all.slice(-k), {
    constants: SMALL,
    orders: ['take the last {k} numbers', 'keep the last {k}'],
    nouns: ['the last {k} numbers'],
    expressions: ['{in}[-{k}:]'],
  }),
  step('every_other', 'numbers', 'numbers', (all: number[]) => all.filter((_, i) => i % 2 === 0), {
    orders: ['take every other number', 'keep the numbers at even positions', 'skip every second number'],
    nouns: ['every other number'],
    expressions: ['{in}[::2]', '[{v} for {i}, {v} in enumerate({in}) if {i} % 2 == 0]'],
    statements: ['{out} = []\nfor {i} in range(0, len({in}), 2):\n    *{out}.append({in}[{i}])'],
  }),
  step('running', 'numbers', 'numbers', (all: number[]) => all.map((_, i) => sum(all.slice(0, i + 1))), {
    orders: ['compute the running totals', 'replace each number by the sum so far', 'add up as you go'],
    nouns: ['the running totals'],
    expressions: ['[sum({in}[: {i} + 1]) for {i} in range(len({in}))]'],
    statements: [
      '{out} = []\nsubtotal = 0\nfor {v} in {in}:\n    subtotal += {v}\n    *{out}.append(subtotal)',
      '{out} = []\nfor {v} in {in}:\n    *{out}.append({v} + ({out}[-1] if {out} else 0))',
    ],
  }),
  step('differences', 'numbers', 'numbers', (all: number[]) => all.slice(1).map((x, i) => x - all[i]!), {
    orders: ['compute the differences between neighbours', 'subtract each number from the next one'],
    nouns: ['the differences between neighbours'],
    expressions: [
      '[{in}[{i} + 1] - {in}[{i}] for {i} in range(len({in}) - 1)]',
      '[{v} - before for before, {v} in zip({in}, {in}[1:])]',
    ],
    statements: ['{out} = []\nfor {i} in range(1, len({in})):\n    *{out}.append({in}[{i}] - {in}[{i} - 1])'],
  }),
  step('plus_index', 'numbers', 'numbers', (all: number[]) => all.map((x, i) => x + i), {
    orders: ['add its index to each number', 'increase every number by its position'],
    nouns: ['the numbers plus their positions'],
    expressions: ['[{v} + {i} for {i}, {v} in enumerate({in})]'],
    statements: ['{out} = []\nfor {i}, {v} in enumerate({in}):\n    *{out}.append({v} + {i})'],
  }),
];

const numbersToNumber: readonly Step[] = [
  step('sum', 'numbers', 'number', (all: number[]) => sum(all), {
    orders: ['add up the numbers', 'sum the numbers', 'compute the total'],
    nouns: ['the sum', 'the total', 'the sum of the numbers'],
    expressions: ['sum({in})'],
    statements: [
      '{out} = 0\nfor {v} in {in}:\n    *{out} += {v}',
      '{out} = 0\nfor {v} in {in}:\n    *{out} = {out} + {v}',
    ],
  }),
  step('largest', 'numbers', 'number', (all: number[]) => Math.max(...some(all)), {
    orders: ['find the largest number', 'find the maximum', 'pick the biggest number'],
    nouns: ['the largest number', 'the maximum'],
    expressions: ['max({in})', 'sorted({in})[-1]'],
    statements: ['{out} = {in}[0]\nfor {v} in {in}:\n    *if {v} > {out}:\n        {out} = {v}'],
  }),
  step('smallest', 'numbers', 'number', (all: number[]) => Math.min(...some(all)), {
    orders: ['find the smallest number', 'find the minimum', 'pick the least number'],
    nouns: ['the smallest number', 'the minimum'],
    expressions: ['min({in})', 'sorted({in})[0]'],
    statements: ['{out} = {in}[0]\nfor {v} in {in}:\n    *if {v} < {out}:\n        {out} = {v}'],
  }),
  step('count', 'numbers', 'number', (all: number[]) => all.length, {
    orders: ['count the numbers', 'count how many there are'],
    nouns: ['how many there are', 'the count', 'the number of items'],
    expressions: ['len({in})', 'sum(1 for {v} in {in})'],
    statements: ['{out} = 0\nfor {v} in {in}:\n    *{out} += 1'],
  }),
  step('spread', 'numbers', 'number', (all: number[]) => Math.max(...some(all)) - Math.min(...all), {
    orders: ['compute the gap between largest and smallest'],
    nouns: ['the difference between largest and smallest', 'the spread'],
    expressions: ['max({in}) - min({in})'],
    statements: ['low = min({in})\nhigh = max({in})\n*{out} = high - low'],
  }),
  step('last', 'numbers', 'number', (all: number[]) => some(all).at(-1)!, {
    orders: ['pick the last number'],
    nouns: ['the last number', 'the last one'],
    expressions: ['{in}[-1]', '{in}[len({in}) - 1]'],
  }),
  step('first', 'numbers', 'number', (all: number[]) => some(all)[0]!, {
    orders: ['pick the first number'],
    nouns: ['the first number', 'the first one'],
    expressions: ['{in}[0]'],
  }),
  step('distinct', 'numbers', 'number', (all: number[]) => new Set(all).size, {
    orders: ['count the different numbers'],
    nouns: ['how many different numbers there are'],
    expressions: ['len(set({in}))'],
    statements: ['seen = set()\nfor {v} in {in}:\n    seen.add({v})\n*{out} = len(seen)'],
  }),
];

const numberToNumber: readonly Step[] = [
  step('plus_k', 'number', 'number', (x: number, k: number) => x + k, {
    constants: LARGER,
    orders: ['add {k} to it', 'increase the result by {k}'],
    expressions: ['{in} + {k}'],
    statements: ['{out} = {in}\n*{out} += {k}'],
  }),
  step('product_k', 'number', 'number', (x: number, k: number) => x * k, {
    constants: [2, 3, 4, 5, 6, 7],
    orders: ['multiply it by {k}', 'scale the result by {k}'],
    expressions: ['{in} * {k}'],
    statements: ['{out} = {in}\n*{out} *= {k}'],
  }),
  step('squared', 'number', 'number', (x: number) => x * x, {
    orders: ['square it', 'multiply the result by itself'],
    expressions: ['{in} * {in}', '{in} ** 2'],
  }),
  step('mod_k', 'number', 'number', (x: number, k: number) => modulo(x, k), {
    constants: [3, 5, 7, 10],
    orders: ['take it modulo {k}', 'take the remainder after division by {k}'],
    expressions: ['{in} % {k}'],
  }),
];

const texts: readonly Step[] = [
  step('upper', 'text', 'text', (s: string) => s.toUpperCase(), {
    orders: ['convert the text to upper case', 'make all letters capital'],
    nouns: ['the text in upper case'],
    expressions: ['{in}.upper()', "''.join({v}.upper() for {v} in {in})"],
  }),
  step('lower', 'text', 'text', (s: string) => s.toLowerCase(), {
    orders: ['convert the text to lower case', 'make all letters small'],
    nouns: ['the text in lower case'],
    expressions: ['{in}.lower()', "''.join({v}.lower() for {v} in {in})"],
  }),
  step('backwards', 'text', 'text', (s: string) => Array.from(s).reverse().join(''), {
    orders: ['reverse the text', 'turn the text around', 'spell the text backwards'],
    nouns: ['the text backwards'],
    expressions: ['{in}[::-1]', "''.join(reversed({in}))"],
    statements: ["{out} = ''\nfor {v} in {in}:\n    *{out} = {v} + {out}"],
  }),
  step(
    'no_vowels',
    'text',
    'text',
    (s: string) =>
      Array.from(s)
        .filter((c) => !isVowel(c))
        .join(''),
    {
      orders: ['remove the vowels', 'drop all vowels'],
      nouns: ['the text without vowels'],
      expressions: ["''.join({v} for {v} in {in} if {v} not in 'aeiouAEIOU')"],
      statements: [
        "{out} = ''\nfor {v} in {in}:\n    *if {v} not in 'aeiouAEIOU':\n        {out} += {v}",
        "{out} = ''\nfor {v} in {in}:\n    *if {v} in 'aeiouAEIOU':\n        continue\n    {out} += {v}",
      ],
    },
  ),
  step('no_spaces', 'text', 'text', (s: string) => s.replaceAll(' ', ''), {
    orders: ['remove the spaces', 'drop all spaces'],
    nouns: ['the text without spaces'],
    expressions: ["{in}.replace(' ', '')", "''.join({in}.split(' '))"],
    statements: ["{out} = ''\nfor {v} in {in}:\n    *if {v} != ' ':\n        {out} += {v}"],
  }),
  step('underscored', 'text', 'text', (s: string) => s.replaceAll(' ', '_'), {
    orders: ['replace spaces by underscores', 'put an underscore for every space'],
    nouns: ['the text with underscores for spaces'],
    expressions: ["{in}.replace(' ', '_')", "'_'.join({in}.split(' '))"],
  }),
  step('letters_only', 'text', 'text', (s: string) => s.replace(/[^A-Za-z]/g, ''), {
    orders: ['keep only the letters', 'drop everything that is no letter'],
    nouns: ['the letters of the text'],
    expressions: ["''.join({v} for {v} in {in} if {v}.isalpha())", "''.join(filter(str.isalpha, {in}))"],
    statements: ["{out} = ''\nfor {v} in {in}:\n    *if {v}.isalpha():\n        {out} += {v}"],
  }),
  step(
    'swapped',
    'text',
    'text',
    (s: string) => s.replace(/[A-Za-z]/g, (c) => (c < 'a' ? c.toLowerCase() : c.toUpperCase())),
    {
      orders: ['swap upper and lower case', 'flip the case of each letter'],
      nouns: ['the text with its case swapped'],
      expressions: ['{in}.swapcase()'],
      statements: ["{out} = ''\nfor {v} in {in}:\n    *{out} += {v}.lower() if {v}.isupper() else {v}.upper()"],
    },
  ),
  step(
    'doubled',
    'text',
    'text',
    (s: string) =>
      Array.from(s)
        .map((c) => c + c)
        .join(''),
    {
      orders: ['repeat each character twice', 'double every character'],
      nouns: ['the text with every character doubled'],
      expressions: ["''.join({v} * 2 for {v} in {in})", "''.join([{v} + {v} for {v} in {in}])"],
      statements: ["{out} = ''\nfor {v} in {in}:\n    *{out} += {v} * 2"],
    },
  ),
  step('beginning_k', 'text', 'text', (s: string, k: number) => s.slice(0, k), {
    constants: [3, 4, 5, 6],
    orders: ['take the first {k} characters', 'cut the text after {k} characters'],
    nouns: ['the first {k} characters'],
    expressions: ['{in}[:{k}]'],
  }),
  step('once_each', 'text', 'text', (s: string) => [...new Set(s)].join(''), {
    orders: ['keep each character once', 'drop repeated characters'],
    nouns: ['the different characters in order'],
    expressions: ["''.join(dict.fromkeys({in}))"],
    statements: ["{out} = ''\nfor {v} in {in}:\n    *if {v} not in {out}:\n        {out} += {v}"],
  }),
  step(
    'alternate',
    'text',
    'text',
    (s: string) =>
      Array.from(s)
        .filter((_, i) => i % 2 === 0)
        .join(''),
    {
      orders: ['take every other character', 'skip every second character'],
      nouns: ['every other character'],
      expressions: ['{in}[::2]', "''.join({v} for {i}, {v} in enumerate({in}) if {i} % 2 == 0)"],
    },
  ),
  step('split', 'text', 'words', (s: string) => s.split(' ').filter((word) => word !== ''), {
    orders: ['split the text into words', 'break the text up into its words'],
    nouns: ['the words of the text'],
    expressions: ['{in}.split()'],
  }),
  step('length', 'text', 'number', (s: string) => s.length, {
    orders: ['count the characters'],
    nouns: ['the length', 'how many characters there are'],
    expressions: ['len({in})', 'sum(1 for {v} in {in})'],
    statements: ['{out} = 0\nfor {v} in {in}:\n    *{out} += 1'],
  }),
  step('vowel_count', 'text', 'number', (s: string) => Array.from(s).filter(isVowel).length, {
    orders: ['count the vowels'],
    nouns: ['the number of vowels', 'how many vowels there are'],
    expressions: ["sum(1 for {v} in {in} if {v} in 'aeiouAEIOU')", "len([{v} for {v} in {in} if {v} in 'aeiouAEIOU'])"],
    statements: ["{out} = 0\nfor {v} in {in}:\n    *if {v} in 'aeiouAEIOU':\n        {out} += 1"],
  }),
  step('capital_count', 'text', 'number', (s: string) => s.replace(/[^A-Z]/g, '').length, {
    orders: ['count the capital letters'],
    nouns: ['the number of capital letters'],
    expressions: ['sum(1 for {v} in {in} if {v}.isupper())', 'len([{v} for {v} in {in} if {v}.isupper()])'],
    statements: ['{out} = 0\nfor {v} in {in}:\n    *if {v}.isupper():\n        {out} += 1'],
  }),
  step('distinct_count', 'text', 'number', (s: string) => new Set(s).size, {
    orders: ['count the different characters'],
    nouns: ['how many different characters there are'],
    expressions: ['len(set({in}))'],
  }),
];

const words: readonly Step[] = [
  each('shouted', 'words', (w: string) => w.toUpperCase(), '{v}.upper()', {
    orders: ['convert each word to upper case', 'make every word upper case'],
    nouns: ['the words in upper case'],
  }),
  each('whispered', 'words', (w: string) => w.toLowerCase(), '{v}.lower()', {
    orders: ['convert each word to lower case', 'make every word lower case'],
    nouns: ['the words in lower case'],
  }),
  each('mirrored', 'words', (w: string) => Array.from(w).reverse().join(''), '{v}[::-1]', {
    orders: ['reverse each word', 'spell every word backwards'],
    nouns: ['the words spelt backwards'],
  }),
  each('initials', 'words', (w: string) => w.slice(0, 1), '{v}[:1]', {
    orders: ['take the first letter of each word', 'cut every word after its first letter'],
    nouns: ['the first letters of the words'],
  }),
  each('short_k', 'words', (w: string, k: number) => w.slice(0, k), '{v}[:{k}]', {
    constants: SMALL,
    orders: ['cut each word to {k} letters', 'keep the first {k} letters of every word'],
    nouns: ['the words cut to {k} letters'],
  }),
  each('excited', 'words', (w: string) => `${w}!`, "{v} + '!'", {
    orders: ['add an exclamation mark to each word', 'end every word with an exclamation mark'],
    nouns: ['the words with exclamation marks'],
  }),
  each(
    'sizes',
    'words',
    (w: string) => w.length,
    'len({v})',
    {
      orders: ['take the length of each word', 'replace every word by its length'],
      nouns: ['the lengths of the words'],
    },
    'numbers',
  ),
  keep('longer_k', 'words', (w: string, k: number) => w.length > k, 'len({v}) > {k}', 'len({v}) <= {k}', {
    constants: SMALL,
    orders: ['keep the words longer than {k} letters', 'drop words of {k} letters or fewer'],
    nouns: ['the words longer than {k} letters'],
  }),
  keep('shorter_k', 'words', (w: string, k: number) => w.length < k, 'len({v}) < {k}', 'len({v}) >= {k}', {
    constants: [4, 5, 6, 7],
    orders: ['keep the words shorter than {k} letters', 'drop words of {k} letters or more'],
    nouns: ['the words shorter than {k} letters'],
  }),
  keep(
    'vowel_start',
    'words',
    (w: string) => isVowel(some(Array.from(w))[0]!),
    "{v}[0] in 'aeiouAEIOU'",
    "{v}[0] not in 'aeiouAEIOU'",
    {
      orders: ['keep the words that start with a vowel', 'take words beginning with a vowel'],
      nouns: ['the words that start with a vowel'],
    },
  ),
  keep('with_a', 'words', (w: string) => w.includes('a'), "'a' in {v}", "'a' not in {v}", {
    orders: ['keep the words that contain the letter a', 'drop words without the letter a'],
    nouns: ['the words that contain the letter a'],
  }),
  step('alphabetical', 'words', 'words', (all: string[]) => all.toSorted(byText), {
    orders: ['sort the words', 'put the words in alphabetical order'],
    nouns: ['the sorted words'],
    expressions: ['sorted({in})'],
    statements: ['{out} = list({in})\n*{out}.sort()'],
  }),
  step('by_length', 'words', 'words', (all: string[]) => all.toSorted((a, b) => a.length - b.length), {
    orders: ['sort the words by length', 'put the shortest words first'],
    nouns: ['the words from shortest to longest'],
    expressions: ['sorted({in}, key=len)', 'sorted({in}, key=lambda {v}: len({v}))'],
    statements: ['{out} = list({in})\n*{out}.sort(key=len)'],
  }),
  step('last_first', 'words', 'words', (all: string[]) => all.toReversed(), {
    orders: ['reverse the order of the words', 'put the last word first'],
    nouns: ['the words in reverse order'],
    expressions: ['{in}[::-1]', 'list(reversed({in}))'],
    statements: ['{out} = []\nfor {v} in {in}:\n    *{out}.insert(0, {v})'],
  }),
  step('no_repeats', 'words', 'words', (all: string[]) => [...new Set(all)], {
    orders: ['drop repeated words', 'keep each word once'],
    nouns: ['the different words in order'],
    expressions: ['list(dict.fromkeys({in}))'],
    statements: ['{out} = []\nfor {v} in {in}:\n    *if {v} not in {out}:\n        {out}.append({v})'],
  }),
  step('leading_k', 'words', 'words', (all: string[], k: number) => all.slice(0, k), {
    constants: [2, 3, 4],
    orders: ['take the first {k} words', 'keep the first {k} words'],
    nouns: ['the first {k} words'],
    expressions: ['{in}[:{k}]'],
  }),
  step('joined', 'words', 'text', (all: string[]) => all.join(' '), {
    orders: ['join the words with spaces'],
    nouns: ['the words joined with spaces'],
    expressions: ["' '.join({in})"],
    statements: [
      "{out} = ''\nfor {i}, {v} in enumerate({in}):\n    if {i} > 0:\n        {out} += ' '\n    *{out} += {v}",
    ],
  }),
  step('dashed', 'words', 'text', (all: string[]) => all.join('-'), {
    orders: ['join the words with dashes', 'put a dash between words'],
    nouns: ['the words joined with dashes'],
    expressions: ["'-'.join({in})"],
  }),
  step('glued', 'words', 'text', (all: string[]) => all.join(''), {
    orders: ['join the words without spaces', 'glue the words together'],
    nouns: ['the words glued together'],
    expressions: ["''.join({in})"],
    statements: ["{out} = ''\nfor {v} in {in}:\n    *{out} += {v}"],
  }),
  step('word_count', 'words', 'number', (all: string[]) => all.length, {
    orders: ['count the words'],
    nouns: ['the number of words', 'how many words there are'],
    expressions: ['len({in})'],
    statements: ['{out} = 0\nfor {v} in {in}:\n    *{out} += 1'],
  }),
  step('longest', 'words', 'text', (all: string[]) => some(all).reduce((a, b) => (b.length > a.length ? b : a)), {
    orders: ['find the longest word'],
    nouns: ['the longest word', 'the first of the longest words'],
    expressions: ['max({in}, key=len)'],
    statements: ['{out} = {in}[0]\nfor {v} in {in}:\n    *if len({v}) > len({out}):\n        {out} = {v}'],
  }),
  step('letter_total', 'words', 'number', (all: string[]) => sum(all.map((w) => w.length)), {
    orders: ['count the letters of all words'],
    nouns: ['the total length of the words'],
    expressions: ['sum(len({v}) for {v} in {in})', "len(''.join({in}))"],
    statements: ['{out} = 0\nfor {v} in {in}:\n    *{out} += len({v})'],
  }),
];

export const STEPS: readonly Step[] = [
  ...[...numbersToNumbers, ...numbersToNumber, ...numberToNumber],
  ...[...texts, ...words],
];
