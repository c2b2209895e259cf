/**
 * The data of a training run as tokens, in its own folder: read once, so that a resumed run trains on the same ones.
 * Knows nothing of steps.
 */
import { createHash } from 'node:crypto';
import { findBenchmark } from '../catalog/datasets.ts';
import type { ModelSource } from '../engine/model.ts';
import type { Tokenizer } from '../engine/text/tokenizer.ts';
import { BENCHMARKS, loadBenchmark } from '../evaluation/benchmarks/index.ts';
import type { BenchmarkId, Problem } from '../evaluation/types.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import type { CorpusOptions } from '../midtraining/data/corpus.ts';
import { prepareCorpus } from '../midtraining/data/prepare.ts';
import { DEFAULT_LIMITS } from '../midtraining/data/snippets.ts';
import { readSources } from '../midtraining/data/sources/source.ts';
import { hasTokenStore, openTokenStore, type TokenStore } from '../midtraining/data/tokenStore.ts';
import { starterProblems } from '../midtraining/starter/benchmark.ts';
import type { PhaseClock } from './phaseClock.ts';
import { runPaths } from './runFolder.ts';
import type { TrainingWork } from './trainingWork.ts';

/** Those that are there already, or read now. @throws UserError from the data, or when the disk is full */
export async function openCorpus(
  { folder, request, tell, control }: TrainingWork,
  { tokenizer: definition, config: { vocabularySize } }: ModelSource,
  tokenizer: Tokenizer,
  clock: PhaseClock,
): Promise<TokenStore> {
  const { corpus } = runPaths(folder);
  const { config } = request;
  const name = createHash('sha256').update(JSON.stringify(definition.tokenizer)).digest('hex');
  if (!(await hasTokenStore(corpus))) {
    clock.enter('prepare');
    const { train, heldOut, report } = await prepareCorpus({
      ...corpusOptions(config, tokenizer),
      folder: corpus,
      tokenizer: name,
      vocabularySize,
      benchmarks: await benchmarkProblems(tell),
      signal: control.signal,
    });
    const dropped = report.dropped.map(({ meaning, count }) => `${count} ${meaning}`).join(', ');
    const text =
      `Data: ${train.snippets} snippets of ${train.tokens} tokens to train on, ${heldOut.snippets} of ${heldOut.tokens} held out` +
      (dropped === '' ? '.' : `; left out: ${dropped}.`);
    tell({ type: 'note', level: 'info', text });
  }
  return openTokenStore(corpus, name);
}

/** How a config's data become snippets. */
export function corpusOptions({ data, context, seed, heldOut }: TrainingConfig, tokenizer: Tokenizer): CorpusOptions {
  const onlyStarter = data.every(({ kind }) => kind === 'starter');
  return {
    documents: (drops) => readSources(data, drops),
    encode: (text) => tokenizer.encode(text, { addSpecialTokens: false, parseSpecial: false }),
    limits: { ...DEFAULT_LIMITS, maxTokens: context - 1 },
    seed,
    heldOutFraction: heldOut,
    nearDuplicateThreshold: onlyStarter ? null : 0.7,
  };
}

/** What must not be trained on: the starter benchmark, and those that are on this machine. */
async function benchmarkProblems(tell: TrainingWork['tell']): Promise<Problem[]> {
  const problems = starterProblems();
  const missing: string[] = [];
  for (const id of Object.keys(BENCHMARKS) as BenchmarkId[]) {
    const found = await findBenchmark(id, null);
    if (found === null) missing.push(BENCHMARKS[id].title);
    else problems.push(...(await loadBenchmark(id, found.path)).problems);
  }
  if (missing.length > 0) {
    const text = `Not on this machine, so the data were not compared with it: ${missing.join(', ')}.`;
    tell({ type: 'note', level: 'warning', text });
  }
  return problems;
}
