/**
 * The loss on the held-out side of a corpus: always the same rows, so that two of them can be compared.
 */
import type { Trainer } from '../engine/training/trainer.ts';
import type { TokenSide } from './data/tokenStore.ts';
import { type RowOptions, TrainingRows } from './data/trainingRows.ts';
import { nextTokenBatch } from './nextTokenPrediction.ts';

/**
 * @param mostTokens rows hold so many tokens together at most; one row is taken in any case
 * @returns the mean over the targets, in nats; null where nothing is held out
 */
export async function heldOutLoss(
  trainer: Trainer,
  side: TokenSide,
  options: RowOptions,
  mostTokens: number,
): Promise<number | null> {
  if (side.snippets === 0) return null;
  const { rowLength } = options;
  const rows = new TrainingRows(side, options);
  let left = Math.min(rows.epochSize().rows, Math.max(1, Math.floor(mostTokens / rowLength)));
  let sum = 0;
  let tokens = 0;
  while (left > 0) {
    const batch = [];
    for (; batch.length < trainer.options.rows && left > 0; left--) batch.push(await rows.next());
    const evaluated = await trainer.evaluate(nextTokenBatch(batch, rowLength));
    sum += evaluated.loss * evaluated.tokens;
    tokens += evaluated.tokens;
  }
  return sum / tokens;
}
