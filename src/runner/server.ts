/**
 * The runner's end of the socket: lets clients that know the token follow the run's events and control it.
 * Nothing that a client sends can do more than the verbs do. Knows nothing of how the work is done.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { chmod } from 'node:fs/promises';
import { basename } from 'node:path';
import * as v from 'valibot';
import { ErrorCodes, type MessageConnection, ResponseError } from 'vscode-jsonrpc/node';
import type { Control } from './control.ts';
import type { RunEvent, Settings, Verb } from './events.ts';
import type { Holder } from './lock.ts';
import {
  connectionOver,
  type ControlAnswer,
  controlSchema,
  followSchema,
  type Initialized,
  initializeSchema,
  methods,
  PROTOCOL_VERSION,
} from './protocol.ts';
import { readEvents } from './runFolder.ts';

/** Clients at a time; more are turned away. */
const MAX_CLIENTS = 32;
/** Within this time a client has shown its token. */
const INITIALIZE_MILLISECONDS = 10_000;
/** A client that leaves so much unread is cut off; it reads the rest from the file. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;
/** Answers to the latest wishes are remembered, in case one is repeated. */
const KEPT_ANSWERS = 256;

export interface RunServerOptions {
  readonly folder: string;
  readonly address: Pick<Holder, 'socket' | 'token'>;
  readonly control: Control;
  /** Number of the last event. */
  readonly seq: () => number;
  /** Called when a verb was applied; `settings` with `set`. */
  readonly onControl: (verb: Verb, client: string, detail: string, settings?: Settings) => void;
}

export class RunServer {
  readonly #options: RunServerOptions;
  readonly #server: Server;
  readonly #clients = new Set<Client>();
  readonly #answers = new Map<string, ControlAnswer>();

  private constructor(options: RunServerOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    server.on('connection', (socket) => {
      this.#accept(socket);
    });
  }

  /** Binds the socket. @throws Error when it cannot */
  static async listen(options: RunServerOptions): Promise<RunServer> {
    const server = createServer();
    server.maxConnections = MAX_CLIENTS;
    const { socket } = options.address;
    const own = new RunServer(options, server); // before it listens: whoever is not heard waits for an answer
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socket, () => {
        server.off('error', reject);
        resolve();
      });
    });
    if (!socket.startsWith('\\\\')) await chmod(socket, 0o600);
    return own;
  }

  /** Sends an event to everybody who follows. */
  publish(event: RunEvent): void {
    for (const client of this.#clients) client.send(event);
  }

  /** Lets what was sent go out, then ends all connections and takes the socket away. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) =>
      this.#server.close(() => {
        resolve();
      }),
    );
    for (const { socket } of this.#clients) socket.end();
    const late = setTimeout(() => {
      for (const { socket } of this.#clients) socket.destroy();
    }, 1000);
    await closed;
    clearTimeout(late);
  }

  #accept(socket: Socket): void {
    const connection = connectionOver(socket, () => {
      clearTimeout(late);
      this.#clients.delete(client);
    });
    const client = new Client(socket, connection, this.#options.folder);
    this.#clients.add(client);
    const late = setTimeout(() => {
      socket.destroy();
    }, INITIALIZE_MILLISECONDS);
    const { folder, address, seq } = this.#options;
    const run = basename(folder);

    connection.onRequest(methods.initialize, (params: unknown): Initialized => {
      const { protocol, token, client: name } = checked(initializeSchema, params);
      if (token !== address.token) throw refusal('the token is wrong');
      if (protocol !== PROTOCOL_VERSION) {
        throw refusal(`this runner speaks version ${PROTOCOL_VERSION} of the protocol, not ${protocol}`);
      }
      clearTimeout(late);
      client.name = name;
      return { protocol: PROTOCOL_VERSION, run, pid: process.pid, seq: seq() };
    });
    connection.onRequest(methods.follow, async (params: unknown) => {
      known(client);
      const { after } = checked(followSchema, params);
      await client.follow(after);
      return { seq: seq() };
    });
    connection.onRequest(methods.control, (params: unknown): ControlAnswer => {
      const name = known(client);
      const { id, verb, run: meant, dryRun, settings } = checked(controlSchema, params);
      if (meant !== run) throw refusal(`this is the runner of ${run}, not of ${meant}`);
      return this.#answers.get(id) ?? this.#apply(id, verb, name, dryRun, settings);
    });
    connection.listen();
  }

  #apply(id: string, verb: Verb, client: string, dryRun: boolean, settings?: Settings): ControlAnswer {
    const { control, folder, onControl } = this.#options;
    const effect = control.apply(verb, dryRun, settings);
    const answer = { target: basename(folder), ...effect };
    if (dryRun) return answer;
    this.#answers.set(id, answer);
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= KEPT_ANSWERS) break;
      this.#answers.delete(oldest);
    }
    if (effect.applied) onControl(verb, client, effect.detail, settings);
    return answer;
  }
}

/** One connection and how far it has followed. */
class Client {
  /** As it called itself; null before it has shown the token. */
  name: string | null = null;
  readonly socket: Socket;
  readonly #connection: MessageConnection;
  readonly #folder: string;
  /** Events that came while earlier ones were read from the file; null: it does not follow yet. */
  #waiting: RunEvent[] | null = null;
  #following = false;
  #sent = 0;

  constructor(socket: Socket, connection: MessageConnection, folder: string) {
    this.socket = socket;
    this.#connection = connection;
    this.#folder = folder;
  }

  send(event: RunEvent): void {
    if (this.#waiting !== null) this.#waiting.push(event);
    else if (this.#following) this.#notify(event);
  }

  async follow(after: number): Promise<void> {
    if (this.#waiting !== null) throw refusal('it is about to follow already');
    this.#sent = after;
    this.#waiting = [];
    const { events } = await readEvents(this.#folder, 0);
    for (const event of [...events, ...this.#waiting]) this.#notify(event);
    this.#waiting = null;
    this.#following = true;
  }

  #notify(event: RunEvent): void {
    if (event.seq <= this.#sent) return;
    this.#sent = event.seq;
    if (this.socket.writableLength > MAX_UNREAD_BYTES) {
      this.socket.destroy();
      return;
    }
    // It throws at once on a connection that is closed but not over yet.
    const sent = async (): Promise<void> => this.#connection.sendNotification(methods.event, event);
    sent().catch(() => {
      this.socket.destroy();
    });
  }
}

function known(client: Client): string {
  if (client.name === null) throw refusal('say "initialize" first');
  return client.name;
}

function checked<Schema extends v.GenericSchema>(schema: Schema, params: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, params);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw refusal(`${v.getDotPath(issue) ?? 'the parameters'}: ${issue.message}`);
}

function refusal(message: string): ResponseError {
  return new ResponseError(ErrorCodes.InvalidParams, message);
}
