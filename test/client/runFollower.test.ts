/** Following and controlling a run: live, over lost connections, killed runners, other windows, and partners that misbehave. */
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { launchRunner } from '../../src/client/launch.ts';
import { RunFollower } from '../../src/client/runFollower.ts';
import { Control } from '../../src/runner/control.ts';
import type { EventBody, RunEvent } from '../../src/runner/events.ts';
import { type Holder, holderOf, lockRun } from '../../src/runner/lock.ts';
import { connectionOver, methods, newAddress, openSocket, PROTOCOL_VERSION } from '../../src/runner/protocol.ts';
import { EventLog, NoRunError, readEvents, runPaths } from '../../src/runner/runFolder.ts';
import { RunServer } from '../../src/runner/server.ts';
import { canResume, stateOf } from '../../src/runner/state.ts';
import { createRun } from '../../src/runner/store.ts';
import type { EvaluationRequest } from '../../src/runner/types.ts';
import { bundleCommand, smallRequest, temporaryFolder, writeProblems } from '../runner/smallRun.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
const problems = writeProblems(home, 12);
const followers: RunFollower[] = [];
const pids = new Set<number>();

/** Closes what a test left open, and ends the runners that it left at work. */
afterEach(() => {
  for (const follower of followers.splice(0)) follower.close();
});
afterAll(() => {
  for (const pid of pids) process.kill(pid, 'SIGKILL');
});

async function follow(folder: string, options = {}): Promise<RunFollower> {
  const follower = await RunFollower.open(folder, options);
  followers.push(follower);
  return follower;
}

const newRun = (change: Partial<EvaluationRequest> = {}): Promise<string> =>
  createRun(store, smallRequest(problems, change));
/** More than is waited for: such a run is ended by the test. */
const long = { samples: 400, maxTokens: 64 };

async function launch(folder: string): Promise<{ pid: number; ended: Promise<number | null> }> {
  const launched = await launchRunner(folder, { command: bundleCommand(), env: { MIDTRAIN_RUNS: store } });
  pids.add(launched.pid);
  const ended = launched.ended.then((code) => {
    pids.delete(launched.pid);
    return code;
  });
  return { pid: launched.pid, ended };
}

/** Until the run has come so far; looks for its process as a list of runs does. */
async function until(follower: RunFollower, so: (follower: RunFollower) => boolean): Promise<void> {
  for (let waited = 0; !so(follower); waited += 20) {
    expect(waited, `the run is still ${follower.state.status}`).toBeLessThan(20_000);
    await follower.refresh();
    await sleep(20);
  }
}
/** Waits until it has been the same for a second. */
async function untilStill(figure: () => number): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    const before = figure();
    await sleep(1000);
    if (figure() === before) return;
  }
  throw new Error(`it still grows: ${figure()}`);
}
const statusIs =
  (...status: string[]) =>
  (follower: RunFollower): boolean =>
    status.includes(follower.state.status);
const isSampling = ({ state }: RunFollower): boolean => (state.progress?.generated ?? 0) > 0;

const texts = (follower: RunFollower): string[] => follower.state.notes.map(({ text }) => text);
const note = (text: string): EventBody => ({ type: 'note', level: 'info', text });
const started: EventBody = { type: 'launch', pid: process.pid, version: '1', host: 'here' };

/** A runner within this process, whose connections can be cut. */
class OwnRunner {
  readonly folder: string;
  readonly control = new Control();
  readonly #address: Pick<Holder, 'socket' | 'token'>;
  readonly #log: EventLog;
  readonly release: () => Promise<void>;
  server: RunServer | null = null;

  private constructor(
    folder: string,
    address: Pick<Holder, 'socket' | 'token'>,
    log: EventLog,
    release: () => Promise<void>,
  ) {
    this.folder = folder;
    this.#address = address;
    this.#log = log;
    this.release = release;
  }

  static async start(): Promise<OwnRunner> {
    const folder = await newRun();
    const address = await newAddress();
    const lock = await lockRun(folder, address);
    const runner = new OwnRunner(folder, address, await EventLog.open(folder), () => lock.release());
    await runner.listen();
    await runner.tell(started);
    return runner;
  }

  async listen(): Promise<void> {
    this.server = await RunServer.listen({
      folder: this.folder,
      address: this.#address,
      control: this.control,
      seq: () => this.#log.seq,
      onControl: (verb, client, detail) => void this.tell({ type: 'control', verb, client, detail }),
    });
  }

