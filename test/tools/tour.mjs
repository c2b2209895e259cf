/**
 * The first tour, with the built command alone and without a network: evaluates the model that comes with Midtrain,
 * mid-trains it by docs/examples/starter.midtrain.json, evaluates it again and compares. Stopped, the same command goes
 * on; finished, it begins anew.
 *
 *   node test/tools/tour.mjs [--out .midtrain/tour] [--problems 150] [--steps 250]
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { cli, root, run } from './setup.mjs';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, '.midtrain', 'tour') },
    problems: { type: 'string' },
    steps: { type: 'string' },
  },
});
const out = resolve(values.out);
const at = (...names) => join(out, ...names);
const example = join(root, 'docs', 'examples', 'starter.midtrain.json');
const config = at('tour.midtrain.json');
const finished = at('finished');
const limit = values.problems === undefined ? [] : ['--limit', values.problems];
const problems = values.problems ?? '150';
/** Seconds that each part took. */
const took = [];

if (existsSync(finished)) rmSync(out, { recursive: true });
mkdirSync(out, { recursive: true });
const settings = JSON.parse(readFileSync(example, 'utf8'));
if (values.steps !== undefined) settings.steps = Number(values.steps);
writeFileSync(config, JSON.stringify(settings, null, 2));

process.on('SIGINT', () => undefined); // the command gets it too and stops cleanly

say(
  'A tour of Midtrain in about three minutes, all on this machine. The programs that the model writes are run here, in a',
  'sandbox ("node dist/midtrain.cjs doctor" lists its layers).',
);
say(`1. How good is the model that comes with Midtrain? Its ${problems} problems, some ten seconds.`);
await evaluate('starter:midtrain', 'before');
say(
  `2. Mid-training: ${settings.steps} steps of next-token prediction on generated functions, about two minutes on two cores.`,
);
await midtrain('train', config, '--out', at('training'));
say('3. And now? The same problems again.');
await evaluate(at('training', 'model'), 'after');
say('What mid-training has changed:');
await midtrain('compare', at('before'), at('after'));
writeFileSync(finished, '');

const shown = (path) => relative(process.cwd(), path) || '.';
say(
  `It took ${took[0]} s to evaluate, ${took[1]} s to train, ${took[2]} s to evaluate again. All of it is in ${shown(out)}.`,
  '',
  'What next?',
  `  ${shown(example)} is the run's config: copy it, write {"kind": "workspace"} for the data to train on`,
  '  the Python of your own repository, and run "node dist/midtrain.cjs train COPY".',
  '  "npm run start:smollm2" fetches SmolLM2-135M-Instruct (93 MB) and scores it on HumanEval.',
  '  "npm run package" builds the extension, in which the runs of this tour can be looked at problem by problem.',
);

function say(...lines) {
  console.log(`\n${lines.join('\n')}`);
}

function evaluate(model, name) {
  const options = ['--model', model, '--benchmark', 'starter', '--protocol', 'plain', '--temperature', '0'];
  return midtrain('evaluate', ...options, ...limit, '--device', 'cpu', '--yes', '--out', at(name));
}

/** Runs one command; ends with its status where it fails. */
async function midtrain(...args) {
  const started = Date.now();
  const code = await run(process.execPath, [cli, ...args]);
  if (code !== 0) process.exit(code);
  took.push(Math.round((Date.now() - started) / 1000));
}
