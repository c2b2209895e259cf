/**
 * Feeds one results panel: reads the run's results as they come, sends them on in columns, and answers what the panel asks.
 * It reads when the run says that something has happened, never on a clock. Knows nothing of VS Code, so that it can be
 * tested without one; what needs the editor is handed in.
 */
import type { FollowedEvaluation } from '../client/followedRun.ts';
import { ResultsFile } from '../client/resultsFile.ts';
import { BenchmarkLoader, type SampleDetail, sampleDetail } from '../client/sampleDetail.ts';
import { SamplesFile } from '../client/samplesFile.ts';
import { messageOf } from '../errors.ts';
import type { Action, Part, ToPanel } from '../webviews/results/messages.ts';
import { parseFromPanel, VERDICTS } from '../webviews/results/messages.ts';
import { factsOf, headerOf } from './resultsHeader.ts';

/** What the panel's buttons do, which the editor knows. */
export interface SessionActions {
  open(detail: SampleDetail, part: Part): void;
  copy(text: string): void;
  rerun(taskId: string): void;
  act(action: Action): void;
}

/** Rows are sent together for so long; the first ones at once. */
const GATHER_MILLISECONDS = 150;
/** While samples are judged the score is added up at most so often: it takes a look at every row. */
const SCORE_MILLISECONDS = 1000;

export class ResultsSession {
  readonly #run: FollowedEvaluation;
  readonly #post: (message: ToPanel) => void;
  readonly #actions: SessionActions;
  readonly #results: ResultsFile;
  readonly #samples: SamplesFile;
  readonly #benchmarks = new BenchmarkLoader();
  readonly #unfollow: () => void;
  /** Rows to be sent; null: none were sent yet, so all of them are. */
  #changed: Set<number> | null = null;
  #tasks = new Map<string, number>();
  #reasons = new Map<string, number>();
  #timer: NodeJS.Timeout | null = null;
  #headerTimer: NodeJS.Timeout | null = null;
  #headerSent = -Infinity;
  #listening = false;
  #closed = false;

