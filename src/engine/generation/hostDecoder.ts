/**
 * The decoder with its cache in host memory: the fastest form on the CPU, where the cache is only read by the graph
 * and the new rows are written by us. Knows nothing of sampling, text or stop rules.
 */
import * as ort from 'onnxruntime-node';
import { buildDecoder, DECODER } from '../graphs/decoder.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import { createSession } from '../runtime/session.ts';
import { checkLength, type Decoder, type DecoderOptions } from './decoder.ts';
import { HostCache, keysValuesFeeds, type HostPrefix } from './hostCache.ts';
import { headRows, headTables } from './rope.ts';
import { scoring } from './teacherForcing.ts';

/** Tokens a run of prefill or teacher forcing. More are no faster on the CPU and take more memory (docs/log.md). */
const CHUNK = 256;
/** Chunks of different lengths share a run while it has at most so many times their tokens. */
const MOST_FILLED = 1.25;
/** Added to the scores of keys that a query must not see. Finite, so that a fully masked chunk gives no NaN. */
const MASKED = -1e9;

/**
 * Providers for which onnxruntime-node 1.30 keeps no tensor on the device between runs: the cache crosses the bus at every
 * step. Only the CPU was run; the others follow ONNX Runtime's documentation and are held to the CPU's logits
 * (`devices.ts`) before `auto` takes them.
 */
export type HostProvider = 'cpu' | 'cuda' | 'dml' | 'coreml';

export class HostDecoder implements Decoder {
  readonly config: ModelConfig;
  readonly contextLength: number;
  readonly places: number;
  readonly weightBytes: number;
  readonly cache: HostCache;
  readonly #session: ort.InferenceSession;
  /** The rotary tables, as the graph's inputs. */
  readonly #tables: Readonly<Record<string, ort.Tensor>>;

  private constructor(
    config: ModelConfig,
    options: DecoderOptions,
    { session, weightBytes }: { session: ort.InferenceSession; weightBytes: number },
  ) {
    this.config = config;
    this.contextLength = Math.min(options.contextLength, config.contextLength);
    this.places = options.places;
    this.weightBytes = weightBytes;
    this.cache = new HostCache(config, options.places);
    this.#session = session;
    const headCount = config.headCount + 2 * config.kvHeadCount;
    const { cos, sin } = headTables(config, this.contextLength, Math.min(CHUNK, this.contextLength) * headCount);
    const table = (values: Float32Array): ort.Tensor =>
      new ort.Tensor('float32', values, [(2 * values.length) / config.headSize, config.headSize / 2]);
    this.#tables = { [DECODER.cos]: table(cos), [DECODER.sin]: table(sin) };
  }

  /**
   * @param options `blockSize`: weights in a block of 8-bit precision; `provider`: where the graph runs, the CPU if not
   *   given. What a provider has no kernel for runs on the CPU.
   */
  static async create(
    config: ModelConfig,
    weights: TensorSource,
    options: DecoderOptions & { readonly blockSize?: number; readonly provider?: HostProvider },
  ): Promise<HostDecoder> {
    const provider = options.provider ?? 'cpu';
    const fusedMatMul = provider !== 'coreml';
    const target = { precision: options.precision, blockSize: options.blockSize ?? 32, fusedMatMul };
    const built = await createSession((external) => buildDecoder(config, weights, target, external), {
      executionProviders: provider === 'cpu' ? ['cpu'] : [{ name: provider }, 'cpu'],
      intraOpNumThreads: options.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      enableMemPattern: provider !== 'dml', // DirectML allows neither memory patterns nor parallel execution
      graphOptimizationLevel: 'all',
    });
    return new HostDecoder(config, options, built);
  }

