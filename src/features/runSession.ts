/**
 * Feeds one run panel: reads the curves of the run, and of those drawn beside it, as they grow, sends them on in columns, and
 * answers what the panel asks. It reads when a run says that something has happened, never on a clock. Knows nothing of
 * VS Code, so that it can be tested without one; what needs the editor is handed in.
 */
import type { FollowedTraining } from '../client/followedRun.ts';
import { MetricsFile } from '../client/metricsFile.ts';
import { messageOf } from '../errors.ts';
import type { Rows } from '../client/columns.ts';
import { type Action, parseFromPanel, QUANTITIES, type ToPanel, UPDATE_QUANTITIES } from '../webviews/run/messages.ts';
import { headerOf } from './runHeader.ts';
import { runTitle, runVariant } from './runLabels.ts';

/** What the panel's buttons do, which the editor knows. */
export interface SessionActions {
  act(action: Action): void;
  savePicture(format: 'png' | 'svg', bytes: Uint8Array): void;
  /** Lets the user choose. Null: it was left as it is. */
  chooseOverlays(chosen: readonly string[]): Promise<readonly string[] | null>;
  /** Null where the store has no training in this folder. */
  openRun(folder: string): Promise<FollowedTraining | null>;
}

/** Rows are sent together for so long; the first ones at once. */
const GATHER_MILLISECONDS = 150;
/** Rows of a message: some two megabytes. */
const CHUNK_ROWS = 32_768;

export class RunSession {
  readonly #post: (message: ToPanel) => void;
  readonly #actions: SessionActions;
  readonly #own: Feed;
  readonly #overlays = new Map<string, Feed>();
  #marks = 0;
  #lastMark: unknown = null;
  #samples: unknown = null;
  #groups: unknown = null;
  #sentFile = '';
  #listening = false;
  #closed = false;

  constructor(run: FollowedTraining, post: (message: ToPanel) => void, actions: SessionActions) {
    this.#post = (message) => {
      if (!this.#closed && this.#listening) post(message);
    };
    this.#actions = actions;
    this.#own = new Feed(run, this.#post, () => {
      this.#sendHeader();
    });
  }

  /** Takes a message of the panel. One that is none of ours does nothing. */
  receive(value: unknown): void {
    const message = parseFromPanel(value);
    if (message === null || this.#closed) return;
    switch (message.type) {
      case 'ready':
        this.#listening = true;
        this.#lastMark = null;
        this.#marks = 0;
        this.#samples = null;
        this.#groups = null;
        this.#sentFile = '';
        this.#own.restart();
        for (const feed of this.#overlays.values()) feed.restart();
        void this.#overlay(message.overlays);
        return;
      case 'action':
        this.#actions.act(message.action);
        return;
      case 'picture':
        this.#actions.savePicture(message.format, message.bytes);
        return;
      case 'sample':
        void this.#answer(message.request, message.number);
        return;
      case 'rollouts':
        void this.#answerRollouts(message.request, message.update, message.snippet);
        return;
      case 'chooseOverlays':
        void this.#actions.chooseOverlays([...this.#overlays.keys()]).then((folders) => {
          if (folders !== null) void this.#overlay(folders);
        });
        return;
      case 'removeOverlay':
        void this.#overlay([...this.#overlays.keys()].filter((folder) => folder !== message.folder));
        return;
    }
  }

  close(): void {
    this.#closed = true;
    this.#own.close();
    for (const feed of this.#overlays.values()) feed.close();
  }

  /** What is said beside the curves, where it has changed. */
  #sendHeader(): void {
    const { run, metrics } = this.#own;
    this.#post({ type: 'run', header: headerOf(run, metrics) });
    const { marks, samples, state } = metrics;
    if (this.#lastMark === null || marks.length !== this.#marks || marks.at(-1) !== this.#lastMark) {
      this.#marks = marks.length;
      this.#lastMark = marks.at(-1);
      this.#post({ type: 'marks', marks: [...marks] });
    }
    const told = JSON.stringify([samples.length, samples.at(-1)]);
    if (told !== this.#samples) {
      this.#samples = told;
      this.#post({
        type: 'samples',
        samples: samples.map(({ step, taskId, verdict }) => ({ step, taskId, verdict })),
      });
    }
    const { groups } = metrics;
    const last = groups.at(-1);
    const toldGroups = JSON.stringify([groups.length, last?.update, last?.snippet, last?.rollouts.length]);
    if (toldGroups !== this.#groups) {
      this.#groups = toldGroups;
      this.#post({
        type: 'groups',
        updates: Uint32Array.from(groups, ({ update }) => update),
        snippets: Uint32Array.from(groups, ({ snippet }) => snippet),
        sizes: Uint32Array.from(groups, ({ rollouts }) => rollouts.length),
        gains: Float32Array.from(groups, ({ rollouts }) => mean(rollouts.map(({ gain }) => gain))),
      });
    }
    const file = JSON.stringify(state);
    if (file !== this.#sentFile) this.#post({ type: 'file', ...state });
    this.#sentFile = file;
  }

  /** Draws these runs beside the panel's own, and no others. Those that are not there are left out. */
  async #overlay(folders: readonly string[]): Promise<void> {
    for (const [folder, feed] of this.#overlays) {
      if (folders.includes(folder)) continue;
      feed.close();
      this.#overlays.delete(folder);
    }
    for (const folder of folders) {
      if (folder === this.#own.run.folder || this.#overlays.has(folder)) continue;
      const run = await this.#actions.openRun(folder).catch(() => null);
      if (run === null || this.#overlays.has(folder) || this.#isClosed()) continue;
      const feed = new Feed(run, this.#post, () => undefined);
      this.#overlays.set(folder, feed);
      feed.restart();
    }
    const runs = [...this.#overlays.values()].map(({ run }) => ({
      folder: run.folder,
      title: runTitle(run.description),
      words: runVariant(run.description),
    }));
    this.#post({ type: 'overlays', runs });
  }

  /** A function, for it changes while others are awaited. */
  #isClosed(): boolean {
    return this.#closed;
  }

  async #answer(request: number, number: number): Promise<void> {
    try {
      const event = await this.#own.metrics.sample(number);
      if (event === null) {
        this.#post({ type: 'sample', request, sample: null, error: 'The run has no such sample any more.' });
        return;
      }
      const { step, taskId, verdict, prompt, completion } = event;
      this.#post({ type: 'sample', request, sample: { step, taskId, verdict, prompt, completion }, error: '' });
    } catch (error) {
      this.#post({ type: 'sample', request, sample: null, error: `It cannot be read: ${messageOf(error)}.` });
    }
  }

  async #answerRollouts(request: number, update: number, snippet: number): Promise<void> {
    try {
      const found = await this.#own.metrics.rollouts(update, snippet);
      const rollouts = found.map(({ index, returnWith, returnNever, lines }) => {
        return { index, returnWith, returnNever, lines: [...lines] };
      });
      const error = rollouts.length > 0 ? '' : 'The run has no such rollouts any more.';
      this.#post({ type: 'rollouts', request, rollouts, error });
    } catch (error) {
      this.#post({ type: 'rollouts', request, rollouts: [], error: `They cannot be read: ${messageOf(error)}.` });
    }
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The curves of one run on their way to the panel. */
class Feed {
  readonly run: FollowedTraining;
  readonly metrics: MetricsFile;
  readonly #post: (message: ToPanel) => void;
  readonly #onRead: () => void;
  readonly #unfollow: () => void;
  /** First step's and first update's row that the panel does not know as it is. */
  #from = 0;
  #fromUpdate = 0;
  #sent = -Infinity;
  #timer: NodeJS.Timeout | null = null;
  #begun = false;

