/**
 * A small training run for tests: a model of some 30,000 weights whose tokens are bytes, and generated functions as data.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelConfig } from '../../src/engine/model.ts';
import { randomWeights } from '../../src/engine/training/randomWeights.ts';
import { huggingFaceConfig } from '../../src/engine/weights/huggingFaceFolder.ts';
import { requiredTensors } from '../../src/engine/weights/names.ts';
import { writeSafetensors } from '../../src/engine/weights/safetensorsWriter.ts';
import { parseTrainingConfig } from '../../src/midtraining/config.ts';
import type { RunEvent } from '../../src/runner/events.ts';
import type { TrainingRequest } from '../../src/runner/types.ts';
import { trainOn } from '../../src/runner/work.ts';

const END = 256;

const tinyModel: ModelConfig = {
  family: 'llama',
  hiddenSize: 32,
  layerCount: 2,
  headCount: 4,
  kvHeadCount: 2,
  headSize: 8,
  intermediateSize: 48,
  vocabularySize: 257,
  contextLength: 1024,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: null,
  tiedHead: true,
  qkvBias: false,
  attentionOutputBias: false,
  mlpBias: false,
};

/** Writes the model's folder. @param change makes it another one, of another size @returns its path */
export async function writeTinyModel(home: string, seed = 1, change: Partial<ModelConfig> = {}): Promise<string> {
  const config = { ...tinyModel, ...change };
  const folder = join(home, `tiny-${seed}`);
  mkdirSync(folder, { recursive: true });
  const weights = randomWeights(config, seed);
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    [...requiredTensors(config)].map(([name, shape]) => ({ name, shape, read: () => weights.readFloat32(name) })),
  );
  const write = (name: string, value: object): void => {
    writeFileSync(join(folder, name), JSON.stringify(value));
  };
  write('config.json', huggingFaceConfig(config, { eosTokenIds: [END] }));
  write('tokenizer_config.json', { eos_token: '<|end|>' });
  write('tokenizer.json', {
    added_tokens: [{ id: END, content: '<|end|>', special: true, normalized: false }],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: { ...byteVocabulary(), '<|end|>': END }, merges: [] },
  });
  return folder;
}

/** GPT-2's characters for bytes: the printable ones stand for themselves, the others follow from U+0100 on. */
function byteVocabulary(): Record<string, number> {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Object.fromEntries(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(isPrintable(byte) ? byte : next++), byte]),
  );
}

/** What the tests' runs have in common, as it would be in a config's file. */
export const smallConfig = {
  data: [{ kind: 'starter', functions: 60 }],
  heldOut: 0.1,
  train: 'full',
  steps: 24,
  batchTokens: 1024,
  context: 512,
  learningRate: 0.01,
  warmup: 2,
  evaluationInterval: 6,
  evaluationTokens: 2048,
  checkpointInterval: 4,
  threads: 1,
};

export function smallTraining(model: string, change: object = {}): TrainingRequest {
  const config = parseTrainingConfig(JSON.stringify({ ...smallConfig, model, ...change }), 'small.midtrain.json');
  return { name: 'small', config, model: { path: model, spec: model, label: 'tiny' } };
}

/** The loss of each step, and the held-out losses, as one who draws them has them: where a step comes twice the later row holds. */
export function lossesOf(events: readonly RunEvent[]): [step: number, loss: number | null, heldOut: number | null][] {
  const rows = new Map<number, [number, number | null, number | null]>();
  for (const event of events) {
    if (event.type === 'metric') rows.set(event.step, [event.step, event.loss, event.heldOutLoss]);
  }
  return [...rows.values()].sort(([a], [b]) => a - b);
}

/** Trains in this process. @param onEvent told of every event, with what stops the run */
export function train(folder: string, onEvent: (event: RunEvent, stop: () => void) => void = () => undefined) {
  const stop = new AbortController();
  return trainOn(folder, {
    signal: stop.signal,
    onEvent: (event) => {
      onEvent(event, () => {
        stop.abort();
      });
    },
  });
}
