/**
 * Refuses a training that this machine cannot hold, before it starts, and says what would fit.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { freeBytes } from '../catalog/disk.ts';
import { formatBytes } from '../catalog/plan.ts';
import type { ModelConfig } from '../engine/model.ts';
import { UserError } from '../errors.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import {
  type Alternative,
  estimateDisk,
  estimateMemory,
  whatFitsDisk,
  whatFitsMemory,
} from '../midtraining/estimate.ts';
import { freeMemory } from './machine.ts';
import { runPaths } from './runFolder.ts';

/** Bytes that are free; null: the system does not tell. */
export interface Room {
  readonly memory: number;
  readonly disk: number | null;
}

/** Of this machine, for a run in `folder`; what the run has there already counts as free. */
export async function roomFor(folder: string): Promise<Room> {
  const free = await freeBytes(folder);
  return {
    memory: await freeMemory(),
    disk: free === null ? null : free + (await bytesIn(runPaths(folder).checkpoints)),
  };
}

async function bytesIn(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const sizes = files
    .filter((file) => file.isFile())
    .map(async ({ parentPath, name }) => (await stat(join(parentPath, name)).catch(() => null))?.size ?? 0);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** @throws UserError with the numbers, and with changes of the config that fit */
export async function needRoom(model: ModelConfig, config: TrainingConfig, room: Room): Promise<void> {
  const why = await whyNoRoom(model, config, room);
  if (why !== null) throw new UserError(why);
}

/** What there is too little of, and what would fit; null: it fits. */
export async function whyNoRoom(model: ModelConfig, config: TrainingConfig, room: Room): Promise<string | null> {
  const { total: memory } = await estimateMemory(model, config);
  if (memory > room.memory) {
    const fits = await whatFitsMemory(model, config, room.memory);
    return `This training needs about ${formatBytes(Math.round(memory))} of memory, and ${formatBytes(room.memory)} are free. ${advice(fits, 'memory')}`;
  }
  const { total: disk } = estimateDisk(model, config);
  if (room.disk !== null && disk > room.disk) {
    const fits = whatFitsDisk(model, config, room.disk);
    return `This training needs about ${formatBytes(disk)} of disk, and ${formatBytes(room.disk)} are free. ${advice(fits, 'disk')}`;
  }
  return null;
}

function advice(fits: readonly Alternative[], what: string): string {
  if (fits.length === 0) return `No setting makes it fit: free some ${what}, or take a smaller model.`;
  const words = fits.map(({ change, bytes }) => {
    const keys = Object.entries(change).map(([key, value]) => `"${key}": ${JSON.stringify(value)}`);
    return `${keys.join(' with ')} (${formatBytes(Math.round(bytes))})`;
  });
  return `What fits: ${words.join('; or ')}. Change the config so, or free some ${what}.`;
}
