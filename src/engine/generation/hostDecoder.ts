/**
 * The decoder with its cache in host memory: the fastest form on the CPU, where the cache is only read by the graph
 * and the new rows are written by us. Knows nothing of sampling, text or stop rules.
 */
import * as ort from 'onnxruntime-node';
import { UserError } from '../../errors.ts';
import { buildDecoder, DECODER } from '../graphs/decoder.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import { createSession } from '../runtime/session.ts';
import type { Decoder, DecoderOptions } from './decoder.ts';
import { HostCache, keysValuesFeeds, type HostPrefix } from './hostCache.ts';
import { headRows, headTables } from './rope.ts';
import { scoring } from './teacherForcing.ts';

/** Tokens a run of prefill or teacher forcing. More are no faster on the CPU and take more memory (docs/log.md). */
const CHUNK = 256;
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
    const batch = tokens.length;
    const longest = Math.max(...lengths);
    this.cache.reserve(longest + 1, longest);
    const capacity = this.cache.capacity;
    const mask = new Float32Array(batch * (capacity + 1));
    for (let place = 0; place < batch; place++) {
      const start = place * (capacity + 1);
      mask.fill(MASKED, start + lengths[place]!, start + capacity);
    }
    const output = await this.#session.run({
      ...this.#feeds(tokens, lengths, [batch, 1], mask, capacity),
      [DECODER.rows]: int64(
        Array.from({ length: batch }, (_, i) => i),
        [batch],
      ),
      ...this.cache.feeds(batch),
    });
    this.cache.append(output[DECODER.newKeysValues]!.data as Float32Array, lengths);
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
    if (tokens.length > this.contextLength) {
      throw new UserError(
        `The prompt has ${tokens.length} tokens, the model's context only ${this.contextLength}. Shorten the prompt, or choose a model with a longer context.`,
      );
    }
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
