/**
 * From a clean clone to something to see. Installs, builds, and then:
 *
 *   npm start                 the first tour (tour.mjs): nothing but the packages is fetched
 *   npm run start:smollm2     fetches SmolLM2-135M-Instruct and HumanEval, and scores the first 64 problems; further
 *                             options go to `midtrain evaluate`: `npm run start:smollm2 -- --limit 8`
 */
import { join } from 'node:path';
import process from 'node:process';
import { checkNode, cli, install, root, run } from './setup.mjs';

checkNode();
await install();
const built = await run(process.execPath, [join(root, 'esbuild.mjs'), '--production']);
if (built !== 0) process.exit(built);

process.on('SIGINT', () => undefined); // the command gets Ctrl-C too and stops cleanly; its exit status is ours
const [first, ...rest] = process.argv.slice(2);
const smollm2 = ['--model', 'starter:smollm2', '--benchmark', 'humaneval', '--limit', '64', '--samples', '1'];
process.exitCode = await run(
  process.execPath,
  first === 'smollm2'
    ? [cli, 'evaluate', ...smollm2, '--temperature', '0', '--protocol', 'chat', '--yes', ...rest]
    : [join(import.meta.dirname, 'tour.mjs'), ...process.argv.slice(2)],
);
