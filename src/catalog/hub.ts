/**
 * Models of the Hugging Face Hub: which files a model needs, how large they are and under which licence, and getting
 * them. Fetched once a commit into `models/hub/OWNER--NAME/COMMIT`. Knows nothing of what is inside the files.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { HubApiError, listFiles, modelInfo } from '@huggingface/hub';
import * as v from 'valibot';
import { messageOf, UserError } from '../errors.ts';
import { checkSpace, type freeBytes } from './disk.ts';
import { type Checksum, download, isDownloaded } from './download.ts';
import { fetchPolitely, type RetryOptions } from './http.ts';
import { type DownloadPlan, type FetchOptions, formatBytes } from './plan.ts';
import { readRecord, writeRecord, writeWhole } from './record.ts';

/** `owner/name[@revision][:file.gguf]`. */
export interface HubId {
  readonly owner: string;
  readonly name: string;
  /** Branch, tag or commit; null: the default branch. */
  readonly revision: string | null;
  /** The GGUF wanted; null: the repository's safetensors, or its only GGUF. */
  readonly file: string | null;
}

export interface HubFile {
  /** Relative to the repository, `/` between folders. */
  readonly path: string;
  readonly bytes: number;
  readonly checksum: Checksum;
}

export interface HubPlan extends DownloadPlan {
  readonly id: HubId;
  /** 40 hex digits. */
  readonly commit: string;
  readonly files: readonly HubFile[];
  /** Bytes of all files, those already here included. */
  readonly totalBytes: number;
  /** The GGUF inside `folder`, or null: the folder is the model. */
  readonly main: string | null;
}

export interface HubOptions extends FetchOptions, RetryOptions {
  /** Default: `HF_ENDPOINT`, or else https://huggingface.co. */
  readonly endpoint?: string | undefined;
  /** Default: `HF_TOKEN`; '' is none. */
  readonly token?: string | undefined;
  readonly free?: typeof freeBytes | undefined;
}

const idPattern = /^([\w-][\w.-]*)\/([\w-][\w.-]*)(?:@([^:@\s]+))?(?::([^:\s][^:]*))?$/;

/** Null when `text` is not of the form. Says nothing of whether there is such a model. */
export function parseHubId(text: string): HubId | null {
  const match = idPattern.exec(text);
  if (match === null || /\.\.|--/.test(`${match[1]!}/${match[2]!}`)) return null;
  return { owner: match[1]!, name: match[2]!, revision: match[3] ?? null, file: match[4] ?? null };
}

export function formatHubId({ owner, name, revision, file }: HubId): string {
  return `${owner}/${name}${revision === null ? '' : `@${revision}`}${file === null ? '' : `:${file}`}`;
}

/** An empty variable counts as unset. */
function setting(name: 'HF_ENDPOINT' | 'HF_TOKEN'): string | undefined {
  const value = process.env[name];
  return value === '' ? undefined : value;
}

function endpointOf(options: HubOptions): string {
  return (options.endpoint ?? setting('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, '');
}

function tokenOf(options: HubOptions): string | undefined {
  return options.token === '' ? undefined : (options.token ?? setting('HF_TOKEN'));
}

const commitPattern = /^[0-9a-f]{40}$/;

const infoSchema = v.object({
  sha: v.pipe(v.string(), v.regex(commitPattern)),
  cardData: v.nullish(v.looseObject({ license: v.nullish(v.unknown()), license_name: v.nullish(v.unknown()) })),
  tags: v.nullish(v.array(v.string())),
});

const bytesSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const entrySchema = v.object({
  type: v.string(),
  path: v.pipe(v.string(), v.maxLength(1000)),
  size: bytesSchema,
  oid: v.nullish(v.string()),
  lfs: v.nullish(v.object({ oid: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)), size: bytesSchema })),
});

/** More files than any model has; a listing that goes on is not listened to. */
const mostFiles = 20_000;

/**
 * Asks the hub what fetching `id` would mean. Fetches no model file.
 * @throws UserError when there is no such model or file, it is not for everyone, or it has no weights we can read.
 */
