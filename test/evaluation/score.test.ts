import { describe, expect, it } from 'vitest';
import { formatScore, formatVerdicts, score } from '../../src/evaluation/score.ts';
import type { Verdict } from '../../src/evaluation/types.ts';

const asked = (count: number) => Array.from({ length: count }, (_, i) => `HumanEval/${i}`);
const results = (verdicts: readonly Verdict[]) => verdicts.map((verdict, i) => ({ taskId: `HumanEval/${i}`, verdict }));
const fill = (count: number, verdict: Verdict): Verdict[] => Array.from({ length: count }, () => verdict);

describe('score', () => {
  it('of a whole run is final', () => {
    const scored = score({
      asked: asked(164),
      problemsOfBenchmark: 164,
      results: results([
        ...fill(7, 'passed'),
        ...fill(150, 'failed'),
        ...fill(4, 'timed out'),
        ...fill(2, 'crashed'),
        'out of memory',
      ]),
    });
    expect(scored).toMatchObject({ solved: 7, problems: 164, samples: 164, final: true, whyNotFinal: '' });
    expect(scored.passAtK.map(({ k }) => k)).toEqual([1]);
    expect(formatScore(scored)).toBe('pass@1 = 4.3 % (95 % interval 2.1 to 8.5 %), 7 of 164 problems');
    expect(formatVerdicts(scored.verdicts)).toBe('passed 7, failed 150, timed out 4, crashed 2, out of memory 1');
  });

  it('never counts a harness error as failed, and is not final with one', () => {
    const scored = score({
      asked: asked(3),
      problemsOfBenchmark: 3,
      results: results(['passed', 'failed', 'harness error']),
    });
    expect(scored.passAtK[0]!.value).toBe(0.5);
    expect(scored).toMatchObject({ problems: 2, final: false });
    expect(formatScore(scored)).toContain(
      '1 of 2 problems (partial: 2 of 3)\nnot final: 1 sample met a harness error; 1 problem of 3 not fully judged',
    );
  });

  it('labels a part of the benchmark, and knows when that part is complete', () => {
    const part = score({ asked: asked(64), problemsOfBenchmark: 164, results: results(fill(64, 'failed')) });
    expect(part.final).toBe(true);
    expect(formatScore(part)).toMatch(
      /^pass@1 = 0\.0 % \(95 % interval 0\.0 to 5\.7 %\), 0 of 64 problems \(partial: 64 of 164\)$/,
    );
    const stopped = score({ asked: asked(64), problemsOfBenchmark: 164, results: results(fill(10, 'failed')) });
    expect(stopped).toMatchObject({ final: false, whyNotFinal: '54 problems of 64 not fully judged' });
  });

  it('gives pass@k only where every judged problem has k samples', () => {
    const many = (count: number) =>
      asked(4).flatMap((taskId) =>
        fill(count, 'failed').map((verdict, i) => ({ taskId, verdict: i === 0 ? ('passed' as const) : verdict })),
      );
    const input = { asked: asked(4), samplesAsked: 10, problemsOfBenchmark: 4 };
    const full = score({ ...input, results: many(10) });
    expect(full.passAtK.map(({ k, value }) => [k, Number(value.toFixed(6))])).toEqual([
      [1, 0.1],
      [10, 1],
    ]);
    expect(full.final).toBe(true);
    const short = score({ ...input, results: many(10).slice(1) });
    expect(short.passAtK.map(({ k }) => k)).toEqual([1]);
    expect(short.final).toBe(false);
    expect(score({ ...input, samplesAsked: 100, results: many(100) }).passAtK.map(({ k }) => k)).toEqual([1, 10, 100]);
  });

  it('of nothing says so, and leaves out tasks nobody asked for', () => {
    const scored = score({
      asked: asked(2),
      problemsOfBenchmark: 164,
      results: [{ taskId: 'Mbpp/1', verdict: 'passed' }],
    });
    expect(scored).toMatchObject({ passAtK: [], problems: 0, final: false });
    expect(formatScore(scored)).toBe(
      'no score: nothing was judged of 164 problems\nnot final: 2 problems of 2 not fully judged',
    );
  });
});
