/**
 * A small evaluation for tests of the runner: a tiny model of test/fixtures/engine, real Python programs, and problems of our
 * own in HumanEval's form, some of which any answer solves and some of which none does.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll } from 'vitest';
import type { EvaluationRequest } from '../../src/runner/types.ts';

const root = join(import.meta.dirname, '../..');

/** A folder that is gone after the tests of the file. To be called outside of them. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return folder;
}

let bundle: string | null = null;
afterAll(() => {
  if (bundle !== null) rmSync(bundle, { recursive: true, force: true, maxRetries: 5 });
});

/** The headless command, bundled once a file of tests from the sources as they are, where it finds ONNX Runtime. */
export function bundleCommand(): string {
  if (bundle === null) {
    mkdirSync(join(root, '.cache'), { recursive: true });
    bundle = mkdtempSync(join(root, '.cache/midtrain-'));
    execFileSync(process.execPath, [join(root, 'esbuild.mjs'), `--outdir=${bundle}`], { cwd: root });
  }
  return join(bundle, 'midtrain.cjs');
}

/** Writes the problems. @returns the file */
export function writeProblems(folder: string, count: number): string {
  const rows = Array.from({ length: count }, (_, i) => ({
    task_id: `HumanEval/${i}`,
    prompt: `def f${i}(x):\n    """ ${'a'.repeat(i % 7)} """\n    return x  #`,
    entry_point: `f${i}`,
    canonical_solution: `    return x + ${i}\n`,
    test: i % 3 === 0 ? 'def check(candidate):\n    assert candidate(1) == -1\n' : 'def check(candidate):\n    pass\n',
  }));
  const path = join(folder, 'problems.jsonl');
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

export function smallRequest(problems: string, change: Partial<EvaluationRequest> = {}): EvaluationRequest {
  const model = join(root, 'test/fixtures/engine/llama-gqa-tied');
  return {
    model: { path: model, spec: model, label: 'llama-gqa-tied' },
    benchmark: { id: 'humaneval', path: problems },
    selection: 'all',
    limit: null,
    tasks: null,
    samples: 2,
    sampling: { temperature: 0.8, topP: 1, topK: 0, minP: 0 },
    seed: 1,
    maxTokens: 24,
    protocol: 'codex',
    device: 'cpu',
    precision: 'fp32',
    batch: 4,
    threads: 1,
    strict: false,
    workers: 2,
    timeLimit: 5,
    python: null,
    ...change,
  };
}
