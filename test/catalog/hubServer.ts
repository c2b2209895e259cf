/**
 * A model hub on loopback for the tests: the part of the Hugging Face Hub's protocol that fetching a model uses, and
 * the ways it goes wrong. Files are served from a second host name, as the hub's are from its CDN.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubFaults {
  /** Answer each file's first so many requests with this status. */
  refuse?: { readonly status: number; readonly times: number; readonly retryAfter?: string };
  /** Break the connection after so many bytes of an answer, so many times. */
  cut?: { readonly after: number; times: number };
  /** Send so many bytes and then nothing more, so many times. */
  stall?: { readonly after: number; times: number };
  /** Change a byte of what is sent, so many times. */
  corrupt?: { times: number };
  /** Send the whole file whatever range is asked for. */
  noRange?: boolean;
  /** Milliseconds between pieces of 16 KiB. */
  slow?: number;
  /** Answer `200` with a login page. */
  portal?: boolean;
  /** Demand this token. */
  token?: string;
  /** Where the listing says that it goes on. */
  nextPage?: string;
  /** Say in the listing that files have this many bytes more. */
  lie?: number;
}

export interface HubRepository {
  readonly commit: string;
  readonly files: ReadonlyMap<string, Buffer>;
  readonly cardData?: Record<string, unknown>;
  readonly tags?: readonly string[];
}

export interface SeenRequest {
  readonly path: string;
  readonly host: 'hub' | 'cdn';
  readonly range: string | null;
  readonly authorization: string | null;
}

/** Files larger than this are LFS files. */
const lfsFrom = 10_000;

export class HubServer {
  readonly repositories = new Map<string, HubRepository>();
  readonly faults: HubFaults = {};
  readonly requests: SeenRequest[] = [];
  /** Entries of a listing page. */
  pageSize = 3;
  readonly #server: Server;
  readonly #refused = new Map<string, number>();

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<HubServer> {
    const hub = new HubServer();
    await new Promise<void>((resolve) => hub.#server.listen(0, '127.0.0.1', resolve));
    return hub;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get cdn(): string {
    return `http://localhost:${this.#port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.endpoint);
    const path = decodeURIComponent(url.pathname);
    const host = request.headers.host?.startsWith('localhost') === true ? 'cdn' : 'hub';
    const authorization = request.headers.authorization ?? null;
    this.requests.push({ path, host, range: request.headers.range ?? null, authorization });
    const { faults } = this;
    if (faults.portal === true) {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Please log in</html>');
      return;
    }
    const refused = this.#refused.get(path) ?? 0;
    if (faults.refuse !== undefined && refused < faults.refuse.times) {
      this.#refused.set(path, refused + 1);
      const { status, retryAfter } = faults.refuse;
      response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end();
      return;
    }
    if (host === 'cdn') {
      await this.#sendContent(path, request, response);
      return;
    }
    if (faults.token !== undefined && authorization !== `Bearer ${faults.token}`) {
      sendJson(response, 401, { error: 'Invalid username or password.' });
      return;
    }
    const info = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(path);
    if (info !== null) {
      const repository = this.repositories.get(info[1]!);
      const known = repository !== undefined && ['HEAD', 'main', repository.commit].includes(info[2]!);
      if (!known)
        sendJson(response, 404, { error: repository === undefined ? 'Repository not found' : 'Invalid rev id' });
      else {
        const { commit: sha, cardData, tags } = repository;
        const common = { _id: '0', id: info[1], private: false, gated: false, downloads: 1, likes: 1 };
        sendJson(response, 200, { ...common, lastModified: '2025-01-01T00:00:00.000Z', sha, cardData, tags });
      }
      return;
    }
    const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/([0-9a-f]{40})$/.exec(path);
    if (tree !== null) {
      this.#sendListing(tree[1]!, url, response);
      return;
    }
    const file = /^\/([^/]+\/[^/]+)\/resolve\/([0-9a-f]{40})\/(.+)$/.exec(path);
    const repository = file === null ? undefined : this.repositories.get(file[1]!);
    if (file !== null && repository?.commit === file[2]) {
      const content = repository?.files.get(file[3]!);
      if (content === undefined) sendJson(response, 404, { error: 'Entry not found' });
      else if (content.length < lfsFrom) await this.#sendContent(path, request, response);
      else response.writeHead(302, { location: `${this.cdn}${url.pathname}` }).end();
      return;
    }
    sendJson(response, 404, { error: 'Not found' });
  }

  #sendListing(name: string, url: URL, response: ServerResponse): void {
    const repository = this.repositories.get(name);
    const cursor = Number(url.searchParams.get('cursor') ?? 0);
    const entries = [...(repository?.files ?? [])].map(([path, content]) => {
      const size = content.length + (this.faults.lie ?? 0);
      const oid = createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
      const lfs = { oid: createHash('sha256').update(content).digest('hex'), size, pointerSize: 130 };
      return { type: 'file', path, size, oid, ...(content.length < lfsFrom ? {} : { lfs }) };
    });
    const headers: Record<string, string> = {};
    if (cursor + this.pageSize < entries.length) {
      const next = new URL(url);
      next.searchParams.set('cursor', String(cursor + this.pageSize));
      headers['link'] = `<${this.faults.nextPage ?? next.href}>; rel="next"`;
    }
    sendJson(response, 200, entries.slice(cursor, cursor + this.pageSize), headers);
  }

  async #sendContent(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, owner, name, , , ...rest] = path.split('/');
    let content = this.repositories.get(`${owner!}/${name!}`)?.files.get(rest.join('/'));
    if (content === undefined) {
      response.writeHead(404).end();
      return;
    }
    const { faults } = this;
    if (faults.corrupt !== undefined && faults.corrupt.times > 0) {
      faults.corrupt.times--;
      content = Buffer.from(content);
      content[content.length >> 1]! ^= 1;
    }
    const range = faults.noRange === true ? null : /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    const start = range === null ? 0 : Number(range[1]);
    const size = content.length;
    if (start > 0 && start >= size) {
      response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
      return;
    }
    const body = content.subarray(start);
    const partial = range === null ? {} : { 'content-range': `bytes ${start}-${size - 1}/${size}` };
    response.writeHead(range === null ? 200 : 206, { 'content-length': body.length, ...partial });
    const limit = this.#limit(body.length);
    for (let at = 0; at < Math.min(body.length, limit.bytes); at += 16_384) {
      const piece = body.subarray(at, Math.min(at + 16_384, limit.bytes));
      if (!response.write(piece)) await new Promise((resolve) => response.once('drain', resolve));
      if (faults.slow !== undefined) await new Promise((resolve) => setTimeout(resolve, faults.slow));
    }
    if (limit.bytes >= body.length) response.end();
    else if (limit.cut) setTimeout(() => response.destroy(), 20); // let what was written leave first
  }

  #limit(length: number): { bytes: number; cut: boolean } {
    const { cut, stall } = this.faults;
    if (cut !== undefined && cut.times > 0 && cut.after < length) {
      cut.times--;
      return { bytes: cut.after, cut: true };
    }
    if (stall !== undefined && stall.times > 0 && stall.after < length) {
      stall.times--;
      return { bytes: stall.after, cut: false };
    }
    return { bytes: length, cut: false };
  }
}

function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
}
