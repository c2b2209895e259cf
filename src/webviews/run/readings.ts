/**
 * What a run told at a place of an axis, as a sentence: shown above its charts, and said to who cannot see them. Pure; knows
 * nothing of what draws.
 */
import { valueAt } from './charts.ts';
import type { RunCurves } from './curves.ts';
import type { Axis } from './messages.ts';
import { signed } from './rolloutRows.ts';
import { amount, bytes, figure, share, span } from './scales.ts';

/** What was not told is left out. */
function sentence(
  parts: readonly (readonly [name: string, value: number, write: (value: number) => string])[],
): string {
  return parts
    .filter(([, value]) => !Number.isNaN(value))
    .map(([name, value, write]) => `${name} ${write(value)}`.trim())
    .join(', ');
}

/** Of the steps of the model, at a place of the axis; null: the last one. */
export function stepReading(own: RunCurves['steps'], axis: Axis, cursor: number | null): string {
  const row = cursor === null ? own.count - 1 : own.nearest(axis, cursor);
  if (row === null) return '';
  const value = (name: Parameters<typeof own.of>[0]): number => valueAt(own, name, axis, cursor);
  const words = sentence([
    ['Step', own.places('step')[row]!, String],
    ['', own.places('tokens')[row]!, (count) => `${amount(count)} tokens`],
    ['', own.places('time')[row]!, span],
    ['loss', value('loss'), figure],
    ['smoothed', value('smoothed'), figure],
    ['held out', value('heldOutLoss'), figure],
    ['on code', value('codeLoss'), figure],
    ['on latents', value('latentLoss'), figure],
    ['pass@1', value('passAt1'), share],
    ['learning rate', value('learningRate'), figure],
    ['gradient norm', value('gradientNorm'), figure],
    ['tokens a second', value('tokensPerSecond'), amount],
    ['memory', value('memory'), bytes],
  ]);
  return `${cursor === null ? 'Last: ' : ''}${words}`;
}

/** Of the updates of q, at one of them; null: the last one. */
export function updateReading(own: RunCurves['updates'], cursor: number | null): string {
  const row = cursor === null ? own.count - 1 : own.nearest('update', cursor);
  if (row === null) return '';
  const value = (name: Parameters<typeof own.of>[0]): number => valueAt(own, name, 'update', cursor);
  const words = sentence([
    ['Update', own.places('update')[row]!, String],
    ['return with penalties', value('returnWith'), figure],
    ['without', value('returnWithout'), figure],
    ['never thinking', value('returnNever'), figure],
    ['gain', value('gain'), signed],
    ['held out', value('heldGain'), signed],
    ['think rate', value('thinkRate'), share],
    ['tokens a latent', value('latentTokens'), figure],
    ['format errors', value('formatErrors'), share],
    ['KL', value('kl'), figure],
    ['entropy', value('entropy'), figure],
    ['c', value('thinkPenalty'), figure],
    ['rollouts a second', value('rolloutsPerSecond'), amount],
  ]);
  return `${cursor === null ? 'Last: ' : ''}${words}`;
}
