/**
 * What the tests of the extension start from: a cache, a store of runs, and a benchmark of our own, all in a temporary
 * folder. Runs are written as a runner would have left them, or made by the headless command in another process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import type { Locator } from 'playwright-core';
import { afterAll } from 'vitest';
import type { EventBody, ScoreSummary } from '../../../src/runner/events.ts';
import { RUN_FORMAT } from '../../../src/runner/runFolder.ts';
import type { EvaluationRequest } from '../../../src/runner/types.ts';
import { smallRequest } from '../../runner/smallRun.ts';
import { smallTraining } from '../../runner/smallTraining.ts';
import { projectRoot, type VSCodeWindow } from './window.ts';

/** A tiny model that answers nonsense, fast. */
export const smallModel = join(projectRoot, 'test/fixtures/engine/llama-gqa-tied');

export interface Place {
  readonly root: string;
  /** An empty folder. */
  readonly workspace: string;
  /** Store of runs. */
  readonly runs: string;
  /** Variables with which the extension and the headless command use this place. */
  readonly env: Readonly<Record<string, string>>;
}

export interface PlaceOptions {
  /** Seconds that each program takes, so that a run can be watched. */
  readonly seconds?: number;
  /** Whether the consent to run programs has been given here. Default true. */
  readonly consent?: boolean;
}

/** A place that is gone after the tests of the file. */
export function newPlace({ seconds = 0, consent = true }: PlaceOptions = {}): Place {
  const root = mkdtempSync(join(tmpdir(), 'mt-'));
  afterAll(() => {
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  });
  const at = (name: string): string => join(root, name);
  for (const name of ['workspace', 'runs', 'home', 'benchmarks']) mkdirSync(at(name));
  writeFileSync(join(at('benchmarks'), 'HumanEval.jsonl'), problems(12, seconds));
  if (consent) writeFileSync(join(at('home'), 'consent.json'), '{"runPrograms":true}\n');
  const env = { MIDTRAIN_HOME: at('home'), MIDTRAIN_RUNS: at('runs'), MIDTRAIN_BENCHMARKS: at('benchmarks') };
  return { root, workspace: at('workspace'), runs: at('runs'), env };
}

