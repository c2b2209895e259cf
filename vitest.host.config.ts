/** Tests of the user interface in a real VS Code, one after another: `npx vitest run --config vitest.host.config.ts`. */
import { defineConfig } from 'vitest/config';
import { findVSCodeHost } from './test/tools/vscodeHost.mjs';

export default defineConfig({
  test: {
    include: ['test/e2e/**/*.e2e.ts'],
    provide: { hosts: { current: findVSCodeHost('current'), oldest: findVSCodeHost('oldest') } },
    pool: 'forks',
    fileParallelism: false, // a window takes more than one core
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
