/**
 * The ONNX operators that the project's graphs are made of, each with its shape rule.
 * Standard operators follow https://onnx.ai/onnx/operators, the others ONNX Runtime's `docs/ContribOperators.md`.
 * A shape error is a defect of ours and is thrown while the graph is built, not when it runs.
 */
import type { Dimension, Graph, Shape, Value } from './graph.ts';

const MICROSOFT = 'com.microsoft';

export function add(graph: Graph, a: Value, b: Value): Value {
  return one(graph, 'Add', [a, b], broadcast(a.shape, b.shape));
}

export function mul(graph: Graph, a: Value, b: Value): Value {
  return one(graph, 'Mul', [a, b], broadcast(a.shape, b.shape));
}

export function sub(graph: Graph, a: Value, b: Value): Value {
  return one(graph, 'Sub', [a, b], broadcast(a.shape, b.shape));
}

export function div(graph: Graph, a: Value, b: Value): Value {
  return one(graph, 'Div', [a, b], broadcast(a.shape, b.shape));
}

export function negate(graph: Graph, x: Value): Value {
  return one(graph, 'Neg', [x], x.shape);
}

export function log(graph: Graph, x: Value): Value {
  return one(graph, 'Log', [x], x.shape);
}

export function exp(graph: Graph, x: Value): Value {
  return one(graph, 'Exp', [x], x.shape);
}

/** No value below `least` or above `most`. */
export function clamp(graph: Graph, x: Value, least: number, most: number): Value {
  return one(graph, 'Clip', [x, graph.constant('float32', least), graph.constant('float32', most)], x.shape);
}

export function sqrt(graph: Graph, x: Value): Value {
  return one(graph, 'Sqrt', [x], x.shape);
}

export function sigmoid(graph: Graph, x: Value): Value {
  return one(graph, 'Sigmoid', [x], x.shape);
}

/** Sums over `axes`, which stay as size 1 where `keep`. */
export function reduceSum(graph: Graph, x: Value, axes: readonly number[], { keep }: { keep: boolean }): Value {
  const reduced = new Set(axes.map((axis) => (axis < 0 ? x.shape.length + axis : axis)));
  const shape = keep
    ? x.shape.map((size, i) => (reduced.has(i) ? 1 : size))
    : x.shape.filter((_, i) => !reduced.has(i));
  return one(graph, 'ReduceSum', [x, graph.constant('int64', axes)], shape, { attributes: { keepdims: keep ? 1 : 0 } });
}

/** 1 / sqrt(mean(x^2) + epsilon) over the last axis, [..., 1]: what RMSNorm multiplies with. */
export function rmsScale(graph: Graph, x: Value, width: number, epsilon: number): Value {
  const shape = x.shape.with(-1, 1);
  const squares = one(graph, 'ReduceSumSquare', [x, graph.constant('int64', [-1])], shape, {
    attributes: { keepdims: 1 },
  });
  const mean = mul(graph, squares, graph.constant('float32', 1 / width));
  return one(graph, 'Reciprocal', [sqrt(graph, add(graph, mean, graph.constant('float32', epsilon)))], shape);
}

/** Over the last axis, which stays as size 1. */
export function reduceMax(graph: Graph, x: Value): Value {
  const inputs = [x, graph.constant('int64', [-1])];
  return one(graph, 'ReduceMax', inputs, x.shape.with(-1, 1), { attributes: { keepdims: 1 } });
}

/** Where `condition` (bool) holds a, else b. */
export function where(graph: Graph, condition: Value, a: Value, b: Value): Value {
  const shape = broadcast(condition.shape, broadcast(a.shape, b.shape));
  return graph.node('Where', [condition, a, b], [{ type: a.type, shape }])[0]!;
}

/** The comparisons and conjunctions of NumPy's rule, as bool. */
export function logical(graph: Graph, operator: 'Equal' | 'GreaterOrEqual' | 'And', a: Value, b: Value): Value {
  return graph.node(operator, [a, b], [{ type: 'bool', shape: broadcast(a.shape, b.shape) }])[0]!;
}

/** From each row of x [rows, n] the elements at `indices` [rows, k]: [rows, k]. */
export function gatherInRows(graph: Graph, x: Value, indices: Value): Value {
  return one(graph, 'GatherElements', [x, indices], indices.shape, { attributes: { axis: 1 } });
}

