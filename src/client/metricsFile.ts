/**
 * The curves of a training run as they grow: reads `events.jsonl` on from where it last ended, and keeps what each step told
 * in columns, so that a million steps take some hundred megabytes; beside them the marks (what was done to the run, and
 * when), notes, and where each sample of the live weights stands. A step that comes again was done again after a kill: the later one
 * holds, and what followed the earlier one is void. Knows nothing of VS Code, or of how curves are drawn.
 */
import { parseEvent, type RunEvent, type SampleEvent, type Verb } from '../runner/events.ts';
import { runPaths } from '../runner/runFolder.ts';
import type { RunNote } from '../runner/state.ts';
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
] as const;
export type Column = (typeof COLUMNS)[number];

/** Something that was done to the run, or happened to it. `resumed`: another launch went on with it. */
export interface Mark {
  readonly kind: Verb | 'resumed' | 'failed';
  /** Steps done by then. */
  readonly step: number;
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

export interface MetricsState {
  /** Bytes read, of how many. */
  readonly read: number;
  readonly size: number;
  /** Whole lines that are no JSON; they are passed over. */
  readonly broken: number;
}

/** Called with the first row that is new or has changed; all behind it are new too. 0: all of them. */
export type MetricsListener = (from: number) => void;

/** Steps over which the pace is taken. */
const PACE_STEPS = 100;
/** The latest are kept. */
const MOST_MARKS = 2000;
const MOST_NOTES = 200;

export class MetricsFile {
  readonly #lines: GrowingLines;
  #columns = columnsOf(1024);
  #count = 0;
  #marks: Mark[] = [];
  #notes: RunNote[] = [];
  #device: string | null = null;
  #samples: (SampleEntry & { readonly place: Omit<PlacedLine, 'bytes'> })[] = [];
  /** Place of a sample in the list, by what makes it the same. */
  #sampleNumbers = new Map<string, number>();
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

  /** Rows: steps that told something, step 0 (before training) among them. Their steps rise. */
  get count(): number {
    return this.#count;
  }

  /** Steps asked for; null before it has trained. */
  get steps(): number | null {
    return this.#steps;
  }

  get marks(): readonly Mark[] {
    return this.#marks;
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

  get state(): MetricsState {
    const { offset, size } = this.#lines.state;
    return { read: offset, size, broken: this.#broken };
  }

  /** A view of a column; it is void after the next `update`. */
  column(name: Column): Float64Array {
    return this.#columns[name].subarray(0, this.#count);
  }

  /** Milliseconds that a step takes with what belongs to it, over the last ones; null before that can be told. */
  get pace(): number | null {
    const last = this.#count - 1;
    const first = Math.max(this.#paceFrom, last - PACE_STEPS);
    if (last - first < 1) return null;
    const { time, step } = this.#columns;
    return (time[last]! - time[first]!) / (step[last]! - step[first]!);
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

  close(): void {
    this.#closed = true;
  }

  async #read(): Promise<void> {
    if (this.#isClosed()) return;
    if (await this.#lines.wasReplaced()) {
      this.#clear();
      this.#listener(0);
    }
    for await (const lines of this.#lines.read()) {
      let from = Infinity;
      for (const line of lines) {
        const text = line.bytes?.toString('utf8') ?? '?';
        if (text.trim() === '') continue;
        const event = eventIn(text);
        if (event === undefined) this.#broken += 1;
        else if (event !== null) from = Math.min(from, this.#add(event, line));
      }
      this.#listener(Math.min(from, this.#count));
      if (this.#isClosed()) return;
    }
  }

  /** A function, for it changes while others are awaited. */
  #isClosed(): boolean {
    return this.#closed;
  }

  /** @returns the row that it made; Infinity: none */
  #add(event: RunEvent, place: PlacedLine): number {
    this.#clock(event);
    switch (event.type) {
      case 'metric': {
        const row = this.#rowOf(event.step);
        const { heldOutLoss, passAt1, memory, ...rest } = event;
        const { step, time, loss, learningRate, gradientNorm, tokens, tokensPerSecond } = rest;
        this.#set(row, {
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
        });
        this.#count = row + 1;
        this.#steps = event.steps;
        this.#paceFrom = Math.min(this.#paceFrom, row);
        return row;
      }
      case 'e-step':
      case 'rollout':
        return Infinity;
      case 'sample': {
        const { step, taskId, verdict, prompt } = event;
        const { offset, length } = place;
        const key = JSON.stringify([step, taskId, prompt]);
        const number = this.#sampleNumbers.get(key) ?? this.#samples.length;
        this.#sampleNumbers.set(key, number);
        this.#samples[number] = { step, taskId, verdict, place: { offset, length } };
        return Infinity;
      }
      case 'control':
        this.#mark(event.verb, event, `${event.detail} Asked for by ${event.client}.`, event.step);
        return Infinity;
      case 'launch':
        this.#launches += 1;
        if (this.#launches > 1) this.#mark('resumed', event, `Resumed on ${event.host}.`);
        return Infinity;
      case 'done':
        if (event.status === 'failed') this.#mark('failed', event, event.error.split('\n')[0]!);
        return Infinity;
      case 'note': {
        const { time, level, text } = event;
        this.#notes = [...this.#notes, { time, level, text }].slice(-MOST_NOTES);
        return Infinity;
      }
      case 'engine':
        this.#device = event.device;
        return Infinity;
      case 'phase':
      case 'progress':
        return Infinity;
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
    this.#paceFrom = this.#count;
  }

  /** Where a step belongs: behind all rows of earlier steps. Nearly always at the end. */
  #rowOf(step: number): number {
    let row = this.#count;
    while (row > 0 && this.#columns.step[row - 1]! >= step) row -= 1;
    return row;
  }

  #set(row: number, values: Readonly<Record<Column, number>>): void {
    if (row === this.#columns.step.length) {
      const grown = columnsOf(2 * row);
      for (const name of COLUMNS) grown[name].set(this.#columns[name]);
      this.#columns = grown;
    }
    for (const name of COLUMNS) this.#columns[name][row] = values[name];
  }

  #mark(kind: Mark['kind'], { time }: RunEvent, text: string, step?: number): void {
    const last = this.#count === 0 ? 0 : this.#columns.step[this.#count - 1]!;
    this.#marks = [...this.#marks, { kind, step: step ?? last, time, text }].slice(-MOST_MARKS);
  }

  #clear(): void {
    this.#lines.restart();
    this.#count = 0;
    this.#marks = [];
    this.#notes = [];
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

function columnsOf(length: number): Record<Column, Float64Array> {
  return Object.fromEntries(COLUMNS.map((name) => [name, new Float64Array(length)])) as Record<Column, Float64Array>;
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
