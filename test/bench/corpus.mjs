/**
 * What becomes of a folder of Python as a corpus, here the installed Python's standard library: counts, tokens, what is
 * dropped and why, hits of the decontamination, packing, time and memory.
 *
 *   node test/bench/corpus.mjs --model MODEL.gguf [--folder FOLDER] [humaneval=FILE] [mbpp=FILE]
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { bundle } from './sides.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { model: { type: 'string' }, folder: { type: 'string' } },
});
if (!values.model) throw new Error('--model is needed: a GGUF file, whose tokenizer counts.');
const standardLibrary = 'import sysconfig; print(sysconfig.get_path("stdlib"))';
const folder = values.folder ?? execFileSync('python3', ['-c', standardLibrary], { encoding: 'utf8' }).trim();

const program = await bundle('corpus.ts');
execFileSync(process.execPath, [program, folder, values.model, ...positionals], { stdio: 'inherit' });
