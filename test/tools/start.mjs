/**
 * `npm start`: from a clean clone to a score. Installs, builds, and evaluates the starter model on the first 64 problems
 * of HumanEval. Further options go to `midtrain evaluate`: `npm start -- --limit 8`.
 */
import { join } from 'node:path';
import process from 'node:process';
import { checkNode, cli, install, root, run } from './setup.mjs';

checkNode();
await install();
const built = await run(process.execPath, [join(root, 'esbuild.mjs'), '--production']);
if (built !== 0) process.exit(built);

// The terminal sends Ctrl-C to the command too, which stops cleanly; its exit status is ours.
process.on('SIGINT', () => undefined);
const options = ['--model', 'starter:smollm2', '--benchmark', 'humaneval', '--limit', '64', '--samples', '1'];
options.push('--temperature', '0', '--protocol', 'chat', '--yes', ...process.argv.slice(2));
process.exitCode = await run(process.execPath, [cli, 'evaluate', ...options]);
