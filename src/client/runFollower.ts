/**
 * Follows one run: reads how it stands from its folder and, while a process works on it, listens on its socket. A lost
 * connection loses nothing: what was missed is in the file. Knows nothing of VS Code.
 */
import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { ErrorCodes, type MessageConnection, ResponseError } from 'vscode-jsonrpc/node';
import { UserError } from '../errors.ts';
import { parseEvent, type RunEvent, type Settings, type Verb } from '../runner/events.ts';
import { type Holder, holderOf } from '../runner/lock.ts';
import {
  connectionOver,
  type ControlAnswer,
  controlledSchema,
  followingSchema,
  initializedSchema,
  methods,
  openSocket,
  PROTOCOL_VERSION,
} from '../runner/protocol.ts';
import {
  type EventsRead,
  readDescription,
  readEvents,
  readLastEvents,
  type RunDescription,
  runPaths,
} from '../runner/runFolder.ts';
import { afterEvent, crashed, isLive, type RunState, stateOf, UNSTARTED } from '../runner/state.ts';
import type { FollowedRun } from './followedRun.ts';

/** Listeners are called at most so often. */
const TELL_MILLISECONDS = 200;
/** A runner is in a step of the model most of the time and answers between two. */
const ANSWER_MILLISECONDS = 60_000;

export interface FollowerOptions {
  /** How long a runner is waited for. */
  readonly answerMilliseconds?: number;
  /** Who asks, in the run's events. */
  readonly client?: 'vscode' | 'terminal';
}

/** What the connection itself answers when it has ended. */
const LOST: readonly number[] = [
  ErrorCodes.PendingResponseRejected,
  ErrorCodes.ConnectionInactive,
  ErrorCodes.MessageWriteError,
  ErrorCodes.MessageReadError,
];
const FIRST_RETRY_MILLISECONDS = 50;
const LAST_RETRY_MILLISECONDS = 2000;

export class RunFollower implements FollowedRun {
  readonly folder: string;
  #description: RunDescription;
  #state: RunState;
  /** Byte of the events file that was read up to. */
  #offset: number;
  readonly #answerMilliseconds: number;
  readonly #client: string;
  #connection: MessageConnection | null = null;
  #attaching: Promise<void> | null = null;
  #closed = false;
  readonly #listeners = new Set<() => void>();
  #timer: NodeJS.Timeout | null = null;

  private constructor(
    folder: string,
    description: RunDescription,
    { events, offset }: EventsRead,
    { answerMilliseconds = ANSWER_MILLISECONDS, client = 'vscode' }: FollowerOptions,
  ) {
    this.folder = folder;
    this.#description = description;
    this.#state = stateOf(events);
    this.#offset = offset;
    this.#answerMilliseconds = answerMilliseconds;
    this.#client = client;
  }

  /**
   * Reads how the run stands, and follows it if it is at work.
   * @throws NoRunError; UserError when its description is broken or of a later version
   */
  static async open(folder: string, options: FollowerOptions = {}): Promise<RunFollower> {
    const [description, last] = await Promise.all([readDescription(folder), readLastEvents(folder)]);
    const follower = new RunFollower(folder, description, last, options);
    // One that ended well needs no second look at who holds it.
    if (follower.#state.status !== 'finished') await follower.refresh();
    return follower;
  }

  get name(): string {
    return basename(this.folder);
  }

  get description(): RunDescription {
    return this.#description;
  }

  get state(): RunState {
    return this.#state;
  }

  onDidChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks whether a process has taken the run, and follows it then. Settles once it is known how the run stands. */
  async refresh(): Promise<void> {
    if (this.#attaching !== null || this.#closed) return;
    const holder = await this.#look();
    if (holder?.host !== hostname()) return;
    this.#attaching ??= this.#attach(holder).finally(() => {
      this.#attaching = null;
    });
  }

  /**
   * Asks the run's process to do something, with `settings` for `set`; over another connection where one is lost, under the same id, so that it is done once.
   * @throws UserError when no process works on it, it refuses, or it does not answer
   */
  async control(verb: Verb, dryRun = false, settings?: Settings): Promise<ControlAnswer> {
    const request = { id: randomUUID(), run: this.name, verb, dryRun, settings };
    const late = performance.now() + this.#answerMilliseconds;
    while (performance.now() < late) {
      const connection = await this.#connected();
      if (connection === null) throw new UserError(`No process works on ${this.name}, so there is nothing to ${verb}.`);
      try {
        const answer = v.safeParse(controlledSchema, await this.#ask(connection, methods.control, request));
        if (answer.success) return answer.output;
        throw new UserError(`The process of ${this.name} gave an answer that is none.`);
      } catch (error) {
        if (error instanceof UserError) throw error; // else the connection was lost: there will be another one
      }
    }
    throw this.#unanswered();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#listeners.clear();
    this.#connection?.end();
    this.#connection?.dispose();
    this.#connection = null;
  }

  /** The connection as soon as there is one; null where no process works on the run, or none listens. */
  async #connected(): Promise<MessageConnection | null> {
    await this.refresh();
    const late = performance.now() + this.#answerMilliseconds;
    while (this.#connection === null && this.#attaching !== null && performance.now() < late) {
      await sleep(FIRST_RETRY_MILLISECONDS);
    }
    return this.#connection;
  }

