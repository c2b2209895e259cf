/** Learning rates over a run. Knows nothing of optimizers. */

export interface Schedule {
  readonly shape: 'constant' | 'linear' | 'cosine';
  /** The highest learning rate. */
  readonly peak: number;
  /** Steps over which the rate rises from peak / warmup to the peak. */
  readonly warmup: number;
  /** Steps of the whole run; later ones keep the last rate. */
  readonly total: number;
  /** The last rate, as a part of the peak; of `linear` and `cosine`. */
  readonly floor: number;
}

/**
 * The rate of a step, counted from 0. After the warm-up it falls from the peak, which the first step after it has, to
 * `floor` at step `total` (cosine: Loshchilov and Hutter, arXiv 1608.03983, equation 5).
 */
export function learningRateAt({ shape, peak, warmup, total, floor }: Schedule, step: number): number {
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const progress = total > warmup ? Math.min((step - warmup) / (total - warmup), 1) : 1;
  switch (shape) {
    case 'constant':
      return peak;
    case 'linear':
      return peak * (1 - (1 - floor) * progress);
    case 'cosine':
      return peak * (floor + ((1 - floor) * (1 + Math.cos(Math.PI * progress))) / 2);
  }
}
