/**
 * How the estimate of a training is worded.
 */
import { formatBytes } from '../catalog/plan.ts';
import type { TrainingEstimate } from '../runner/trainingEstimate.ts';
import { formatDuration } from './progress.ts';

const PARTS = ['weights', 'gradients', 'optimizer', 'activations', 'evaluation', 'exploration', 'program'] as const;

export function estimateLines(estimate: TrainingEstimate): string[] {
  const { parameters, trained, memory, disk, room, data, stepTokens, seconds, refusal } = estimate;
  const parts = PARTS.filter((part) => memory[part] > 0);
  const free = (bytes: number | null): string => (bytes === null ? '' : `; ${size(bytes)} free`);
  return [
    `model    ${millions(parameters)} parameters, ${trained === parameters ? 'all' : millions(trained)} trained`,
    `memory   ${size(memory.total)}: ${parts.map((part) => `${part} ${size(memory[part])}`).join(', ')}${free(room.memory)}`,
    `disk     ${size(disk.total)}: checkpoints ${size(disk.checkpoints)}, model ${size(disk.model)}, data ${size(disk.corpus)}${free(room.disk)}`,
    `data     ${data.complete ? '' : 'at least '}${data.snippets} snippets of ${data.tokens} tokens, and ${data.heldOutTokens} tokens held out`,
    ...(seconds === null ? [] : [`time     ${formatDuration(seconds.total)}: ${paceWords(seconds, stepTokens)}`]),
    ...(refusal === null ? [] : [refusal]),
  ];
}

/** The most important of it in a sentence. */
export function estimateSummary({ memory, disk, room, seconds, refusal }: TrainingEstimate): string {
  if (refusal !== null) return refusal;
  const time = seconds === null ? '' : `${formatDuration(seconds.total)}, `;
  return `about ${time}${size(memory.total)} of memory (${size(room.memory)} free), ${size(disk.total)} of disk.`;
}

function paceWords({ step, evaluation, from }: NonNullable<TrainingEstimate['seconds']>, tokens: number): string {
  const heldOut = evaluation > 0 ? `, ${short(evaluation)} a held-out loss` : '';
  return `${short(step)} a step of ${tokens} tokens${heldOut}, by ${from}`;
}

function short(seconds: number): string {
  return seconds < 10 ? `${seconds.toPrecision(2)} s` : formatDuration(seconds);
}

function size(bytes: number): string {
  return formatBytes(Math.round(bytes));
}

function millions(count: number): string {
  return `${(count / 1e6).toPrecision(3)} M`;
}
