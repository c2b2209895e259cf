/**
 * What is told of the abstractions of a snippet or of many: how often a model thinks, how long a thought governs the code,
 * where segments begin. Pure functions of latents and lines; the symbols are those of the RA3 paper (arXiv 2509.25810).
 */
import type { CodeLine } from './codeLines.ts';
import { type Latent, segmentsOf } from './latents.ts';

/** A snippet: its lines of code, and for each the latent that comes into force there. */
export interface Abstracted {
  readonly lines: readonly Pick<CodeLine, 'statement' | 'block'>[];
  readonly latents: readonly (Latent | null)[];
}

export interface AbstractionSummary {
  /** Lines of code. */
  readonly lines: number;
  /** Lines with a latent of their own. */
  readonly thinks: number;
  /** thinks / lines; NaN where there are no lines, as every mean here that is of nothing. */
  readonly thinkRate: number;
  /** E[tau]: mean length in lines of the segments that a latent governs. */
  readonly meanTau: number;
  /** gbar: mean of gamma^tau over these segments. (The paper has the supremum over policies; this is the estimate at hand.) */
  readonly meanDiscount: number;
  /** 1 / (1 - gbar): decisions that a return reaches over; with tau = 1 always it is 1 / (1 - gamma). */
  readonly effectiveHorizon: number;
}

/** @param gamma discount a line, from 0 to below 1 */
export function summarize(snippets: readonly Pick<Abstracted, 'latents'>[], gamma = 0.99): AbstractionSummary {
  const lines = snippets.reduce((sum, { latents }) => sum + latents.length, 0);
  const taus = snippets.flatMap(({ latents }) =>
    segmentsOf(latents).flatMap(({ latent, tau }) => (latent === null ? [] : [tau])),
  );
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanDiscount = mean(taus.map((tau) => gamma ** tau));
  return {
    lines,
    thinks: taus.length,
    thinkRate: taus.length / lines,
    meanTau: mean(taus),
    meanDiscount,
    effectiveHorizon: 1 / (1 - meanDiscount),
  };
}

/**
 * Updates that RL needs at most, N = 1 / (1 - gbar) log(R_max / (eps (1 - gbar))), with R_max = 1.
 * @param meanDiscount gbar, below 1
 * @param epsilon error of the value that is allowed
 */
export function convergenceBound(meanDiscount: number, epsilon: number): number {
  return Math.log(1 / (epsilon * (1 - meanDiscount))) / (1 - meanDiscount);
}

export interface BoundaryAgreement {
  /** Lines where a segment begins (with a latent). */
  readonly boundaries: number;
  /** Those of them where such a start is. */
  readonly hits: number;
  /** hits / boundaries */
  readonly share: number;
  /** What the share would be on average if each snippet's boundaries were as many lines of it drawn at random. */
  readonly random: number;
  /** Probability of so many hits or more by such draws, all snippets together. */
  readonly pValue: number;
}

/**
 * Do segments begin where a statement or a block does? A line begins a statement unless it is a clause (`else:`), or what
 * follows a decorator; it begins a block where it is its header (`for …:`, `else:`). A snippet of n lines of which k are
 * such starts, with m boundaries, has m k / n hits on average when the boundaries are drawn without replacement, and the
 * number of hits is hypergeometric; over snippets the numbers add up.
 */
export function boundaryAgreement(snippets: readonly Abstracted[], start: 'statement' | 'block'): BoundaryAgreement {
  let [boundaries, hits, expected] = [0, 0, 0];
  let distribution: readonly number[] = [1];
  for (const { lines, latents } of snippets) {
    const starts = lines.filter((line) => line[start]).length;
    const drawn = latents.filter((latent) => latent !== null).length;
    if (drawn === 0) continue;
    boundaries += drawn;
    hits += latents.filter((latent, i) => latent !== null && lines[i]![start]).length;
    expected += (drawn * starts) / lines.length;
    distribution = convolve(distribution, hypergeometric(lines.length, starts, drawn));
  }
  const pValue = distribution.slice(hits).reduce((sum, p) => sum + p, 0);
  return { boundaries, hits, share: hits / boundaries, random: expected / boundaries, pValue: Math.min(pValue, 1) };
}

/** P(i of `drawn` are marked) for i from 0 to `drawn`, where `marked` of `all` are and none is drawn twice. */
function hypergeometric(all: number, marked: number, drawn: number): number[] {
  const logs = Array.from({ length: drawn + 1 }, (_, i) =>
    i > marked || drawn - i > all - marked
      ? -Infinity
      : logChoose(marked, i) + logChoose(all - marked, drawn - i) - logChoose(all, drawn),
  );
  return logs.map(Math.exp);
}

function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i++) sum += Math.log((n - k + i) / i);
  return sum;
}

function convolve(a: readonly number[], b: readonly number[]): number[] {
  const sum = new Array<number>(a.length + b.length - 1).fill(0);
  a.forEach((p, i) => {
    b.forEach((q, j) => (sum[i + j]! += p * q));
  });
  return sum;
}