  constructor(run: FollowedEvaluation, post: (message: ToPanel) => void, actions: SessionActions) {
    this.#run = run;
    this.#post = post;
    this.#actions = actions;
    this.#results = new ResultsFile(run.folder);
    this.#samples = new SamplesFile(run.folder);
    this.#unfollow = run.onDidChange(() => {
      this.#sendHeader();
      void this.#read();
    });
  }

  /** Takes a message of the panel. One that is none of ours does nothing. */
  receive(value: unknown): void {
    const message = parseFromPanel(value);
    if (message === null || this.#closed) return;
    switch (message.type) {
      case 'ready':
        this.#listening = true;
        this.#changed = null;
        this.#headerSent = -Infinity;
        this.#sendHeader();
        this.#send();
        void this.#read(true);
        return;
      case 'detail':
        void this.#answer(message.request, message.row);
        return;
      case 'open':
        void this.#detail(message.row).then((detail) => {
          if (detail !== null) this.#actions.open(detail, message.part);
        }, ignore);
        return;
      case 'copy':
        void this.#detail(message.row).then((detail) => {
          if (detail !== null) this.#actions.copy(partOf(detail, message.part));
        }, ignore);
        return;
      case 'copyFact': {
        const fact = factsOf(this.#run).find(({ name }) => name === message.name);
        if (fact !== undefined) this.#actions.copy(fact.value);
        return;
      }
      case 'rerun':
        if (message.row < this.#results.count) this.#actions.rerun(this.#results.row(message.row).taskId);
        return;
      case 'action':
        this.#actions.act(message.action);
        return;
    }
  }

  close(): void {
    this.#closed = true;
    this.#unfollow();
    this.#results.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#headerTimer !== null) clearTimeout(this.#headerTimer);
  }

  /** Reads what is new of the results. Where that was something, or is the first time, the score follows. */
  async #read(isFirst = false): Promise<void> {
    if (!this.#listening) return;
    let isNew = isFirst;
    try {
      await this.#results.update((rows) => {
        isNew = true;
        if (rows === null) this.#changed = null;
        else for (const row of rows) this.#changed?.add(row);
        this.#timer ??= setTimeout(() => {
          this.#send();
        }, GATHER_MILLISECONDS);
      });
      if (!isNew) return;
      this.#send();
      if (isFirst) this.#headerSent = -Infinity;
      this.#sendHeader();
    } catch (error) {
      this.#post({ type: 'gone', text: `The results cannot be read: ${messageOf(error)}.` });
    }
  }

  /** Sends the rows that have changed, or all of them. */
  #send(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#closed) return;
    const reset = this.#changed === null;
    const rows = this.#changed === null ? Array.from({ length: this.#results.count }, (_, i) => i) : [...this.#changed];
    this.#changed = new Set();
    if (reset) {
      this.#tasks = new Map();
      this.#reasons = new Map();
    }
    if (reset || rows.length > 0) this.#post(this.#columns(rows, reset));
    const { read, size, broken, cutBytes } = this.#results.state;
    this.#post({ type: 'file', read, size, broken, cut: cutBytes > 0 });
  }

  #columns(numbers: readonly number[], reset: boolean): ToPanel {
    const { length } = numbers;
    const columns = {
      numbers: Uint32Array.from(numbers),
      tasks: new Uint32Array(length),
      samples: new Uint32Array(length),
      verdicts: new Uint8Array(length),
      reasons: new Uint32Array(length),
      wallSeconds: new Float32Array(length),
      cpuSeconds: new Float32Array(length),
    };
    const newTasks: string[] = [];
    const newReasons: string[] = [];
    numbers.forEach((number, i) => {
      const row = this.#results.row(number);
      columns.tasks[i] = placeIn(this.#tasks, row.taskId, newTasks);
      columns.samples[i] = row.sample;
      columns.verdicts[i] = VERDICTS.indexOf(row.verdict);
      columns.reasons[i] = placeIn(this.#reasons, row.reason, newReasons);
      columns.wallSeconds[i] = row.wallSeconds;
      columns.cpuSeconds[i] = row.cpuSeconds;
    });
    return { type: 'rows', reset, ...columns, newTasks, newReasons };
  }

  /** Sends how the run stands: at once, or when the last time is long enough ago. */
  #sendHeader(): void {
    if (this.#closed || !this.#listening || this.#headerTimer !== null) return;
    const wait = this.#headerSent + SCORE_MILLISECONDS - performance.now();
    if (wait > 0) {
      this.#headerTimer = setTimeout(() => {
        this.#headerTimer = null;
        this.#sendHeader();
      }, wait);
      return;
    }
    this.#headerSent = performance.now();
    this.#post({ type: 'run', header: headerOf(this.#run, this.#results, Date.now()) });
  }

  async #answer(request: number, row: number): Promise<void> {
    try {
      const detail = await this.#detail(row);
      const error = detail === null ? 'The file has no such sample any more.' : '';
      this.#post({ type: 'detail', request, detail: detail === null ? null : plain(detail), error });
    } catch (error) {
      this.#post({ type: 'detail', request, detail: null, error: `It cannot be read: ${messageOf(error)}.` });
    }
  }

  async #detail(row: number): Promise<SampleDetail | null> {
    if (row >= this.#results.count) return null;
    const { taskId, sample } = this.#results.row(row);
    const sources = {
      description: this.#run.description,
      results: this.#results,
      samples: this.#samples,
      benchmarks: this.#benchmarks,
    };
    return sampleDetail(sources, taskId, sample);
  }
}

/** One text of a sample. */
export function partOf(detail: SampleDetail, part: Part): string {
  switch (part) {
    case 'program':
      return detail.program === null ? '' : joinedProgram(detail.program).text;
    case 'completion':
      return detail.completion;
    case 'prompt':
      return detail.prompt;
    case 'traceback':
      return detail.traceback;
  }
}

/** Candidate and check as one text, and on which line (from 1) the check begins. */
export function joinedProgram({ candidate, check }: { readonly candidate: string; readonly check: string }): {
  readonly text: string;
  readonly checkLine: number;
} {
  const head = candidate.endsWith('\n') || candidate === '' ? candidate : `${candidate}\n`;
  return { text: `${head}\n${check}`, checkLine: head.split('\n').length + 1 };
}

function placeIn(places: Map<string, number>, text: string, added: string[]): number {
  let place = places.get(text);
  if (place === undefined) {
    place = places.size;
    places.set(text, place);
    added.push(text);
  }
  return place;
}

/** Without what a message cannot hold: read-only lists are lists there. */
function plain(detail: SampleDetail): Extract<ToPanel, { type: 'detail' }>['detail'] {
  return structuredClone(detail) as Extract<ToPanel, { type: 'detail' }>['detail'];
}

function ignore(): void {
  // The panel has said already that the file cannot be read.
}
