/**
 * All runs of the store, and what changes about them: runs appear, go, begin and end, whoever started them.
 * Knows nothing of VS Code.
 */
import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { messageOf } from '../errors.ts';
import { NoRunError } from '../runner/runFolder.ts';
import { listRuns } from '../runner/store.ts';
import { oneAtATime } from './oneAtATime.ts';
import { RunFollower } from './runFollower.ts';

/** A folder of the store that cannot be shown as a run: of a later version, or broken. */
export interface UnreadableRun {
  readonly folder: string;
  readonly name: string;
  readonly why: string;
}

/** Folders read at a time. */
const AT_A_TIME = 32;
/** So many of the latest are shown before the rest is read: more than a view has room for. */
const FIRST_RUNS = 64;
/** Changes of the store within this time are looked at together. */
const GATHER_MILLISECONDS = 100;

export class RunList {
  readonly store: string;
  readonly #runs = new Map<string, RunFollower>();
  readonly #unreadable = new Map<string, UnreadableRun>();
  readonly #listeners = new Set<(run: RunFollower | null) => void>();
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | null = null;
  #loaded = false;
  #closed = false;
  #whole: Promise<void> | null = null;
  #firstRead: () => void = () => undefined;
  readonly #first = new Promise<void>((resolve) => (this.#firstRead = resolve));

  /** Reads the store again. */
  readonly refresh = oneAtATime(() => this.#read());

  constructor(store: string) {
    this.store = store;
  }

  /** The latest first. Empty until `load` has settled, and only the latest until `isLoaded`. */
  get runs(): RunFollower[] {
    return [...this.#runs.values()].sort((a, b) => b.description.created - a.description.created);
  }

  get unreadable(): UnreadableRun[] {
    return [...this.#unreadable.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get isLoaded(): boolean {
    return this.#loaded;
  }

  /** Called with the run that changed, or null when runs came or went. @returns how to stop it */
  onDidChange(listener: (run: RunFollower | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads the store once and watches it from then on. Settles when the latest runs are there; the others follow. */
  async load(): Promise<void> {
    await Promise.race([this.loadAll(), this.#first]);
  }

  /** As `load`, and settles when all are there. */
  async loadAll(): Promise<void> {
    this.#watch();
    await (this.#whole ??= this.refresh());
  }

  /** The run in this folder, which may be newer than the list; null when the store has none there that can be read. */
  async find(folder: string): Promise<RunFollower | null> {
    if (!this.#runs.has(folder)) await this.refresh();
    return this.#runs.get(folder) ?? null;
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const run of this.#runs.values()) run.close();
    this.#runs.clear();
    this.#listeners.clear();
  }

  #watch(): void {
    if (this.#watcher !== null || this.#closed) return;
    try {
      mkdirSync(this.store, { recursive: true });
      this.#watcher = watch(this.store, { persistent: false }, () => {
        this.#timer ??= setTimeout(() => {
          this.#timer = null;
          void this.refresh();
        }, GATHER_MILLISECONDS);
      });
      this.#watcher.on('error', () => {
        this.#watcher?.close();
        this.#watcher = null;
      });
    } catch {
      // Without a watcher the list is as new as its last refresh.
    }
  }

  async #read(): Promise<void> {
    if (this.#closed) return;
    const folders = await listRuns(this.store);
    const there = new Set(folders);
    let changed = !this.#loaded;
    for (const [folder, run] of this.#runs) {
      if (there.has(folder)) continue;
      run.close();
      this.#runs.delete(folder);
      changed = true;
    }
    for (const folder of this.#unreadable.keys()) {
      if (!there.has(folder)) changed = this.#unreadable.delete(folder);
    }
    const look = async (folder: string): Promise<void> => {
      const known = this.#runs.get(folder);
      if (known === undefined) changed = (await this.#open(folder)) || changed;
      else await known.refresh().catch(() => undefined);
    };
    if (folders.length - this.#runs.size > FIRST_RUNS) {
      const latest = await latestFirst(folders);
      await eachOf(latest.splice(0, FIRST_RUNS), look);
      this.#firstRead();
      await eachOf(latest, look);
    } else {
      await eachOf(folders, look);
    }
    this.#loaded = true;
    if (changed) this.#tell(null);
  }

  /** @returns whether anything is to be shown that was not */
  async #open(folder: string): Promise<boolean> {
    try {
      const run = await RunFollower.open(folder);
      if (this.#runs.has(folder) || this.#closed) {
        run.close(); // somebody else was quicker
        return false;
      }
      this.#runs.set(folder, run);
      this.#unreadable.delete(folder);
      run.onDidChange(() => {
        this.#tell(run);
      });
      return true;
    } catch (error) {
      // A folder without a description is being made, or is nothing of ours.
      if (error instanceof NoRunError) return this.#unreadable.delete(folder);
      const isNew = !this.#unreadable.has(folder);
      this.#unreadable.set(folder, { folder, name: basename(folder), why: messageOf(error) });
      return isNew;
    }
  }

  #tell(run: RunFollower | null): void {
    for (const listener of this.#listeners) listener(run);
  }
}

/** Some at a time. */
async function eachOf(folders: readonly string[], work: (folder: string) => Promise<void>): Promise<void> {
  const waiting = [...folders].reverse();
  const worker = async (): Promise<void> => {
    for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) await work(folder);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

/** By when something was last made in them, which is near enough to when their runs were. */
async function latestFirst(folders: readonly string[]): Promise<string[]> {
  const times = new Map<string, number>();
  await eachOf(folders, async (folder) => {
    const found = await stat(folder).catch(() => null);
    times.set(folder, found?.mtimeMs ?? 0);
  });
  return [...folders].sort((a, b) => times.get(b)! - times.get(a)!);
}
