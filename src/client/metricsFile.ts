/**
 * The curves of a training run as they grow: reads `events.jsonl` on from where it last ended, and keeps in columns what each
 * step of the model told, and each update of q; beside them the marks (what was done to the run, and when), notes, and where
 * each sample of the live weights and each rollout of q stands. What comes again was done again after a kill: the later one
 * holds, and what followed the earlier one is void. Knows nothing of VS Code, or of how curves are drawn.
 */
import {
  type EStepEvent,
  type MetricEvent,
  parseEvent,
  type RolloutEvent,
  type RunEvent,
  type SampleEvent,
  type Settings,
  type Verb,
} from '../runner/events.ts';
import { runPaths } from '../runner/runFolder.ts';
import type { RunNote } from '../runner/state.ts';
import { Columns, type Rows } from './columns.ts';
import { GrowingLines, type PlacedLine, readPlaced } from './growingLines.ts';
import { oneAtATime } from './oneAtATime.ts';

/**
 * What is kept of a step; NaN where it was not told. `time` is in milliseconds since 1970; `worked` are the seconds that the
 * run was at work by then, pauses and the time between its launches left out; losses are in nats; `memory` in bytes;
 * `passed` of `problems` were right.
 */
export const COLUMNS = [
  'step',
  'time',
  'worked',
  'loss',
  'heldOutLoss',
  'learningRate',
  'gradientNorm',
  'tokens',
  'tokensPerSecond',
  'memory',
  'passed',
  'problems',
  'codeLoss',
  'latentLoss',
] as const;
export type Column = (typeof COLUMNS)[number];

/**
 * What is kept of an update of q, as its event has it (runner/events.ts); NaN where it was not told. `step` are the steps of
 * the model by then; `held…` is of the held-out snippets.
 */
export const UPDATE_COLUMNS = [
  'update',
  'time',
  'worked',
  'step',
  'round',
  'returnWithout',
  'returnWith',
  'returnNever',
  'penalty',
  'thinkPenalty',
  'thinkRate',
  'formatErrors',
  'groupsWithoutSpread',
  'clipped',
  'latentTokens',
  'distinctLatents',
  'kl',
  'entropy',
  'staleness',
  'rollouts',
  'rolloutsPerSecond',
  'learningRate',
  'gradientNorm',
  'heldReturnWithout',
  'heldReturnWith',
  'heldReturnNever',
  'heldThinkRate',
] as const;
export type UpdateColumn = (typeof UPDATE_COLUMNS)[number];

/** Something that was done to the run, or happened to it. `resumed`: another launch went on with it. */
export interface Mark {
  readonly kind: Verb | 'resumed' | 'failed';
  /** Steps of the model, and updates of q, done by then. */
  readonly step: number;
  readonly update: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** A sentence for a person. */
  readonly text: string;
}

/** What the live weights wrote, without its texts. */
export interface SampleEntry {
  readonly step: number;
  readonly taskId: string | null;
  readonly verdict: string | null;
}

type Place = Omit<PlacedLine, 'bytes'>;

/** Rollouts of one snippet for one update, those that were told. */
export interface RolloutGroup {
  readonly update: number;
  readonly snippet: number;
  /** In the order of their numbers in the group, without their lines. */
  readonly rollouts: readonly { readonly index: number; readonly gain: number; readonly place: Place }[];
}

export interface MetricsState {
  /** Bytes read, of how many. */
  readonly read: number;
  readonly size: number;
  /** Whole lines that are no JSON; they are passed over. */
  readonly broken: number;
}

/** Called with the first step's and the first update's row that is new or has changed; all behind it are new too. 0: all. */
export type MetricsListener = (from: number, fromUpdate: number) => void;

/** Steps over which the pace is taken. */
const PACE_STEPS = 100;
/** The latest are kept. */
const MOST_MARKS = 2000;
const MOST_NOTES = 200;

export class MetricsFile {
  readonly #lines: GrowingLines;
  readonly #rows = new Columns(COLUMNS);
  readonly #updates = new Columns(UPDATE_COLUMNS);
  #marks: Mark[] = [];
  #notes: RunNote[] = [];
  #settings: Settings = {};
  #device: string | null = null;
  #samples: (SampleEntry & { readonly place: Place })[] = [];
  /** Place of a sample in the list, by what makes it the same. */
  #sampleNumbers = new Map<string, number>();
  /** Rising by update, and within one as they came. */
  #groups: RolloutGroup[] = [];
  /** First rows that the chunk at hand has made. */
  #changed = { row: Infinity, update: Infinity };
  #broken = 0;
  #launches = 0;
  #working = false;
  #worked = 0;
  #lastTime = 0;
  /** Steps asked for, by the latest metric. */
  #steps: number | null = null;
  /** First row of those that follow each other without a pause or another launch. */
  #paceFrom = 0;
  #listener: MetricsListener = () => undefined;
  #closed = false;
  readonly #readOn = oneAtATime(() => this.#read());

