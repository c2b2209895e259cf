/**
 * What a training run is given to work with. Types alone.
 */
import type { BenchmarkId } from '../evaluation/types.ts';
import type { EventBody } from './events.ts';
import type { TrainingControl } from './trainingControl.ts';
import type { FoundModel, TrainingRequest } from './types.ts';

export interface TrainingWork {
  /** Holds `run.json`; the caller holds its lock. */
  readonly folder: string;
  /** What that says, with its model found. */
  readonly request: TrainingRequest & { readonly model: FoundModel };
  /** The file of the benchmark whose programs are judged in the loop; null where the config asks for none. */
  readonly benchmark: { readonly id: BenchmarkId; readonly path: string } | null;
  /** The model that writes comments (`synthetic`); null where there is none. */
  readonly writer: FoundModel | null;
  readonly tell: (event: EventBody) => void;
  readonly control: TrainingControl;
}
