import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks', // native modules and child processes: one process a file
    testTimeout: 60_000,
    hookTimeout: 300_000,
  },
});
