/** How a token's probability is shaded and worded. Pure. */

/** Least probability of each shade, the lightest first; the last one takes the rest. */
export const SHADES = [
  { least: 0.9, words: '90 % or more' },
  { least: 0.5, words: '50 to 90 %' },
  { least: 0.1, words: '10 to 50 %' },
  { least: 0.01, words: '1 to 10 %' },
  { least: 0, words: 'below 1 %' },
] as const;

/** Place in SHADES. `logProbability` is a natural logarithm. */
export function shadeOf(logProbability: number): number {
  const probability = Math.exp(logProbability);
  const shade = SHADES.findIndex(({ least }) => probability >= least);
  return shade < 0 ? SHADES.length - 1 : shade;
}

/** `97.1 %`, `0.032 %`, `below 0.001 %`. */
export function percentOf(logProbability: number): string {
  const percent = 100 * Math.exp(logProbability);
  if (percent >= 10) return `${percent.toFixed(1)} %`;
  return percent >= 0.001 ? `${percent.toPrecision(2)} %` : 'below 0.001 %';
}

/** A token so that white space can be seen. */
export function visible(token: string): string {
  return token === '' ? '(nothing)' : token.replaceAll(' ', '␣').replaceAll('\n', '↵').replaceAll('\t', '⇥');
}
