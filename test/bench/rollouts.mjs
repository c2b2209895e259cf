/**
 * Rollouts against sampling the same tokens, in turns in one process: prints rollouts a second, the model's tokens a second
 * (given and drawn), and ratios.
 *
 *   node test/bench/rollouts.mjs --model MODEL [--threads 1] [--rounds 3] [--group 16] [--places 16] [--precision auto]
 *
 * - plain: as many samples of the same length are drawn from one prompt, all tokens by themselves (`generate`).
 * - apart: each decision and each latent is asked for by itself: prefill of the text before it, then sampling.
 */
import { pathToFileURL } from 'node:url';
import { bundle } from './sides.mjs';

const program = await bundle('rollouts.ts', ['web-tree-sitter', 'tree-sitter-python']);
await import(pathToFileURL(program));
