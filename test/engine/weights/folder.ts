/** A temporary folder for a test file, and what tests of readers do with it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { UserError } from '../../../src/errors.ts';

/** Makes a folder that is removed after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-weights-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Writes a file into the folder and gives its path. */
export function write(folder: string, name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The message of the UserError that `work` fails with; it ends as a sentence. Fails on any other outcome. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  const outcome = await work.then(
    () => 'no error',
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(UserError);
  const { message } = outcome as UserError;
  expect(message).toMatch(/\.$/);
  expect(message.length).toBeLessThan(1000);
  return message;
}
