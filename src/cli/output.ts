/**
 * Everything the command writes. Results go to stdout, the rest to stderr. A terminal gets a progress line in place,
 * a pipe gets plain lines now and then, `--json` gets one JSON object a line on stdout and nothing else there.
 * Knows nothing of what is reported.
 */
import ora, { type Ora } from 'ora';
import { Meter, progressLine, type ProgressState } from './progress.ts';

/** Seconds between the progress lines of a pipe, and of `--json`. */
const plainEvery = 10;
const jsonEvery = 1;

export interface OutputStreams {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  /** Seconds. */
  readonly now: () => number;
}

const processStreams: OutputStreams = {
  stdout: process.stdout,
  stderr: process.stderr,
  now: () => performance.now() / 1000,
};

export class Output {
  readonly json: boolean;
  readonly #streams: OutputStreams;
  readonly #terminal: boolean;
  #spinner: Ora | null = null;
  #meter = new Meter();
  #title = '';
  #lastLine = -Infinity;
  #complete = false;
  #lastText = '';

  constructor(options: { readonly json: boolean }, streams = processStreams) {
    this.json = options.json;
    this.#streams = streams;
    const { isTTY, columns = 80 } = streams.stderr;
    // CI systems may claim a terminal but keep every line; one without columns would have ora draw for ever.
    this.#terminal =
      isTTY === true && columns > 0 && !this.json && !process.env['CI'] && process.env['TERM'] !== 'dumb';
  }

  /** How far the work is. Call it as often as you like. */
  progress(state: ProgressState): void {
    const at = this.#streams.now();
    const fresh = state.title !== this.#title;
    if (fresh) {
      this.#endProgress();
      this.#meter = new Meter();
      this.#title = state.title;
      this.#lastLine = -Infinity;
      this.#complete = false;
    }
    const rate = this.#meter.rate(state.done, at);
    const text = progressLine(state, rate, { bar: this.#terminal });
    if (this.#terminal) {
      this.#spinner ??= ora({ stream: this.#streams.stderr, discardStdin: false, isEnabled: true }).start();
      this.#spinner.text = text;
      this.#lastText = text;
      return;
    }
    const complete = state.done >= state.total;
    if (this.#complete || (!complete && at - this.#lastLine < (this.json ? jsonEvery : plainEvery))) return;
    this.#complete = complete;
    this.#lastLine = at;
    if (this.json) this.#write('stdout', JSON.stringify({ type: 'progress', ...state, rate }));
    else this.#write('stderr', text);
  }

  /** A row that only a program reads: nothing without `--json`. */
  data(row: object): void {
    if (this.json) this.#write('stdout', JSON.stringify(row));
  }

  /** One line of what is going on. */
  note(text: string): void {
    if (this.json) this.#write('stdout', JSON.stringify({ type: 'note', level: 'info', text }));
    else this.#write('stderr', text);
  }

  /** One line of what may matter. */
  warning(text: string): void {
    if (this.json) this.#write('stdout', JSON.stringify({ type: 'note', level: 'warning', text }));
    else this.#write('stderr', `Warning: ${text}`);
  }

  error(text: string): void {
    this.#endProgress();
    if (this.json) this.#write('stdout', JSON.stringify({ type: 'error', message: text }));
    this.#write('stderr', text);
  }

  /** What the command was asked for: lines for a person, `data` for `--json`. */
  result(type: string, lines: readonly string[], data: object): void {
    this.#endProgress();
    if (this.json) this.#write('stdout', JSON.stringify({ type, ...data }));
    else for (const line of lines) this.#write('stdout', line);
  }

  /** A question that a line of input will answer. Ends the progress line; the caller reads. */
  question(lines: readonly string[]): void {
    this.#endProgress();
    for (const line of lines) this.#write('stderr', line);
  }

  close(): void {
    this.#endProgress();
  }

  #write(to: 'stdout' | 'stderr', line: string): void {
    this.#streams[to].write(`${line}\n`); // ora moves its line out of the way by itself
  }

  /** Leaves the last state of the progress line standing. */
  #endProgress(): void {
    const spinner = this.#spinner;
    if (spinner === null) return;
    this.#spinner = null;
    spinner.stopAndPersist({ symbol: ' ', text: this.#lastText });
  }
}
