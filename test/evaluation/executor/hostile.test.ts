/** The hostile programs, in both modes: no forged verdict, no damage, no server lost, nothing left behind. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createNativeExecutor } from '../../../src/evaluation/executor/native.ts';
import type { ExecutionResult, Executor } from '../../../src/evaluation/types.ts';
import { hostile } from './hostile.ts';
import { descendants, program } from './tools.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'hostile-'));
const canary = path.join(folder, 'canary');
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test('there are enough of them', () => {
  expect(hostile.length).toBeGreaterThanOrEqual(40);
  expect(new Set(hostile.map(({ name }) => name)).size).toBe(hostile.length);
});

for (const strict of [false, true])
  describe.skipIf(process.platform === 'win32')(strict ? 'strict mode' : 'normal mode', () => {
    let executor: Executor;
    const scratch = mkdtempSync(path.join(folder, 'scratch-'));

    const results = new Map<string, ExecutionResult>();

    beforeAll(async () => {
      writeFileSync(canary, 'alive', { mode: 0o644 });
      executor = await createNativeExecutor({ workers: 2, strict, scratch });
      await Promise.all(
        hostile.map(async ({ name, candidate, check = 'assert f(1) == 2' }) => {
          const limits = { timeLimit: 1, memoryLimit: 512 * 2 ** 20, support: 'def poly(a, b): return a - b\n' };
          const result = await executor.run(program(candidate.replaceAll('CANARY', canary), check, limits));
          results.set(name, result);
        }),
      );
    });

    afterAll(async () => {
      await executor.close();
      expect(readdirSync(scratch)).toEqual([]);
      expect(await descendants(process.pid)).toEqual([]);
    });

    test.each(hostile)('$name', ({ name, normal, strict: strictly }) => {
      const result = results.get(name)!;
      expect(strict ? strictly : normal, JSON.stringify(result)).toContain(result.verdict);
      expect(result.output.length).toBeLessThanOrEqual(64 * 1024);
    });

    test('the file outside is unharmed', () => {
      expect(existsSync(canary) && readFileSync(canary, 'utf8')).toBe('alive');
      expect(statSync(canary).mode & 0o777).toBe(0o644);
    });

    test('an honest program still passes', async () => {
      const results = await Promise.all(
        Array.from({ length: 8 }, () => executor.run(program('def f(x): return x + 1', 'assert f(1) == 2'))),
      );
      expect(results.map(({ verdict }) => verdict)).toEqual(Array(8).fill('passed'));
    });
  });