export async function planHubDownload(id: HubId, home: string, options: HubOptions = {}): Promise<HubPlan> {
  const endpoint = endpointOf(options);
  const repository = `${id.owner}/${id.name}`;
  const accessToken = tokenOf(options);
  const shared = {
    hubUrl: endpoint,
    fetch: hubFetch(endpoint, options),
    ...(accessToken === undefined ? {} : { accessToken }),
  };
  let info: v.InferOutput<typeof infoSchema>;
  const entries: v.InferOutput<typeof entrySchema>[] = [];
  try {
    const found = await modelInfo({
      ...shared,
      name: repository,
      additionalFields: ['sha', 'cardData', 'tags'],
      ...(id.revision === null ? {} : { revision: id.revision }),
    });
    info = v.parse(infoSchema, found);
    const listing = listFiles({
      ...shared,
      repo: { type: 'model', name: repository },
      revision: info.sha,
      recursive: true,
    });
    for await (const entry of listing) {
      entries.push(v.parse(entrySchema, entry));
      if (entries.length > mostFiles)
        throw new UserError(`${repository} lists more than ${mostFiles} files: not a model.`);
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    throw explainHubError(error, id, endpoint, accessToken !== undefined);
  }
  const { files, main } = chooseFiles(
    id,
    entries.filter(({ type }) => type === 'file').map((entry) => toHubFile(entry, repository)),
  );
  const folder = join(hubFolder(id, home), info.sha);
  let here = 0;
  for (const file of files) {
    if (await isDownloaded({ path: join(folder, ...file.path.split('/')), size: file.bytes })) here += file.bytes;
  }
  const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    id,
    commit: info.sha,
    files,
    main,
    totalBytes,
    what: `${repository}${main === null ? '' : `:${main}`} (commit ${info.sha.slice(0, 7)}, ${files.length} ${files.length === 1 ? 'file' : 'files'})`,
    from: `${endpoint}/${repository}`,
    bytes: totalBytes - here,
    licence: licenceOf(info),
    folder,
  };
}

/**
 * Fetches what is missing of a plan and gives the model's path: the GGUF, or the folder.
 * @throws UserError as {@link download} does.
 */
