/** How a run stands after any sequence of events. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EventBody, PHASES, type RunEvent, type ScoreSummary, VERBS } from '../../src/runner/events.ts';
import { afterEvent, canResume, crashed, isLive, type RunState, stateOf, UNSTARTED } from '../../src/runner/state.ts';

const launch: EventBody = { type: 'launch', pid: 1, version: '1', host: 'here' };
const score: ScoreSummary = {
  verdicts: { passed: 1 },
  passAtK: [{ k: 1, value: 1, low: 0.2, high: 1, method: 'wilson' }],
  solved: 1,
  problems: 1,
  problemsAsked: 1,
  problemsOfBenchmark: 1,
  samples: 1,
  final: true,
  whyNotFinal: '',
};
const done = (status: 'finished' | 'stopped' | 'failed', of: ScoreSummary | null = null, error = ''): EventBody => ({
  type: 'done',
  status,
  score: of,
  seconds: null,
  error,
});
const control = (verb: (typeof VERBS)[number]): EventBody => ({ type: 'control', verb, client: 'test', detail: '' });
const progress = (count: number): EventBody => ({
  type: 'progress',
  done: count,
  total: 10,
  passed: 0,
  generated: count,
  resumed: 0,
  tokens: 5,
  tokensPerSecond: 1,
});
const metric = (step: number): EventBody => ({
  type: 'metric',
  step,
  steps: 10,
  loss: 1,
  heldOutLoss: null,
  learningRate: 0.1,
  gradientNorm: 1,
  tokens: step,
  tokensPerSecond: 1,
});
const note = (text: string): EventBody => ({ type: 'note', level: 'info', text });

/** Numbers them from 1, a second apart. */
const numbered = (...bodies: EventBody[]): RunEvent[] =>
  bodies.map((body, i) => ({ ...body, seq: i + 1, time: 1000 * (i + 1) }));

const anyBody = fc.oneof(
  fc.constant(launch),
  fc.constantFrom(...PHASES).map((phase): EventBody => ({ type: 'phase', phase })),
  fc.constantFrom(...VERBS).map(control),
  fc.nat(10).map(progress),
  fc.nat(10).map(metric),
  fc.string().map(note),
  fc.string().map((device): EventBody => ({ type: 'engine', device })),
  fc.constantFrom('finished' as const, 'stopped' as const, 'failed' as const).map((status) => done(status)),
);
const anyEvents = fc.array(anyBody, { maxLength: 30 }).map((bodies) => numbered(...bodies));

describe('the state of a run', () => {
  it('goes from asked through its phases to its end, and says since when', () => {
    expect(stateOf([])).toBe(UNSTARTED);
    const events = numbered(launch, { type: 'phase', phase: 'load' }, { type: 'engine', device: 'cpu' }, progress(3));
    expect(stateOf(events)).toMatchObject({
      status: 'running',
      seq: 4,
      phase: 'load',
      phaseSince: 2000,
      launched: 1000,
      ended: null,
      device: 'cpu',
      progress: { done: 3, total: 10 },
    });
    const over = stateOf([...events, { ...done('finished', score), seq: 5, time: 9000 }]);
    expect(over).toMatchObject({
      status: 'finished',
      phase: null,
      phaseSince: null,
      launched: 1000,
      ended: 9000,
      score,
    });
    expect(over.progress).toMatchObject({ done: 3 });
    expect(over.progress).not.toHaveProperty('seq');
  });

  it('is paused and goes on by the verbs, and stops only with its last word', () => {
    const paused = stateOf(numbered(launch, control('pause')));
    expect(paused.status).toBe('paused');
    const after = (verb: (typeof VERBS)[number]): string =>
      afterEvent(paused, { ...control(verb), seq: 3, time: 0 }).status;
    expect(after('resume')).toBe('running');
    expect(after('stop')).toBe('paused');
    expect(after('set')).toBe('paused');
  });

  it('of a later launch begins anew but for the score and progress of before', () => {
    const failed = numbered(launch, note('old'), progress(2), done('failed', null, 'why'));
    expect(stateOf(failed)).toMatchObject({ status: 'failed', error: 'why', ended: 4000 });
    const again = stateOf(numbered(launch, note('old'), progress(2), done('failed', score, 'why'), launch));
    expect(again).toMatchObject({ status: 'running', launched: 5000, ended: null, error: '', notes: [], score });
    expect(again.progress).toMatchObject({ done: 2 });
    const stopped = afterEvent(again, { ...done('stopped'), seq: 6, time: 0 });
    expect(stopped.score).toEqual(score);
  });

  it('keeps the latest fifty notes', () => {
    const { notes } = stateOf(numbered(launch, ...Array.from({ length: 80 }, (_, i) => note(String(i)))));
    expect(notes.map(({ text }) => text)).toEqual(Array.from({ length: 50 }, (_, i) => String(i + 30)));
  });

  it('seen from the middle on is that of a run at work', () => {
    expect(stateOf(numbered(launch, progress(1)).slice(1))).toMatchObject({ status: 'running', seq: 2 });
  });

  it('seen at its end only still tells how long it took', () => {
    const seconds = { load: 1, prefill: 1, decode: 1, execute: 1, total: 7 };
    const end: RunEvent = { ...done('finished', score), seconds, seq: 900, time: 10_000 } as RunEvent;
    expect(stateOf([end])).toMatchObject({ status: 'finished', launched: 3000, ended: 10_000 });
    expect(stateOf([...numbered(launch), end])).toMatchObject({ launched: 1000, ended: 10_000 });
  });

  it('is crashed where it says it is live and nobody is there, and nothing else is', () => {
    expect(crashed(stateOf(numbered(launch, control('pause'))), 'why')).toMatchObject({
      status: 'crashed',
      error: 'why',
    });
    for (const state of [UNSTARTED, stateOf(numbered(launch, done('stopped')))])
      expect(crashed(state, 'why')).toBe(state);
  });

  it('is the same whatever comes twice or late, and never both live and resumable', () => {
    fc.assert(
      fc.property(anyEvents, fc.array(fc.nat()), (events, again) => {
        const mixed = events.flatMap((event, i) => [
          event,
          ...again.filter((n) => n % events.length === i).map((n) => events[n % (i + 1)]!),
        ]);
        const state = stateOf(events);
        expect(stateOf(mixed)).toEqual(state);
        expect(state.seq).toBe(events.length);
        expect(isLive(state) && canResume(state)).toBe(false);
        expect(isLive(state) || canResume(state) || state.status === 'finished').toBe(true);
        expect(isLive(crashed(state, ''))).toBe(false);
      }),
    );
  });

  it('is added up in any parts to the same', () => {
    fc.assert(
      fc.property(anyEvents, fc.nat(), (events, at) => {
        const cut = at % (events.length + 1);
        const parts = events.slice(cut).reduce<RunState>(afterEvent, stateOf(events.slice(0, cut)));
        expect(parts).toEqual(stateOf(events));
      }),
    );
  });
});
