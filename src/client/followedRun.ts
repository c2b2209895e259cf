/**
 * A run as whoever watches it sees it: what was asked for and how it stands, told again whenever that changes.
 * The Runs tree, the status bar and the panels all draw from this. Knows nothing of VS Code.
 */
import type { EvaluationDescription, RunDescription, TrainingDescription } from '../runner/runFolder.ts';
import type { RunState } from '../runner/state.ts';

export interface FollowedRun {
  /** Absolute; its last part names the run. */
  readonly folder: string;
  readonly description: RunDescription;
  readonly state: RunState;
  /** Called after each change of `description` or `state`, at most some times a second. @returns how to stop it */
  onDidChange(listener: () => void): () => void;
}

/** An evaluation, the kind of run that has samples and results. */
export interface FollowedEvaluation extends FollowedRun {
  readonly description: EvaluationDescription;
}

/** A training, the kind of run that has curves. */
export interface FollowedTraining extends FollowedRun {
  readonly description: TrainingDescription;
}

export function isEvaluation<Run extends FollowedRun>(run: Run): run is Run & FollowedEvaluation {
  return run.description.kind === 'evaluation';
}

/** Whether latents are sought in it: it has an E-step. */
export function hasEStep(run: FollowedRun): boolean {
  return isTraining(run) && ['ra3', 'brite'].includes(run.description.request.config.method);
}

export function isTraining<Run extends FollowedRun>(run: Run): run is Run & FollowedTraining {
  return run.description.kind === 'training';
}