export async function fetchHubModel(plan: HubPlan, home: string, options: HubOptions = {}): Promise<string> {
  const token = tokenOf(options);
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const { id, folder } = plan;
  const base = `${endpointOf(options)}/${id.owner}/${id.name}/resolve/${plan.commit}`;
  await checkSpace(folder, plan.bytes, options.free);
  let done = 0;
  for (const file of plan.files) {
    const path = join(folder, ...file.path.split('/'));
    const url = `${base}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
    const onProgress = (bytes: number): void => options.onProgress?.(done + bytes, plan.totalBytes);
    await download({ url, path, size: file.bytes, checksum: file.checksum, headers }, { ...options, onProgress });
    done += file.bytes;
    options.onProgress?.(done, plan.totalBytes);
  }
  const commitId = formatHubId({ ...id, revision: plan.commit });
  // A repository may hold several GGUFs, each fetched on its own: the record names all files that are here.
  const earlier = (await readRecord(folder))?.files ?? [];
  const files = new Map(earlier.map((file) => [file.path, file]));
  for (const { path, bytes, checksum } of plan.files) {
    files.set(path, { path, bytes, checksum: `${checksum.algorithm}:${checksum.digest}` });
  }
  await writeRecord(folder, {
    version: 1,
    kind: 'model',
    spec: commitId,
    label: `${id.owner}/${id.name}`,
    from: plan.from,
    licence: plan.licence,
    main: plan.main ?? '',
    files: [...files.values()],
  });
  await rememberRevision(id, home, plan.commit);
  return plan.main === null ? folder : join(folder, ...plan.main.split('/'));
}

export interface CachedHubModel {
  readonly path: string;
  readonly commit: string;
  readonly licence: string | null;
  readonly bytes: number;
}

/** What `id` meant when it was last fetched, if that is all here; asks nobody. */
export async function cachedHubModel(id: HubId, home: string): Promise<CachedHubModel | null> {
  const commit =
    id.revision !== null && commitPattern.test(id.revision)
      ? id.revision
      : (await readRevisions(hubFolder(id, home)))[id.revision ?? 'HEAD'];
  if (commit === undefined || !commitPattern.test(commit)) return null;
  const folder = join(hubFolder(id, home), commit);
  const record = await readRecord(folder);
  if (record === null) return null;
  const ggufs = record.files.filter(({ path }) => path.endsWith('.gguf'));
  const rest = record.files.filter(({ path }) => !path.endsWith('.gguf'));
  const mains = new Set(ggufs.map(({ path }) => firstPart(path)));
  const main = id.file !== null ? firstPart(id.file) : rest.length === 0 && mains.size === 1 ? [...mains][0]! : null;
  const wanted = main === null ? rest : ggufs.filter(({ path }) => firstPart(path) === main);
  if (wanted.length === 0) return null;
  const bytes = wanted.reduce((sum, file) => sum + file.bytes, 0);
  return { path: main === null ? folder : join(folder, ...main.split('/')), commit, licence: record.licence, bytes };
}

/** Folders of all models fetched from the hub. */
export async function hubFolders(home: string): Promise<string[]> {
  const root = join(home, 'models', 'hub');
  const folders: string[] = [];
  for (const model of await readdir(root).catch(() => [])) {
    for (const commit of await readdir(join(root, model)).catch(() => [])) {
      if (commitPattern.test(commit)) folders.push(join(root, model, commit));
    }
  }
  return folders;
}

function hubFolder({ owner, name }: HubId, home: string): string {
  return join(home, 'models', 'hub', `${owner}--${name}`);
}

async function readRevisions(folder: string): Promise<Record<string, string>> {
  try {
    return v.parse(v.record(v.string(), v.string()), JSON.parse(await readFile(join(folder, 'refs.json'), 'utf8')));
  } catch {
    return {};
  }
}

async function rememberRevision(id: HubId, home: string, commit: string): Promise<void> {
  const folder = hubFolder(id, home);
  const revisions = { ...(await readRevisions(folder)), [id.revision ?? 'HEAD']: commit };
  await writeWhole(join(folder, 'refs.json'), `${JSON.stringify(revisions, null, 2)}\n`);
}

/** Retries, and keeps the token from other hosts: the library follows any `Link` it is given. */
function hubFetch(endpoint: string, options: HubOptions): typeof fetch {
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.origin !== new URL(endpoint).origin)
      throw new UserError(`${endpoint} sends on to another host, ${url.host}: not followed.`);
    const headers = init?.headers;
    return fetchPolitely(url, headers === undefined ? {} : { headers }, options);
  };
}

function toHubFile(entry: v.InferOutput<typeof entrySchema>, repository: string): HubFile {
  const { path } = entry;
  if (!isSafePath(path))
    throw new UserError(`${repository} has a file with a name that is not safe to write: ${JSON.stringify(path)}.`);
  if (entry.lfs != null)
    return { path, bytes: entry.lfs.size, checksum: { algorithm: 'sha256', digest: entry.lfs.oid } };
  return { path, bytes: entry.size, checksum: { algorithm: 'git-blob', digest: entry.oid ?? '' } };
}

/** True for a relative path that stays inside its folder on every system. */
export function isSafePath(path: string): boolean {
  return (
    path !== '' &&
    // eslint-disable-next-line no-control-regex -- control characters are what it refuses
    !/[\\:*?"<>|\u0000-\u001f]/.test(path) &&
    posix.normalize(path) === path &&
    !path.startsWith('/') &&
    path.split('/').every((part) => !/^$|^\.\.?$|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(part))
  );
}

const splitPattern = /-(\d{5})-of-(\d{5})\.gguf$/;

/** Of a split GGUF's parts the first, which names the model; of any other file itself. */
export function firstPart(path: string): string {
  return path.replace(splitPattern, '-00001-of-$2.gguf');
}

/** Beside the weights: what the engine reads, and the licence. */
const companions = new Set([
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'LICENSE',
  'LICENSE.txt',
  'LICENSE.md',
]);

/** The files of a repository that make the model. @throws UserError when it is not clear which, or none can be read. */
export function chooseFiles(id: HubId, all: readonly HubFile[]): { files: HubFile[]; main: string | null } {
  const repository = `${id.owner}/${id.name}`;
  // The parts of a split GGUF are one model, named by the first of them.
  const ggufs = all.filter(({ path }) => path.endsWith('.gguf') && firstPart(path) === path);
  const one = (file: HubFile): { files: HubFile[]; main: string } => {
    const files = all.filter(({ path }) => firstPart(path) === file.path);
    const expected = Number(splitPattern.exec(file.path)?.[2] ?? 1);
    if (files.length === expected) return { files, main: file.path };
    throw new UserError(
      `${repository}:${file.path} is split into ${expected} parts, and ${files.length} of them are there.`,
    );
  };
  const sizeOf = (file: HubFile): string => formatBytes(one(file).files.reduce((sum, { bytes }) => sum + bytes, 0));
  const offer = (): string =>
    ggufs
      .slice(0, 30)
      .map((file) => `${repository}:${file.path} (${sizeOf(file)})`)
      .join(', ');
  if (id.file !== null) {
    const wanted = firstPart(id.file);
    const file = ggufs.find(({ path }) => path === wanted);
    if (file !== undefined) return one(file);
    throw new UserError(
      `${repository} has no ${id.file}. ` +
        (ggufs.length === 0
          ? 'It has no GGUF at all: leave out the file to take its safetensors.'
          : `It has: ${offer()}.`),
    );
  }
  const top = all.filter(({ path }) => !path.includes('/'));
  const sharded = top.some(({ path }) => path === 'model.safetensors.index.json');
  // Only the index's own shards: some repositories hold the weights a second time under other names.
  const weights = top.filter(({ path }) =>
    sharded
      ? /^model-\d{5}-of-\d{5}\.safetensors$|^model\.safetensors\.index\.json$/.test(path)
      : path === 'model.safetensors',
  );
  if (weights.length > 0) {
    const rest = top.filter(({ path }) => companions.has(path));
    const missing = ['config.json', 'tokenizer.json'].filter((name) => !rest.some(({ path }) => path === name));
    if (missing.length > 0)
      throw new UserError(`${repository} lacks ${missing.join(' and ')}, so it cannot be loaded.`);
    return { files: [...rest, ...weights], main: null };
  }
  if (ggufs.length === 1) return one(ggufs[0]!);
  if (ggufs.length > 1) throw new UserError(`${repository} has several GGUF files; name one: ${offer()}.`);
  throw new UserError(
    `${repository} has no weights that can be read here: there is no model.safetensors (or index) and no .gguf among its ${all.length} files. ` +
      'Look for a conversion of it to safetensors or GGUF.',
  );
}

function licenceOf({ cardData, tags }: v.InferOutput<typeof infoSchema>): string | null {
  const tag = tags?.find((text) => text.startsWith('license:'))?.slice('license:'.length);
  const stated = [cardData?.license].flat().filter((text) => typeof text === 'string' && text !== '') as string[];
  const licence = stated.length > 0 ? stated.join(', ') : (tag ?? null);
  const name = cardData?.license_name;
  return licence === 'other' && typeof name === 'string' && name !== '' ? `other (${name})` : licence;
}

function explainHubError(error: unknown, id: HubId, endpoint: string, hasToken: boolean): unknown {
  if (error instanceof UserError) return error;
  const what = formatHubId({ ...id, file: null });
  const page = `${endpoint}/${id.owner}/${id.name}`;
  if (error instanceof HubApiError) {
    switch (error.statusCode) {
      case 401:
      case 403:
        return new UserError(
          `The hub does not give out ${what}: it does not exist, or it is private or gated. Check the name; if it is gated, accept its terms at ${page}, ` +
            (hasToken
              ? 'and check that the token in HF_TOKEN may read it.'
              : 'then set HF_TOKEN to a token that may read it (https://huggingface.co/settings/tokens).'),
        );
      case 404:
        return new UserError(
          `The hub has no model ${what}. Check the name${id.revision === null ? '' : ' and the revision'} at ${page}.`,
        );
      case 429:
        return new UserError(
          `The hub is asked too often from here. Wait some minutes${hasToken ? '' : ', or set HF_TOKEN,'} and try again.`,
        );
      default:
        return new UserError(`The hub answered ${error.statusCode} for ${what}. Try again later.`);
    }
  }
  return new UserError(
    `What ${endpoint} answered for ${what} is not what a model hub says (${messageOf(error)}). ` +
      'A network that asks for a login, or a wrong HF_ENDPOINT, does that.',
    { cause: error },
  );
}
