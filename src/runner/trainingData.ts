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
import { mostSnippetTokens } from '../midtraining/trainerOptions.ts';
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
      benchmarks: await benchmarkProblems(config, (text) => {
        tell({ type: 'note', level: 'warning', text });
      }),
      signal: control.signal,
    });
    const dropped = report.dropped
      .map(
        ({ meaning, count, examples: [first] }) =>
          `${count} ${meaning} (${count === 1 ? '' : 'such as '}${first!.where})`,
      )
      .join(', ');
    const text =
      `Data: ${train.snippets} snippets of ${train.tokens} tokens to train on, ${heldOut.snippets} of ${heldOut.tokens} held out` +
      (dropped === '' ? '.' : `; left out: ${dropped}.`);
    tell({ type: 'note', level: 'info', text });
  }
  return openTokenStore(corpus, name);
}

/** How a config's data become snippets. */
export function corpusOptions(config: TrainingConfig, tokenizer: Tokenizer): CorpusOptions {
  const { data, seed, heldOut } = config;
  return {
    documents: (drops) => readSources(data, drops),
    encode: (text) => tokenizer.encode(text, { addSpecialTokens: false, parseSpecial: false }),
    limits: { ...DEFAULT_LIMITS, maxTokens: mostSnippetTokens(config) },
    seed,
    heldOutFraction: heldOut,
    nearDuplicateThreshold: isGenerated(config) ? null : 0.7,
  };
}

function isGenerated({ data }: TrainingConfig): boolean {
  return data.every(({ kind }) => kind === 'starter');
}

const BENCHMARK_IDS = Object.keys(BENCHMARKS) as BenchmarkId[];

/**
 * What must not be trained on: those of the benchmarks that are on this machine. Generated data knows of no benchmark and is
 * held against the starter's alone, so that it is the same on every machine.
 */
export async function benchmarkProblems(config: TrainingConfig, warn: (text: string) => void): Promise<Problem[]> {
  const ids: readonly BenchmarkId[] = isGenerated(config) ? ['starter'] : BENCHMARK_IDS;
  const problems: Problem[] = [];
  const missing: string[] = [];
  for (const id of ids) {
    const found = await findBenchmark(id, null);
    if (found === null) missing.push(BENCHMARKS[id].title);
    else problems.push(...(await loadBenchmark(id, found.path)).problems);
  }
  if (missing.length > 0) {
    warn(`Not on this machine, so the data were not compared with it: ${missing.join(', ')}.`);
  }
  return problems;
}