  async tell(body: EventBody): Promise<void> {
    const { event, written } = this.#log.append(body);
    await written;
    this.server?.publish(event);
  }

  async cut(): Promise<void> {
    await this.server?.close();
    this.server = null;
  }

  async end(): Promise<void> {
    await this.cut();
    await this.#log.close();
    await this.release();
  }
}

describe('a run of another process', () => {
  it('is followed from its beginning to its end, and known as its folder tells it', async () => {
    const folder = await newRun();
    const follower = await follow(folder);
    expect(follower.state.status).toBe('asked');
    const seen = new Set<string>();
    follower.onDidChange(() => seen.add(`${follower.state.status} ${follower.state.phase ?? ''}`.trim()));
    const { ended } = await launch(folder);
    await until(follower, statusIs('finished'));
    expect(await ended).toBe(0);
    expect(follower.state).toEqual(stateOf((await readEvents(folder, 0)).events));
    expect(follower.state).toMatchObject({ progress: { done: 24, total: 24 }, score: { samples: 24, final: true } });
    await expect.poll(() => [...seen]).toContain('finished');
    expect([...seen].some((state) => state.startsWith('running'))).toBe(true);
    expect(follower.description.engine).toMatchObject({ device: 'cpu' });
    expect((await follow(folder)).state).toMatchObject({ status: 'finished', seq: follower.state.seq });
    await expect(follower.control('stop')).rejects.toThrow(/No process works on/);
  });

  it('is heard of no sooner than it is in the file', async () => {
    const folder = await newRun();
    const { ended } = await launch(folder);
    await expect.poll(() => holderOf(folder), { timeout: 20_000, interval: 5 }).not.toBeNull();
    const holder = (await holderOf(folder))!;
    const early: number[] = [];
    let heard = 0;
    await expect
      .poll(
        async () => {
          const connection = connectionOver(await openSocket(holder.socket), () => undefined);
          connection.onNotification(methods.event, ({ seq }: RunEvent) => {
            heard++;
            if (!readFileSync(runPaths(folder).events, 'utf8').includes(`{"seq":${seq},`)) early.push(seq);
          });
          connection.listen();
          const hello = { protocol: PROTOCOL_VERSION, token: holder.token, client: 'test' };
          await connection.sendRequest(methods.initialize, hello);
          await connection.sendRequest(methods.follow, { after: 0 });
          return true;
        },
        { timeout: 10_000, interval: 5 },
      )
      .toBe(true);
    expect(await ended).toBe(0);
    expect(early).toEqual([]);
    expect(heard).toBeGreaterThan(5);
  });

  it('that is killed is known to have crashed, with its last words, and goes on when it is resumed', async () => {
    const folder = await newRun({ samples: 8 });
    const follower = await follow(folder);
    const first = await launch(folder);
    await until(follower, isSampling);
    const { socket } = (await holderOf(folder))!;
    appendFileSync(runPaths(folder).log, 'terminate called after throwing\n');
    process.kill(first.pid, 'SIGKILL');
    await first.ended;
    await until(follower, statusIs('crashed'));
    expect(follower.state.error).toMatch(/ended without a word.*Its last words:\nterminate called after throwing$/s);
    expect(follower.state.phase).toBeNull();
    expect(canResume(follower.state)).toBe(true);
    await expect(follower.control('stop')).rejects.toThrow(/No process works on/);
    // Its socket is left behind, and a window that is opened now is not deceived by it.
    expect(existsSync(socket)).toBe(true);
    expect((await follow(folder)).state).toMatchObject({ status: 'crashed', seq: follower.state.seq });

    const second = await launch(folder);
    await until(follower, statusIs('finished'));
    expect(await second.ended).toBe(0);
    expect(existsSync(socket)).toBe(false);
    expect(follower.state).toMatchObject({ error: '', progress: { done: 96, total: 96 } });
    expect(follower.state.progress!.resumed).toBeGreaterThan(0);
    expect(follower.state).toEqual(stateOf((await readEvents(folder, 0)).events));
  });

  it('is controlled from two windows, each verb applied once and seen in both', async () => {
    const folder = await newRun(long);
    const { ended } = await launch(folder);
    const one = await follow(folder);
    await until(one, isSampling);
    const two = await follow(folder);
    const pauses = await Promise.all([one.control('pause', true), one.control('pause'), two.control('pause')]);
    expect(pauses.map(({ applied }) => applied).filter(Boolean)).toHaveLength(2); // the dry run and one of the two
    await Promise.all([until(one, statusIs('paused')), until(two, statusIs('paused'))]);
    await untilStill(() => two.state.progress!.tokens); // the last figures before the pause may come after it
    expect(await two.control('resume')).toMatchObject({ applied: true, target: basename(folder) });
    await Promise.all([until(one, statusIs('running')), until(two, statusIs('running'))]);
    const stops = await Promise.all([one.control('stop'), two.control('stop')]);
    expect(stops.map(({ applied }) => applied).sort()).toEqual([false, true]);
    await ended;
    await Promise.all([until(one, statusIs('stopped')), until(two, statusIs('stopped'))]);
    const { events } = await readEvents(folder, 0);
    expect(events.flatMap((event) => (event.type === 'control' ? [event.verb] : []))).toEqual([
      'pause',
      'resume',
      'stop',
    ]);
    expect(one.state).toEqual(two.state);
    expect(canResume(one.state)).toBe(true);
  });

  it('that dies while it is asked something is no longer there to be asked', async () => {
    const folder = await newRun(long);
    const { pid, ended } = await launch(folder);
    const follower = await follow(folder);
    await until(follower, isSampling);
    process.kill(pid, 'SIGSTOP');
    const asked = follower.control('pause');
    process.kill(pid, 'SIGKILL');
    await expect(asked).rejects.toThrow(/No process works on/);
    await ended;
  });
});

