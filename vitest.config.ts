import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/host/**'], // run inside VS Code (test/host/run.mjs)
    pool: 'forks', // native modules and child processes: one process a file
    testTimeout: 60_000,
    hookTimeout: 300_000,
  },
});
