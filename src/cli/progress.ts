/**
 * How far something is, at what rate and for how long still: numbers in, one line of text out.
 * Knows nothing of terminals.
 */
import { formatBytes } from '../catalog/plan.ts';

export interface ProgressState {
  readonly title: string;
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes' | 'samples' | 'steps' | 'tensors' | 'tokens';
  /** What else is worth saying: `7 passed`. */
  readonly detail?: string;
}

/** Seconds looked back for the rate, so that it follows changes but does not jump. */
const window = 30;

/** Rate of a growing number over the last half minute. What was there at the first call counts for nothing. */
export class Meter {
  readonly #points: { at: number; done: number }[] = [];

  /** `at` in seconds. Gives the rate a second, or null when too little has been seen. */
  rate(done: number, at: number): number | null {
    const points = this.#points;
    const last = points.at(-1);
    if (last !== undefined && done < last.done) points.length = 0; // something new has begun
    // A point a second is enough to look back, however often we are asked.
    if (last === undefined || points.length < 2 || at - points.at(-2)!.at >= 1) points.push({ at, done });
    else points[points.length - 1] = { at, done };
    while (points.length > 2 && points[1]!.at < at - window) points.shift();
    const first = points[0]!;
    return at - first.at < 0.5 || done === first.done ? null : (done - first.done) / (at - first.at);
  }
}

const barWidth = 20;

/** `HumanEval ███████░░░░░░░░░░░░░ 24/64 · 1.3/s · 31 s left · 3 passed`. */
export function progressLine(state: ProgressState, rate: number | null, options: { bar: boolean }): string {
  const { title, done, total, unit, detail } = state;
  const share = total > 0 ? Math.min(Math.max(done / total, 0), 1) : 0;
  const filled = Math.floor(share * barWidth);
  const parts = [
    unit === 'bytes' ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done}/${total}`,
    ...(options.bar ? [] : [`${Math.floor(share * 100)} %`]),
    ...(rate === null ? [] : [unit === 'bytes' ? `${formatBytes(Math.round(rate))}/s` : formatRate(rate)]),
    ...(rate === null || done >= total ? [] : [`${formatDuration((total - done) / rate)} left`]),
    ...(detail === undefined || detail === '' ? [] : [detail]),
  ].join(' · ');
  return options.bar ? `${title} ${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)} ${parts}` : `${title}: ${parts}`;
}

/** Samples or steps a second, or a minute where that reads better. */
function formatRate(rate: number): string {
  return rate >= 1 ? `${rate.toFixed(1)}/s` : `${(rate * 60).toFixed(1)}/min`;
}

/** `45 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
