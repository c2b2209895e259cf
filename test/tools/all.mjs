/**
 * `npm test`: installs what the tests need and runs every check, from a clean clone too. Its last line is
 * `N passed, N failed, N skipped`, where a check such as the linter counts as one test.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { capture, checkNode, cli, install, root, run } from './setup.mjs';
import { installSwiftShader } from './swiftshader.mjs';
import { installVSCodeHost } from './vscodeHost.mjs';

checkNode();
await install();

let passed = 0;
let failed = 0;
const skipped = [];

const tour = mkdtempSync(join(tmpdir(), 'midtrain-tour-'));
const bin = (...path) => join(root, 'node_modules', ...path);
const checks = [
  ['formatting', bin('prettier', 'bin', 'prettier.cjs'), '--check', '--log-level', 'warn', '.'],
  ['types', bin('typescript', 'bin', 'tsc'), '--noEmit'],
  ['types of the webviews', bin('typescript', 'bin', 'tsc'), '--noEmit', '-p', 'src/webviews'],
  ['lint', bin('eslint', 'bin', 'eslint.js'), '.'],
  ['imports', bin('dependency-cruiser', 'bin', 'dependency-cruise.mjs'), '--config', '.dependency-cruiser.cjs', 'src'],
  ['build', join(root, 'esbuild.mjs'), '--production'],
  ['first tour', join(import.meta.dirname, 'tour.mjs'), '--problems', '6', '--steps', '2', '--out', join(tour, 'tour')],
];

for (const [name, ...args] of checks) {
  const started = Date.now();
  const { code, text } = await capture(process.execPath, args, {
    env: { ...process.env, MIDTRAIN_RUNS: join(tour, 'runs') },
  });
  console.log(`${code === 0 ? 'passed' : 'FAILED'}  ${name}  ${((Date.now() - started) / 1000).toFixed(1)} s`);
  if (code === 0) passed++;
  else {
    failed++;
    console.log(text);
  }
}

rmSync(tour, { recursive: true, force: true });

const env = { ...process.env };
const benchmarks = join(root, '..', 'shared', 'benchmarks');
if (!env['MIDTRAIN_BENCHMARKS'] && existsSync(benchmarks)) env['MIDTRAIN_BENCHMARKS'] = benchmarks;

// The tests of the engine want a real model. Fetched here once, so that they need not know of networks.
if (!env['MIDTRAIN_TEST_MODEL']) {
  const args = [cli, 'models', 'get', 'starter:smollm2', '--yes', '--json'];
  const { code, text } = existsSync(cli)
    ? await capture(process.execPath, args)
    : { code: 1, text: 'the build failed' };
  const rows = jsonLines(text);
  const path = rows.find(({ type }) => type === 'model')?.path;
  if (code === 0 && path !== undefined) env['MIDTRAIN_TEST_MODEL'] = path;
  else {
    const reason = rows.find(({ type }) => type === 'error')?.message ?? text.trim();
    skipped.push(`the tests on a real model: ${reason}`);
  }
}

// WebGPU is tested without a GPU over Chromium's Vulkan driver in software.
const swiftShader = installSwiftShader();
if (swiftShader.reason) skipped.push(`the tests on WebGPU: ${swiftShader.reason}`);

await runVitest();
await testInVSCode();

for (const reason of skipped) console.log(`skipped  ${reason}`);
console.log(`${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;

/** Runs vitest and counts what became of its tests. */
async function runVitest(...options) {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-test-'));
  try {
    const report = join(folder, 'report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const code = await run(process.execPath, [bin('vitest', 'vitest.mjs'), 'run', ...options, ...reporters], { env });
    if (existsSync(report)) count(JSON.parse(readFileSync(report, 'utf8')), code);
    else {
      failed++;
      console.log('FAILED  vitest gave no report');
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The tests in a real VS Code: in the extension host of the newest and of the oldest release, then in windows. */
async function testInVSCode() {
  if (process.env['MIDTRAIN_SKIP_HOST'] === '1') {
    skipped.push('the tests in VS Code: MIDTRAIN_SKIP_HOST is 1');
    return;
  }
  const { runExtensionHostTests } = await import('../host/run.mjs');
  const hosts = [];
  for (const release of ['current', 'oldest']) {
    const host = await timed(`installation of the ${release} VS Code`, () => installVSCodeHost(release));
    if (host.reason) skipped.push(`the tests in the ${release} VS Code: ${host.reason}`);
    else hosts.push(host);
  }
  for (const host of hosts) {
    const result = await timed(`extension host of VS Code ${host.vscode}`, () => runExtensionHostTests(host));
    passed += result.passed;
    failed += result.failed;
    skipped.push(...result.skipped.map((title) => `${title} (VS Code ${host.vscode})`));
  }
  if (hosts.some(({ release }) => release === 'current')) {
    await timed('windows of VS Code', () => runVitest('--config', 'vitest.host.config.ts'));
  }
}

/** Says how long it took. */
async function timed(name, work) {
  const started = Date.now();
  const result = await work();
  console.log(`${name}: ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return result;
}

/** Adds up vitest's report (Jest's format). A file that does not load has no tests of its own but has failed. */
function count(report, code) {
  const before = failed;
  for (const { name, status, message, assertionResults } of report.testResults) {
    if (status === 'failed' && !assertionResults.some((test) => test.status === 'failed')) {
      failed++;
      console.log(`FAILED  ${name}: ${message}`);
    }
    for (const test of assertionResults) {
      if (test.status === 'passed') passed++;
      else if (test.status === 'failed') failed++;
      else skipped.push(test.fullName);
    }
  }
  // An error outside all tests fails the run too.
  if (code !== 0 && failed === before) {
    failed++;
    console.log(`FAILED  vitest ended with status ${code}`);
  }
}

function jsonLines(text) {
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}
