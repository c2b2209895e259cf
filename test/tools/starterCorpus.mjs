/**
 * Writes the data of the starter model: `corpus.jsonl` to train on and `benchmark.jsonl`, 150 held-out problems in
 * HumanEval's format. The same seed gives the same bytes.
 *
 *   node test/tools/starterCorpus.mjs [--out .cache/starter] [--functions 200000] [--seed 0]
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { root } from './setup.mjs';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, '.cache', 'starter') },
    functions: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '0' },
  },
});
const bundle = join(root, '.cache', 'tools', 'starterCorpus.mjs');
await build({
  entryPoints: [join(import.meta.dirname, 'starterCorpus.ts')],
  bundle: true,
  platform: 'node',
  format: 'esm',
  outfile: bundle,
  logLevel: 'error',
});
execFileSync(process.execPath, [bundle, values.out, values.functions, values.seed], { stdio: 'inherit' });
