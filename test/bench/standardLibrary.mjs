/**
 * LoRA on snippets of the installed Python's standard library, beside PyTorch and peft: the same packed rows, the same first
 * adapters, the same optimizer and schedule. Prints the losses of both, and how far the held-out ones are apart.
 *
 *   node test/bench/standardLibrary.mjs --model MODEL.gguf --python VENV/bin/python [--base fp32|int8] [--snippets 300]
 *     [--steps 40] [--rows 2] [--context 512] [--held-out-rows 16] [--every 10] [--threads 1] [--folder KEPT]
 *
 * With `--folder` what both sides read and write is kept, and a second call takes PyTorch's losses from there.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { bundle } from './sides.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    python: { type: 'string' },
    folder: { type: 'string' },
    base: { type: 'string', default: 'fp32' },
    snippets: { type: 'string', default: '300' },
    steps: { type: 'string', default: '40' },
    rows: { type: 'string', default: '2' },
    context: { type: 'string', default: '512' },
    'held-out-rows': { type: 'string', default: '16' },
    every: { type: 'string', default: '10' },
    threads: { type: 'string', default: '1' },
  },
});
const { model, python, threads } = values;
if (!model || !python) throw new Error('--model and --python are needed; the header says what they are.');

const stdlib = execFileSync('python3', ['-c', 'import sysconfig; print(sysconfig.get_path("stdlib"))'], {
  encoding: 'utf8',
}).trim();
const folder = values.folder ? resolve(values.folder) : mkdtempSync(join(tmpdir(), 'midtrain-bench-'));
mkdirSync(folder, { recursive: true });
const task = {
  model: resolve(model),
  stdlib,
  base: values.base,
  snippets: Number(values.snippets),
  steps: Number(values.steps),
  rows: Number(values.rows),
  context: Number(values.context),
  heldOutRows: Number(values['held-out-rows']),
  every: Number(values.every),
  lora: { rank: 16, alpha: 32 },
  schedule: { shape: 'cosine', peak: 2e-4, warmup: 5, total: Number(values.steps), floor: 0.1 },
  clip: 1,
};
writeFileSync(join(folder, 'task.json'), JSON.stringify(task));

const here = import.meta.dirname;
const program = await bundle('standardLibraryServer.ts');

const theirs = join(folder, 'torch.jsonl');
const isKept = existsSync(theirs);
let torch = isKept
  ? readFileSync(theirs, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  : null;
let torchRun = null;
const ours = await follow('midtrain', process.execPath, [program, folder, threads], (row) => {
  // The rows and the first adapters are there: the other side may begin.
  if (row.ready && !isKept) {
    const script = join(here, 'peers', 'standard_library.py');
    torchRun = follow('torch', python, [script, '--folder', folder, '--threads', threads]);
  }
});
torch ??= await torchRun;
writeFileSync(theirs, torch.map((row) => `${JSON.stringify(row)}\n`).join(''));

console.log('\nstep  held-out: midtrain   torch+peft      apart');
let largest = 0;
for (const row of ours) {
  const other = torch.find(({ step, heldOut }) => step === row.step && heldOut !== undefined);
  if (row.heldOut === undefined || other === undefined) continue;
  const apart = Math.abs(row.heldOut - other.heldOut);
  largest = Math.max(largest, apart);
  console.log(
    `${String(row.step).padStart(4)}  ${row.heldOut.toFixed(5).padStart(18)} ${other.heldOut.toFixed(5).padStart(12)} ${apart.toExponential(1).padStart(10)}`,
  );
}
const losses = ours.filter(({ loss }) => loss !== undefined);
const trainApart = Math.max(
  ...losses.map(({ step, loss }) =>
    Math.abs(loss - torch.find((row) => row.step === step && row.loss !== undefined).loss),
  ),
);
console.log(
  `losses of the steps are apart by at most ${trainApart.toExponential(1)}, held-out losses by ${largest.toExponential(1)}`,
);
if (values.folder === undefined) rmSync(folder, { recursive: true });

/** Runs one side, shows its rows and gives all of them. */
async function follow(name, command, args, onRow = () => undefined) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const rows = [];
  for await (const line of createInterface(child.stdout)) {
    const row = JSON.parse(line);
    console.log(`${name}: ${line}`);
    onRow(row);
    rows.push(row);
  }
  if (rows.at(-1)?.done !== true) throw new Error(`${name} ended early.`);
  return rows;
}