/** From `start` up to `end` along `axis`; `size` is the number of those. */
export function slice(graph: Graph, x: Value, axis: number, start: number, end: number): Value {
  const at = (index: number): Value => graph.constant('int64', [index]);
  return one(graph, 'Slice', [x, at(start), at(end), at(axis)], x.shape.with(axis, end - start));
}

/** Along the last axis. */
export function softmax(graph: Graph, x: Value): Value {
  return one(graph, 'Softmax', [x], x.shape);
}

/** x * sigmoid(x), as ONNX Runtime's QuickGelu with alpha 1. */
export function silu(graph: Graph, x: Value): Value {
  return one(graph, 'QuickGelu', [x], x.shape, { domain: MICROSOFT, attributes: { alpha: { float: 1 } } });
}

/** Rows of `table` [rows, …] at `indices` [i…]: [i…, …]. */
export function gather(graph: Graph, table: Value, indices: Value): Value {
  return one(graph, 'Gather', [table, indices], [...indices.shape, ...table.shape.slice(1)]);
}

/**
 * Rows of a block-quantised table. `data` uint8 [rows, width * bits / 8], `scales` [rows, width / blockSize]; zero point 2^(bits - 1).
 */
export function gatherBlockQuantized(
  graph: Graph,
  data: Value,
  scales: Value,
  indices: Value,
  { bits, blockSize, width }: { bits: number; blockSize: number; width: number },
): Value {
  return graph.node(
    'GatherBlockQuantized',
    [data, indices, scales],
    [{ type: scales.type, shape: [...indices.shape, width] }],
    { domain: MICROSOFT, attributes: { gather_axis: 0, quantize_axis: 1, block_size: blockSize, bits } },
  )[0]!;
}

/** In `target`, 0 keeps the input's dimension and -1 is what remains, as in ONNX; `shape` is the result's. */
export function reshape(graph: Graph, x: Value, target: readonly number[], shape: Shape): Value {
  return one(graph, 'Reshape', [x, graph.constant('int64', target)], shape);
}

export function transpose(graph: Graph, x: Value, permutation: readonly number[]): Value {
  const shape = permutation.map((axis) => x.shape[axis]!);
  return one(graph, 'Transpose', [x], shape, { attributes: { perm: permutation } });
}

export function concat(graph: Graph, values: readonly Value[], axis: number): Value {
  const first = values[0]!;
  const position = axis < 0 ? first.shape.length + axis : axis;
  const size = values.map((value) => value.shape[position]!).reduce(plus);
  return one(graph, 'Concat', values, first.shape.with(position, size), { attributes: { axis } });
}

/** x `times` times after one another along `axis`, whose size is then called `size`. */
export function repeat(graph: Graph, x: Value, times: number, axis: number, size: Dimension): Value {
  return one(graph, 'Concat', Array<Value>(times).fill(x), x.shape.with(axis, size), { attributes: { axis } });
}

/** Splits along `axis` into parts of these sizes. */
export function split(graph: Graph, x: Value, sizes: readonly number[], axis: number): Value[] {
  return splitBy(graph, x, graph.constant('int64', sizes), sizes, axis);
}

/** Splits along `axis`; `sizes` is an int64 vector known at run time, `dimensions` names its entries. */
export function splitBy(graph: Graph, x: Value, sizes: Value, dimensions: readonly Dimension[], axis: number): Value[] {
  const position = axis < 0 ? x.shape.length + axis : axis;
  return graph.node(
    'Split',
    [x, sizes],
    dimensions.map((size) => ({ type: x.type, shape: x.shape.with(position, size) })),
    { attributes: { axis } },
  );
}

/** alpha * a b, batched over leading dimensions; a transposed one has its last two swapped. Not on WebGPU (see `matMul`). */
export function fusedMatMul(
  graph: Graph,
  a: Value,
  b: Value,
  { transposeA = false, transposeB = false, alpha = 1 } = {},
): Value {
  return one(graph, 'FusedMatMul', [a, b], matMulShape(a, b, transposeA, transposeB), {
    domain: MICROSOFT,
    attributes: { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0, alpha: { float: alpha } },
  });
}

export function matMul(graph: Graph, a: Value, b: Value): Value {
  return one(graph, 'MatMul', [a, b], matMulShape(a, b));
}

/** alpha * a b + c of matrices, with c broadcast. */
export function gemm(
  graph: Graph,
  a: Value,
  b: Value,
  c: Value,
  { transposeA = false, transposeB = false, alpha = 1 } = {},
): Value {
  return one(graph, 'Gemm', [a, b, c], matMulShape(a, b, transposeA, transposeB), {
    attributes: { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0, alpha: { float: alpha } },
  });
}

