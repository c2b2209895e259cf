/** The models that come with the program: any text goes through their tokenizer, and they solve some problems. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { builtInBenchmark, builtInModel, studyModel } from '../../../src/catalog/builtIn.ts';
import { findPythons } from '../../../src/catalog/python.ts';
import { createTokenizer, type Tokenizer } from '../../../src/engine/text/tokenizer.ts';
import { openModel } from '../../../src/engine/weights/open.ts';
import { starterProblems } from '../../../src/midtraining/starter/benchmark.ts';
import { starterCorpus } from '../../../src/midtraining/starter/corpus.ts';
import { createRun } from '../../../src/runner/store.ts';
import { workOn } from '../../../src/runner/work.ts';
import { smallRequest, temporaryFolder } from '../../runner/smallRun.ts';
import { trainTokenizer } from '../../tools/starterTokenizer.ts';

const home = temporaryFolder();
process.env['MIDTRAIN_RUNS'] = join(home, 'runs');
const hasPython = (await findPythons()).length > 0;

describe("the starter model's tokenizer", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    const source = await openModel(builtInModel.path);
    tokenizer = createTokenizer(source.tokenizer);
    expect(tokenizer.vocabularySize).toBe(source.config.vocabularySize);
    await source.close();
  });

  it('gives any text back', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.stringMatching(/^[ \t\n\r_a-c0-9#"'():=[\]é漢😀]*$/u),
    );
    fc.assert(
      fc.property(text, (one) => {
        expect(tokenizer.decode(tokenizer.encode(one, { parseSpecial: false }))).toBe(one);
      }),
      { numRuns: 2000 },
    );
  });

  it('cuts a prompt before the newline of its end as it cuts a whole function', () => {
    const { prompt, canonicalSolution } = starterProblems()[0]!;
    const whole = tokenizer.encode(prompt + canonicalSolution);
    for (const begun of [prompt, prompt.trimEnd()]) {
      const ids = tokenizer.encode(begun);
      expect(whole.slice(0, ids.length)).toEqual(ids);
    }
  });

  it('is what the recipe makes', async () => {
    const texts: string[] = [];
    for await (const { text } of starterCorpus(10_000, 1)) texts.push(text);
    const source = await openModel(builtInModel.path);
    expect(JSON.parse(JSON.stringify(trainTokenizer(texts, 1536)))).toEqual(source.tokenizer.tokenizer);
    await source.close();
  });

  it("is the study model's too", () => {
    const [own, other] = [builtInModel, studyModel].map(({ path }) =>
      readFileSync(join(path, 'tokenizer.json'), 'utf8'),
    );
    expect(other).toBe(own);
  });

  it('ends a text where its counts end', () => {
    // Nothing comes twice but "ab": one merge, whatever size is asked for.
    const { model } = trainTokenizer(['ab', 'ab cd'], 300) as { model: { merges: string[][]; vocab: object } };
    expect(model.merges).toEqual([['a', 'b']]);
    expect(Object.keys(model.vocab)).toHaveLength(1 + 256 + 1);
  });
});

describe.each([builtInModel, studyModel])('$label', ({ spec, label, path }) => {
  it.skipIf(!hasPython || !existsSync(path))('solves some of its problems, and leaves room', async () => {
    const folder = await createRun(
      process.env['MIDTRAIN_RUNS']!,
      smallRequest(builtInBenchmark, {
        model: { spec, label, path },
        benchmark: { id: 'starter', path: builtInBenchmark },
        limit: 40,
        samples: 1,
        sampling: { temperature: 0, topP: 1, topK: 0, minP: 0 },
        protocol: null,
        maxTokens: null,
        batch: 40,
      }),
    );
    const { score } = await workOn(folder, { signal: new AbortController().signal });
    expect(score).toMatchObject({ problems: 40, problemsOfBenchmark: 150 });
    expect(score.solved).toBeGreaterThanOrEqual(2);
    expect(score.solved).toBeLessThanOrEqual(20);
  });
});
