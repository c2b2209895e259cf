/**
 * Our side of starterModel.mjs, one step a call:
 *
 *   tokenizer FOLDER      trains the tokenizer on functions of the starter corpus
 *   benchmark FILE        writes the starter benchmark
 *   weights FROM FOLDER   stores a trained model's weights as float16
 */
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openModel } from '../../src/engine/weights/open.ts';
import { writeHuggingFaceFolder } from '../../src/engine/weights/huggingFaceFolder.ts';
import { replaceJsonLines } from '../../src/evaluation/jsonl.ts';
import { starterProblems, toRow } from '../../src/midtraining/starter/benchmark.ts';
import { starterCorpus } from '../../src/midtraining/starter/corpus.ts';
import { trainTokenizer } from './starterTokenizer.ts';

const VOCABULARY = 1536;
/** More change little: the corpus has few words. */
const FUNCTIONS = 10_000;
/** Of the functions, as in starterModel.midtrain.json. */
const SEED = 1;

async function main([step, from = '', to = '']: readonly string[]): Promise<void> {
  if (step === 'tokenizer') {
    const texts: string[] = [];
    for await (const { text } of starterCorpus(FUNCTIONS, SEED)) texts.push(text);
    await writeFile(join(from, 'tokenizer.json'), `${JSON.stringify(trainTokenizer(texts, VOCABULARY), null, 1)}\n`);
  } else if (step === 'benchmark') {
    await replaceJsonLines(from, starterProblems().map(toRow));
  } else {
    const source = await openModel(from);
    const aside = `${from}-float16`;
    await writeHuggingFaceFolder(aside, source, (name) => source.weights.readFloat32(name));
    await source.close();
    for (const name of ['model.safetensors', 'config.json']) await copyFile(join(aside, name), join(to, name));
  }
}

await main(process.argv.slice(2));
