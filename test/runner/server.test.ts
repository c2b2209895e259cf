/** The runner's socket: following, control, and everything that is no proper message. */
import { pbkdf2, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, statSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MessageConnection } from 'vscode-jsonrpc/node';
import { Control } from '../../src/runner/control.ts';
import type { RunEvent } from '../../src/runner/events.ts';
import { connectionOver, methods, newAddress, openSocket, PROTOCOL_VERSION } from '../../src/runner/protocol.ts';
import { EventLog } from '../../src/runner/runFolder.ts';
import { RunServer } from '../../src/runner/server.ts';
import { temporaryFolder } from './smallRun.ts';

const folder = mkdtempSync(join(temporaryFolder(), 'run-'));
const run = basename(folder);
const control = new Control();
const controlled: string[] = [];
let address: Awaited<ReturnType<typeof newAddress>>;
let log: EventLog;
let server: RunServer;

beforeAll(async () => {
  address = await newAddress();
  log = await EventLog.open(folder);
  server = await RunServer.listen({
    folder,
    address,
    control,
    seq: () => log.seq,
    onControl: (verb, client, detail) => controlled.push(`${verb} ${client} ${detail}`),
  });
});

afterAll(async () => {
  await server.close();
  await log.close();
});

async function connect(): Promise<{ connection: MessageConnection; events: RunEvent[]; ended: Promise<void> }> {
  let over: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (over = resolve));
  const connection = connectionOver(await openSocket(address.socket), over);
  const events: RunEvent[] = [];
  connection.onNotification(methods.event, (event: RunEvent) => {
    events.push(event);
  });
  connection.listen();
  return { connection, events, ended };
}

const hello = (change = {}): object => ({
  protocol: PROTOCOL_VERSION,
  token: address.token,
  client: 'test',
  ...change,
});

async function tell(text: string): Promise<void> {
  const { event, written } = log.append({ type: 'note', level: 'info', text });
  await written;
  server.publish(event);
}

describe('a client', () => {
  it('must show the token, speak the protocol and mean this run', async () => {
    const { connection } = await connect();
    await expect(connection.sendRequest(methods.follow, { after: 0 })).rejects.toThrow(/initialize/);
    await expect(connection.sendRequest(methods.initialize, hello({ token: 'x' }))).rejects.toThrow(/token/);
    await expect(connection.sendRequest(methods.initialize, hello({ protocol: 99 }))).rejects.toThrow(/version 1/);
    expect(await connection.sendRequest(methods.initialize, hello())).toMatchObject({ run, pid: process.pid });
    const other = { id: '1', run: 'another', verb: 'stop', dryRun: false };
    await expect(connection.sendRequest(methods.control, other)).rejects.toThrow(/not of another/);
    connection.end();
  });

  it('gets what it missed and what comes, each once and in order, from wherever it goes on', async () => {
    for (let i = 0; i < 50; i++) await tell(`before ${i}`);
    const { connection, events } = await connect();
    await connection.sendRequest(methods.initialize, hello());
    const following = connection.sendRequest(methods.follow, { after: 10 });
    const told = Array.from({ length: 50 }, (_, i) => tell(`while ${i}`));
    await Promise.all([following, ...told]);
    await tell('after');
    await expect.poll(() => events.at(-1)?.seq).toBe(log.seq);
    expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: log.seq - 10 }, (_, i) => i + 11));
    connection.end();
  });

  it('that goes while events come does no harm', async () => {
    const { connection, events } = await connect();
    await connection.sendRequest(methods.initialize, hello());
    await connection.sendRequest(methods.follow, { after: log.seq });
    connection.end();
    const until = performance.now() + 200;
    while (performance.now() < until) await tell('to nobody');
    expect(events.length).toBeLessThan(log.seq);
  });

  it('controls: a verb does what it says once, a dry run nothing, a repetition answers the same', async () => {
    const { connection } = await connect();
    await connection.sendRequest(methods.initialize, hello());
    const ask = (id: string, verb: string, dryRun = false): Promise<unknown> =>
      connection.sendRequest(methods.control, { id, run, verb, dryRun });
    expect(await ask('a', 'pause', true)).toMatchObject({ target: run, applied: true });
    expect(control.isPaused).toBe(false);
    expect(await ask('b', 'pause')).toMatchObject({ target: run, applied: true });
    expect(control.isPaused).toBe(true);
    expect(await ask('c', 'pause')).toMatchObject({ applied: false });
    expect(await ask('d', 'resume')).toMatchObject({ applied: true });
    expect(await ask('b', 'pause')).toMatchObject({ applied: true }); // the answer of before
    expect(control.isPaused).toBe(false);
    expect(await ask('e', 'checkpoint')).toMatchObject({ applied: false });
    expect(controlled.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual(['pause test', 'resume test']);
    connection.end();
  });

  it('may go without a word while events come: the run hears nothing of it', async () => {
    const { connection, events } = await connect();
    await connection.sendRequest(methods.initialize, hello());
    await connection.sendRequest(methods.follow, { after: log.seq });
    await tell('before');
    await expect.poll(() => events.length).toBe(1);
    connection.dispose(); // as a window does that is reloaded
    for (let i = 0; i < 100; i += 1) {
      await tell(`while it goes ${i}`); // throws what the run would get
      await sleep(1);
    }
    const { connection: next } = await connect();
    expect(await next.sendRequest(methods.initialize, hello())).toMatchObject({ run });
    next.end();
  });

  it('is answered however early it comes', async () => {
    const own = await newAddress();
    // Keeps the threads busy that files are worked on with, so that the socket is there well before its mode is set.
    const busy = Array.from({ length: 8 }, () => promisify(pbkdf2)('x', 'y', 200_000, 64, 'sha512'));
    const listening = RunServer.listen({ folder, address: own, control, seq: () => 0, onControl: () => undefined });
    const connection = connectionOver(await openSocket(own.socket), () => undefined);
    connection.listen();
    const answer = connection.sendRequest(methods.initialize, hello({ token: own.token }));
    expect(await Promise.race([answer, sleep(5000)])).toMatchObject({ run });
    connection.end();
    await Promise.all(busy);
    await (await listening).close();
  });

  it('finds a socket that only its owner may open', () => {
    expect(statSync(address.socket).mode & 0o077).toBe(0);
  });
});