describe('a follower', () => {
  it('whose connection is lost goes on when it is there again, nothing lost and nothing twice', async () => {
    const runner = await OwnRunner.start();
    const follower = await follow(runner.folder);
    const wanted: string[] = [];
    const tell = async (text: string): Promise<void> => {
      wanted.push(text);
      await runner.tell(note(text));
    };
    for (let round = 0; round < 4; round++) {
      await tell(`connected ${round}`);
      await until(follower, () => texts(follower).length === wanted.length);
      await runner.cut();
      for (let i = 0; i < 3; i++) await tell(`away ${round}.${i}`);
      await runner.listen();
      await tell(`back ${round}`);
    }
    await until(follower, () => texts(follower).length === wanted.length);
    expect(texts(follower)).toEqual(wanted);
    expect(await follower.control('pause')).toMatchObject({ applied: true });
    expect(runner.control.isPaused).toBe(true);
    await runner.tell({ type: 'done', status: 'stopped', score: null, seconds: null, error: '' });
    await runner.end();
    await until(follower, statusIs('stopped'));
  });

  it('asked to control while it is not connected waits until it is', async () => {
    const runner = await OwnRunner.start();
    const follower = await follow(runner.folder);
    expect(await follower.control('pause')).toMatchObject({ applied: true });
    await runner.cut();
    const asked = follower.control('resume');
    await sleep(100);
    await runner.listen();
    expect(await asked).toMatchObject({ applied: true });
    expect(runner.control.isPaused).toBe(false);
    await runner.end();
  });

  it('that was closed hears and changes nothing more, and leaves no connection', async () => {
    const runner = await OwnRunner.start();
    const follower = await follow(runner.folder);
    await follower.control('pause', true);
    const { seq } = follower.state;
    let told = 0;
    follower.onDidChange(() => told++);
    follower.close();
    await runner.tell(note('after'));
    const closing = performance.now();
    await runner.end(); // waits a second for clients that stay
    expect(performance.now() - closing).toBeLessThan(900);
    await follower.refresh();
    expect(follower.state.seq).toBe(seq);
    expect(told).toBe(0);
  });

  it('sees a run that was removed and made again under the same name as the new one', async () => {
    const first = await OwnRunner.start();
    for (let i = 0; i < 20; i++) await first.tell(note(`old ${i}`));
    const follower = await follow(first.folder);
    await first.tell({ type: 'done', status: 'failed', score: null, seconds: null, error: 'old' });
    await first.end();
    await until(follower, statusIs('failed'));
    const { events, description } = runPaths(first.folder);
    const kept = readFileSync(description);
    rmSync(events);
    const log = await EventLog.open(first.folder);
    await log.append(started).written;
    await log.append({ type: 'done', status: 'stopped', score: null, seconds: null, error: '' }).written;
    await log.close();
    expect(readFileSync(description)).toEqual(kept);
    await follower.refresh();
    expect(follower.state).toMatchObject({ status: 'stopped', seq: 2, notes: [] });
  });

  it('of a run whose folder is taken away says that it is no longer there, and nothing breaks', async () => {
    const runner = await OwnRunner.start();
    const follower = await follow(runner.folder);
    await follower.control('pause', true);
    rmSync(runner.folder, { recursive: true });
    await runner.cut();
    await until(follower, statusIs('crashed'));
    await expect(RunFollower.open(runner.folder)).rejects.toThrow(NoRunError);
  });
});

