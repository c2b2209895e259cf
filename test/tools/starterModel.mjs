/**
 * Makes the starter model in media/starter-model and its benchmark, media/starter-benchmark.jsonl, with nothing but this
 * repository: a tokenizer from the starter corpus, then next-token prediction from random weights as
 * starterModel.midtrain.json says. With `--study` the model of the study in media/study-model instead, as
 * studyModel.midtrain.json says, with the same tokenizer. The architecture is config.json there. Resumes where it was
 * stopped; .cache/starter-model or .cache/study-model keeps the run, whose events.jsonl has every loss.
 *
 *   node test/tools/starterModel.mjs [--study]
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { build } from 'esbuild';
import { cli, root, run } from './setup.mjs';

const study = process.argv.includes('--study');
const name = study ? 'study-model' : 'starter-model';
const model = join(root, 'media', name);
const training = join(root, '.cache', name);
const bundle = join(root, '.cache', 'tools', 'starterModel.mjs');

await build({
  entryPoints: [join(import.meta.dirname, 'starterModel.ts')],
  bundle: true,
  platform: 'node',
  format: 'esm',
  outfile: bundle,
  logLevel: 'error',
});
await node(join(root, 'esbuild.mjs'), '--production');
if (!study) await node(bundle, model, join(root, 'media', 'starter-benchmark.jsonl'));
const recipe = study ? 'studyModel.midtrain.json' : 'starterModel.midtrain.json';
await node(cli, 'train', join(import.meta.dirname, recipe), '--out', training);
const exported = join(training, 'exports', 'float16');
await node(cli, 'export', training, '--format', 'hf-f16', '--out', exported, '--overwrite');
copyFileSync(join(exported, 'model.safetensors'), join(model, 'model.safetensors'));
// The second half of the problems stays closed to whoever looks for the study's settings.
const evaluated = study ? ['--model', 'starter:study', '--limit', '75'] : ['--model', 'starter:midtrain'];
await node(cli, 'evaluate', ...evaluated, '--benchmark', 'starter', '--yes');

/** Runs a program of Node; ends with its status where it fails. */
async function node(...args) {
  const code = await run(process.execPath, args);
  if (code !== 0) process.exit(code);
}
