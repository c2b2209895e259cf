/**
 * Our side of exports.mjs: trains a model by some LoRA steps as a run, exports its last checkpoint in every form, and writes
 * what the peers are to find. Arguments: folder, model, steps.
 *
 *     expected.json    the exports, and of each text its tokens; of the first tokens `logits`: [tokens, vocabulary]
 *     logits.bin       float32; FORMAT.bin the same from our reading of a GGUF
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HostDecoder } from '../../src/engine/generation/hostDecoder.ts';
import { createTokenizer } from '../../src/engine/text/tokenizer.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { parseTrainingConfig } from '../../src/midtraining/config.ts';
import type { ExportFormat } from '../../src/midtraining/exportFormats.ts';
import { exportRun } from '../../src/runner/exportRun.ts';
import { openRun } from '../../src/runner/store.ts';
import { trainOn } from '../../src/runner/work.ts';

const FORMATS: readonly ExportFormat[] = ['hf', 'peft', 'gguf-f16', 'gguf-q8_0'];
const TEXTS = [
  'def fib(n):\n    """Return the n-th number."""\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n',
  "x1 = {'key': 1234.5e-7, \"k\": None}  # don't\n\n\n\tprint(x1)",
  'while True:\n  if value >= 0x1F and not (name or []):\n    raise ValueError(f"{name!r}: {value:>10}")',
];

const [, , folder = '', model = '', steps = '4'] = process.argv;
process.env['MIDTRAIN_RUNS'] = join(folder, 'runs');
const source = await openModel(model);
const tokenizer = createTokenizer(source.tokenizer);
// A high rate, so that a wrong merge would show.
const config = parseTrainingConfig(
  JSON.stringify({
    ...{
      model,
      train: 'lora',
      lora: { base: 'fp32' },
      data: [{ kind: 'starter', functions: 40 }],
      steps: Number(steps),
      warmup: 0,
      learningRate: 0.01,
    },
    ...{ context: Math.min(256, source.config.contextLength), batchTokens: 256, evaluationInterval: 0, threads: 1 },
  }),
  'exports.mjs',
);
await source.close();
const run = join(folder, 'run');
await openRun(run, { name: 'exports', config, model: { path: model, spec: model, label: 'model' } });
await trainOn(run, { signal: new AbortController().signal });
const exports: Record<string, string> = {};
const ask = { out: null, overwrite: false };
for (const format of FORMATS) exports[format] = (await exportRun(run, { format, checkpoint: 'final', ...ask })).path;
// What peft puts the adapter onto: our base is a GGUF, or has other files beside it.
const base = (await exportRun(run, { format: 'hf', checkpoint: 'base', ...ask })).path;

const ids = TEXTS.map((text) => tokenizer.encode(text, { addSpecialTokens: false, parseSpecial: false }));
const scored = ids[0]!.slice(0, 48);
// Our own reading of the float32 export is the merge itself, to the bit (test/runner/exportRun.test.ts).
await writeLogits(exports['hf']!, 'logits.bin');
// Weights that are rounded in the file, computed with in float32.
for (const format of ['gguf-f16', 'gguf-q8_0']) await writeLogits(exports[format]!, `${format}.bin`);
writeFileSync(join(folder, 'expected.json'), JSON.stringify({ exports, base, texts: TEXTS, ids, scored }));

async function writeLogits(path: string, name: string): Promise<void> {
  const trained = await openModel(path);
  const decoder = await HostDecoder.create(trained.config, trained.weights, {
    ...{ precision: 'fp32', places: 1, threads: 1, contextLength: 256 },
  });
  const rows: Uint8Array[] = [];
  await decoder.score([...scored, 0], 0, (_, logits) => rows.push(new Uint8Array(Float32Array.from(logits).buffer)));
  writeFileSync(join(folder, name), Buffer.concat(rows));
  await decoder.close();
  await trained.close();
}