/**
 * x times the transpose of a block-quantised [out, in] matrix. `data` uint8 [out, in / blockSize, blockSize * bits / 8],
 * `scales` [out * in / blockSize]; zero point 2^(bits - 1). x is quantised to int8 by the same blocks (accuracy level 4).
 */
export function matMulNBits(
  graph: Graph,
  x: Value,
  data: Value,
  scales: Value,
  shape: { readonly inputs: number; readonly outputs: number; readonly bits: number; readonly blockSize: number },
  accuracyLevel: 0 | 4,
): Value {
  return one(graph, 'MatMulNBits', [x, data, scales], [...x.shape.slice(0, -1), shape.outputs], {
    domain: MICROSOFT,
    attributes: {
      K: shape.inputs,
      N: shape.outputs,
      bits: shape.bits,
      block_size: shape.blockSize,
      accuracy_level: accuracyLevel,
    },
  });
}

/**
 * Each row of x [rows, width] as 8-bit integers times a scale of its own, the largest magnitude / 127.
 * @returns quantized uint8 [rows, width] with zero point 128, scale [rows, 1]
 */
export function quantizeRows(graph: Graph, x: Value): { quantized: Value; scale: Value } {
  const [rows] = x.shape as [number, number];
  const largest = reduceMax(graph, one(graph, 'Abs', [x], x.shape));
  const scale = mul(graph, largest, graph.constant('float32', 1 / 127));
  const zeroPoints = graph.constant('uint8', Array<number>(rows).fill(128));
  const inputs = [x, reshape(graph, scale, [-1], [rows]), zeroPoints];
  const attributes = { axis: 0 };
  return {
    quantized: graph.node('QuantizeLinear', inputs, [{ type: 'uint8', shape: x.shape }], { attributes })[0]!,
    scale,
  };
}

/** Each row of x [rows, width] as int8 times a scale of its own, the largest magnitude / 127. @returns scales [rows] */
export function quantizeSignedRows(graph: Graph, x: Value): { quantized: Value; scales: Value } {
  const [rows] = x.shape as [number, number];
  const largest = reduceMax(graph, one(graph, 'Abs', [x], x.shape));
  const scales = reshape(graph, mul(graph, largest, graph.constant('float32', 1 / 127)), [-1], [rows]);
  const zeroPoints = graph.constant('int8', Array<number>(rows).fill(0));
  const attributes = { axis: 0 };
  const inputs = [x, scales, zeroPoints];
  return {
    quantized: graph.node('QuantizeLinear', inputs, [{ type: 'int8', shape: x.shape }], { attributes })[0]!,
    scales,
  };
}

/**
 * x uint8 [rows, in] with zero point 128 times int8 [in, out], whose columns have `scales` [out]: float32 [rows, out]. The
 * kernels for unsigned times signed integers are the fast ones.
 */
export function matMulInteger(graph: Graph, x: Value, matrix: Value, scales: Value): Value {
  const inputs = [x, matrix, graph.constant('float32', 1), scales, graph.constant('uint8', 128)];
  const output = { type: 'float32', shape: matMulShape(x, matrix) } as const;
  return graph.node('MatMulIntegerToFloat', inputs, [output], { domain: MICROSOFT })[0]!;
}

/** RMSNorm over the last axis. */
export function rmsNorm(graph: Graph, x: Value, weight: Value, epsilon: number): Value {
  return one(graph, 'SimplifiedLayerNormalization', [x, weight], x.shape, {
    attributes: { axis: -1, epsilon: { float: epsilon } },
  });
}

/** The residual sum x + y and its RMSNorm, in one pass. */
export function addRmsNorm(
  graph: Graph,
  x: Value,
  y: Value,
  weight: Value,
  epsilon: number,
): { normed: Value; sum: Value } {
  const output = { type: x.type, shape: x.shape };
  const [normed, , , sum] = graph.node(
    'SkipSimplifiedLayerNormalization',
    [x, y, weight],
    [output, output, output, output],
    {
      domain: MICROSOFT,
      attributes: { epsilon: { float: epsilon } },
    },
  );
  return { normed: normed!, sum: sum! };
}

/** Rotary embedding of x [B, S, heads * headSize] or [B, heads, S, headSize], halves rotated; cos and sin are [positions, headSize / 2]. */
export function rotary(graph: Graph, x: Value, positions: Value, cos: Value, sin: Value, headCount: number): Value {
  return one(graph, 'RotaryEmbedding', [x, positions, cos, sin], x.shape, {
    domain: MICROSOFT,
    attributes: { num_heads: headCount, interleaved: 0 },
  });
}

