/**
 * What the editor does when it starts, with many runs, and with a large file of results: prints the time to read a store, the
 * time and memory to read the results, and for how long other work of the process was held up meanwhile.
 *
 *   node test/bench/runList.mjs [--runs 1000] [--rows 200000] [--repeats 7]
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    rows: { type: 'string', default: '200000' },
    repeats: { type: 'string', default: '7' },
  },
});
const [runs, rows, repeats] = [values.runs, values.rows, values.repeats].map(Number);

const root = join(import.meta.dirname, '../..');
const bundle = join(root, '.cache/bench/client.mjs');
mkdirSync(join(bundle, '..'), { recursive: true });
await build({
  stdin: {
    contents: `export { RunList } from './src/client/runList.ts'; export { ResultsFile } from './src/client/resultsFile.ts';`,
    resolveDir: root,
  },
  bundle: true,
  platform: 'node',
  format: 'esm',
  external: ['onnxruntime-node', 'onnxruntime-common'],
  outfile: bundle,
  logLevel: 'error',
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
});
const { ResultsFile, RunList } = await import(bundle);

const home = mkdtempSync(join(tmpdir(), 'midtrain-bench-'));
const lines = (values) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const range = (values) =>
  `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}, median ${median(values).toFixed(0)} ms`;

/** A finished evaluation of 164 problems: what `midtrain evaluate` leaves, with 200 rows of progress. */
function writeRun(store, number) {
  const folder = join(store, `humaneval-model-${String(number).padStart(8, '0')}`);
  mkdirSync(folder, { recursive: true });
  const request = {
    model: { path: '/models/model.gguf', spec: 'owner/model:model.gguf', label: 'model' },
    benchmark: { id: 'humaneval', path: null },
    ...{ selection: 'all', limit: null, tasks: null, samples: 1 },
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0 },
    ...{ seed: number, maxTokens: null, protocol: null, device: 'auto', precision: 'auto', batch: null, threads: null },
    ...{ strict: false, workers: null, timeLimit: null, python: null },
  };
  const protocol = { id: 'codex', stop: Array.from({ length: 20 }, (_, i) => `\nstop ${i}`), about: 'x'.repeat(1500) };
  const description = { format: 1, kind: 'evaluation', created: 1.7e12 + number, request, identity: { protocol } };
  writeFileSync(join(folder, 'run.json'), JSON.stringify(description, null, 2));
  const progress = { type: 'progress', total: 164, passed: 10, resumed: 0, tokens: 5000, tokensPerSecond: 812.123456 };
  const verdicts = { passed: 10, failed: 150, 'timed out': 4, crashed: 0, 'out of memory': 0, 'harness error': 0 };
  const passAtK = [{ k: 1, value: 0.061, low: 0.03, high: 0.11, method: 'wilson' }];
  const counts = { solved: 10, problems: 164, problemsAsked: 164, problemsOfBenchmark: 164, samples: 164 };
  const events = [
    { type: 'launch', pid: 1, version: '0.1.0', host: 'here' },
    { type: 'phase', phase: 'load' },
    { type: 'engine', device: 'cpu, int8 (145 MB of weights), 4 threads, batch 32' },
    ...Array.from({ length: 200 }, (_, i) => ({ ...progress, done: Math.min(i, 164), generated: Math.min(i, 164) })),
    {
      ...{ type: 'done', status: 'finished', error: '' },
      score: { verdicts, passAtK, ...counts, final: true, whyNotFinal: '' },
      seconds: { load: 1, prefill: 1, decode: 1, execute: 1, total: 4 },
    },
  ].map((event, i) => ({ seq: i + 1, time: 1.7e12 + 1000 * i, ...event }));
  writeFileSync(join(folder, 'events.jsonl'), lines(events));
}

/** Rows of the size that small models make, of 500 problems. */
async function writeResults(folder) {
  const path = join(folder, 'results.jsonl');
  const failed = { result: 'failed: AssertionError', passed: false, verdict: 'failed', traceback: 't'.repeat(400) };
  const passed = { result: 'passed', passed: true, verdict: 'passed', traceback: '' };
  for (let start = 0; start < rows; start += 5000) {
    const some = Array.from({ length: Math.min(5000, rows - start) }, (_, i) => ({
      task_id: `HumanEval/${(start + i) % 500}`,
      completion: '    return sorted(x)\n'.repeat(15),
      sample: Math.floor((start + i) / 500),
      ...(i % 10 === 0 ? passed : failed),
      ...{ program: '0123456789abcdef', output: '', wall_seconds: 0.0123456, cpu_seconds: 0.01, retried: false },
    }));
    await appendFile(path, lines(some));
  }
  return path;
}

/** Milliseconds that the work took, those of processors, and the longest that it held up anything else. */
async function timed(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const [started, used] = [performance.now(), process.cpuUsage()];
  await work();
  const milliseconds = performance.now() - started;
  const { user, system } = process.cpuUsage(used);
  delay.disable();
  return { milliseconds, cpu: (user + system) / 1000, held: delay.max / 1e6 };
}

try {
  const run = join(home, 'large');
  mkdirSync(run);
  const size = statSync(await writeResults(run)).size / 1e6;
  globalThis.gc?.();
  const before = process.memoryUsage();
  const results = new ResultsFile(run);
  let first = null;
  const started = performance.now();
  const reading = await timed(() =>
    results.update(() => {
      first ??= performance.now() - started;
    }),
  );
  globalThis.gc?.();
  const after = process.memoryUsage();
  if (results.count !== rows) throw new Error(`${results.count} rows were read of ${rows}`);
  const grown = (of) => ((after[of] - before[of]) / 1e6).toFixed(0);
  console.log(
    `${rows} results (${size.toFixed(0)} MB): all read in ${reading.milliseconds.toFixed(0)} ms, the first rows`,
  );
  console.log(`  after ${first.toFixed(0)} ms; others held up for ${reading.held.toFixed(0)} ms at most;`);
  console.log(
    `  resident memory grown by ${grown('rss')} MB, heap by ${grown('heapUsed')} MB, buffers by ${grown('arrayBuffers')} MB`,
  );
  const scoring = await timed(() => Promise.resolve(results.score(null, rows / 500, 500)));
  console.log(`  the score of them: ${scoring.milliseconds.toFixed(0)} ms`);

  const store = join(home, 'runs');
  for (let i = 0; i < runs; i++) writeRun(store, i);
  const [latests, loads, cpu, again, held] = [[], [], [], [], []];
  for (let i = 0; i < repeats; i++) {
    const list = new RunList(store);
    const latest = await timed(() => list.load());
    const rest = await timed(() => list.loadAll());
    if (list.runs.length !== runs) throw new Error(`${list.runs.length} runs were read of ${runs}`);
    latests.push(latest.milliseconds);
    loads.push(latest.milliseconds + rest.milliseconds);
    cpu.push(latest.cpu + rest.cpu);
    held.push(latest.held, rest.held);
    again.push((await timed(() => list.refresh())).milliseconds);
    list.close();
  }
  console.log(`${runs} finished runs: the latest ${range(latests)} (the first time ${latests[0].toFixed(0)} ms),`);
  console.log(`  all ${range(loads)} (the first time ${loads[0].toFixed(0)} ms),`);
  console.log(
    `  of processors ${range(cpu)}; look again ${range(again)}; others held up for ${Math.max(...held).toFixed(0)} ms at most`,
  );
} finally {
  rmSync(home, { recursive: true, force: true });
}
