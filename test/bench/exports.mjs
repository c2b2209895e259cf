/**
 * Exports loaded by the programs they are for: transformers, peft and llama.cpp give the logits that our engine gives from
 * the trained weights, and the same tokens. Trains a tiny Llama, a tiny Qwen2 and, with --model, a real model by a few LoRA
 * steps, exports each in every form, and prints a table.
 *
 *   node test/bench/exports.mjs --python VENV/bin/python [--model SmolLM2.gguf] [--steps 4]
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from './sides.mjs';

const { values } = parseArgs({
  options: { python: { type: 'string' }, model: { type: 'string' }, steps: { type: 'string', default: '4' } },
});
if (!values.python) throw new Error('--python is needed; the header says what it is.');

/** What logits may be apart by, as a part of the largest. Q8_0 rounds weights to 8 bits: its figure is told, not held. */
const allowed = { hf: 1e-3, peft: 1e-3, 'gguf-f16': 1e-2, 'gguf-q8_0': Infinity };

const here = import.meta.dirname;
const program = await bundle('exportsServer.ts');

const fixtures = join(here, '../fixtures/engine');
const models = {
  ...(values.model ? { SmolLM2: resolve(values.model) } : {}),
  'tiny Llama': join(fixtures, 'llama-gqa-tied'),
  'tiny Llama 3': join(fixtures, 'llama3-rope'),
  'tiny Qwen2': join(fixtures, 'qwen2-untied-sharded'),
};
let failed = false;
console.log('model         export      loaded by      largest logit  apart by   rms apart  tokens');
for (const [name, model] of Object.entries(models)) {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-exports-'));
  try {
    execFileSync(process.execPath, [program, folder, model, values.steps], { stdio: ['ignore', 'inherit', 'inherit'] });
    const script = join(here, 'peers', 'exports.py');
    execFileSync(values.python, [script, '--folder', folder], { stdio: ['ignore', 'ignore', 'inherit'] });
    for (const row of JSON.parse(readFileSync(join(folder, 'loaded.json'), 'utf8'))) {
      const isBad = !(row.apart / row.largest <= allowed[row.format]) || row.tokens === false;
      failed ||= isBad;
      console.log(
        [
          name.padEnd(13),
          row.format.padEnd(11),
          row.by.padEnd(14),
          row.largest.toFixed(1).padStart(13),
          row.apart.toExponential(1).padStart(9),
          row.rms.toExponential(1).padStart(11),
          ` ${{ true: 'same', false: 'OTHER', null: '-' }[row.tokens]}`,
          isBad ? '  FAILED' : '',
        ].join(' '),
      );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
process.exitCode = failed ? 1 : 0;
