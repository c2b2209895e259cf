/** Starts the codec's own property and fuzz test, which is in Python as the codec is. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { expect, test } from 'vitest';
import { findPython, pythonFolder } from '../../../src/evaluation/executor/native.ts';

test.each([1, 2, 3])('what is encoded comes back, what is damaged does no harm (seed %i)', async (seed) => {
  const { executable } = await findPython();
  const script = path.join(import.meta.dirname, 'codec_fuzz.py');
  const said = execFileSync(executable, ['-B', script, pythonFolder(), String(seed)], { encoding: 'utf8' });
  expect(said.trim()).toBe('ok');
});
