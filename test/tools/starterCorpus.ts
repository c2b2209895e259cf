/**
 * Our side of starterCorpus.mjs: writes the starter benchmark and the starter corpus. Arguments: folder, functions, seed.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { JsonLinesWriter, replaceJsonLines } from '../../src/evaluation/jsonl.ts';
import { starterProblems, toRow } from '../../src/midtraining/starter/benchmark.ts';
import { starterCorpus } from '../../src/midtraining/starter/corpus.ts';

async function main(folder: string, functions: number, seed: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const problems = starterProblems();
  await replaceJsonLines(join(folder, 'benchmark.jsonl'), problems.map(toRow));

  const path = join(folder, 'corpus.jsonl');
  await rm(path, { force: true });
  const writer = await JsonLinesWriter.open(path);
  let lines = 0;
  let commented = 0;
  for await (const { text } of starterCorpus(functions, seed)) {
    await writer.append({ text });
    const body = text
      .slice(text.lastIndexOf('"""') + 3)
      .trim()
      .split('\n');
    const comments = body.filter((line) => line.trimStart().startsWith('#')).length;
    lines += body.length - comments;
    commented += comments;
  }
  await writer.close();
  const share = ((100 * commented) / lines).toFixed(1);
  console.log(`${path}: ${functions} functions, ${lines} lines of code, ${share} % of them with a comment above`);
  console.log(`${join(folder, 'benchmark.jsonl')}: ${problems.length} problems`);
}

const [, , folder = '', functions = '', seed = ''] = process.argv;
await main(folder, Number(functions), Number(seed));
