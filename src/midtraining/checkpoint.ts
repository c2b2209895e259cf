/**
 * Checkpoints of a training run, each a folder that is whole or not there: written aside, flushed, renamed.
 *
 *     step-00000050/
 *       model.safetensors       the parameters that are trained, under Hugging Face or PEFT names
 *       optimizer.safetensors   the moments of AdamW: `first:NAME`, `second:NAME`
 *       q.safetensors, q-optimizer.safetensors   the same of the model that writes latents, where there is one
 *       rollouts.json           those that it made ahead of its updates
 *       state.json              step, position in the data, of which model and data, hashes of both files; written last
 *
 * Knows nothing of how a step is done or of when a checkpoint is due.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import type { ParameterInfo } from '../engine/training/parameterStore.ts';
import type { TrainerState } from '../engine/training/trainer.ts';
import { readSafetensorsHeader } from '../engine/weights/safetensors.ts';
import { type WrittenFile, writeSafetensors } from '../engine/weights/safetensorsWriter.ts';
import { WeightFile } from '../engine/weights/storage.ts';
import { flushFolder } from '../engine/weights/writtenAside.ts';
import { messageOf, UserError, whyNotWritten } from '../errors.ts';

export const CHECKPOINT_FORMAT = 1;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const orNull = v.nullable(v.number());
const Written = v.object({ bytes: count, sha256: v.string() });

/** What goes on with the parameters: all that decides the steps to come. */
const Progress = v.object({
  /** Of the data: the row that comes next. The order follows from the seed alone. */
  position: v.object({ epoch: count, window: count, row: count }),
  /** Targets trained on so far. */
  tokens: count,
  /** Steps between evaluations, as set last. */
  evaluationInterval: count,
  /** The held-out loss at this very step; null: not evaluated here. */
  heldOutLoss: orNull,
  /** The lowest so far, and evaluations since. */
  bestHeldOutLoss: orNull,
  evaluationsWithoutGain: count,
  /** Of the guard against divergence: the smoothed loss, and steps far above it in a row. */
  smoothedLoss: orNull,
  stepsAbove: count,
  /** Of methods that explore: rounds begun, updates of q in all and in this round, the step that the round began at, what was set. */
  exploration: v.optional(
    v.object({
      round: count,
      updates: count,
      updatesInRound: count,
      roundBegan: count,
      settings: v.object({
        thinkPenalty: v.number(),
        temperature: v.number(),
        groupSize: count,
        eUpdates: count,
        mSteps: count,
      }),
    }),
  ),
});
export type ExplorationProgress = NonNullable<v.InferOutput<typeof Progress>['exploration']>;
export type TrainingProgress = v.InferOutput<typeof Progress>;

const State = v.object({
  format: v.literal(CHECKPOINT_FORMAT),
  step: count,
  /** Set by hand; null: the schedule's. */
  learningRate: orNull,
  progress: Progress,
  /** Model, data, method, schedule and seed that it belongs to. */
  identity: v.record(v.string(), v.unknown()),
  files: v.object({ model: Written, optimizer: Written }),
  q: v.optional(
    v.object({
      step: count,
      learningRate: orNull,
      files: v.object({ model: Written, optimizer: Written }),
      rollouts: v.nullable(Written),
    }),
  ),
});
type State = v.InferOutput<typeof State>;

export interface Checkpoint {
  readonly trainer: TrainerState;
  /** Of the model that writes latents; null where there is none. */
  readonly q: PosteriorState | null;
  readonly progress: TrainingProgress;
}

export interface PosteriorState {
  readonly trainer: TrainerState;
  /** Rollouts that wait for an update, plain data. */
  readonly rollouts: readonly unknown[];
}

/** Which of a checkpoint's models: the one that is trained, or the one that writes latents. */
export type Role = 'model' | 'q';

/** Names of the files of each, without their ending. */
const FILES = {
  model: { model: 'model', optimizer: 'optimizer' },
  q: { model: 'q', optimizer: 'q-optimizer' },
} as const satisfies Record<Role, object>;