/** Writes bytes and waits until they were dealt with: the other end closes, or has nothing to say to them. */
async function throwAt(bytes: Uint8Array): Promise<void> {
  const socket: Socket = createConnection(address.socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.end(bytes);
  socket.resume();
  await once(socket, 'close');
}

const framed = (body: string): Buffer => Buffer.from(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);

describe('malformed messages', () => {
  it('of 10,000 kinds do nothing and harm nobody', { timeout: 300_000 }, async () => {
    const before = { controlled: controlled.length, seq: log.seq };
    const { connection: witness } = await connect();
    await witness.sendRequest(methods.initialize, hello());
    const greeting = JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params: hello() });
    const anything = fc.jsonValue().map((value) => JSON.stringify(value));
    const method = fc.constantFrom(
      'initialize',
      'follow',
      'control',
      'event',
      'exit',
      'shutdown',
      '$/cancelRequest',
      '',
      '__proto__',
    );
    const request = fc
      .record(
        { jsonrpc: fc.constantFrom('2.0', '1.0', 2), id: fc.jsonValue(), method, params: fc.jsonValue() },
        { requiredKeys: [] },
      )
      .map((value) => JSON.stringify(value));
    const near = fc
      .record(
        {
          protocol: fc.jsonValue(),
          token: fc.jsonValue(),
          id: fc.jsonValue(),
          run: fc.constantFrom<unknown>(run, 1, null),
          verb: fc.constantFrom<unknown>('stop', 'pause', 'rm', null),
          dryRun: fc.constantFrom<unknown>('no', 0, null, {}),
          after: fc.jsonValue(),
        },
        { requiredKeys: [] },
      )
      .chain((params) => method.map((name) => JSON.stringify({ jsonrpc: '2.0', id: 1, method: name, params })));
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      anything.map(framed),
      request.map(framed),
      near.map(framed),
      near.map((text) => Buffer.concat([framed(greeting), framed(text)])),
      request.map((text) => framed(text).subarray(0, -3)),
      fc
        .constantFrom(
          'Content-Length: -1\r\n\r\n{}',
          'Content-Length: 1e99\r\n\r\n{}',
          'Content-Length: x\r\n\r\n',
          ': \r\n\r\n',
          '\r\n\r\n\r\n',
        )
        .map((text) => Buffer.from(text)),
    );
    const messages = fc.sample(message, { numRuns: 10_000, seed: 4 });
    for (let start = 0; start < messages.length; start += 16) {
      await Promise.all(messages.slice(start, start + 16).map(throwAt));
    }
    expect(controlled).toHaveLength(before.controlled);
    expect(log.seq).toBe(before.seq);
    expect(control.signal.aborted).toBe(false);
    const still = { id: randomBytes(4).toString('hex'), run, verb: 'resume', dryRun: true };
    expect(await witness.sendRequest(methods.control, still)).toMatchObject({ applied: false });
    witness.end();
  });

  it('without an end are cut off', async () => {
    const socket = createConnection(address.socket);
    socket.on('error', () => undefined);
    const ended = new Promise<void>((resolve) =>
      socket.once('close', () => {
        resolve();
      }),
    );
    await once(socket, 'connect');
    socket.write('Content-Length: 1000000000\r\n\r\n');
    const piece = Buffer.alloc(64 * 1024, 'a');
    while (!socket.destroyed && socket.writable) {
      if (!socket.write(piece)) {
        await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), ended]);
      }
    }
    await ended;
  });
});
