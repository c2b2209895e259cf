/**
 * What comments are worth to a model on functions of the starter corpus that have none: how often it would write one, how
 * often what it writes names the step at hand, and what right, wrong and its own ones gain on the lines they govern.
 *
 *   node test/bench/starterLatents.mjs [--model MODEL] [--functions 60] [--group 4] [--penalty 0.05] [--seed 900] [--threads 1]
 */
import { pathToFileURL } from 'node:url';
import { bundle } from './sides.mjs';

const program = await bundle('starterLatents.ts', ['web-tree-sitter', 'tree-sitter-python']);
await import(pathToFileURL(program));
