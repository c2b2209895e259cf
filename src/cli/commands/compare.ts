/**
 * `midtrain compare A B`: does B solve more of the problems than A, and how sure is that?
 */
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { type ComparedResults, compareResults, readCounts } from '../../evaluation/compare.ts';
import { runPaths } from '../../runner/runFolder.ts';
import type { Context, Run } from '../context.ts';
import { type ExitCode, exitCodes } from '../exitCodes.ts';
import { type CommonOptions, withCommonOptions } from '../options.ts';

export function addCompare(program: Command, run: Run): void {
  const command = program
    .command('compare')
    .description('compare two evaluations of the same problems, by a paired interval')
    .argument('<a>', 'a run, or its results.jsonl')
    .argument('<b>', 'another one');
  withCommonOptions(command).action(async (a: string, b: string, options: CommonOptions) => {
    await run(options, (context) => compare(a, b, context));
  });
}

async function compare(a: string, b: string, { output }: Context): Promise<ExitCode> {
  const compared = compareResults(await readCounts(await resultsOf(a)), await readCounts(await resultsOf(b)));
  output.result('comparison', comparisonLines(compared), compared);
  return exitCodes.ok;
}

async function resultsOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => null);
  return found?.isDirectory() === true ? runPaths(path).results : path;
}

/** A small table and, in words, what the difference means. */
export function comparisonLines({ a, b, comparison, problems, onlyOne }: ComparedResults): string[] {
  const { difference, low, high, mcnemar } = comparison;
  const row = (name: string, value: string, from: string, to: string): string =>
    `${name.padEnd(10)}  ${value.padStart(7)}  ${from.padStart(6)} to ${to.padStart(6)}`;
  const percent = (fraction: number): string => (100 * fraction).toFixed(1);
  const signed = (fraction: number): string => `${fraction > 0 ? '+' : ''}${percent(fraction)}`;
  const left = onlyOne === 0 ? '' : ` (${onlyOne} more that only one of them has are left out)`;
  return [
    `pass@1 in %, with 95 % intervals, on ${problems} problems${left}`,
    row('before', percent(a.value), percent(a.low), percent(a.high)),
    row('after', percent(b.value), percent(b.low), percent(b.high)),
    row('difference', signed(difference), signed(low), signed(high)),
    ...(mcnemar === null
      ? []
      : [`${mcnemar.onlyB} newly solved, ${mcnemar.onlyA} no longer (McNemar's test: p = ${probability(mcnemar.p)})`]),
  ];
}

function probability(p: number): string {
  return p >= 0.001 ? p.toFixed(3) : p.toExponential(0);
}
