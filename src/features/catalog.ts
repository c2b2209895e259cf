/**
 * What can be evaluated and on what: the models and benchmarks known here, and what would have to be fetched for them.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { findBenchmark, resolveBenchmark } from '../catalog/datasets.ts';
import { cachedHubModel, parseHubId } from '../catalog/hub.ts';
import {
  listModels,
  resolveBuiltIn,
  resolveModel,
  type ResolvedModel,
  type ResolveOptions,
} from '../catalog/models.ts';
import type { Consent, DownloadPlan } from '../catalog/plan.ts';
import { starters } from '../catalog/pypi.ts';
import type { BenchmarkId } from '../evaluation/types.ts';
import { readSettings } from './settings.ts';

export interface KnownModel {
  readonly spec: string;
  readonly label: string;
  /** Null: not here yet where it can be fetched, else not to be found. */
  readonly path: string | null;
  readonly canFetch: boolean;
  readonly bytes: number | null;
  readonly licence: string | null;
  /** `sha256:…`, where it was checked against its publisher's. */
  readonly checksum: string | null;
  /** What is removed with it; null: it is the user's own, or built in. */
  readonly folder: string | null;
  /** `named`: in the settings. `built in`: comes with the program. `cached`: fetched before. `starter`: can be fetched. */
  readonly origin: 'named' | 'built in' | 'cached' | 'starter';
}

/** The user's own models first, then the one built in, those fetched, and the starter where it is not here. Asks nobody over the network. */
export async function knownModels(): Promise<KnownModel[]> {
  const { models, cacheFolder } = readSettings();
  const fetched = (await listModels(cacheFolder)).map(
    ({ spec, label, path, bytes, licence, checksum, folder }): KnownModel => {
      return { spec, label, path, canFetch: false, bytes, licence, checksum, folder, origin: 'cached' };
    },
  );
  const builtIn = await resolveBuiltIn();
  const cached: readonly KnownModel[] = [
    { ...builtIn, canFetch: false, checksum: null, folder: null, origin: 'built in' },
    ...fetched,
  ];
  const named = await Promise.all(
    models.filter((spec) => !cached.some((model) => model.spec === spec)).map(namedModel),
  );
  const absent = starters.filter(({ spec }) => !cached.some((model) => model.spec === spec));
  const twinOf = ({ path }: KnownModel, among: readonly KnownModel[]): KnownModel | undefined =>
    path === null ? undefined : among.find((model) => model.path === path);
  return [
    // One that was fetched goes by the name that the user wrote.
    ...named.map((model) => ({ ...model, ...twinOf(model, cached), spec: model.spec, label: model.label })),
    ...cached.filter((model) => twinOf(model, named) === undefined),
    ...absent.map(({ spec, label, licence, wheel }): KnownModel => ({
      spec,
      label,
      path: null,
      canFetch: true,
      bytes: wheel.bytes,
      licence,
      checksum: null,
      folder: null,
      origin: 'starter',
    })),
  ];
}

async function namedModel(spec: string): Promise<KnownModel> {
  const own = { spec, checksum: null, folder: null, origin: 'named' } as const;
  const home = readSettings().cacheFolder;
  const absent = { ...own, label: spec, path: null, bytes: null, licence: null };
  const id = parseHubId(spec.replace(/^hub:/, ''));
  if (id !== null && !existsSync(resolve(spec)) && (await cachedHubModel(id, home)) === null) {
    return { ...absent, canFetch: true };
  }
  try {
    const { label, path, bytes, licence } = await resolveModel(spec, { home });
    return { ...own, label, path, canFetch: false, bytes, licence };
  } catch {
    return { ...absent, canFetch: false };
  }
}

/** Something that is here, or what would have to be fetched. */
export type Found<T> = { readonly here: T; readonly plan: null } | { readonly here: null; readonly plan: DownloadPlan };

/** @throws UserError when there is no such model */
export async function findModel(
  spec: string,
  options: Pick<ResolveOptions, 'weightsOptional'> = {},
): Promise<Found<ResolvedModel>> {
  return orPlan((consent) => resolveModel(spec, { ...options, home: readSettings().cacheFolder, consent }));
}

export async function findData(id: BenchmarkId): Promise<Found<string>> {
  const home = readSettings().cacheFolder;
  const found = await findBenchmark(id, null, { home });
  if (found !== null) return { here: found.path, plan: null };
  return orPlan(async (consent) => (await resolveBenchmark(id, null, { home, consent })).path);
}

/** Runs up to the question whether to fetch, and answers no. */
async function orPlan<T>(find: (consent: Consent) => Promise<T>): Promise<Found<T>> {
  const asked: DownloadPlan[] = [];
  try {
    const here = await find((plan) => {
      asked.push(plan);
      return Promise.resolve(false);
    });
    return { here, plan: null };
  } catch (error) {
    const plan = asked[0];
    if (plan === undefined) throw error;
    return { here: null, plan };
  }
}
