/**
 * How a run stands, added up from its events: the same for the process that works, the editor and the terminal.
 * Pure; knows nothing of files or sockets. Whether the process still lives is not in the events: whoever looks says so.
 */
import type { MetricEvent, Phase, ProgressEvent, RunEvent, ScoreSummary, Settings } from './events.ts';

/**
 * `asked`: no process has taken it yet. `crashed`: its process is gone without a last word.
 * `finished`, `stopped`, `failed` and `crashed` have no process; all but `finished` can go on.
 */
export type RunStatus = 'asked' | 'running' | 'paused' | 'finished' | 'stopped' | 'failed' | 'crashed';

export interface RunNote {
  readonly time: number;
  readonly level: 'info' | 'warning';
  readonly text: string;
}

export interface RunState {
  readonly status: RunStatus;
  /** Number of the last event added; 0 at first. */
  readonly seq: number;
  readonly phase: Phase | null;
  /** When the phase, the launch and the end were, in milliseconds since 1970; null: not yet. */
  readonly phaseSince: number | null;
  readonly launched: number | null;
  readonly ended: number | null;
  readonly progress: Omit<ProgressEvent, 'type'> | null;
  /** The latest of a training run. */
  readonly metric: Omit<MetricEvent, 'type'> | null;
  /** What was set by hand, of a training run. */
  readonly settings: Settings;
  readonly device: string | null;
  /** The latest fifty. */
  readonly notes: readonly RunNote[];
  readonly score: ScoreSummary | null;
  /** Why it failed or crashed; '' otherwise. */
  readonly error: string;
}

export const UNSTARTED: RunState = {
  status: 'asked',
  seq: 0,
  phase: null,
  phaseSince: null,
  launched: null,
  ended: null,
  progress: null,
  metric: null,
  settings: {},
  device: null,
  notes: [],
  score: null,
  error: '',
};

const KEPT_NOTES = 50;

/** The state after this event. One already in it changes nothing. */
export function afterEvent(state: RunState, event: RunEvent): RunState {
  if (event.seq <= state.seq) return state;
  const next = { ...state, seq: event.seq };
  switch (event.type) {
    case 'launch':
      return {
        ...next,
        status: 'running',
        launched: event.time,
        ended: null,
        phase: null,
        phaseSince: null,
        error: '',
        notes: [],
      };
    case 'phase':
      return { ...next, phase: event.phase, phaseSince: event.time };
    case 'engine':
      return { ...next, device: event.device };
    case 'progress': {
      const { type, seq, time, ...progress } = event;
      return { ...next, progress };
    }
    case 'metric': {
      const { type, seq, time, ...metric } = event;
      return { ...next, metric };
    }
    case 'e-step':
    case 'rollout':
    case 'sample':
      return next;
    case 'note': {
      const { time, level, text } = event;
      return { ...next, notes: [...state.notes, { time, level, text }].slice(-KEPT_NOTES) };
    }
    case 'control':
      if (event.verb === 'pause' || event.verb === 'release') return { ...next, status: 'paused' };
      if (event.verb === 'resume') return { ...next, status: 'running' };
      return event.verb === 'set' ? { ...next, settings: { ...state.settings, ...event.settings } } : next;
    case 'done': {
      const { status, score, error, time, seconds } = event;
      // Its launch may be among the events that were not read.
      const launched = state.launched ?? (seconds === null ? null : time - 1000 * seconds.total);
      const over = { phase: null, phaseSince: null, launched, ended: time };
      return { ...next, ...over, status, score: score ?? state.score, error };
    }
  }
}

/** How a run stands after these events, of which the first ones may be missing: whoever is in the middle of something runs. */
export function stateOf(events: readonly RunEvent[]): RunState {
  const first = events[0];
  const begun: RunState = first === undefined || first.seq === 1 ? UNSTARTED : { ...UNSTARTED, status: 'running' };
  return events.reduce(afterEvent, begun);
}

/** Whether a process should be at work on it. */
export function isLive({ status }: Pick<RunState, 'status'>): boolean {
  return status === 'running' || status === 'paused';
}

/** Whether it may have fetched files just now: it loads them, or is over, perhaps before its loading was heard of. */
export function mayHaveFetched(state: Pick<RunState, 'status' | 'phase'>): boolean {
  return state.phase === 'load' || (state.status !== 'asked' && !isLive(state));
}

/** Whether another launch would go on with it. */
export function canResume({ status }: Pick<RunState, 'status'>): boolean {
  return status === 'asked' || status === 'stopped' || status === 'failed' || status === 'crashed';
}

/** What becomes of a run that says it is live while its process is gone. `why` is for a person. */
export function crashed(state: RunState, why: string): RunState {
  return isLive(state) ? { ...state, status: 'crashed', phase: null, phaseSince: null, error: why } : state;
}
