/**
 * Our side of corpus.mjs: cuts a folder of Python into a prepared corpus and prints what became of it.
 * Arguments: folder, GGUF whose tokenizer counts, benchmark files (`humaneval=FILE`, `mbpp=FILE`).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTokenizer } from '../../src/engine/text/tokenizer.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { benchmarkId, loadBenchmark } from '../../src/evaluation/benchmarks/index.ts';
import { prepareCorpus } from '../../src/midtraining/data/prepare.ts';
import { readSources } from '../../src/midtraining/data/sources/source.ts';
import { openTokenStore } from '../../src/midtraining/data/tokenStore.ts';
import { TrainingRows } from '../../src/midtraining/data/trainingRows.ts';

async function main(folder: string, model: string, benchmarkFiles: readonly string[]): Promise<void> {
  const benchmarks = [];
  for (const argument of benchmarkFiles) {
    const [id = '', path = ''] = argument.split('=');
    benchmarks.push(...(await loadBenchmark(benchmarkId(id), path)).problems);
  }
  const source = await openModel(model);
  const tokenizer = createTokenizer(source.tokenizer);
  await source.close();
  const store = await mkdtemp(join(tmpdir(), 'midtrain-corpus-'));
  try {
    let encoding = 0;
    const started = performance.now();
    const cpu = process.cpuUsage();
    const { report } = await prepareCorpus({
      documents: (drops) => readSources([{ kind: 'folder', path: folder }], drops),
      encode(text) {
        const from = performance.now();
        const ids = tokenizer.encode(text, { addSpecialTokens: false, parseSpecial: false });
        encoding += performance.now() - from;
        return ids;
      },
      tokenizer: model,
      vocabularySize: tokenizer.vocabularySize,
      benchmarks,
      folder: join(store, 'corpus'),
    });
    const { user, system } = process.cpuUsage(cpu);
    const seconds = (performance.now() - started) / 1000;
    console.log(JSON.stringify(report, null, 1));
    const opened = await openTokenStore(join(store, 'corpus'), model);
    const { train, heldOut } = opened;
    for (const [name, side] of Object.entries({ train, heldOut })) {
      for (const rowLength of [1024, 2048]) {
        const rows = new TrainingRows(side, { rowLength, seed: 0, endTokenId: 0, paddingTokenId: 0 });
        console.log(name, rowLength, JSON.stringify(rows.epochSize()));
      }
    }
    await opened.close();
    const round = (value: number): string => value.toFixed(1);
    console.log(
      `${round(seconds)} s wall, ${round((user + system) / 1e6)} s CPU, of it ${round(encoding / 1000)} s encoding; ` +
        `peak ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`,
    );
  } finally {
    await rm(store, { recursive: true });
  }
}

const [, , folder = '', model = '', ...benchmarkFiles] = process.argv;
await main(folder, model, benchmarkFiles);