  /** Follows for as long as a process works on the run. Never rejects. */
  async #attach(first: Holder): Promise<void> {
    let holder: Holder | null = first;
    let wait = FIRST_RETRY_MILLISECONDS;
    while (holder !== null && !this.#closed) {
      if (await this.#follow(holder)) wait = FIRST_RETRY_MILLISECONDS;
      else wait = Math.min(2 * wait, LAST_RETRY_MILLISECONDS);
      if (!this.#isOver()) await sleep(wait, undefined, { ref: false });
      holder = await this.#look().catch(() => null); // its folder cannot be read: the next refresh says so
    }
  }

  /** A function, for the state changes while others are awaited. */
  #isOver(): boolean {
    return this.#closed;
  }

  /** Reads what is new in the folder and who holds it. */
  async #look(): Promise<Holder | null> {
    const holder = await holderOf(this.folder);
    const { events, offset } = await readEvents(this.folder, this.#offset);
    if (offset > 0) {
      if (offset < this.#offset) this.#state = UNSTARTED; // the events of another run, made under the same name
      this.#offset = offset;
    }
    for (const event of events) this.#add(event);
    if (holder === null && isLive(this.#state)) {
      this.#change(crashed(this.#state, await this.lastWords()));
    }
    return holder;
  }

  /** @returns whether it was connected, once that is over */
  async #follow(holder: Holder): Promise<boolean> {
    let over: () => void = () => undefined;
    const end = new Promise<void>((resolve) => (over = resolve));
    let connection: MessageConnection | null = null;
    try {
      connection = connectionOver(await openSocket(holder.socket), over);
      connection.onNotification(methods.event, (params: unknown) => {
        const event = parseEvent(params);
        if (event !== null) this.#add(event);
      });
      connection.listen();
      const hello = { protocol: PROTOCOL_VERSION, token: holder.token, client: this.#client };
      const { run } = v.parse(
        initializedSchema,
        await untilOver(this.#ask(connection, methods.initialize, hello), end),
      );
      if (run !== this.name) throw new Error(`the runner works on ${run}`);
      const after = { after: this.#state.seq };
      v.parse(followingSchema, await untilOver(this.#ask(connection, methods.follow, after), end));
      this.#connection = connection;
      await this.#describe();
      this.#tell();
      await end;
      connection = null; // it handles what came before its end, and disposes of itself
      return true;
    } catch {
      // Nobody listens yet, or no longer, or it is no runner: whoever holds the run says more about it than the error.
      return false;
    } finally {
      this.#connection = null;
      connection?.end();
      connection?.dispose();
    }
  }

  /** @throws UserError when it refuses or does not answer; Error when the connection ends */
  async #ask(connection: MessageConnection, method: string, params: object): Promise<unknown> {
    const given = new AbortController();
    const late = sleep(this.#answerMilliseconds, undefined, { signal: given.signal }).then(() => {
      throw this.#unanswered();
    });
    try {
      return await Promise.race([connection.sendRequest(method, params), late]);
    } catch (error) {
      const isAnswer = error instanceof ResponseError && !LOST.includes(error.code);
      throw isAnswer ? new UserError(`The process of ${this.name} refused: ${error.message}.`) : error;
    } finally {
      given.abort();
      late.catch(() => undefined);
    }
  }

  #unanswered(): UserError {
    return new UserError(`The process of ${this.name} did not answer within ${this.#answerMilliseconds / 1000} s.`);
  }

  #add(event: RunEvent): void {
    const before = this.#state;
    const next = afterEvent(before, event);
    if (next === before) return;
    if (event.type === 'engine' || event.type === 'done') void this.#describe();
    this.#change(next);
  }

  async #describe(): Promise<void> {
    try {
      this.#description = await readDescription(this.folder);
      this.#tell();
    } catch {
      // gone or being replaced: what is known is shown on
    }
  }

  #change(state: RunState): void {
    this.#state = state;
    this.#tell();
  }

  #tell(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      for (const listener of this.#listeners) listener();
    }, TELL_MILLISECONDS);
    this.#timer.unref();
  }

  /** What its process said outside its events, for a person; where it said nothing, that. */
  async lastWords(): Promise<string> {
    const log = (await lastBytes(runPaths(this.folder).log, 4096)).trim().split('\n').slice(-8).join('\n').trim();
    const said = log === '' ? '' : ` Its last words:\n${log}`;
    return `Its process ended without a word: it was killed, it crashed, or the machine ran out of memory or was restarted.${said}`;
  }
}

/** A request of a connection that ends is never answered. */
function untilOver<T>(answer: Promise<T>, end: Promise<void>): Promise<T> {
  return Promise.race([
    answer,
    end.then(() => {
      throw new Error('the connection ended');
    }),
  ]);
}

async function lastBytes(path: string, bytes: number): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, bytes);
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8');
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}
