/**
 * The output head and its cross-entropy, in chunks of tokens: one [chunk, vocabulary] matrix is alive at a time, never a
 * [tokens, vocabulary] one. Loss and gradient are computed in one pass, chunk by chunk, as the loss is where the backward
 * pass begins (as in Liger Kernel, Hsu et al., arXiv 2410.10989).
 */
import type { Value } from '../../onnx/graph.ts';
import {
  concat,
  gather,
  gatherInRows,
  log,
  mul,
  negate,
  reduceMax,
  reduceSum,
  reshape,
  softmax,
  split,
  sub,
} from '../../onnx/operators.ts';
import { sizesOf, type Tape } from '../tape.ts';
import { addRows } from './embedding.ts';
import { plusProduct, product } from './product.ts';

/** Bytes of a chunk's logits, about. */
const CHUNK_BYTES = 32 << 20;
/** Fewer rows make slow products. */
const LEAST_CHUNK = 64;

export interface CrossEntropy {
  /** []: sum over tokens of share * loss. */
  readonly loss: Value;
  /** [tokens]: negative log-likelihood of each target, in nats, whatever its share. */
  readonly tokenLosses: Value;
}

/**
 * @param hidden [tokens, width]; head [vocabulary, width]
 * @param targets int32 [tokens], each in the vocabulary, also where the share is 0
 * @param shares [tokens, 1]: what part of the loss each token is, i.e. its weight over the sum of all weights
 * @param chunk tokens at a time; by default what keeps a chunk's logits near 32 MiB
 *
 * With p = softmax(h W^T), t the targets and s the shares: dh = s (p W - W[t]) and dW = p^T (s h) less s h at the rows t.
 * So the vocabulary-wide matrix is only exponentiated, and what the one-hot targets take from it is a few rows.
 */
export function crossEntropy(
  tape: Tape,
  hidden: Value,
  head: Value,
  targets: Value,
  shares: Value,
  chunk?: number,
): CrossEntropy {
  const { graph } = tape;
  const [tokens] = sizesOf(hidden) as [number, number];
  const sizes = chunkSizes(tokens, chunk ?? Math.max(LEAST_CHUNK, Math.floor(CHUNK_BYTES / 4 / sizesOf(head)[0]!)));
  const parts = (x: Value): Value[] => (sizes.length === 1 ? [x] : split(graph, x, sizes, 0));
  const joined = (values: readonly Value[]): Value => (values.length === 1 ? values[0]! : concat(graph, values, 0));

  const hiddenParts = parts(hidden);
  const targetParts = parts(targets);
  const shareParts = parts(shares);
  const losses: Value[] = [];
  const dHidden: Value[] = [];
  let dHead: Value | null = null;
  let previous: Value | null = null; // what each chunk waits for
  for (const [i, part] of hiddenParts.entries()) {
    const ids = targetParts[i]!;
    const h: Value = previous === null ? part : tape.after(part, previous);
    const logits = product(tape, h, head, { transposeB: true });
    const probabilities = softmax(graph, logits);
    // log sum exp of the logits, from the largest: its probability is at least 1 / vocabulary, so its logarithm is exact.
    const normalizer = sub(graph, reduceMax(graph, logits), log(graph, reduceMax(graph, probabilities)));
    const ofTarget = gatherInRows(graph, logits, reshape(graph, ids, [-1, 1], [sizes[i]!, 1]));
    const loss = sub(graph, normalizer, ofTarget);
    losses.push(loss);
    const share = tape.after(shareParts[i]!, loss); // else the logits would be kept for it
    previous = loss;
    if (tape.wants(hidden)) {
      const ofHead = sub(graph, product(tape, probabilities, head), gather(graph, head, ids));
      dHidden.push((previous = mul(graph, share, ofHead)));
    }
    if (tape.wants(head)) {
      dHead = plusProduct(tape, dHead, probabilities, mul(graph, share, h), { transposeA: true });
      previous = dHead;
    }
  }
  if (dHidden.length > 0) tape.seed(hidden, joined(dHidden));
  if (dHead !== null) {
    tape.seed(head, addRows(tape, dHead, targets, mul(graph, negate(graph, shares), hidden)));
  }
  const tokenLosses = joined(losses);
  return {
    loss: reduceSum(graph, mul(graph, tokenLosses, shares), [0, 1], { keep: false }),
    tokenLosses: reshape(graph, tokenLosses, [-1], [tokens]),
  };
}

/** As equal as they can be, none above `most`. */
function chunkSizes(tokens: number, most: number): number[] {
  const count = Math.ceil(tokens / most);
  return Array.from(
    { length: count },
    (_, i) => Math.floor(((i + 1) * tokens) / count) - Math.floor((i * tokens) / count),
  );
}