  constructor(run: FollowedTraining, post: (message: ToPanel) => void, onRead: () => void) {
    this.run = run;
    this.metrics = new MetricsFile(run.folder);
    this.#post = post;
    this.#onRead = onRead;
    this.#unfollow = run.onDidChange(() => {
      if (this.#begun) void this.#read();
    });
  }

  /** Sends everything anew. */
  restart(): void {
    this.#begun = true;
    this.#from = 0;
    this.#fromUpdate = 0;
    this.#sent = -Infinity;
    this.#onRead();
    void this.#read(true);
  }

  close(): void {
    this.#unfollow();
    this.metrics.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #read(isFirst = false): Promise<void> {
    try {
      await this.metrics.update((from, fromUpdate) => {
        this.#from = Math.min(this.#from, from);
        this.#fromUpdate = Math.min(this.#fromUpdate, fromUpdate);
        this.#sendSoon();
      });
      if (isFirst) this.#send();
      else this.#onRead();
    } catch (error) {
      this.#post({ type: 'gone', text: `The curves cannot be read: ${messageOf(error)}.` });
    }
  }

  #sendSoon(): void {
    if (this.#timer !== null) return;
    const wait = Math.max(0, this.#sent + GATHER_MILLISECONDS - performance.now());
    this.#timer = setTimeout(() => {
      this.#send();
    }, wait);
  }

  #send(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#sent = performance.now();
    const { rows, updates } = this.metrics;
    const run = this.run.folder;
    for (const [from, to] of chunks(this.#from, rows.count)) {
      const column = columnsOf(rows, from, to);
      const places = { step: column('step'), tokens: column('tokens'), time: column('worked') };
      this.#post({ type: 'metrics', run, from, places, values: quantitiesOf(QUANTITIES, column) });
    }
    for (const [from, to] of chunks(this.#fromUpdate, updates.count)) {
      const column = columnsOf(updates, from, to);
      const places = { update: column('update') };
      this.#post({ type: 'updates', run, from, places, values: quantitiesOf(UPDATE_QUANTITIES, column) });
    }
    this.#from = rows.count;
    this.#fromUpdate = updates.count;
    this.#onRead();
  }
}

/** Rows of a message each. One without rows says that there are none. */
function chunks(first: number, count: number): [from: number, to: number][] {
  const found: [number, number][] = [];
  for (let from = first; from < count || from === 0; from += CHUNK_ROWS) {
    found.push([from, Math.min(count, from + CHUNK_ROWS)]);
  }
  return found;
}

/** Copies: what is sent must not change any more. */
function columnsOf<Name extends string>(
  rows: Rows<Name>,
  from: number,
  to: number,
): (name: Name) => Float64Array<ArrayBuffer> {
  return (name) => Float64Array.from(rows.column(name).subarray(from, to));
}

function quantitiesOf<Name extends string>(
  names: readonly Name[],
  column: (name: Name) => Float64Array,
): Record<Name, Float32Array<ArrayBuffer>> {
  return Object.fromEntries(names.map((name) => [name, new Float32Array(column(name))])) as Record<
    Name,
    Float32Array<ArrayBuffer>
  >;
}
