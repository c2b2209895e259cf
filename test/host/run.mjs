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
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runTests } from '@vscode/test-electron';
import { root } from '../tools/setup.mjs';
import { installVSCodeHost } from '../tools/vscodeHost.mjs';

const sources = join(root, 'test', 'host');

/** @returns {Promise<{ passed: number, failed: number, skipped: string[] }>} */
export async function runExtensionHostTests(host) {
  const bundles = await bundle();
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-host-'));
  const report = join(folder, 'report.json');
  const workspace = join(folder, 'workspace');
  mkdirSync(workspace);
  try {
    await runTests({
      vscodeExecutablePath: bundles.code,
      reuseMachineInstall: true, // the server has user data of its own
      extensionDevelopmentPath: root,
      extensionTestsPath: bundles.suite,
      launchArgs: [workspace],
      extensionTestsEnv: { MIDTRAIN_TEST_HOST: JSON.stringify(host), MIDTRAIN_TEST_REPORT: report },
    }).catch((error) => console.log(error.message)); // the report says what failed
    return existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : { passed: 0, failed: 1, skipped: [] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
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
