/**
 * How long reading a file takes, by its length: prints wall and CPU seconds, tokens of code a CPU second, and the size of the
 * reading, for the first rows of one file.
 *
 *   node test/bench/reading.mjs --model MODEL --file FILE.py [--rows 200,500,1000,2000] [--threads 1]
 */
import { pathToFileURL } from 'node:url';
import { bundle } from './sides.mjs';

const program = await bundle('reading.ts', ['web-tree-sitter', 'tree-sitter-python']);
await import(pathToFileURL(program));
