/**
 * The extension's settings, read when they are needed, and what of them goes to the processes it starts.
 */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import * as vscode from 'vscode';
import { cacheFolder } from '../catalog/cacheFolder.ts';
import { settings } from '../contributions.ts';
import { runsFolder } from '../runner/store.ts';
import type { DeviceChoice } from '../runner/types.ts';

export const section = 'midtrain';

export interface Settings {
  /** The user's own models, in any form that `midtrain --model` takes. */
  readonly models: readonly string[];
  readonly device: DeviceChoice;
  readonly strict: boolean;
  /** Null: chosen from the machine. */
  readonly workers: number | null;
  readonly threads: number | null;
  readonly python: string | null;
  readonly statusBar: boolean;
  readonly notices: 'all' | 'failures' | 'none';
  /** Absolute. */
  readonly runsFolder: string;
  readonly cacheFolder: string;
}

export function readSettings(): Settings {
  const configuration = vscode.workspace.getConfiguration(section);
  const get = <T>(name: string, otherwise: NoInfer<T>): T => configuration.get<T>(name) ?? otherwise;
  const zeroIsNull = (name: string): number | null => {
    const value = get<number>(name, 0);
    return value === 0 ? null : value;
  };
  const runs = get<string>(settings.runsFolder, '');
  const cache = get<string>(settings.cacheFolder, '');
  const python = get<string>(settings.python, '');
  return {
    models: get<string[]>(settings.models, []).filter((spec) => typeof spec === 'string' && spec.trim() !== ''),
    device: get<DeviceChoice>(settings.device, 'auto'),
    strict: get<boolean>(settings.strict, false),
    workers: zeroIsNull(settings.workers),
    threads: zeroIsNull(settings.threads),
    python: python === '' ? null : python,
    statusBar: get<boolean>(settings.statusBar, true),
    notices: get<Settings['notices']>(settings.notices, 'all'),
    runsFolder: runs === '' ? runsFolder() : absolute(runs),
    cacheFolder: cache === '' ? cacheFolder() : absolute(cache),
  };
}

/** Environment variables that give a process the same folders and interpreter. */
export function environmentOf({ runsFolder: runs, cacheFolder: cache, python }: Settings): Record<string, string> {
  return {
    MIDTRAIN_RUNS: runs,
    MIDTRAIN_HOME: cache,
    ...(python === null ? {} : { MIDTRAIN_PYTHON: python }),
  };
}

function absolute(path: string): string {
  return resolve(path.replace(/^~(?=$|[\\/])/, homedir()));
}