/** Problems in HumanEval's form. Whatever is answered is a comment: two of three pass. */
function problems(count: number, seconds: number): string {
  const rows = Array.from({ length: count }, (_, i) => ({
    task_id: `HumanEval/${i}`,
    prompt: `def f${i}(x):\n    """ ${'a'.repeat(i % 7)} """\n    return x  #`,
    entry_point: `f${i}`,
    canonical_solution: `    return x + ${i}\n`,
    test: `import time\ndef check(candidate):\n    time.sleep(${seconds})\n    assert ${i % 3 === 0 ? 'candidate(1) == -1' : 'True'}\n`,
  }));
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

export interface WrittenRun {
  /** Name of its folder, and of its model. */
  readonly name: string;
  readonly events: readonly EventBody[];
  readonly request?: Partial<EvaluationRequest>;
  /** Minutes ago. */
  readonly age?: number;
  readonly format?: number;
  /** What its process said outside its events. */
  readonly log?: string;
  /** The beginning of a row that was not written to its end. */
  readonly cut?: string;
}

/** Writes a run as a runner would have left it. @returns its folder */
export function writeRun(place: Pick<Place, 'runs' | 'env'>, run: WrittenRun): string {
  const { name, events, request, age = 60, format = RUN_FORMAT, log, cut = '' } = run;
  const folder = join(place.runs, name);
  const created = Date.now() - 60_000 * age;
  mkdirSync(folder);
  const asked = smallRequest(join(place.env['MIDTRAIN_BENCHMARKS']!, 'HumanEval.jsonl'), {
    model: { path: smallModel, spec: smallModel, label: name },
    ...request,
  });
  writeFileSync(
    join(folder, 'run.json'),
    JSON.stringify({ format, kind: 'evaluation', created, request: asked }, null, 2),
  );
  const rows = events.map((event, i) => JSON.stringify({ seq: i + 1, time: created + 1000 * i, ...event }));
  if (rows.length > 0 || cut !== '') writeFileSync(join(folder, 'events.jsonl'), `${rows.join('\n')}\n${cut}`);
  if (log !== undefined) writeFileSync(join(folder, 'runner.log'), log);
  return folder;
}

export interface WrittenTraining extends Pick<WrittenRun, 'name' | 'age' | 'log'> {
  readonly config?: object;
  /** Rows of its events; those without a time get one of their own. */
  readonly events: readonly (EventBody & { readonly time?: number })[];
}

/** Writes a training as a runner would have left it. @returns its folder */
export function writeTraining(place: Pick<Place, 'runs'>, run: WrittenTraining): string {
  const { name, events, config = {}, age = 60, log } = run;
  const folder = join(place.runs, name);
  const created = Date.now() - 60_000 * age;
  mkdirSync(folder);
  const request = { ...smallTraining(smallModel, config), name };
  writeFileSync(
    join(folder, 'run.json'),
    JSON.stringify({ format: RUN_FORMAT, kind: 'training', created, request }, null, 2),
  );
  const path = join(folder, 'events.jsonl');
  writeFileSync(path, '');
  for (let start = 0; start < events.length; start += 20_000) {
    const rows = events
      .slice(start, start + 20_000)
      .map((event, i) => JSON.stringify({ seq: start + i + 1, time: created + 500 * (start + i), ...event }));
    appendFileSync(path, `${rows.join('\n')}\n`);
  }
  if (log !== undefined) writeFileSync(join(folder, 'runner.log'), log);
  return folder;
}

/** Of a step of a made-up training: losses fall, with noise. */
export function metricOf(step: number, steps: number, seed = 0): EventBody {
  const noise = Math.sin(12.9898 * (step + 31 * seed)) * 43758.5453;
  const jitter = noise - Math.floor(noise) - 0.5;
  const fall = 1.2 + 0.06 * seed + 2.8 * Math.exp((-4 * step) / steps);
  return {
    type: 'metric',
    step,
    steps,
    loss: step === 0 ? null : fall + 0.5 * jitter,
    heldOutLoss: step % Math.max(1, Math.round(steps / 20)) === 0 ? fall + 0.2 : null,
    learningRate: step === 0 ? null : 1e-3 * Math.min(1, (20 * step) / steps) * (1 - (0.9 * step) / steps),
    gradientNorm: step === 0 ? null : 0.8 + 0.4 * jitter + (step % 97 === 0 ? 2 : 0),
    tokens: 1024 * step,
    tokensPerSecond: step === 0 ? 0 : 900 + 120 * jitter,
    memory: 1.2e9 + 4e7 * Math.floor((8 * step) / steps),
    ...(step % Math.max(1, Math.round(steps / 10)) === 0
      ? { passAt1: { passed: Math.round((30 * step) / steps), problems: 60 } }
      : {}),
  };
}

/** Events of a run that got so far. */
export function eventsOf(end: 'finished' | 'stopped' | 'failed' | null, { done = 24, error = '' } = {}): EventBody[] {
  const passed = Math.round((2 * done) / 3);
  const progress = { done, total: 24, passed, generated: done, resumed: 0, tokens: 24 * done, tokensPerSecond: 900 };
  return [
    { type: 'launch', pid: 1, version: '0.1.0', host: 'elsewhere' },
    { type: 'phase', phase: 'load' },
    { type: 'engine', device: 'cpu, fp32 (0 MB of weights), 1 threads, batch 4' },
    { type: 'phase', phase: 'sample' },
    { type: 'progress', ...progress },
    ...(end === null
      ? []
      : [
          {
            type: 'done' as const,
            status: end,
            score: end === 'failed' ? null : scoreOf(passed, done),
            seconds: null,
            error,
          },
        ]),
  ];
}

function scoreOf(passed: number, samples: number): ScoreSummary {
  const problemsAsked = 12;
  return {
    verdicts: { passed, failed: samples - passed },
    passAtK: samples === 0 ? [] : [{ k: 1, value: passed / samples, low: 0.45, high: 0.82, method: 'wilson' }],
    solved: Math.min(problemsAsked, passed),
    problems: Math.min(problemsAsked, samples),
    problemsAsked,
    problemsOfBenchmark: problemsAsked,
    samples,
    final: samples === 24,
    whyNotFinal: '',
  };
}

/** The row of a run in the view, by its title, with which a screen reader begins. */
export function runRow({ ui }: Pick<VSCodeWindow, 'ui'>, title: string): Locator {
  return ui.view('Runs').locator(`[role=treeitem][aria-label^=${JSON.stringify(`${title},`)}]`);
}

/** Starts `midtrain …` as in a terminal. It is ended after the tests of the file, if it has not by then. */
export function inTerminal(place: Pick<Place, 'env'>, ...args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [join(projectRoot, 'dist/midtrain.cjs'), ...args], {
    env: { ...process.env, ...place.env },
    stdio: 'ignore',
  });
  afterAll(() => {
    child.kill('SIGKILL');
  });
  return child;
}