/**
 * Causal grouped-query attention that keeps its own cache, rotary embedding included. qkv [B, S, (heads + 2 kvHeads) headSize];
 * `keys` and `values` [B, kvHeads, T, headSize], of which a sequence's first `lengths` + 1 - S positions are in use;
 * `lengths` int32 [B]: positions in use after this call, less one; `longest` int32 [1]: their maximum plus one, at most T.
 * The cache comes out with the new positions in it, in place where the caller binds one buffer to both sides.
 * S > 1 with positions in use needs B = 1.
 */
export function groupQueryAttention(
  graph: Graph,
  qkv: Value,
  cache: { readonly keys: Value; readonly values: Value; readonly lengths: Value; readonly longest: Value },
  { cos, sin }: { readonly cos: Value; readonly sin: Value },
  { headCount, kvHeadCount, headSize }: { headCount: number; kvHeadCount: number; headSize: number },
): { output: Value; keys: Value; values: Value } {
  const { type } = qkv;
  const [output, keys, values] = graph.node(
    'GroupQueryAttention',
    [qkv, null, null, cache.keys, cache.values, cache.lengths, cache.longest, cos, sin],
    [
      { type, shape: [...qkv.shape.slice(0, 2), headCount * headSize] },
      { type, shape: cache.keys.shape },
      { type, shape: cache.values.shape },
    ],
    { domain: MICROSOFT, attributes: { num_heads: headCount, kv_num_heads: kvHeadCount, do_rotary: 1 } },
  );
  return { output: output!, keys: keys!, values: values! };
}

/** `data` [rows, …] with the rows at `indices` [n, 1] replaced by `updates` [n, …]; in place where input and output share a buffer. */
export function scatterRows(graph: Graph, data: Value, indices: Value, updates: Value): Value {
  return one(graph, 'ScatterND', [data, indices, updates], data.shape);
}

/** `data` [rows, …] with `updates` [n, …] added to the rows at `indices` [n, 1] (int64), which may repeat. */
export function scatterAddRows(graph: Graph, data: Value, indices: Value, updates: Value): Value {
  return one(graph, 'ScatterND', [data, indices, updates], data.shape, { attributes: { reduction: 'add' } });
}

/** Zeros of a shape that is known now. */
export function zeros(graph: Graph, shape: readonly number[]): Value {
  return graph.node('ConstantOfShape', [graph.constant('int64', shape)], [{ type: 'float32', shape }])[0]!;
}

export function toInt64(graph: Graph, x: Value): Value {
  return graph.node('Cast', [x], [{ type: 'int64', shape: x.shape }], { attributes: { to: 7 } })[0]!;
}

/** `x` repeated to a shape [rank] known at run time only; `shape` names its dimensions. */
export function expand(graph: Graph, x: Value, target: Value, shape: Shape): Value {
  return one(graph, 'Expand', [x, target], shape);
}

export function toFloat32(graph: Graph, x: Value): Value {
  return x.type === 'float32'
    ? x
    : graph.node('Cast', [x], [{ type: 'float32', shape: x.shape }], { attributes: { to: 1 } })[0]!;
}

function one(
  graph: Graph,
  operator: string,
  inputs: readonly (Value | null)[],
  shape: Shape,
  options: Parameters<Graph['node']>[3] = {},
): Value {
  return graph.node(operator, inputs, [{ type: inputs[0]!.type, shape }], options)[0]!;
}

/** Sum of two sizes; of names, a new name. */
export function plus(a: Dimension, b: Dimension): Dimension {
  return typeof a === 'number' && typeof b === 'number' ? a + b : `${a}+${b}`;
}

/** NumPy's rule. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new Error(`Shapes [${a.join()}] and [${b.join()}] do not broadcast.`);
    return x === 1 ? y : x;
  });
}

function matMulShape(a: Value, b: Value, transposeA = false, transposeB = false): Shape {
  const [m, ka] = transposeA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const [kb, n] = transposeB ? [b.shape.at(-1)!, b.shape.at(-2)!] : [b.shape.at(-2)!, b.shape.at(-1)!];
  if (ka !== kb) throw new Error(`Matrices [${a.shape.join()}] and [${b.shape.join()}] do not multiply.`);
  return [...broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n];
}
