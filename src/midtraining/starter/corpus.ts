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
export async function* starterCorpus(
  count: number,
  seed = 0,
  comments: functions.StarterComments = 'some',
): AsyncGenerator<SourceDocument> {
  const benchmark = new Decontaminator(starterProblems());
  for (let number = 0; number < count; number++) {
    await Promise.resolve(); // whoever reads may turn to other work
    const text = starterFunction(seed, number, comments, benchmark);
    yield { name: `starter/${number}.py`, splitKey: `${number}`, text };
  }
}

function starterFunction(
  seed: number,
  number: number,
  comments: functions.StarterComments,
  benchmark: Decontaminator,
): string {
  const random = seededRandom(mixSeed('starter corpus', seed, number));
  for (;;) {
    const composition = functions.drawComposition(random);
    if (isHeldOutComposition(composition)) continue;
    const { head, name, body } = functions.write(random, composition);
    const examples = random.uniform() < WITH_EXAMPLE ? exampleOf(random, name, composition) : [];
    const phrases = functions.phrases(random, composition);
    const docstring = functions.docstring(functions.describe(random, phrases), examples);
    // Of its own, so that the functions do not depend on the comments.
    const lot = seededRandom(mixSeed('starter comments', seed, number));
    const lines = functions.withComments(body, ({ note, begins, isCommented }) => {
      if (comments === 'none') return null;
      if (comments === 'some') return isCommented ? note : null;
      if (begins === null) return null;
      return comments === 'steps' || lot.uniform() <= functions.COMMENTED_STEPS ? phrases[begins]! : null;
    });
    const text = `${[head, ...docstring, ...lines].join('\n')}\n`;
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
