/**
 * How a run is worded in trees, the status bar and notices.
 */
import { BENCHMARKS } from '../evaluation/benchmarks/index.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import type { Phase } from '../runner/events.ts';
import type { RunDescription } from '../runner/runFolder.ts';
import { isLive, type RunState } from '../runner/state.ts';

export { duration } from '../webviews/duration.ts';

/** `SmolLM2-135M-Instruct on HumanEval`, with the task where it is only one; `style: SmolLM2-135M-Instruct` of a training. */
export function runTitle(description: RunDescription): string {
  const { label } = description.request.model;
  return description.kind === 'training'
    ? `${runSubject(description)}: ${label}`
    : `${label} on ${runSubject(description)}`;
}

/** What the model is evaluated on, or the config that it is trained by. */
export function runSubject(description: RunDescription): string {
  if (description.kind === 'training') return `Training ${description.request.name}`;
  const { benchmark, tasks } = description.request;
  return tasks?.length === 1 ? tasks[0]! : BENCHMARKS[benchmark.id].title;
}

/** `10 samples at 0.8, first 64`: what differs from one greedy sample of every problem; or how it is trained. */
export function runVariant(description: RunDescription): string {
  if (description.kind === 'training') {
    const { method, train, steps } = description.request.config;
    const parts = [...(method === 'ntp' ? [] : [methodWords[method]]), train === 'lora' ? 'LoRA' : 'full'];
    return [...parts, `${steps} steps`].join(', ');
  }
  const { samples, sampling, limit, protocol } = description.request;
  const parts = [
    ...(protocol === null ? [] : [protocol]),
    ...(samples === 1 && sampling.temperature === 0 ? [] : [`${samples} × at ${sampling.temperature}`]),
    ...(limit === null ? [] : [`first ${limit}`]),
  ];
  return parts.join(', ');
}

export const methodWords: Readonly<Record<TrainingConfig['method'], string>> = {
  ntp: 'next-token prediction',
  ra3: 'RA3',
  brite: 'BRiTE',
  synthetic: 'synthetic comments',
};

export const phaseWords: Record<Phase, string> = {
  fetch: 'fetching',
  load: 'loading the model',
  sample: 'sampling',
  judge: 'running programs',
  prepare: 'reading the data',
  explore: 'exploring latents (E-step)',
  train: 'training',
  evaluate: 'taking the held-out loss',
  save: 'saving',
};

/** The score or the loss, or how far it is, in a few words. */
export function runFigures(state: RunState): string {
  const { status, progress, score, phase, metric } = state;
  if (status === 'asked') return 'not started';
  if (metric !== null) return trainingFigures(state, metric);
  const best = score?.passAtK[0];
  const final = best === undefined ? '' : `pass@${best.k} ${percent(best.value)}`;
  if (status === 'finished') return final === '' ? 'finished, nothing judged' : final;
  const begun = progress !== null && progress.total > 0 && (progress.done > 0 || isLive(state));
  const done = begun ? `${progress.done} of ${progress.total}` : '';
  const words = status === 'running' ? (phase === null ? 'starting' : phaseWords[phase]) : status;
  // A view is narrow: numbers first.
  const parts = isLive(state) ? [done, soFar(state), words] : [words, done, soFar(state)];
  if (phase === 'fetch' && progress?.bytes !== undefined) {
    return `fetching, ${percent(progress.bytes.done / Math.max(1, progress.bytes.total))}`;
  }
  return parts.filter((part) => part !== '').join(' · ');
}

/** `step 40 of 200 · loss 1.234 · training`. */
function trainingFigures(state: RunState, { step, steps, loss }: NonNullable<RunState['metric']>): string {
  const { status, phase } = state;
  const figures = [`step ${step} of ${steps}`, ...(loss === null ? [] : [`loss ${loss.toFixed(3)}`])];
  if (status === 'finished') return figures.join(' · ');
  const words = status === 'running' && phase !== null ? phaseWords[phase] : status;
  return (isLive(state) ? [...figures, words] : [words, ...figures]).join(' · ');
}

/** `pass@1 so far 8.3 %`, or '' before anything is judged. */
export function soFar({ progress }: RunState): string {
  if (progress === null || progress.done === 0) return '';
  return `pass@1 so far ${percent(progress.passed / progress.done)}`;
}

export function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}

/** Samples a second and the milliseconds left, from this launch's own work; null before that can be told. */
export function pace({ progress, launched, status }: RunState, now: number): { rate: number; left: number } | null {
  if (progress === null || launched === null || status !== 'running') return null;
  const fresh = progress.done - progress.resumed;
  const seconds = (now - launched) / 1000;
  if (fresh < 2 || seconds <= 0) return null;
  const rate = fresh / seconds;
  return { rate, left: (1000 * (progress.total - progress.done)) / rate };
}
