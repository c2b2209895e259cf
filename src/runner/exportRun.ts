/**
 * Exports what a run has trained, and says where the export goes.
 * Works on a run that is at work too. Knows nothing of terminals or of VS Code.
 */
import { mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseHubId } from '../catalog/hub.ts';
import type { ModelSource } from '../engine/model.ts';
import { UserError } from '../errors.ts';
import { type BaseModel, exportModel } from '../midtraining/export.ts';
import { type CheckpointChoice, checkpointName, type ExportFormat, exportName } from '../midtraining/exportFormats.ts';
import { runPaths } from './runFolder.ts';
import { openTraining } from './trainedModel.ts';
import type { AskedModel } from './types.ts';

export interface ExportRequest {
  readonly format: ExportFormat;
  readonly checkpoint: CheckpointChoice;
  /** Null: beside the run's checkpoints, in `exports`, where an earlier export of the same name is replaced. */
  readonly out: string | null;
  /** What is at `out` may go. */
  readonly overwrite: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface ExportOutcome {
  /** The file or the folder. */
  readonly path: string;
  readonly format: ExportFormat;
  /** Null: the base. */
  readonly step: number | null;
  readonly bytes: number;
}

/** @throws UserError when the run is no training, has no such checkpoint, or the export cannot be written */
export async function exportRun(
  folder: string,
  { format, checkpoint: choice, out, overwrite, ...hooks }: ExportRequest,
): Promise<ExportOutcome> {
  const { request, source, checkpoint, close } = await openTraining(folder, choice);
  try {
    const { config, model, name: runName } = request;
    const step = checkpoint?.step ?? null;
    const path = out === null ? join(runPaths(folder).exports, exportName(runName, step, format)) : resolve(out);
    if (out !== null) await checkTarget(path, overwrite, source);
    const base = baseOf(model, source);
    const name = `${model.label} ${checkpointName(runName, step)}`;
    await exportModel(source, config, checkpoint, { format, path, name, base, ...hooks });
    return { path, format, step, bytes: await bytesOf(path) };
  } finally {
    await close();
  }
}

/** @throws UserError when something is there that must stay */
async function checkTarget(path: string, overwrite: boolean, source: ModelSource): Promise<void> {
  const isInside = !relative(path, resolve(source.path)).startsWith('..');
  if (isInside) throw new UserError(`${path} holds the model that was trained from. Name another place with --out.`);
  const found = await stat(path).catch(() => null);
  if (found === null) {
    await mkdir(dirname(path), { recursive: true }).catch(() => undefined); // why not is said when it is written
    return;
  }
  const isEmpty = found.isDirectory() && (await readdir(path)).length === 0;
  if (isEmpty || overwrite) return;
  throw new UserError(`${path} is there already. Name another place, or agree to its going with --overwrite.`);
}

/** A name on the Hugging Face Hub where the model came from there as a folder, else its path. */
function baseOf({ spec, label }: AskedModel, source: ModelSource): BaseModel {
  const path = resolve(source.path);
  const isPath = resolve(spec) === path;
  const id = source.format === 'huggingface' && !isPath ? parseHubId(spec.replace(/^hub:/, '')) : null;
  if (id === null) return { place: path, revision: null, label };
  return { place: `${id.owner}/${id.name}`, revision: id.revision, label };
}

async function bytesOf(path: string): Promise<number> {
  const found = await stat(path);
  if (!found.isDirectory()) return found.size;
  const sizes = await Promise.all((await readdir(path)).map((name) => bytesOf(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}
