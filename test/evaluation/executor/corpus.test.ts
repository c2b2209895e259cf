/** Every canonical program of HumanEval and MBPP passes, in both modes. */
import { describe, expect, test } from 'vitest';
import { createNativeExecutor } from '../../../src/evaluation/executor/native.ts';
import { canonicalHumanEval, canonicalMbpp, missing } from './corpus.ts';

if (missing !== undefined) console.log(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)('canonical programs', () => {
  test.each([
    { strict: false, name: 'normal mode' },
    { strict: true, name: 'strict mode' },
  ])(
    'pass in $name',
    async ({ strict }) => {
      const executor = await createNativeExecutor({ workers: 2, strict });
      const programs = [...canonicalHumanEval(), ...canonicalMbpp()];
      expect(programs).toHaveLength(164 + 974);
      const results = await Promise.all(programs.map((program) => executor.run(program)));
      await executor.close();
      expect(results.filter(({ verdict }) => verdict !== 'passed')).toEqual([]);
    },
    300_000,
  );
});
