/**
 * What a study found, as Markdown and SVG: pass@1 of each method over its seeds, and the difference to the reference, paired
 * by problem. Pure functions of counts.
 */
import { compareResults, type Counts } from '../evaluation/compare.ts';
import { estimatePassAtK } from '../evaluation/passAtK.ts';

/** A method's outcomes, one of each seed; one alone where it was not trained. */
export interface MethodResults {
  readonly name: string;
  readonly seeds: readonly { readonly seed: number | null; readonly counts: Counts; readonly seconds: number | null }[];
}

export interface MethodSummary {
  readonly name: string;
  readonly seeds: number;
  /** pass@1, all seeds together, with its 95 % interval by a bootstrap over problems. */
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Of each seed. */
  readonly bySeed: readonly number[];
  /** Less the reference's, with its interval, and in how many of the seeds it is above; null for the reference. */
  readonly difference: {
    readonly value: number;
    readonly low: number;
    readonly high: number;
    readonly above: number;
  } | null;
  /** Of a training, mean; null where there was none. */
  readonly seconds: number | null;
}

export function summarizeStudy(methods: readonly MethodResults[], reference: string): MethodSummary[] {
  const of = (name: string): MethodResults => methods.find((method) => method.name === name)!;
  const base = of(reference);
  return methods.map(({ name, seeds }) => {
    const pooled = poolCounts(seeds.map(({ counts }) => counts));
    const { value, low, high } = estimatePassAtK([...pooled.values()], 1)!;
    const bySeed = seeds.map(({ counts }) => rateOf(counts));
    const times = seeds.flatMap(({ seconds }) => seconds ?? []);
    const seconds = times.length === 0 ? null : times.reduce((sum, time) => sum + time, 0) / times.length;
    if (name === reference) return { name, seeds: seeds.length, value, low, high, bySeed, difference: null, seconds };
    const { comparison } = compareResults(poolCounts(base.seeds.map(({ counts }) => counts)), pooled);
    const ofBase = base.seeds.map(({ counts }) => rateOf(counts));
    const above = ofBase.filter((rate, i) => (bySeed[i] ?? bySeed[0]!) > rate).length;
    const difference = { value: comparison.difference, low: comparison.low, high: comparison.high, above };
    return { name, seeds: seeds.length, value, low, high, bySeed, difference, seconds };
  });
}

/** Samples of several evaluations of the same problems as those of one. */
function poolCounts(all: readonly Counts[]): Counts {
  const pooled = new Map<string, { readonly samples: number; readonly correct: number }>();
  for (const counts of all) {
    for (const [task, { samples, correct }] of counts) {
      const before = pooled.get(task) ?? { samples: 0, correct: 0 };
      pooled.set(task, { samples: before.samples + samples, correct: before.correct + correct });
    }
  }
  return pooled;
}

function rateOf(counts: Counts): number {
  const rates = [...counts.values()].map(({ samples, correct }) => correct / samples);
  return rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
}

const percent = (value: number): string => (100 * value).toFixed(1);
const signed = (value: number): string => `${value > 0 ? '+' : ''}${percent(value)}`;

export interface StudyReport {
  readonly title: string;
  readonly command: string;
  readonly summaries: readonly MethodSummary[];
  readonly reference: string;
  readonly benchmark: string;
  readonly problems: number;
  /** File of the picture, relative to the report. */
  readonly picture: string;
  /** Seconds of all that was run, and on what. */
  readonly seconds: number;
  readonly machine: string;
}

export function studyMarkdown(report: StudyReport): string {
  const { title, command, summaries, reference, benchmark, problems, picture, seconds, machine } = report;
  const rows = summaries.map(({ name, value, low, high, bySeed, difference, seconds: time }) => [
    name,
    `${percent(value)} (${percent(low)} to ${percent(high)})`,
    bySeed.map(percent).join(', '),
    difference === null ? '' : `${signed(difference.value)} (${signed(difference.low)} to ${signed(difference.high)})`,
    difference === null || bySeed.length === 1 ? '' : `${difference.above} of ${bySeed.length}`,
    time === null ? '' : `${Math.round(time)} s`,
  ]);
  const head = ['method', 'pass@1 in % (95 %)', 'by seed', `less ${reference} (95 %, paired)`, 'seeds above', 'a run'];
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    `# ${title}`,
    '',
    `${benchmark}, ${problems} problems, one greedy program each. Made by \`${command}\` in ${(seconds / 60).toFixed(0)} minutes of work on ${machine}.`,
    '',
    row(head),
    row(head.map(() => '---')),
    ...rows.map(row),
    '',
    'Intervals are by a bootstrap over problems, all seeds of a method together; differences are paired by problem.',
    '',
    `![pass@1 of each method](${picture})`,
    '',
  ].join('\n');
}

/** pass@1 as a bar each, with its interval and a mark for each seed. Text is in the reader's own font. */
export function studySvg(summaries: readonly MethodSummary[]): string {
  const [left, width, row] = [150, 420, 34];
  const height = summaries.length * row + 40;
  const most = Math.max(0.1, Math.ceil(10 * Math.max(...summaries.map(({ high }) => high))) / 10);
  const x = (value: number): string => (left + (width * value) / most).toFixed(1);
  const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const ticks = Array.from({ length: Math.round(most * 10) + 1 }, (_, i) => i / 10);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 60} ${height}" font-family="sans-serif" font-size="13" role="img" aria-label="pass@1 of each method">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...ticks.map(
      (tick) =>
        `<line x1="${x(tick)}" y1="6" x2="${x(tick)}" y2="${height - 28}" stroke="#dddddd"/><text x="${x(tick)}" y="${height - 10}" text-anchor="middle" fill="#444444">${(100 * tick).toFixed(0)}</text>`,
    ),
    ...summaries.map(({ name, value, low, high, bySeed }, i) => {
      const y = 10 + i * row;
      const middle = y + row / 2 - 4;
      return [
        `<text x="${left - 10}" y="${middle + 4}" text-anchor="end" fill="#222222">${escaped(name)}</text>`,
        `<rect x="${left}" y="${y}" width="${(Number(x(value)) - left).toFixed(1)}" height="${row - 8}" fill="#9fc3e8"/>`,
        `<line x1="${x(low)}" y1="${middle}" x2="${x(high)}" y2="${middle}" stroke="#1b4f87" stroke-width="2"/>`,
        ...bySeed.map((rate) => `<circle cx="${x(rate)}" cy="${middle}" r="2.5" fill="#1b4f87"/>`),
        `<text x="${Number(x(Math.max(high, ...bySeed))) + 8}" y="${middle + 4}" fill="#222222">${percent(value)}</text>`,
      ].join('');
    }),
    '</svg>',
    '',
  ].join('\n');
}
