/**
 * Rollouts that a second process makes ahead of the updates that use them: of so many updates at most, so their q is behind by
 * no more than that. Which q makes which rollouts follows from the numbers of the updates alone, so a run is repeatable.
 * Knows nothing of rewards or updates.
 */
import type { NumberedText } from '../midtraining/rollouts/latentSources.ts';
import type { Rollout, RolloutSettings } from '../midtraining/rollouts/rollout.ts';
import type { RolloutProcess } from './rolloutProcess.ts';

/** Rollouts for an update, and how many updates their q had seen. */
export interface MadeRollouts {
  readonly update: number;
  readonly version: number;
  readonly rollouts: readonly Rollout[];
}

export interface RolloutPlan {
  /** What is rolled out for the update after so many. */
  readonly texts: (update: number) => Promise<readonly NumberedText[]>;
  readonly settings: (update: number) => RolloutSettings;
  /** q as it is. */
  readonly parameters: () => Promise<ReadonlyMap<string, Float32Array>>;
}

interface Ordered {
  readonly update: number;
  readonly made: Promise<MadeRollouts>;
}

export class RolloutsAhead {
  readonly #process: RolloutProcess;
  readonly #plan: RolloutPlan;
  readonly #most: number;
  #queue: Ordered[] = [];
  /** Updates of the q that the process has; null: none was sent. */
  #version: number | null = null;

  /** @param most updates that rollouts may be behind */
  constructor(process: RolloutProcess, plan: RolloutPlan, most: number) {
    this.#process = process;
    this.#plan = plan;
    this.#most = most;
  }

  /**
   * Those for the update after `update` others, and has the next ones made.
   * @param end none is made for updates from there on
   */
  async take(update: number, end: number): Promise<MadeRollouts> {
    this.#queue = this.#queue.filter((ordered) => ordered.update >= update);
    const next = (this.#queue.at(-1)?.update ?? update - 1) + 1;
    for (let wanted = next; wanted <= Math.min(update + this.#most, end - 1); wanted++) {
      const request = {
        texts: await this.#plan.texts(wanted),
        settings: this.#plan.settings(wanted),
        parameters: this.#version === update ? null : await this.#plan.parameters(),
      };
      this.#version = update;
      const made = this.#process.request(request).then((rollouts) => ({ update: wanted, version: update, rollouts }));
      made.catch(() => undefined); // whoever takes it hears of it
      this.#queue.push({ update: wanted, made });
    }
    return this.#queue[0]!.made; // it stays until its update is done, in case that is cut short
  }

  /** Waits for all whose update is not done; they stay there to be taken. @param update updates done */
  pending(update: number): Promise<MadeRollouts[]> {
    return Promise.all(this.#queue.flatMap((ordered) => (ordered.update >= update ? [ordered.made] : [])));
  }

  /** Goes on with what was pending once. */
  restore(pending: readonly MadeRollouts[]): void {
    this.#queue = pending.map((made) => ({ update: made.update, made: Promise.resolve(made) }));
  }

  close(): void {
    this.#process.close();
  }
}
