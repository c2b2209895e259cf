/**
 * The output head and its cross-entropy, in chunks of tokens: one [chunk, vocabulary] matrix is alive at a time, never a
 * [tokens, vocabulary] one. Loss and gradient are computed in one pass, chunk by chunk, as the loss is where the backward
 * pass begins (as in Liger Kernel, Hsu et al., arXiv 2410.10989).
 */
import type { Value } from '../../onnx/graph.ts';
import {
  add,
  concat,
  div,
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

/** Sets of tokens that are targets beside the tokens: -log of the probability that the next token is any of the set. */
export interface TargetSets {
  /** float [sets, vocabulary]: 1 for a token of the set, else 0. */
  readonly masks: Value;
  /** int32 [tokens]: the set of each position; one with a token in it also where its share is 0. */
  readonly ids: Value;
}

/** Losses of a chunk of tokens, [chunk, 1], in nats; or what part of the whole loss each of them is. */
export interface ChunkLosses {
  readonly tokens: Value;
  /** Null without `TargetSets`. */
  readonly sets: Value | null;
}

/**
 * What part of the loss each token of a chunk is. It may depend on the losses, of which no gradient is taken on this way.
 * @param chunk that chunk's rows of a [tokens, …] value
 */
export type ShareRule = (chunk: (x: Value) => Value, losses: ChunkLosses) => ChunkLosses;

export interface CrossEntropy {
  /** []: sum over tokens of share * loss. */
  readonly loss: Value;
  /** [tokens]: negative log-likelihood of each target, in nats, whatever its share. */
  readonly tokenLosses: Value;
  /** [tokens]: the same of each set; null without `TargetSets`. */
  readonly setLosses: Value | null;
}

/** Keeps the logarithm of a set finite whose tokens are all impossible in float32. */
const LEAST_MASS = 1e-30;

/**
 * @param hidden [tokens, width]; head [vocabulary, width]
 * @param targets int32 [tokens], each in the vocabulary, also where the share is 0
 * @param shareOf see there
 * @param chunk tokens at a time; by default what keeps a chunk's logits near 32 MiB
 *
 * With p = softmax(h W^T), t the targets and s the shares: dh = s (p W - W[t]) and dW = p^T (s h) less s h at the rows t.
 * So the vocabulary-wide matrix is only exponentiated, and what the one-hot targets take from it is a few rows. With sets
 * M, shares u and masses m = sum of p in M it is C = p (s + u - u M / m) in place of s p.
 */
export function crossEntropy(
  tape: Tape,
  hidden: Value,
  head: Value,
  targets: Value,
  shareOf: ShareRule,
  { chunk, sets = null }: { readonly chunk?: number | undefined; readonly sets?: TargetSets | null } = {},
): CrossEntropy {
  const { graph } = tape;
  const [tokens] = sizesOf(hidden) as [number, number];
  const sizes = chunkSizes(tokens, chunk ?? Math.max(LEAST_CHUNK, Math.floor(CHUNK_BYTES / 4 / sizesOf(head)[0]!)));
  const parts = new Map<Value, Value[]>();
  const partsOf = (x: Value): Value[] => {
    const known = parts.get(x) ?? (sizes.length === 1 ? [x] : split(graph, x, sizes, 0));
    parts.set(x, known);
    return known;
  };
  const joined = (values: readonly Value[]): Value => (values.length === 1 ? values[0]! : concat(graph, values, 0));

  const losses: Value[] = [];
  const setLosses: Value[] = [];
  const tokenShares: Value[] = [];
  const setShares: Value[] = [];
  const dHidden: Value[] = [];
  let dHead: Value | null = null;
  let previous: Value | null = null; // what each chunk waits for
  for (const [i, part] of partsOf(hidden).entries()) {
    const ids = partsOf(targets)[i]!;
    const h: Value = previous === null ? part : tape.after(part, previous);
    const logits = product(tape, h, head, { transposeB: true });
    const probabilities = softmax(graph, logits);
    // log sum exp of the logits, from the largest: its probability is at least 1 / vocabulary, so its logarithm is exact.
    const normalizer = sub(graph, reduceMax(graph, logits), log(graph, reduceMax(graph, probabilities)));
    const ofTarget = gatherInRows(graph, logits, reshape(graph, ids, [-1, 1], [sizes[i]!, 1]));
    const loss = sub(graph, normalizer, ofTarget);
    losses.push(loss);
    const inSet = sets && mul(graph, probabilities, gather(graph, sets.masks, partsOf(sets.ids)[i]!));
    const mass =
      inSet && add(graph, reduceSum(graph, inSet, [1], { keep: true }), graph.constant('float32', LEAST_MASS));
    const setLoss = mass && negate(graph, log(graph, mass));
    if (setLoss !== null) setLosses.push(setLoss);

    const shares = shareOf((x) => partsOf(x)[i]!, { tokens: loss, sets: setLoss });
    const share = tape.after(shares.tokens, loss); // else the logits would be kept for it
    tokenShares.push(share);
    if (shares.sets !== null) setShares.push(shares.sets);
    previous = loss;
    /** The gradient by the logits without the targets' rows: what is weighted already, and what still waits for `share`. */
    const weighted =
      inSet &&
      sub(
        graph,
        mul(graph, probabilities, add(graph, share, shares.sets!)),
        mul(graph, inSet, div(graph, shares.sets!, mass!)),
      );
    if (tape.wants(hidden)) {
      const ofTargets = gather(graph, head, ids);
      previous =
        weighted === null
          ? mul(graph, share, sub(graph, product(tape, probabilities, head), ofTargets))
          : sub(graph, product(tape, weighted, head), mul(graph, share, ofTargets));
      dHidden.push(previous);
    }
    if (tape.wants(head)) {
      dHead =
        weighted === null
          ? plusProduct(tape, dHead, probabilities, mul(graph, share, h), { transposeA: true })
          : plusProduct(tape, dHead, weighted, h, { transposeA: true });
      previous = dHead;
    }
  }
  const shares = joined(tokenShares);
  if (dHidden.length > 0) tape.seed(hidden, joined(dHidden));
  if (dHead !== null) {
    tape.seed(head, addRows(tape, dHead, targets, mul(graph, negate(graph, shares), hidden)));
  }
  const tokenLosses = joined(losses);
  const total = (of: Value, by: Value): Value => reduceSum(graph, mul(graph, of, by), [0, 1], { keep: false });
  const flat = (of: Value): Value => reshape(graph, of, [-1], [tokens]);
  const loss = total(tokenLosses, shares);
  if (sets === null) return { loss, tokenLosses: flat(tokenLosses), setLosses: null };
  return {
    loss: add(graph, loss, total(joined(setLosses), joined(setShares))),
    tokenLosses: flat(tokenLosses),
    setLosses: flat(joined(setLosses)),
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
