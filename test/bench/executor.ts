/**
 * Our side of executor.py: scores a samples file (HumanEval, `completion`) with the native executor, all layers on.
 * Arguments: samples file, results file, `normal` or `strict`. Bundled and started by executor.py.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createNativeExecutor } from '../../src/evaluation/executor/native.ts';
import { humanEvalProgram, humanEvalRows } from '../evaluation/executor/corpus.ts';

const [, , samplesFile = '', resultsFile = '', mode = 'normal'] = process.argv;
const python = process.env['MIDTRAIN_BENCH_PYTHON'];
const problems = new Map(humanEvalRows().map((row) => [row.task_id, row]));
const samples = readFileSync(samplesFile, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { task_id: string; completion: string });

const executor = await createNativeExecutor({
  ...(python === undefined ? {} : { python }),
  workers: 2,
  strict: mode === 'strict',
  pythonFolder: process.env['MIDTRAIN_BENCH_FOLDER']!,
});
if (process.env['MIDTRAIN_BENCH_LAYERS'] !== undefined)
  for (const { name, inForce, detail } of executor.layers)
    console.log(`    ${inForce ? 'in force' : 'MISSING '}  ${name}: ${detail}`);
const results = await Promise.all(
  samples.map(async ({ task_id, completion }) => {
    const program = humanEvalProgram(problems.get(task_id)!, completion);
    const { verdict, detail } = await executor.run({ ...program, timeLimit: 3 });
    const result = verdict === 'failed' ? `failed: ${detail}` : verdict;
    return JSON.stringify({ task_id, completion, result, passed: verdict === 'passed' });
  }),
);
await executor.close();
writeFileSync(resultsFile, results.join('\n') + '\n');
