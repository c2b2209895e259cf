/**
 * Runs the tests of test/host/suite inside the extension host of an installed VS Code, through @vscode/test-electron.
 *
 *     node test/host/run.mjs [current|oldest]
 */
import { build } from 'esbuild';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runTests } from '@vscode/test-electron';
import { root } from '../tools/setup.mjs';
import { installVSCodeHost } from '../tools/vscodeHost.mjs';

const manyRuns = 1000;
const sources = join(root, 'test', 'host');

/** @returns {Promise<{ passed: number, failed: number, skipped: string[] }>} */
export async function runExtensionHostTests(host) {
  const bundles = await bundle();
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-host-'));
  const report = join(folder, 'report.json');
  const workspace = join(folder, 'workspace');
  mkdirSync(workspace);
  const store = join(folder, 'runs');
  writeRuns(store);
  try {
    await runTests({
      vscodeExecutablePath: bundles.code,
      reuseMachineInstall: true, // the server has user data of its own
      extensionDevelopmentPath: root,
      extensionTestsPath: bundles.suite,
      launchArgs: [workspace],
      extensionTestsEnv: {
        MIDTRAIN_TEST_HOST: JSON.stringify(host),
        MIDTRAIN_TEST_REPORT: report,
        MIDTRAIN_RUNS: store,
        MIDTRAIN_TEST_RUNS: `${manyRuns}`,
      },
    }).catch((error) => console.log(error.message)); // the report says what failed
    return existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : { passed: 0, failed: 1, skipped: [] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs that have finished, of which the extension must not become slow. */
function writeRuns(store) {
  const request = {
    model: { path: null, spec: 'small', label: 'small' },
    benchmark: { id: 'humaneval', path: null },
    ...{ selection: 'test', limit: null, tasks: null, samples: 1, seed: 0, maxTokens: null, protocol: null },
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0 },
    ...{ device: 'cpu', precision: 'auto', batch: null, threads: null, strict: false, workers: null },
    ...{ timeLimit: null, python: null },
  };
  const counts = { passed: 1, generated: 164, resumed: 0, tokens: 9000, tokensPerSecond: 100 };
  const progress = Array.from({ length: 164 }, (_, i) => ({ type: 'progress', done: i + 1, total: 164, ...counts }));
  const events = [
    { type: 'launch', pid: 1, version: '0.1.0', host: 'elsewhere' },
    ...progress,
    { type: 'done', status: 'finished', score: null, seconds: null, error: '' },
  ].map((event, i) => `${JSON.stringify({ seq: i + 1, time: i, ...event })}\n`);
  for (let i = 0; i < manyRuns; i++) {
    const folder = join(store, `run-${i}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'run.json'), JSON.stringify({ format: 1, kind: 'evaluation', created: i, request }));
    writeFileSync(join(folder, 'events.jsonl'), events.join(''));
  }
}

/** Makes plain JavaScript, inside the project because node_modules is looked for from there. */
async function bundle() {
  const outdir = join(root, '.cache', 'test-host');
  rmSync(outdir, { recursive: true, force: true });
  const tests = readdirSync(join(sources, 'suite')).filter((name) => name.endsWith('.test.ts'));
  const shared = { bundle: true, platform: 'node', target: 'node20.19', packages: 'external', logLevel: 'warning' };
  await Promise.all([
    build({
      ...shared,
      entryPoints: ['index.ts', ...tests].map((name) => join(sources, 'suite', name)),
      format: 'cjs',
      outdir: join(outdir, 'suite'),
      outExtension: { '.js': '.cjs' },
      sourcemap: 'inline',
    }),
    build({
      ...shared,
      entryPoints: [join(sources, 'code.ts')],
      format: 'esm',
      outfile: join(outdir, 'code.mjs'),
      banner: { js: '#!/usr/bin/env node' },
    }),
  ]);
  const code = join(outdir, 'code.mjs');
  chmodSync(code, 0o755);
  return { code, suite: join(outdir, 'suite', 'index.cjs') };
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const host = await installVSCodeHost(process.argv[2] ?? 'current');
  if (host.reason) console.error(host.reason);
  const { passed, failed, skipped } = host.reason
    ? { passed: 0, failed: 1, skipped: [] }
    : await runExtensionHostTests(host);
  console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}