  async prefill(tokens: readonly number[], signal?: AbortSignal): Promise<HostPrefix> {
    let logits: Float32Array = new Float32Array(0);
    const keysValues = await this.#chunks(
      tokens,
      signal,
      (count, end) => (end === tokens.length ? [count - 1] : []),
      (rows) => {
        if (rows.length > 0) logits = rows;
      },
    );
    return { length: tokens.length, keysValues, logits };
  }

  async score(
    tokens: readonly number[],
    from: number,
    visit: (position: number, logits: Float32Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const { rowsOf, onLogits } = scoring(from, this.config.vocabularySize, visit);
    await this.#chunks(tokens.slice(0, -1), signal, rowsOf, onLogits);
  }

  async step(tokens: readonly number[], lengths: readonly number[]): Promise<Float32Array> {
    const longest = Math.max(...lengths);
    this.cache.reserve(longest + 1, longest);
    return this.#append(
      0,
      tokens.map((token) => [token]),
      lengths,
      1,
    );
  }

  async extend(chunks: readonly (readonly number[])[], lengths: readonly number[]): Promise<Float32Array> {
    const longest = Math.max(...chunks.map((chunk, place) => lengths[place]! + chunk.length));
    checkLength(longest, this.contextLength);
    this.cache.reserve(longest, Math.max(...lengths));
    const vocabulary = this.config.vocabularySize;
    const ends = chunks.flatMap((chunk, place) => (chunk.length > 0 ? [place] : []));
    const logits = new Float32Array(ends.length * vocabulary);
    for (let start = 0; ends.some((place) => chunks[place]!.length > start); start += CHUNK) {
      const parts = chunks.map((chunk) => chunk.slice(start, start + CHUNK));
      const before = lengths.map((length, place) => Math.min(start, chunks[place]!.length) + length);
      for (const [first, end] of runsOf(parts.map(({ length }) => length))) {
        const part = parts.slice(first, end);
        // Two at least: attention of one query has a kernel of its own, whose last bits differ from those of several.
        const count = Math.max(2, ...part.map(({ length }) => length));
        const rows = await this.#append(first, part, before.slice(first, end), count);
        part.forEach((_, i) => {
          logits.set(rows.subarray(i * vocabulary, (i + 1) * vocabulary), ends.indexOf(first + i) * vocabulary);
        });
      }
    }
    return logits;
  }

  /**
   * Feeds each place from `first` on its tokens, `count` at most, and writes them into the cache, which has room for them.
   * Logits [places, vocabulary] after the last token of each.
   */
  async #append(
    first: number,
    chunks: readonly (readonly number[])[],
    lengths: readonly number[],
    count: number,
  ): Promise<Float32Array> {
    const batch = chunks.length;
    const { capacity } = this.cache;
    const width = capacity + count;
    const tokens: number[] = [];
    const positions: number[] = [];
    const mask = new Float32Array(batch * count * width);
    chunks.forEach((chunk, place) => {
      const length = lengths[place]!;
      for (let query = 0; query < count; query++) {
        const row = tokens.length * width;
        mask.fill(MASKED, row + length, row + capacity);
        mask.fill(MASKED, row + capacity + query + 1, row + width);
        tokens.push(chunk[query] ?? 0); // what fills a short chunk up is seen by none of its tokens
        positions.push(Math.min(length + query, this.contextLength - 1));
      }
    });
    const rows = chunks.map((chunk, place) => place * count + chunk.length - 1);
    const output = await this.#session.run({
      ...this.#feeds(tokens, positions, [batch, count], mask, capacity),
      [DECODER.rows]: int64(rows, [batch]),
      ...this.cache.feeds(first, batch),
    });
    this.cache.append(first, output[DECODER.newKeysValues]!.data as Float32Array, chunks, lengths, count);
    return output[DECODER.logits]!.data as Float32Array;
  }

  async close(): Promise<void> {
    await this.#session.release();
  }

  async #chunks(
    tokens: readonly number[],
    signal: AbortSignal | undefined,
    rowsOf: (count: number, end: number) => number[],
    onLogits: (rows: Float32Array) => void,
  ): Promise<Float32Array[]> {
    checkLength(tokens.length, this.contextLength);
    const { kvHeadCount: heads, headSize, layerCount } = this.config;
    let past: Float32Array[] = Array.from({ length: 2 * layerCount }, () => new Float32Array(0));
    for (let start = 0; start < tokens.length; start += CHUNK) {
      signal?.throwIfAborted();
      const end = Math.min(start + CHUNK, tokens.length);
      const count = end - start;
      const positions = Array.from({ length: count }, (_, i) => start + i);
      const mask = new Float32Array(count * end);
      for (let query = 0; query < count; query++) mask.fill(MASKED, query * end + start + query + 1, (query + 1) * end);
      const rows = rowsOf(count, end);
      const output = await this.#session.run({
        ...this.#feeds(tokens.slice(start, end), positions, [1, count], mask, start),
        [DECODER.rows]: int64(rows, [rows.length]),
        ...keysValuesFeeds(past, [1, heads, 1, start, headSize]),
      });
      onLogits(output[DECODER.logits]!.data as Float32Array);
      const fresh = output[DECODER.newKeysValues]!.data as Float32Array;
      past = past.map((old, i) => {
        const size = heads * count * headSize;
        return appendPositions(old, fresh.subarray(i * size, (i + 1) * size), heads);
      });
    }
    return past;
  }

  #feeds(
    tokens: readonly number[],
    positions: readonly number[],
    shape: readonly [number, number],
    mask: Float32Array,
    cached: number,
  ): Record<string, ort.Tensor> {
    const [batch, count] = shape;
    return {
      [DECODER.ids]: int64(tokens, shape),
      [DECODER.positions]: int64(
        positions.flatMap((position) => headRows(this.config, this.contextLength, position)),
        [batch, count * (this.config.headCount + 2 * this.config.kvHeadCount)],
      ),
      ...this.#tables,
      [DECODER.mask]: new ort.Tensor('float32', mask, [batch, 1, 1, count, cached + count]),
      [DECODER.lengths]: int64([cached, count], [2]),
    };
  }
}

/**
 * Neighbouring places that are fed in one run, as [first, end): each that has tokens, and together as long as the short ones
 * are not filled up with too much. A run's rows do not depend on each other, so this changes no result.
 */
function runsOf(counts: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  let sum = 0;
  let most = 0;
  counts.forEach((count, place) => {
    if (count === 0) return;
    const run = runs.at(-1);
    const longest = Math.max(most, count);
    if (run?.[1] === place && longest * (place + 1 - run[0]) <= MOST_FILLED * (sum + count)) run[1]++;
    else {
      runs.push([place, place + 1]);
      sum = 0;
      most = 0;
    }
    sum += count;
    most = Math.max(most, count);
  });
  return runs;
}

/** Joins [heads, T, size] and [heads, S, size] along the middle. */
function appendPositions(old: Float32Array, fresh: Float32Array, heads: number): Float32Array {
  const [oldCount, freshCount] = [old.length / heads, fresh.length / heads];
  const joined = new Float32Array(old.length + fresh.length);
  for (let head = 0; head < heads; head++) {
    const target = head * (oldCount + freshCount);
    joined.set(old.subarray(head * oldCount, (head + 1) * oldCount), target);
    joined.set(fresh.subarray(head * freshCount, (head + 1) * freshCount), target + oldCount);
  }
  return joined;
}

function int64(values: readonly number[], shape: readonly number[]): ort.Tensor {
  return new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);
}