const NAME = /^step-(\d{8,})$/;

export class Checkpoints {
  readonly folder: string;
  readonly #keep: number;
  readonly #identity: Readonly<Record<string, unknown>>;

  private constructor(folder: string, keep: number, identity: Readonly<Record<string, unknown>>) {
    this.folder = folder;
    this.#keep = keep;
    this.#identity = identity;
  }

  /**
   * Takes away what a kill left half written or half removed.
   * @param keep how many of the latest are kept; the one with the lowest held-out loss is kept beside them
   * @param identity of the run, plain data: a checkpoint of another one is refused
   */
  static async open(folder: string, keep: number, identity: Readonly<Record<string, unknown>>): Promise<Checkpoints> {
    for (const name of await readdir(folder).catch(() => [])) {
      if (name.startsWith('.step-')) await rm(join(folder, name), { recursive: true, force: true });
    }
    return new Checkpoints(folder, keep, plain(identity));
  }

  /** Steps of those there are, whole or not, the latest first. */
  steps(): Promise<number[]> {
    return checkpointSteps(this.folder);
  }

  /**
   * Keeps this state, in place of an earlier one of the same step, then lets go of older ones.
   * @param q of the same parameters
   * @throws UserError when it cannot be written; older ones are as they were
   */
  async save(
    trainer: TrainerState,
    parameters: readonly ParameterInfo[],
    progress: TrainingProgress,
    q: PosteriorState | null = null,
  ): Promise<void> {
    const { step, learningRate } = trainer;
    const aside = join(this.folder, `.${nameOf(step)}.new`);
    try {
      await rm(aside, { recursive: true, force: true });
      await mkdir(aside, { recursive: true });
      const write = async (role: Role, written: TrainerState): Promise<State['files']> => {
        const tensors = (prefix: string, values: ReadonlyMap<string, Float32Array>) =>
          parameters.map(({ name, shape }) => ({ name: `${prefix}${name}`, shape, read: () => values.get(name)! }));
        const at = (name: string): string => join(aside, `${name}.safetensors`);
        return {
          model: await writeSafetensors(at(FILES[role].model), tensors('', written.parameters)),
          optimizer: await writeSafetensors(at(FILES[role].optimizer), [
            ...tensors('first:', written.firstMoments),
            ...tensors('second:', written.secondMoments),
          ]),
        };
      };
      const writeQ = async ({ trainer: ofQ, rollouts }: PosteriorState): Promise<State['q']> => ({
        ...{ step: ofQ.step, learningRate: ofQ.learningRate, files: await write('q', ofQ) },
        rollouts: rollouts.length === 0 ? null : await writeJson(join(aside, ROLLOUTS), rollouts),
      });
      const identity = { ...this.#identity };
      const state: State = {
        format: CHECKPOINT_FORMAT,
        step,
        learningRate,
        progress,
        identity,
        files: await write('model', trainer),
        ...(q === null ? {} : { q: await writeQ(q) }),
      };
      await writeFile(join(aside, 'state.json'), `${JSON.stringify(state, null, 2)}\n`, { flush: true });
      await flushFolder(aside);
      await this.#remove(step); // one that was refused, or is of this step too
      await rename(aside, join(this.folder, nameOf(step)));
      await flushFolder(this.folder);
    } catch (error) {
      await rm(aside, { recursive: true, force: true }).catch(() => undefined);
      throw new UserError(
        `The checkpoint of step ${step} cannot be written to ${this.folder}: ${whyNotWritten(error)}.`,
      );
    }
    await this.#prune();
  }

  /**
   * The latest one that is whole and of this run.
   * @param refused told why a later one is not used
   * @returns null where there is none at all
   * @throws UserError when there are some and none can be used
   */
  async latest(refused: (why: string) => void): Promise<Checkpoint | null> {
    const steps = await this.steps();
    let why = '';
    for (const step of steps) {
      try {
        return await this.read(step);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        why = error.message;
        refused(why);
      }
    }
    if (steps.length === 0) return null;
    throw new UserError(
      `No checkpoint in ${this.folder} can be used. ${why} Name another folder with --out, or remove this one to begin anew.`,
    );
  }

  /** The one with the lowest held-out loss, or null. */
  best(): Promise<number | null> {
    return bestCheckpoint(this.folder);
  }

  /** @throws UserError when it is cut, broken, or of another run */
  async read(step: number): Promise<Checkpoint> {
    const { learningRate, progress, identity, files, q } = await readState(this.folder, step);
    const differs = Object.keys({ ...identity, ...this.#identity }).filter(
      (key) => !isDeepStrictEqual(identity[key], this.#identity[key]),
    );
    if (differs.length > 0) {
      throw new UserError(
        `The checkpoint of step ${step} in ${this.folder} belongs to another run: it differs in ${differs.join(', ')}.`,
      );
    }
    const trainer = { step, learningRate, ...(await this.#readState(step, 'model', files)) };
    if (q === undefined) return { trainer, q: null, progress };
    const ofQ = { step: q.step, learningRate: q.learningRate, ...(await this.#readState(step, 'q', q.files)) };
    const rollouts = q.rollouts === null ? [] : await readJson(this.folder, step, q.rollouts);
    return { trainer, q: { trainer: ofQ, rollouts }, progress };
  }

  async #readState(
    step: number,
    role: Role,
    files: State['files'],
  ): Promise<Pick<TrainerState, 'parameters' | 'firstMoments' | 'secondMoments'>> {
    const read = async (name: string, written: WrittenFile): Promise<Map<string, Float32Array>> => {
      const file = await openTensors(this.folder, step, name, written);
      try {
        const tensors = new Map<string, Float32Array>();
        for (const tensor of file.names) tensors.set(tensor, (await file.read(tensor))!);
        return tensors;
      } finally {
        await file.close();
      }
    };
    const parameters = await read(FILES[role].model, files.model);
    const moments = await read(FILES[role].optimizer, files.optimizer);
    const momentsOf = (prefix: string): Map<string, Float32Array> =>
      new Map(
        [...moments]
          .filter(([name]) => name.startsWith(prefix))
          .map(([name, values]) => [name.slice(prefix.length), values]),
      );
    return { parameters, firstMoments: momentsOf('first:'), secondMoments: momentsOf('second:') };
  }

  async #prune(): Promise<void> {
    const steps = await this.steps();
    const best = steps.length > this.#keep ? await this.best() : null;
    for (const step of steps.slice(this.#keep)) if (step !== best) await this.#remove(step);
  }

  /** Out of sight first, so that a kill leaves none that is cut. */
  async #remove(step: number): Promise<void> {
    const aside = join(this.folder, `.${nameOf(step)}.old`);
    await rm(aside, { recursive: true, force: true });
    const gone = await rename(join(this.folder, nameOf(step)), aside).then(
      () => true,
      () => false,
    );
    if (gone) await rm(aside, { recursive: true, force: true });
  }
}

const ROLLOUTS = 'rollouts.json';

async function writeJson(path: string, value: readonly unknown[]): Promise<WrittenFile> {
  const bytes = Buffer.from(JSON.stringify(value));
  await writeFile(path, bytes, { flush: true });
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** @throws UserError when it is not what was written */
async function readJson(folder: string, step: number, written: WrittenFile): Promise<unknown[]> {
  const path = join(folder, nameOf(step), ROLLOUTS);
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  if (createHash('sha256').update(bytes).digest('hex') !== written.sha256) {
    throw new UserError(`The checkpoint of step ${step} is broken: ${path} is not what was written.`);
  }
  return JSON.parse(bytes.toString('utf8')) as unknown[];
}

function nameOf(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

function plain(identity: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(identity)) as Record<string, unknown>;
}

/** Steps of the checkpoints in this folder, whole or not, the latest first. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map((digits) => Number(digits))
    .sort((a, b) => b - a);
}

/** The checkpoints whose state can be read, the latest first. */
export async function listCheckpoints(folder: string): Promise<{ step: number; heldOutLoss: number | null }[]> {
  const found = [];
  for (const step of await checkpointSteps(folder)) {
    const state = await readState(folder, step).catch(() => null);
    if (state !== null) found.push({ step, heldOutLoss: state.progress.heldOutLoss });
  }
  return found;
}

/** The step of the one with the lowest held-out loss, or null. */
export async function bestCheckpoint(folder: string): Promise<number | null> {
  let best: { step: number; loss: number } | null = null;
  for (const { step, heldOutLoss: loss } of await listCheckpoints(folder)) {
    if (loss !== null && (best === null || loss < best.loss)) best = { step, loss };
  }
  return best?.step ?? null;
}

/** What was trained, by its name, read when it is asked for: no more than that is in memory. */
export interface CheckpointTensors {
  readonly names: ReadonlySet<string>;
  /** Undefined where there is none of that name. */
  read(name: string): Promise<Float32Array | undefined>;
  close(): Promise<void>;
}

/** A checkpoint for reading only. It stays readable when the run that it is of lets go of it. */
export interface OpenCheckpoint extends CheckpointTensors {
  readonly step: number;
  readonly identity: Readonly<Record<string, unknown>>;
  readonly progress: TrainingProgress;
}

/**
 * @param role which of its models
 * @throws UserError when it is gone, cut or broken, or has no such model
 */
export async function openCheckpoint(folder: string, step: number, role: Role = 'model'): Promise<OpenCheckpoint> {
  const there = await checkpointSteps(folder);
  if (!there.includes(step)) {
    const others = there.length === 0 ? 'There is none' : `There are those of ${there.join(', ')}`;
    throw new UserError(
      `${folder} has no checkpoint of step ${step}: it was never kept, or the run has let go of it. ${others}.`,
    );
  }
  const { identity, progress, files, q } = await readState(folder, step);
  const written = role === 'model' ? files : q?.files;
  if (written === undefined) {
    throw new UserError(
      `The checkpoint of step ${step} in ${folder} has no model that writes latents. Take one of RA3.`,
    );
  }
  return { step, identity, progress, ...(await openTensors(folder, step, FILES[role].model, written.model)) };
}

async function readState(folder: string, step: number): Promise<State> {
  const path = join(folder, nameOf(step), 'state.json');
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new UserError(`The checkpoint of step ${step} is cut: ${path} cannot be read (${messageOf(error)}).`);
  }
  const parsed = v.safeParse(State, value);
  if (parsed.success && parsed.output.step === step) return parsed.output;
  const what = parsed.success ? `step ${parsed.output.step}` : parsed.issues[0].message;
  throw new UserError(
    `The checkpoint of step ${step} is broken or of another version: ${path} says otherwise (${what}).`,
  );
}

/** Opens a file of a checkpoint whose bytes are those that were written. @throws UserError */
async function openTensors(
  folder: string,
  step: number,
  name: string,
  written: WrittenFile,
): Promise<CheckpointTensors> {
  const path = join(folder, nameOf(step), `${name}.safetensors`);
  const file = await WeightFile.open(path);
  try {
    if (file.size !== written.bytes) {
      throw new UserError(`The checkpoint of step ${step} is cut: ${path} has ${file.size} bytes of ${written.bytes}.`);
    }
    const hash = createHash('sha256');
    await file.hashInto(hash);
    if (hash.digest('hex') !== written.sha256) {
      throw new UserError(`The checkpoint of step ${step} is broken: ${path} is not what was written.`);
    }
    const tensors = await readSafetensorsHeader(file);
    return {
      names: new Set(tensors.keys()),
      read: async (tensor) => {
        const found = tensors.get(tensor);
        if (found === undefined) return undefined;
        const values = new Float32Array(found.byteLength / 4);
        await file.read(new Uint8Array(values.buffer), found.offset);
        return values;
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
