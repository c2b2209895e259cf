/**
 * What the E-step does by itself, pi being the base model as it is, and what it costs. By the built command on the study's
 * model and corpus:
 *
 *   node test/bench/eStep.mjs [--updates 30] [--seeds 0,1,2,3,4] [--penalties 0.01,0.05,0.2]
 *     for each seed, and for each penalty with the first seed: held-out returns without penalty beside never thinking's,
 *     and think rates, as q learns
 *   node test/bench/eStep.mjs --speed [--updates 10] [--rounds 3]
 *     rollouts a second, updates included, between updates and from a second process, in turns
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { cli } from '../tools/setup.mjs';
import { median } from './sides.mjs';

const { values } = parseArgs({
  options: {
    updates: { type: 'string' },
    seeds: { type: 'string', default: '0,1,2,3,4' },
    penalties: { type: 'string', default: '0.01,0.05,0.2' },
    speed: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'midtrain-estep-'));

/** The events of updates of a run whose model is not trained: rounds of five updates, between them a step at rate 0. */
function explore(seed, updates, abstractions) {
  const out = join(folder, `run-${Math.random()}`);
  const config = {
    ...{ model: 'starter:study', data: [{ kind: 'starter', comments: 'none' }], method: 'ra3', seed, threads: 1 },
    ...{ steps: updates / 5 + 1, learningRate: 1e-12, weightDecay: 0, evaluationInterval: 0, checkpointInterval: 1000 },
    abstractions: {
      ...{ warmup: 0, eUpdates: 5, mSteps: 1, snippets: 16, groupSize: 8, learningRate: 3e-4, evaluationSnippets: 64 },
      ...abstractions,
    },
  };
  writeFileSync(`${out}.midtrain.json`, JSON.stringify(config));
  execFileSync(process.execPath, [cli, 'train', `${out}.midtrain.json`, '--out', out], { stdio: 'ignore' });
  const lines = readFileSync(join(out, 'events.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'e-step');
}

try {
  if (values.speed) {
    const updates = Number(values.updates ?? 10);
    const rates = { 'between updates': [], 'a second process': [] };
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [name, of] of Object.entries(rates)) {
        const events = explore(round, updates, { asynchronous: name !== 'between updates', evaluationSnippets: 0 });
        of.push(events.reduce((sum, { rollouts }) => sum + rollouts, 0) / seconds(events));
        const staleness = events.map((event) => event.staleness).join(' ');
        console.log(`${name.padEnd(16)}  ${of.at(-1).toFixed(1)} rollouts/s, updates behind: ${staleness}`);
      }
    }
    const [sync, async] = Object.values(rates).map(median);
    console.log(`from a second process ${(async / sync).toFixed(2)} times as many`);
  } else {
    const updates = Number(values.updates ?? 30);
    const [first, ...seeds] = values.seeds.split(',').map(Number);
    for (const penalty of values.penalties.split(',').map(Number)) show(first, updates, penalty);
    for (const seed of seeds) show(seed, updates, 0.05);
  }
} finally {
  rmSync(folder, { recursive: true });
}

function seconds(events) {
  return events.reduce((sum, { rollouts, rolloutsPerSecond }) => sum + rollouts / rolloutsPerSecond, 0);
}

function show(seed, updates, thinkPenalty) {
  const events = explore(seed, updates, { thinkPenalty });
  const held = events.flatMap(({ update, heldOut, kl }) => (heldOut === undefined ? [] : [{ update, kl, ...heldOut }]));
  console.log(`seed ${seed}, c = ${thinkPenalty}, ${(seconds(events) / events.length).toFixed(1)} s an update`);
  for (const { update, returnWithout, returnNever, thinkRate, kl } of held) {
    console.log(
      `  after ${String(update).padStart(3)}: held out ${returnWithout.toFixed(3)}, never thinking ${returnNever.toFixed(3)}, ` +
        `gain ${(returnWithout - returnNever).toFixed(3)}; thinks at ${(100 * thinkRate).toFixed(1)} %; KL ${kl.toFixed(4)}`,
    );
  }
}