  /** @param folder of the run */
  constructor(folder: string) {
    this.#lines = new GrowingLines(runPaths(folder).events);
  }

  /** A row for each step that told something, step 0 (before training) among them. */
  get rows(): Rows<Column> {
    return this.#rows;
  }

  /** A row for each update of q; none where the method has no E-step. */
  get updates(): Rows<UpdateColumn> {
    return this.#updates;
  }

  /** Steps asked for; null before it has trained. */
  get steps(): number | null {
    return this.#steps;
  }

  get marks(): readonly Mark[] {
    return this.#marks;
  }

  /** What was set by hand and holds now. */
  get settings(): Settings {
    return this.#settings;
  }

  /** Of all launches. */
  get notes(): readonly RunNote[] {
    return this.#notes;
  }

  /** That it was computed on last; null: not told yet. */
  get device(): string | null {
    return this.#device;
  }

  get samples(): readonly SampleEntry[] {
    return this.#samples;
  }

  /** Rising by update. */
  get groups(): readonly RolloutGroup[] {
    return this.#groups;
  }

  get state(): MetricsState {
    const { offset, size } = this.#lines.state;
    return { read: offset, size, broken: this.#broken };
  }

  /** Milliseconds that a step takes with what belongs to it, over the last ones; null before that can be told. */
  get pace(): number | null {
    const last = this.#rows.count - 1;
    const first = Math.max(this.#paceFrom, last - PACE_STEPS);
    if (last - first < 1) return null;
    const over = (name: Column): number => this.#rows.at(name, last) - this.#rows.at(name, first);
    return over('time') / over('step');
  }

  /**
   * Reads what is new, and says so chunk by chunk. A call while another is at work makes that one look again at its end.
   * @throws the system's error when the file cannot be read
   */
  async update(listener: MetricsListener = () => undefined): Promise<void> {
    this.#listener = listener;
    await this.#readOn();
  }

  /** The texts of a sample; null where the file holds it no more. @throws the system's error when it cannot be read */
  async sample(number: number): Promise<SampleEvent | null> {
    const entry = this.#samples[number];
    if (entry === undefined) return null;
    const event = eventIn((await readPlaced(this.#lines.path, entry.place)).toString('utf8'));
    return event?.type === 'sample' && event.step === entry.step ? event : null;
  }

  /**
   * The rollouts of a group with their lines; those that the file holds no more are left out.
   * @throws the system's error when it cannot be read
   */
  async rollouts(update: number, snippet: number): Promise<RolloutEvent[]> {
    const group = this.#groups.find((one) => one.update === update && one.snippet === snippet);
    const found: RolloutEvent[] = [];
    for (const { place } of group?.rollouts ?? []) {
      const event = eventIn((await readPlaced(this.#lines.path, place)).toString('utf8'));
      if (event?.type === 'rollout' && event.update === update && event.snippet === snippet) found.push(event);
    }
    return found;
  }

  close(): void {
    this.#closed = true;
  }

  async #read(): Promise<void> {
    if (this.#isClosed()) return;
    if (await this.#lines.wasReplaced()) {
      this.#clear();
      this.#listener(0, 0);
    }
    for await (const lines of this.#lines.read()) {
      this.#changed = { row: Infinity, update: Infinity };
      for (const line of lines) {
        const text = line.bytes?.toString('utf8') ?? '?';
        if (text.trim() === '') continue;
        const event = eventIn(text);
        if (event === undefined) this.#broken += 1;
        else if (event !== null) this.#add(event, line);
      }
      const { row, update } = this.#changed;
      this.#listener(Math.min(row, this.#rows.count), Math.min(update, this.#updates.count));
      if (this.#isClosed()) return;
    }
  }

  /** A function, for it changes while others are awaited. */
  #isClosed(): boolean {
    return this.#closed;
  }

  #add(event: RunEvent, place: PlacedLine): void {
    this.#clock(event);
    switch (event.type) {
      case 'metric': {
        const row = this.#rows.put(this.#stepOf(event));
        this.#steps = event.steps;
        this.#paceFrom = Math.min(this.#paceFrom, row);
        this.#changed.row = Math.min(this.#changed.row, row);
        return;
      }
      case 'e-step': {
        const row = this.#updates.put(this.#updateOf(event));
        this.#changed.update = Math.min(this.#changed.update, row);
        this.#voidGroups(event.update);
        return;
      }
      case 'rollout':
        this.#addRollout(event, place);
        return;
      case 'sample': {
        const { step, taskId, verdict, prompt } = event;
        const { offset, length } = place;
        const key = JSON.stringify([step, taskId, prompt]);
        const number = this.#sampleNumbers.get(key) ?? this.#samples.length;
        this.#sampleNumbers.set(key, number);
        this.#samples[number] = { step, taskId, verdict, place: { offset, length } };
        return;
      }
      case 'control':
        this.#settings = { ...this.#settings, ...event.settings };
        this.#mark(event.verb, event, `${event.detail} Asked for by ${event.client}.`, event);
        return;
      case 'launch':
        this.#launches += 1;
        if (this.#launches > 1) this.#mark('resumed', event, `Resumed on ${event.host}.`);
        return;
      case 'done':
        if (event.status === 'failed') this.#mark('failed', event, event.error.split('\n')[0]!);
        return;
      case 'note': {
        const { time, level, text } = event;
        this.#notes = [...this.#notes, { time, level, text }].slice(-MOST_NOTES);
        return;
      }
      case 'engine':
        this.#device = event.device;
        return;
      case 'phase':
      case 'progress':
        return;
    }
  }

  /** Counts the time at work. A launch, a resume and a pause begin a new stretch of even pace. */
  #clock(event: RunEvent): void {
    if (this.#working && event.type !== 'launch') this.#worked += Math.max(0, event.time - this.#lastTime) / 1000;
    this.#lastTime = event.time;
    const isPause = event.type === 'control' && (event.verb === 'pause' || event.verb === 'release');
    const isResume = event.type === 'control' && event.verb === 'resume';
    if (event.type === 'launch' || isResume) this.#working = true;
    else if (event.type === 'done' || isPause) this.#working = false;
    else return;
    this.#paceFrom = this.#rows.count;
  }

  #stepOf(event: MetricEvent & { readonly time: number }): Record<Column, number> {
    const { step, time, loss, heldOutLoss, learningRate, gradientNorm, tokens, tokensPerSecond, memory } = event;
    const { passAt1, codeLoss, latentLoss } = event;
    return {
      ...{ step, time, tokens, worked: this.#worked },
      loss: loss ?? NaN,
      heldOutLoss: heldOutLoss ?? NaN,
      learningRate: learningRate ?? NaN,
      gradientNorm: gradientNorm ?? NaN,
      // Step 0 is no training, and has no rate.
      tokensPerSecond: loss === null ? NaN : tokensPerSecond,
      memory: memory ?? NaN,
      passed: passAt1?.passed ?? NaN,
      problems: passAt1?.problems ?? NaN,
      codeLoss: codeLoss ?? NaN,
      latentLoss: latentLoss ?? NaN,
    };
  }

  #updateOf({ type, heldOut, latentTokens, gradientNorm, ...told }: EStepEvent & { readonly time: number }) {
    return {
      ...told,
      worked: this.#worked,
      latentTokens: latentTokens ?? NaN,
      gradientNorm: gradientNorm ?? NaN,
      heldReturnWithout: heldOut?.returnWithout ?? NaN,
      heldReturnWith: heldOut?.returnWith ?? NaN,
      heldReturnNever: heldOut?.returnNever ?? NaN,
      heldThinkRate: heldOut?.thinkRate ?? NaN,
    };
  }

  /** Its group is nearly always the last one. A rollout that comes again takes the place of the earlier one. */
  #addRollout({ update, snippet, index, returnWith, returnNever }: RolloutEvent, { offset, length }: PlacedLine): void {
    let at = this.#groups.length;
    while (at > 0 && this.#groups[at - 1]!.update > update) at -= 1;
    const behind = at;
    while (at > 0 && this.#groups[at - 1]!.update === update && this.#groups[at - 1]!.snippet !== snippet) at -= 1;
    const there = this.#groups[at - 1]?.update === update ? this.#groups[at - 1]! : null;
    const others = there?.rollouts.filter((one) => one.index !== index) ?? [];
    const rollout = { index, gain: returnWith - returnNever, place: { offset, length } };
    const group = { update, snippet, rollouts: [...others, rollout].sort((a, b) => a.index - b.index) };
    if (there === null) this.#groups.splice(behind, 0, group);
    else this.#groups[at - 1] = group;
  }

  /** Those of later updates were done again, or will be. */
  #voidGroups(update: number): void {
    while ((this.#groups.at(-1)?.update ?? 0) > update) this.#groups.pop();
  }

  #mark(
    kind: Mark['kind'],
    { time }: RunEvent,
    text: string,
    done: { readonly step?: number | undefined; readonly update?: number | undefined } = {},
  ): void {
    const step = done.step ?? (this.#rows.last('step') || 0);
    const update = done.update ?? (this.#updates.last('update') || 0);
    this.#marks = [...this.#marks, { kind, step, update, time, text }].slice(-MOST_MARKS);
  }

  #clear(): void {
    this.#lines.restart();
    this.#rows.clear();
    this.#updates.clear();
    this.#groups = [];
    this.#marks = [];
    this.#notes = [];
    this.#settings = {};
    this.#device = null;
    this.#samples = [];
    this.#sampleNumbers = new Map();
    this.#broken = 0;
    this.#launches = 0;
    this.#working = false;
    this.#worked = 0;
    this.#paceFrom = 0;
    this.#steps = null;
  }
}

/** Null: no event of this version; undefined: no JSON. */
function eventIn(text: string): RunEvent | null | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return parseEvent(value);
}
