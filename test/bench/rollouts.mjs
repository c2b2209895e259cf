/**
 * Rollouts against sampling the same tokens, in turns in one process: prints rollouts a second, the model's tokens a second
 * (given and drawn), and ratios.
 *
 *   node test/bench/rollouts.mjs --model MODEL [--threads 1] [--rounds 3] [--group 16] [--places 16] [--precision auto]
 *
 * - plain: as many samples of the same length are drawn from one prompt, all tokens by themselves (`generate`).
 * - apart: each decision and each latent is asked for by itself: prefill of the text before it, then sampling.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const here = import.meta.dirname;
const bundle = join(here, '../../.cache/bench/rollouts.mjs');
mkdirSync(join(bundle, '..'), { recursive: true });
await build({
  entryPoints: [join(here, 'rollouts.ts')],
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['onnxruntime-node', 'web-tree-sitter', 'tree-sitter-python'],
  outfile: bundle,
  logLevel: 'error',
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
});
await import(pathToFileURL(bundle));
