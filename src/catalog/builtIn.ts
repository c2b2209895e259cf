/**
 * What comes with the program, in its folder `media`: the starter model, that of the study, and the starter benchmark.
 * Knows nothing of how they are used.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';

/** A Llama of 3 million parameters, trained by test/tools/starterModel.mjs; its card is beside it. */
export const builtInModel = {
  spec: 'starter:midtrain',
  label: 'Midtrain starter (3 M)',
  licence: 'Apache-2.0',
  path: mediaPath('starter-model'),
} as const;

/** A shallower one of 1 million, which comments help; made by the same script. */
export const studyModel = {
  spec: 'starter:study',
  label: 'Midtrain study (1 M)',
  licence: 'Apache-2.0',
  path: mediaPath('study-model'),
} as const;

/** 150 held-out problems, written by test/tools/starterModel.mjs. */
export const builtInBenchmark = mediaPath('starter-benchmark.jsonl');

/** In `media`, which is beside the bundles' folder, or where the sources are when run from them. */
function mediaPath(name: string): string {
  const here = typeof __dirname === 'string' ? __dirname : import.meta.dirname;
  const beside = path.join(here, '..', 'media');
  return path.join(existsSync(beside) ? beside : path.join(here, '..', '..', 'media'), name);
}
