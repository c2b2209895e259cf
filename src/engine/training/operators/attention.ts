/**
 * Causal softmax attention with grouped queries inside the segments of packed rows, and its gradient.
 *
 * Queries are taken in blocks, and each block sees only the keys up to its end, which saves nearly half of the work of
 * whole [length, length] scores. The query heads that share a key head are rows of one product.
 */
import type { Value } from '../../onnx/graph.ts';
import {
  add,
  concat,
  logical,
  mul,
  reduceSum,
  repeat,
  reshape,
  slice,
  softmax,
  split,
  sub,
  where,
} from '../../onnx/operators.ts';
import { sizesOf, type Tape } from '../tape.ts';
import { product } from './product.ts';

/** Queries of a block: more blocks save more of the square, fewer make larger products. */
const BLOCK = 128;
/** Added to the scores of keys that a query must not see. Finite, so that no row gives NaN. */
const MASKED = -1e9;

/** Queries `from` up to `to`, which see keys 0 up to `to`. */
export interface AttentionBlock {
  readonly from: number;
  readonly to: number;
  /** [rows, 1, shared * (to - from), to]: 0 where a query sees a key, else MASKED; `shared` query heads one after another. */
  readonly mask: Value;
}

/**
 * The blocks of rows with segments: a token sees those before it, and itself, that have its segment number.
 * @param segments int32 [rows, length]
 * @param shared query heads to a key head
 */
export function attentionBlocks({ graph }: Tape, segments: Value, shared: number, block = BLOCK): AttentionBlock[] {
  const [rows, length] = sizesOf(segments) as [number, number];
  const order = Array.from({ length }, (_, i) => i);
  const blocks: AttentionBlock[] = [];
  for (let from = 0; from < length; from += block) {
    const to = Math.min(from + block, length);
    const shaped = (x: Value, ...shape: number[]): Value => reshape(graph, x, shape, shape);
    const queryOrder = shaped(graph.constant('int32', order.slice(from, to)), to - from, 1);
    const causal = logical(graph, 'GreaterOrEqual', queryOrder, graph.constant('int32', order.slice(0, to)));
    const querySegments = shaped(slice(graph, segments, 1, from, to), rows, 1, to - from, 1);
    const keySegments = shaped(slice(graph, segments, 1, 0, to), rows, 1, 1, to);
    const seen = logical(graph, 'And', logical(graph, 'Equal', querySegments, keySegments), causal);
    const mask = where(graph, seen, graph.constant('float32', 0), graph.constant('float32', MASKED));
    blocks.push({ from, to, mask: shared === 1 ? mask : repeat(graph, mask, shared, 2, shared * (to - from)) });
  }
  return blocks;
}

/**
 * softmax(q k^T / sqrt(headSize) + mask) v.
 * @param q [rows, heads, length, headSize]
 * @param k, v [rows, kvHeads, length, headSize]; kvHeads divides heads
 * @returns [rows, heads, length, headSize]
 *
 * With p the weights and o the output of a block: dv = p^T do, dp = do v^T, ds = p (dp - sum(do o)), dq = ds k, dk = ds^T q,
 * the last two over sqrt(headSize). The sum over headSize values instead of keys is that of FlashAttention
 * (Dao et al., arXiv 2205.14135, appendix B.2).
 */
export function attention(tape: Tape, q: Value, k: Value, v: Value, blocks: readonly AttentionBlock[]): Value {
  const { graph } = tape;
  const [rows, heads, length, headSize] = sizesOf(q) as [number, number, number, number];
  const kvHeads = sizesOf(k)[1]!;
  const shared = heads / kvHeads;
  const alpha = 1 / Math.sqrt(headSize);

  /** The queries of each block, [rows, kvHeads, shared * queries, headSize]. */
  const inBlocks = (x: Value): Value[] => {
    const grouped = [rows, kvHeads, shared, length, headSize];
    const parts = splitAt(tape, reshape(graph, x, grouped, grouped), blocks, 3);
    return parts.map((part, i) => {
      const shape = [rows, kvHeads, shared * (blocks[i]!.to - blocks[i]!.from), headSize];
      return reshape(graph, part, shape, shape);
    });
  };
  /** The other way. */
  const whole = (parts: readonly Value[]): Value => {
    const grouped = parts.map((part, i) => {
      const shape = [rows, kvHeads, shared, blocks[i]!.to - blocks[i]!.from, headSize];
      return reshape(graph, part, shape, shape);
    });
    return reshape(graph, grouped.length === 1 ? grouped[0]! : concat(graph, grouped, 3), [...sizesOf(q)], q.shape);
  };
  const upTo = (x: Value, to: number): Value => (to === length ? x : slice(graph, x, 2, 0, to));

  const queries = inBlocks(q);
  const forward = blocks.map(({ to, mask }, i) => {
    const keys = upTo(k, to);
    const values = upTo(v, to);
    const scores = product(tape, queries[i]!, keys, { transposeB: true, alpha });
    const weights = softmax(graph, add(graph, scores, mask));
    return { keys, values, weights, output: product(tape, weights, values) };
  });
  return tape.record(whole(forward.map(({ output }) => output)), [q, k, v], (dy, dq, dk, dv) => {
    const dOutputs = inBlocks(dy);
    const dQueries: Value[] = [];
    const dKeys: Value[] = [];
    const dValues: Value[] = [];
    forward.forEach(({ keys, values, weights, output }, i) => {
      const dOutput = dOutputs[i]!;
      if (dv.wanted) dValues.push(product(tape, weights, dOutput, { transposeA: true }));
      if (!dq.wanted && !dk.wanted) return;
      const dWeights = product(tape, dOutput, values, { transposeB: true });
      const offset = reduceSum(graph, mul(graph, dOutput, output), [-1], { keep: true });
      const dScores = mul(graph, weights, sub(graph, dWeights, offset));
      if (dq.wanted) dQueries.push(product(tape, dScores, keys, { alpha }));
      if (dk.wanted) dKeys.push(product(tape, dScores, queries[i]!, { transposeA: true, alpha }));
    });
    dq.add(() => whole(dQueries));
    dk.add(() => sumOfPrefixes(tape, dKeys, blocks));
    dv.add(() => sumOfPrefixes(tape, dValues, blocks));
  });
}

/** x along `axis`, cut where the blocks end. */
function splitAt({ graph }: Tape, x: Value, blocks: readonly AttentionBlock[], axis: number): Value[] {
  if (blocks.length === 1) return [x];
  return split(
    graph,
    x,
    blocks.map(({ from, to }) => to - from),
    axis,
  );
}

/** Sum of values that each cover positions 0 to a block's end: `prefixes[i]` [rows, kvHeads, blocks[i].to, headSize]. */
function sumOfPrefixes(tape: Tape, prefixes: readonly Value[], blocks: readonly AttentionBlock[]): Value {
  const sums: Value[] = [];
  prefixes.forEach((prefix, i) => {
    splitAt(tape, prefix, blocks.slice(0, i + 1), 2).forEach((part, j) => {
      const sum = sums[j];
      sums[j] = sum === undefined ? part : add(tape.graph, sum, part);
    });
  });
  return sums.length === 1 ? sums[0]! : concat(tape.graph, sums, 2);
}