/** A run held by this process whose socket is served by whatever is given. */
async function heldBy(
  serve: (socket: Socket, token: string) => void,
): Promise<{ folder: string; end: () => Promise<void> }> {
  const folder = await newRun();
  const address = await newAddress();
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    serve(socket, address.token);
  });
  await new Promise<void>((resolve) => server.listen(address.socket, resolve));
  const lock = await lockRun(folder, address);
  return {
    folder,
    end: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await lock.release();
    },
  };
}

describe('a partner that misbehaves', () => {
  it('as no runner at all leaves the run to be read from its folder', async () => {
    const kinds: ((socket: Socket) => void)[] = [
      (socket) => socket.destroy(),
      (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
      (socket) => socket.write('Content-Length: 5\r\n\r\nnope!'),
    ];
    for (const kind of kinds) {
      const { folder, end } = await heldBy(kind);
      const follower = await follow(folder);
      const log = await EventLog.open(folder);
      await log.append(started).written;
      await until(follower, statusIs('running'));
      await log.append(note('from the file')).written;
      await until(follower, () => texts(follower).length === 1);
      await log.close();
      await end();
      await until(follower, statusIs('crashed'));
    }
  });

  it('with events that are none changes nothing, and the proper ones between them count', async () => {
    const junk = fc.sample(
      fc.oneof(
        fc.jsonValue(),
        fc.record({ seq: fc.jsonValue(), time: fc.jsonValue(), type: fc.constantFrom('note', 'done', 'launch', 'x') }),
      ),
      { numRuns: 1000, seed: 3 },
    );
    const { folder, end } = await heldBy((socket, token) => {
      const connection = connectionOver(socket, () => undefined);
      connection.onRequest(methods.initialize, ({ token: shown }: { token: string }) => {
        expect(shown).toBe(token);
        return { protocol: PROTOCOL_VERSION, run: basename(folder), pid: 1, seq: 0 };
      });
      connection.onRequest(methods.follow, async () => {
        const send = (event: unknown): Promise<void> => connection.sendNotification(methods.event, event);
        await send({ ...started, seq: 1, time: 1 });
        for (const value of junk) await send(value);
        await send({ ...note('proper'), seq: 2, time: 2 });
        return { seq: 2 };
      });
      connection.onRequest(methods.control, () => ({ nothing: 'of use' }));
      connection.listen();
    });
    const follower = await follow(folder);
    await until(follower, () => texts(follower).length === 1);
    expect(follower.state).toMatchObject({ status: 'running', seq: 2 });
    await expect(follower.control('pause')).rejects.toThrow(/gave an answer that is none/);
    expect(follower.state.status).toBe('running');
    await end();
  });

  it('that hangs up on a question is asked again, under the same id', async () => {
    const ids: string[] = [];
    const { folder, end } = await heldBy((socket) => {
      const connection = connectionOver(socket, () => undefined);
      connection.onRequest(methods.initialize, () => ({
        protocol: PROTOCOL_VERSION,
        run: basename(folder),
        pid: 1,
        seq: 0,
      }));
      connection.onRequest(methods.follow, () => ({ seq: 0 }));
      connection.onRequest(methods.control, ({ id }: { id: string }) => {
        if (ids.push(id) < 3) socket.destroy();
        return { target: basename(folder), applied: true, detail: '' };
      });
      connection.listen();
    });
    const follower = await follow(folder);
    expect(await follower.control('pause')).toMatchObject({ applied: true });
    expect(ids).toHaveLength(3);
    expect(new Set(ids).size).toBe(1);
    await end();
  });

  it('that never answers is given up', async () => {
    const { folder, end } = await heldBy((socket) => {
      const connection = connectionOver(socket, () => undefined);
      connection.onRequest(methods.initialize, () => ({
        protocol: PROTOCOL_VERSION,
        run: basename(folder),
        pid: 1,
        seq: 0,
      }));
      connection.onRequest(methods.follow, () => ({ seq: 0 }));
      connection.onRequest(methods.control, () => new Promise(() => undefined));
      connection.listen();
    });
    const follower = await follow(folder, { answerMilliseconds: 200 });
    await expect(follower.control('stop')).rejects.toThrow(/did not answer/);
    await end();
  });
});
