/**
 * What VS Code calls in the extension host: runs every `*.test.cjs` beside it with mocha, and writes what became of them
 * to the file that `MIDTRAIN_TEST_REPORT` names. Knows nothing of the tests.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type Mocha from 'mocha';
import * as exported from 'mocha';

// mocha 12 names its class; the types are of an older one, which was it.
const { Mocha: MochaRunner } = exported as unknown as { readonly Mocha: typeof Mocha };

export async function run(): Promise<void> {
  const mocha = new MochaRunner({ ui: 'tdd', timeout: 60_000 });
  for (const name of readdirSync(__dirname)) {
    if (name.endsWith('.test.cjs')) mocha.addFile(join(__dirname, name));
  }
  const report = { passed: 0, failed: 0, skipped: [] as string[] };
  await new Promise<void>((resolve) => {
    const runner = mocha.run(() => {
      resolve();
    });
    runner.on('pass', () => report.passed++);
    runner.on('fail', () => report.failed++);
    runner.on('pending', (test) => report.skipped.push(test.fullTitle()));
  });
  const file = process.env['MIDTRAIN_TEST_REPORT'];
  if (file) writeFileSync(file, JSON.stringify(report));
  if (report.failed > 0) throw new Error(`${report.failed} tests failed`);
}
