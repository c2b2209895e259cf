/**
 * pass@k, how sure it is, and whether two runs differ.
 * Pure arithmetic on counts; knows nothing of verdicts, files or models.
 */
import { seededRandom } from '../engine/random.ts';

/** Outcome of one problem: of `samples` judged, `correct` passed. */
export interface ProblemCount {
  readonly samples: number;
  readonly correct: number;
}

/** A fraction between 0 and 1 with its 95 % interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** How the interval was found. */
  readonly method: 'wilson' | 'bootstrap';
}

export interface BootstrapSettings {
  readonly resamples: number;
  readonly seed: number;
}

const BOOTSTRAP: BootstrapSettings = { resamples: 10_000, seed: 0 };
/** Quantile of the normal distribution for 95 %, two-sided. */
const Z = 1.959963984540054;

/**
 * Probability that at least one of k samples passes, estimated without bias from n samples of which c passed: 1 where
 * n - c < k, else 1 - C(n-c, k) / C(n, k), computed as the product of openai/human-eval (Chen et al. 2021, figure 3).
 * @throws RangeError unless n, c, k are integers with 0 <= c <= n and 1 <= k <= n
 */
export function passAtK(n: number, c: number, k: number): number {
  if (![n, c, k].every(Number.isInteger) || c < 0 || c > n || k < 1 || k > n) {
    throw new RangeError(`pass@${k} cannot be estimated from ${c} of ${n} samples`);
  }
  if (n - c < k) return 1;
  let allFail = 1;
  for (let i = n - c + 1; i <= n; i += 1) allFail *= 1 - k / i;
  return 1 - allFail;
}

/**
 * Mean pass@k over problems, with a 95 % interval for problems drawn anew; null where a problem has fewer than k samples.
 *
 * Where every problem's estimate is 0 or 1 (one sample each) the mean is a binomial proportion and the interval is Wilson's:
 * a bootstrap would only imitate the binomial, and shrinks to nothing at 0 of n and n of n. So it does wherever all the
 * estimates are the same; Wilson's is used there too. Else: percentile bootstrap over problems, seeded.
 */
export function estimatePassAtK(
  problems: readonly ProblemCount[],
  k: number,
  settings: BootstrapSettings = BOOTSTRAP,
): Estimate | null {
  if (problems.length === 0 || problems.some(({ samples }) => samples < k)) return null;
  const values = problems.map(({ samples, correct }) => passAtK(samples, correct, k));
  const value = mean(values);
  const binary = values.every((each) => each === 0 || each === 1);
  if (binary || values.every((each) => each === values[0])) {
    return { value, ...wilson(value, values.length), method: 'wilson' };
  }
  return { value, ...bootstrapMean(values, settings), method: 'bootstrap' };
}

/** Wilson's score interval (1927) for a proportion seen in n trials. */
export function wilson(proportion: number, n: number): { low: number; high: number } {
  const middle = proportion + (Z * Z) / (2 * n);
  const half = Z * Math.sqrt((proportion * (1 - proportion)) / n + (Z * Z) / (4 * n * n));
  const scale = 1 + (Z * Z) / n;
  return { low: Math.max(0, (middle - half) / scale), high: Math.min(1, (middle + half) / scale) };
}

/** Percentile bootstrap of a mean: 2.5 % and 97.5 % quantiles of the means of resamples as large as the data. */
function bootstrapMean(
  values: readonly number[],
  { resamples, seed }: BootstrapSettings,
): { low: number; high: number } {
  const random = seededRandom(seed);
  const means = new Float64Array(resamples);
  for (let r = 0; r < resamples; r += 1) {
    let sum = 0;
    for (let i = values.length; i > 0; i -= 1) sum += values[random.below(values.length)]!;
    means[r] = sum / values.length;
  }
  means.sort();
  return { low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

/** Two runs on the same problems. */
export interface Comparison {
  /** Mean of b minus mean of a, with the 95 % interval of a paired bootstrap over problems. */
  readonly difference: number;
  readonly low: number;
  readonly high: number;
  /**
   * Where every problem is solved or not (one sample each): the problems that only a and only b solves, and the exact
   * two-sided p-value of McNemar's test. Null where the runs have several samples.
   */
  readonly mcnemar: { readonly onlyA: number; readonly onlyB: number; readonly p: number } | null;
}

/**
 * Compares two runs problem by problem: `a[i]` and `b[i]` are the estimates (0 to 1) of the same problem.
 * @throws RangeError when the lists are empty or not of one length
 */
export function comparePaired(
  a: readonly number[],
  b: readonly number[],
  settings: BootstrapSettings = BOOTSTRAP,
): Comparison {
  if (a.length !== b.length || a.length === 0)
    throw new RangeError(`${a.length} and ${b.length} problems cannot be paired`);
  const differences = b.map((value, i) => value - a[i]!);
  const binary = [...a, ...b].every((value) => value === 0 || value === 1);
  const onlyA = differences.filter((difference) => difference < 0).length;
  const onlyB = differences.filter((difference) => difference > 0).length;
  return {
    difference: mean(differences),
    ...bootstrapMean(differences, settings),
    mcnemar: binary ? { onlyA, onlyB, p: mcnemarExact(onlyA, onlyB) } : null,
  };
}

/** Exact two-sided p-value of McNemar's test: are `x` and `y` the two halves of fair coin tosses? 1 where there are none. */
export function mcnemarExact(x: number, y: number): number {
  const n = x + y;
  let logTerm = -n * Math.LN2; // log of C(n, i) / 2^n, from i = 0 on
  let tail = 0;
  for (let i = 0; i <= Math.min(x, y); i += 1) {
    tail += Math.exp(logTerm);
    logTerm += Math.log((n - i) / (i + 1));
  }
  return Math.min(1, 2 * tail);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Quantile of sorted values, linear between neighbours (numpy's default). */
function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (sorted[Math.ceil(at)]! - below) * (at - Math.floor(at));
}
