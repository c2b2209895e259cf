/**
 * What one asks of a run, an evaluation or a training, and what comes of it: plain data, as `run.json` holds it. What it tells while it works are
 * the events of `events.ts`. Knows nothing of terminals or of VS Code.
 */
import type { Device } from '../engine/devices.ts';
import type { PrecisionChoice } from '../engine/languageModel.ts';
import type { SamplingSettings } from '../engine/generation/types.ts';
import type { Score } from '../evaluation/score.ts';
import type { BenchmarkId } from '../evaluation/types.ts';
import type { TrainingConfig } from '../midtraining/config.ts';

export type DeviceChoice = Device | 'auto';

/**
 * `spec` is what the user wrote, `label` what a person calls it. `path` is a GGUF file or a folder; null: the runner
 * finds it by the spec and fetches it where it is missing, to which the user has agreed.
 */
export interface AskedModel {
  readonly path: string | null;
  readonly spec: string;
  readonly label: string;
}

/** One whose files are there. */
export type FoundModel = AskedModel & { readonly path: string };

export interface TrainingRequest {
  /** Of the config, without its ending. */
  readonly name: string;
  /** With all defaults filled in, and absolute paths of data. */
  readonly config: TrainingConfig;
  readonly model: AskedModel;
  /** Python that runs the programs of `passAt1`, a command or a path; null: looked for. */
  readonly python?: string | null;
}

export type RunRequest = EvaluationRequest | TrainingRequest;

export function isTraining(request: RunRequest): request is TrainingRequest {
  return 'config' in request;
}

/** Whether programs that a model wrote are run for it. */
export function runsPrograms(request: RunRequest): boolean {
  return !isTraining(request) || request.config.passAt1 !== null;
}

export interface TrainingOutcome {
  /** `stopped`: it can go on; `steps` were done by then. */
  readonly status: 'finished' | 'stopped';
  readonly steps: number;
  readonly stepsAsked: number;
  /** Targets trained on. */
  readonly tokens: number;
  /** In nats, of the last step and of the last evaluation; null: there was none. */
  readonly loss: number | null;
  readonly heldOutLoss: number | null;
  /** Before training; null: there was none. */
  readonly firstHeldOutLoss: number | null;
  readonly folder: string;
  /** The trained model as a Hugging Face folder; null where it was stopped. */
  readonly modelFolder: string | null;
  readonly device: string;
  /** Wall seconds of this call. */
  readonly seconds: {
    readonly load: number;
    readonly prepare: number;
    /** Of E-steps; 0 where there are none. */
    readonly explore: number;
    readonly train: number;
    readonly evaluate: number;
    readonly save: number;
    readonly total: number;
  };
}

export interface EvaluationRequest {
  readonly model: AskedModel;
  /** `path` as with the model. */
  readonly benchmark: { readonly id: BenchmarkId; readonly path: string | null };
  /** Part of the benchmark, `test` or `all`. */
  readonly selection: string;
  /** Only the first so many problems of it; null: all. */
  readonly limit: number | null;
  /** Only these tasks of it, by their ids; null: all. */
  readonly tasks: readonly string[] | null;
  /** Samples of each problem. */
  readonly samples: number;
  readonly sampling: SamplingSettings;
  readonly seed: number;
  /** Longest completion in tokens; null: the protocol's. */
  readonly maxTokens: number | null;
  /** Id of a protocol record; null: chat where the model has a chat template, else the benchmark's plain one. */
  readonly protocol: string | null;
  readonly device: DeviceChoice;
  /** How weights are held; `auto`: 8-bit blocks where the file is quantised, float32 otherwise. */
  readonly precision: PrecisionChoice;
  /** Sequences decoded together; null: chosen from memory and device. */
  readonly batch: number | null;
  /** Threads of the engine; null: ONNX Runtime's choice. */
  readonly threads: number | null;
  /** Judge and candidate in two processes. */
  readonly strict: boolean;
  /** Programs run at a time; null: chosen from the cores. */
  readonly workers: number | null;
  /** Wall seconds for one program; null: the protocol's. */
  readonly timeLimit: number | null;
  /** Python that runs the programs, a command or a path; null: looked for. */
  readonly python: string | null;
}

/** A request whose files are there. */
export interface ResolvedRequest extends EvaluationRequest {
  readonly model: FoundModel;
  readonly benchmark: { readonly id: BenchmarkId; readonly path: string };
}

export interface EvaluationOutcome {
  /** `stopped`: the signal ended it; a second call with the same folder goes on. */
  readonly status: 'finished' | 'stopped';
  /** Of all samples judged, those of earlier calls too. */
  readonly score: Score;
  /** Id of the protocol, and the device with its precision, as used. */
  readonly protocol: string;
  readonly device: string;
  readonly folder: string;
  readonly samplesFile: string;
  readonly resultsFile: string;
  /** Wall seconds of this call. `execute` is the programs' own time, which overlaps with the rest. */
  readonly seconds: {
    readonly load: number;
    readonly prefill: number;
    readonly decode: number;
    readonly execute: number;
    readonly total: number;
  };
  readonly promptTokens: number;
  readonly generatedTokens: number;
}
