/**
 * Our side of standardLibrary.mjs: cuts the standard library into snippets by the project's own pipeline, writes packed rows,
 * first adapters and the base for the peer, and trains. Arguments: folder with task.json, threads. Prints a JSON line a step.
 *
 *     base/            the model as a Hugging Face folder
 *     adapters/        the first adapters, a PEFT folder
 *     rows.bin         int32: of each training row, then of each held-out row: ids, segments, positions, [3, context]
 *     peer.json        what the peer needs of the task
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createTokenizer } from '../../src/engine/text/tokenizer.ts';
import { LINEAR_LAYERS, type LoraMethod } from '../../src/engine/training/method.ts';
import { learningRateAt, type Schedule } from '../../src/engine/training/schedule.ts';
import { DEFAULT_ADAMW, Trainer } from '../../src/engine/training/trainer.ts';
import { writeHuggingFaceFolder } from '../../src/engine/weights/huggingFaceFolder.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { writePeftFolder } from '../../src/engine/weights/peftFolder.ts';
import { CorpusReader } from '../../src/midtraining/data/corpus.ts';
import type { PackedRow } from '../../src/midtraining/data/packing.ts';
import { DEFAULT_LIMITS } from '../../src/midtraining/data/snippets.ts';
import { readSources } from '../../src/midtraining/data/sources/source.ts';
import { openTokenStore, TokenStoreWriter } from '../../src/midtraining/data/tokenStore.ts';
import { TrainingRows } from '../../src/midtraining/data/trainingRows.ts';
import { nextTokenBatch } from '../../src/midtraining/nextTokenPrediction.ts';

interface Task {
  readonly model: string;
  readonly stdlib: string;
  readonly base: 'fp32' | 'int8';
  /** On both sides of the split together. */
  readonly snippets: number;
  readonly steps: number;
  readonly rows: number;
  readonly context: number;
  readonly heldOutRows: number;
  /** Steps between held-out losses. */
  readonly every: number;
  readonly lora: { readonly rank: number; readonly alpha: number };
  readonly schedule: Schedule;
  readonly clip: number;
}

/** Every so many-th module, so that snippets come from all over the library. */
const STRIDE = 4;

const [, , folder = '', threads = '1'] = process.argv;
const at = (name: string): string => join(folder, name);
const say = (row: object): void => {
  console.log(JSON.stringify(row));
};
const task = JSON.parse(readFileSync(at('task.json'), 'utf8')) as Task;
const { context, steps } = task;

const source = await openModel(task.model);
const tokenizer = createTokenizer(source.tokenizer);
const modules = (await readdir(task.stdlib)).filter((name) => name.endsWith('.py')).sort();
mkdirSync(at('modules'), { recursive: true });
for (const name of modules.filter((_, i) => i % STRIDE === 0)) {
  await copyFile(join(task.stdlib, name), at(`modules/${name}`));
}
const reader = new CorpusReader({
  documents: (drops) => readSources([{ kind: 'folder', path: at('modules') }], drops),
  encode: (text) => tokenizer.encode(text, { addSpecialTokens: false, parseSpecial: false }),
  limits: { ...DEFAULT_LIMITS, maxTokens: context - 1 },
  heldOutFraction: 0.2,
});
const writer = await TokenStoreWriter.create(at('corpus'), 'bench', tokenizer.vocabularySize);
let snippets = 0;
for await (const { tokens, heldOut } of reader) {
  await writer.add(tokens, heldOut);
  if (++snippets === task.snippets) break;
}
await writer.finish({});
const store = await openTokenStore(at('corpus'), 'bench');
const end = tokenizer.eosTokenIds[0]!;
const rowOptions = { rowLength: context, seed: 0, endTokenId: end, paddingTokenId: end };

async function take(rows: TrainingRows, count: number): Promise<PackedRow[]> {
  const taken: PackedRow[] = [];
  while (taken.length < count) taken.push(await rows.next());
  return taken;
}
const train = await take(new TrainingRows(store.train, rowOptions), steps * task.rows);
const heldOutSide = new TrainingRows(store.heldOut, rowOptions);
const heldOut = await take(heldOutSide, Math.min(task.heldOutRows, heldOutSide.epochSize().rows));
const packed = [...train, ...heldOut].flatMap(({ ids, segments, positions }) => [ids, segments, positions]);
writeFileSync(at('rows.bin'), Buffer.concat(packed.map((part) => new Uint8Array(part.buffer))));

const method = {
  ...{ type: 'lora', ...task.lora, targets: LINEAR_LAYERS, seed: 1 },
  ...(task.base === 'fp32' ? {} : { base: task.base }),
} as LoraMethod;
const trainer = await Trainer.create(source.config, source.weights, {
  method,
  rows: task.rows,
  length: context,
  optimizer: DEFAULT_ADAMW,
  schedule: task.schedule,
  clip: task.clip,
  threads: Number(threads),
  accumulates: false,
});
await writeHuggingFaceFolder(at('base'), source, (name) => source.weights.readFloat32(name));
await writePeftFolder(at('adapters'), {
  method,
  tensors: trainer.parameters.map(({ name, shape }) => ({ name, shape, read: () => trainer.parameter(name) })),
  base: at('base'),
  revision: null,
  readme: 'The first adapters.\n',
});
const rates = Array.from({ length: steps }, (_, step) => learningRateAt(task.schedule, step));
const { rows, every, clip } = task;
const peer = { steps, rows, context, every, clip, rates, optimizer: DEFAULT_ADAMW, heldOutRows: heldOut.length };
writeFileSync(at('peer.json'), JSON.stringify(peer));
const used = train.reduce((sum, row) => sum + row.used, 0);
const counts = { train: store.train.snippets, heldOut: store.heldOut.snippets };
say({ ready: true, snippets: counts, trainTokens: store.train.tokens, heldOutTokens: store.heldOut.tokens, used });

async function heldOutLoss(): Promise<number> {
  let sum = 0;
  let targets = 0;
  for (let from = 0; from < heldOut.length; from += task.rows) {
    const result = await trainer.evaluate(nextTokenBatch(heldOut.slice(from, from + task.rows), context));
    sum += result.loss * result.tokens;
    targets += result.tokens;
  }
  return sum / targets;
}

const started = process.cpuUsage();
say({ step: 0, heldOut: await heldOutLoss() });
for (let step = 1; step <= steps; step++) {
  const batch = nextTokenBatch(train.slice((step - 1) * task.rows, step * task.rows), context);
  const { loss, gradientNorm, learningRate } = await trainer.step(batch);
  say({ step, loss, gradientNorm, learningRate });
  if (step % every === 0 || step === steps) say({ step, heldOut: await heldOutLoss() });
}
const { user, system } = process.cpuUsage(started);
say({ done: true, cpuSeconds: (user + system) / 1e6, peakMb: Math.round(process.resourceUsage().maxRSS / 1024) });
await trainer.close();
await store.close();
await source.close();
