/**
 * Trains some steps, takes a held-out loss, and prints the process's peak memory beside what is estimated for it. Arguments: a
 * run config as JSON, and a model: a path, or `random:` and a Hugging Face config.
 */
import { emptyBatch } from '../../src/engine/training/batch.ts';
import { randomWeights } from '../../src/engine/training/randomWeights.ts';
import { Trainer } from '../../src/engine/training/trainer.ts';
import { configFromHuggingFace } from '../../src/engine/weights/config.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { parseTrainingConfig } from '../../src/midtraining/config.ts';
import { estimateMemory } from '../../src/midtraining/estimate.ts';
import { batchRows, trainerOptions } from '../../src/midtraining/trainerOptions.ts';

const [, , configText = '{}', model = ''] = process.argv;
const config = parseTrainingConfig(configText, 'argument');
const peak = (): number => process.resourceUsage().maxRSS * 1024;
const before = peak();
const random = model.startsWith('random:')
  ? configFromHuggingFace('argument', JSON.parse(model.slice('random:'.length)), false)
  : null;
const source = random === null ? await openModel(model) : null;
const shape = random ?? source!.config;
const trainer = await Trainer.create(shape, source?.weights ?? randomWeights(shape, 1), trainerOptions(config));
const created = peak();

const batch = emptyBatch(batchRows(config), config.context);
for (let i = 0; i < batch.ids.length; i++) {
  batch.ids[i] = (i * 4729) % shape.vocabularySize;
  batch.targets[i] = ((i + 1) * 4729) % shape.vocabularySize;
  batch.weights[i] = 1;
}
for (let i = 0; i < 3; i++) await trainer.step(batch);
const stepped = peak();
if (config.evaluationInterval > 0) await trainer.evaluate(batch);
await trainer.step(batch);
const evaluated = peak();
console.log(
  JSON.stringify({ before, created, stepped, peak: evaluated, estimate: await estimateMemory(shape, config) }),
);
await trainer.close();
await source?.close();
