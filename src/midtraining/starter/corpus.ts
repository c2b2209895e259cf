/**
 * The starter corpus: as many functions as asked for, none of which does what a problem of the starter benchmark asks, and
 * none of which shares ten words in a row with one. A stream; the same seed gives the same functions.
 */
import { mixSeed, seededRandom } from '../../engine/random.ts';
import type { SourceDocument } from '../data/document.ts';
import { Decontaminator } from '../data/decontamination.ts';
import { isHeldOutComposition, starterProblems } from './benchmark.ts';
import * as functions from './functions.ts';

/** Share of the functions whose docstring has an example, as those of the benchmark have. */
const WITH_EXAMPLE = 0.6;

/** @param seed other functions for another; function number n does not depend on how many there are */
export async function* starterCorpus(count: number, seed = 0): AsyncGenerator<SourceDocument> {
  const benchmark = new Decontaminator(starterProblems());
  for (let number = 0; number < count; number++) {
    await Promise.resolve(); // whoever reads may turn to other work
    const text = starterFunction(seed, number, benchmark);
    yield { name: `starter/${number}.py`, splitKey: `${number}`, text };
  }
}

function starterFunction(seed: number, number: number, benchmark: Decontaminator): string {
  const random = seededRandom(mixSeed('starter corpus', seed, number));
  for (;;) {
    const composition = functions.drawComposition(random);
    if (isHeldOutComposition(composition)) continue;
    const { head, name, body } = functions.write(random, composition);
    const examples = random.uniform() < WITH_EXAMPLE ? exampleOf(random, name, composition) : [];
    const docstring = functions.docstring(functions.describe(random, composition), examples);
    const text = `${[head, ...docstring, ...body].join('\n')}\n`;
    if (benchmark.find(text).length === 0) return text;
  }
}

function exampleOf(
  random: ReturnType<typeof seededRandom>,
  name: string,
  composition: functions.Composition,
): functions.Example[] {
  const value = functions.drawArgument(random, composition[0]!.step.from);
  try {
    const result = functions.pythonLiteral(functions.runComposition(composition, value));
    return [{ name, argument: functions.pythonLiteral(value), result }];
  } catch (error) {
    if (error instanceof RangeError) return []; // it would fail on this value
    throw error;
  }
}
