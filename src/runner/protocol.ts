/**
 * What a client and a runner say to each other: JSON-RPC 2.0 (vscode-jsonrpc) over a Unix socket or a named pipe. Every
 * message is checked against a schema on arrival, for either side may be anybody.
 * Knows nothing of what the runner works on.
 *
 *     initialize   first of all; shows the token of the run's lock file
 *     follow       events after a number: those of earlier as well as all to come, as `event` notifications
 *     control      asks the run to do something; acts between two steps of the model
 */
import { createConnection, type Socket } from 'node:net';
import { mkdir, lstat } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import {
  createMessageConnection,
  type MessageConnection,
  SocketMessageReader,
  SocketMessageWriter,
} from 'vscode-jsonrpc/node';
import { UserError } from '../errors.ts';
import { settingsSchema, VERBS } from './events.ts';
import type { Holder } from './lock.ts';

export const PROTOCOL_VERSION = 1;

/** No message is larger; whoever sends more is cut off. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

/** A connection that was closed handles for so long what had come before. */
const DRAIN_MILLISECONDS = 50;

const short = v.pipe(v.string(), v.maxLength(200));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const initializeSchema = v.object({ protocol: count, token: short, client: short });
export const initializedSchema = v.object({ protocol: count, run: v.string(), pid: count, seq: count });
export const followSchema = v.object({ after: count });
export const followingSchema = v.object({ seq: count });

/**
 * `id` is the client's own for this wish: asked again under the same id, the answer is the same and nothing is done twice.
 * `run` is the run that the client means; another one's runner refuses. A dry run only says what would be done.
 * `settings` go with the verb `set`.
 */
export const controlSchema = v.object({
  id: short,
  run: v.string(),
  verb: v.picklist(VERBS),
  dryRun: v.boolean(),
  settings: v.optional(settingsSchema),
});
/** `target` is the run. `detail` is a sentence for a person. */
export const controlledSchema = v.object({ target: v.string(), applied: v.boolean(), detail: v.string() });

export type ControlRequest = v.InferOutput<typeof controlSchema>;
export type ControlAnswer = v.InferOutput<typeof controlledSchema>;
export type Initialized = v.InferOutput<typeof initializedSchema>;

export const methods = { initialize: 'initialize', follow: 'follow', control: 'control', event: 'event' } as const;

/**
 * An address that no other process has, and the token to be shown there. Unix sockets lie in a folder that its owner alone may
 * enter, with a short name: a path may have some 100 bytes.
 * @throws UserError when that folder belongs to somebody else
 */
export async function newAddress(
  platform: NodeJS.Platform = process.platform,
): Promise<Pick<Holder, 'socket' | 'token'>> {
  const name = randomBytes(8).toString('hex');
  const token = randomBytes(16).toString('hex');
  if (platform === 'win32') return { socket: `\\\\.\\pipe\\midtrain-${name}`, token };
  const { uid } = userInfo();
  const runtime = process.env['XDG_RUNTIME_DIR'];
  const folder = runtime !== undefined && runtime.length < 60 ? join(runtime, 'midtrain') : temporary(uid);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new UserError(
      `${folder} must be a folder that only you can enter. Remove it, or mend its owner and its mode.`,
    );
  }
  return { socket: join(folder, `${name}.sock`), token };
}

/** macOS has long names for its temporary folder. */
function temporary(uid: number): string {
  const folder = join(tmpdir(), `midtrain-${uid}`);
  return folder.length < 70 ? folder : join('/tmp', `midtrain-${uid}`);
}

/**
 * A connection over a socket that forgives nothing: what is no JSON-RPC message, or too large a one, ends it. `onEnd` is
 * called once, with the reason if it was not an ordinary end; what came before that is still handled for a moment. Call
 * `listen` when the handlers are set.
 */
export function connectionOver(socket: Socket, onEnd: (reason: Error | null) => void): MessageConnection {
  let over = false;
  const end = (reason: Error | null): void => {
    if (over) return;
    over = true;
    socket.destroy();
    // Messages that came before an ordinary end wait in the connection's queue: the answer to a stop among them.
    if (reason === null) setTimeout(dispose, DRAIN_MILLISECONDS);
    else connection.dispose();
    onEnd(reason);
  };
  const dispose = (): void => {
    connection.dispose();
  };
  const reader = new SocketMessageReader(socket, 'utf-8');
  // Bytes since the last whole message. The reader gathers without a limit of its own.
  let gathered = 0;
  socket.on('data', (bytes: Buffer) => {
    gathered += bytes.length;
    if (gathered > MAX_MESSAGE_BYTES) end(new Error('a message is too large'));
  });
  const connection = createMessageConnection(
    {
      listen: (callback) =>
        reader.listen((message) => {
          gathered = 0;
          callback(message);
        }),
      onError: reader.onError,
      onClose: reader.onClose,
      onPartialMessage: reader.onPartialMessage,
      dispose: () => {
        reader.dispose();
      },
    },
    new SocketMessageWriter(socket, 'utf-8'),
    { error: ignore, warn: ignore, info: ignore, log: ignore },
  );
  connection.onError(([error]) => {
    end(error);
  });
  connection.onClose(() => {
    end(null);
  });
  connection.onUnhandledNotification(() => {
    end(new Error('a notification that nobody expects'));
  });
  socket.on('error', end);
  return connection;
}

function ignore(): void {
  // What is wrong with a connection ends it, and `onEnd` says so.
}

/** Opens a socket. @throws Error (ENOENT, ECONNREFUSED: nobody listens; ETIMEDOUT) */
export async function openSocket(path: string, milliseconds = 5000): Promise<Socket> {
  const socket = createConnection(path);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      fail(Object.assign(new Error(`${path} does not answer`), { code: 'ETIMEDOUT' }));
    }, milliseconds);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}
