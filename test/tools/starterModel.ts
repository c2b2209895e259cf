/**
 * Our side of starterModel.mjs. Arguments: the model's folder, where the tokenizer goes that it trains on functions of the
 * starter corpus; and the file of the starter benchmark.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceJsonLines } from '../../src/evaluation/jsonl.ts';
import { starterProblems, toRow } from '../../src/midtraining/starter/benchmark.ts';
import { starterCorpus } from '../../src/midtraining/starter/corpus.ts';
import { trainTokenizer } from './starterTokenizer.ts';

const VOCABULARY = 1536;
/** More change little: the corpus has few words. */
const FUNCTIONS = 10_000;
/** As in starterModel.midtrain.json. */
const SEED = 1;

const [, , folder = '', benchmark = ''] = process.argv;
const texts: string[] = [];
for await (const { text } of starterCorpus(FUNCTIONS, SEED)) texts.push(text);
await writeFile(join(folder, 'tokenizer.json'), `${JSON.stringify(trainTokenizer(texts, VOCABULARY))}\n`);
await replaceJsonLines(benchmark, starterProblems().map(toRow));
