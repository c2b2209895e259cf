/**
 * What the head of a results panel says of a run: its score, how it stands, and the facts that make it comparable.
 * Pure; knows nothing of panels or of VS Code.
 */
import type { FollowedEvaluation } from '../client/followedRun.ts';
import type { ResultsFile } from '../client/resultsFile.ts';
import { BENCHMARKS } from '../evaluation/benchmarks/index.ts';
import type { ScoreSummary } from '../runner/events.ts';
import type { EvaluationDescription } from '../runner/runFolder.ts';
import { canResume, type RunState } from '../runner/state.ts';
import { type Action, type Header, VERDICTS } from '../webviews/results/messages.ts';
import { duration, pace, runFigures, runTitle, runVariant } from './runLabels.ts';

/** `now` is in milliseconds since 1970. */
export function headerOf(run: FollowedEvaluation, results: ResultsFile, now: number): Header {
  const { state, description, folder } = run;
  const score = state.status === 'finished' && state.score !== null ? state.score : soFar(description, results);
  return {
    title: [runTitle(description), runVariant(description)].filter((part) => part !== '').join(', '),
    folder,
    status: state.status,
    words: state.status === 'finished' ? 'finished' : [runFigures(state), ...paceWords(state, now)].join(' · '),
    error: state.error,
    progress: state.progress === null ? null : { done: state.progress.done, total: state.progress.total },
    passAtK: score.passAtK.map(({ k, value, low, high }) => ({ k, value, low, high })),
    verdicts: VERDICTS.map((verdict) => score.verdicts[verdict] ?? 0),
    problems: {
      solved: score.solved,
      judged: score.problems,
      // While it runs the results do not say how many are to come.
      asked: Math.max(score.problemsAsked, Math.round((state.progress?.total ?? 0) / description.request.samples)),
      benchmark: score.problemsOfBenchmark,
    },
    final: state.status === 'finished' && score.final,
    whyNotFinal: score.whyNotFinal,
    facts: factsOf(run),
    notes: state.notes.map(({ level, text }) => ({ level, text })),
    actions: actionsOf(run),
  };
}

function soFar({ request }: EvaluationDescription, results: ResultsFile): ScoreSummary {
  return results.score(request.tasks, request.samples, BENCHMARKS[request.benchmark.id].size);
}

function paceWords(state: RunState, now: number): string[] {
  const speed = pace(state, now);
  if (speed === null) return [];
  return [`${(60 * speed.rate).toFixed(0)} samples a minute`, `${duration(speed.left)} left`];
}

function actionsOf({ state }: FollowedEvaluation): Action[] {
  const { status } = state;
  return [
    ...(status === 'running' ? ['pause' as const] : []),
    ...(status === 'paused' || canResume(state) ? ['resume' as const] : []),
    ...(status === 'running' || status === 'paused' ? ['stop' as const] : []),
    'runAgain',
    'openFolder',
  ];
}

/** Names and values, in the order in which they are shown. What is not known yet is left out. */
export function factsOf({ description, state, folder }: FollowedEvaluation): Header['facts'] {
  const { request, identity = {}, engine = {}, host = {}, created } = description;
  const { sampling } = request;
  const protocol = (identity['protocol'] ?? {}) as {
    id?: unknown;
    title?: unknown;
    stop?: unknown;
    extraction?: unknown;
    defaults?: { timeLimit?: unknown; maxTokens?: unknown };
  };
  const stops = Array.isArray(protocol.stop) ? protocol.stop.map((stop) => JSON.stringify(stop)).join(' ') : '';
  const facts: [name: string, value: unknown][] = [
    ['Protocol', protocol.id ?? request.protocol ?? 'chosen when it starts'],
    ['Asked as', protocol.title],
    ['Read as', protocol.extraction],
    ['Stop strings', stops],
    ['Samples a problem', request.samples],
    ['Temperature', sampling.temperature],
    ['Top-p', sampling.topP === 1 ? '' : sampling.topP],
    ['Top-k', sampling.topK === 0 ? '' : sampling.topK],
    ['Min-p', sampling.minP === 0 ? '' : sampling.minP],
    ['Seed', request.seed],
    ['Most tokens', request.maxTokens ?? protocol.defaults?.maxTokens],
    ['Time limit', withUnit(request.timeLimit ?? protocol.defaults?.timeLimit, 's')],
    ['Strict', request.strict ? 'yes: judge and candidate in two processes' : 'no'],
    ['Model', request.model.spec],
    ['Model hash', identity['model']],
    ['Benchmark', `${BENCHMARKS[request.benchmark.id].title}, part "${request.selection}"`],
    ['Benchmark hash', identity['benchmark']],
    ['Device', state.device ?? engine['device']],
    ['Precision', engine['precision'] ?? request.precision],
    ['Machine', host['platform'] === undefined ? '' : `${str(host['platform'])}, ${str(host['cores'])} cores`],
    ['Asked for', new Date(created).toLocaleString()],
    ['Took', state.launched !== null && state.ended !== null ? duration(state.ended - state.launched) : ''],
    ['Folder', folder],
  ];
  return facts.map(([name, value]) => ({ name, value: str(value) })).filter(({ value }) => value !== '');
}

function withUnit(value: unknown, unit: string): string {
  return typeof value === 'number' ? `${value} ${unit}` : '';
}

function str(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
