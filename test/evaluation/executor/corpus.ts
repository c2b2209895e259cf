/**
 * HumanEval and MBPP with their canonical solutions as programs, for the executor's tests and benchmarks.
 * The files are not part of the project: MIDTRAIN_BENCHMARKS, or ../shared/benchmarks beside the repository.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Program } from '../../../src/evaluation/types.ts';

export const benchmarks =
  process.env['MIDTRAIN_BENCHMARKS'] ?? path.resolve(import.meta.dirname, '../../../../shared/benchmarks');

/** Why tests that need the files are skipped, or undefined. */
export const missing = existsSync(path.join(benchmarks, 'HumanEval.jsonl.gz'))
  ? undefined
  : `no HumanEval.jsonl.gz in ${benchmarks} (set MIDTRAIN_BENCHMARKS)`;

export interface HumanEvalRow {
  readonly task_id: string;
  readonly prompt: string;
  readonly entry_point: string;
  readonly canonical_solution: string;
  readonly test: string;
}

interface MbppRow {
  readonly task_id: number;
  readonly code: string;
  readonly test_setup_code: string;
  readonly test_list: readonly string[];
}

function rows<Row>(file: string): Row[] {
  const text = gunzipSync(readFileSync(path.join(benchmarks, file))).toString();
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Row);
}

export const humanEvalRows = (): HumanEvalRow[] => rows('HumanEval.jsonl.gz');

const limits = { timeLimit: 30, memoryLimit: 4 * 2 ** 30 };

export function humanEvalProgram(row: HumanEvalRow, completion: string): Program {
  return {
    ...limits,
    id: row.task_id,
    candidate: row.prompt + completion,
    check: `${row.test}\ncheck(${row.entry_point})`,
    entryPoint: row.entry_point,
    support: row.prompt,
  };
}

export function canonicalHumanEval(): Program[] {
  return humanEvalRows().map((row) => humanEvalProgram(row, row.canonical_solution));
}

export function canonicalMbpp(): Program[] {
  return rows<MbppRow>('mbpp.jsonl.gz').map((row) => ({
    ...limits,
    id: `Mbpp/${row.task_id}`,
    candidate: row.code,
    check: [row.test_setup_code, ...row.test_list].join('\n'),
    // Some tests call it only inside another call: the first name that the code defines and a test calls.
    entryPoint:
      [...row.code.matchAll(/^def\s+(\w+)/gm)]
        .map(([, name]) => name!)
        .find((name) => row.test_list[0]!.includes(`${name}(`)) ?? '',
  }));
}
