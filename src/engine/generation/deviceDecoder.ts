/**
 * The decoder with its cache on the device, for WebGPU: keys and values are written in place by GroupQueryAttention and
 * never come to the host; a step uploads token ids and downloads logits. Knows nothing of sampling, text or stop rules.
 *
 * What onnxruntime-node 1.30 allows, measured:
 * - A `gpu-buffer` tensor given as feed and as fetch of one run is updated in place, if the session was made without
 *   `preferredOutputLocation`; with it, fetches that the caller allocates are ignored.
 * - `Tensor.fromGpuBuffer` over the same buffer with other dimensions is a view of its beginning.
 * - `getData()` of such a tensor aborts the process.
 */
import * as ort from 'onnxruntime-node';
import { UserError } from '../../errors.ts';
import { buildDeviceDecoder, DECODER } from '../graphs/decoder.ts';
import { Graph } from '../onnx/graph.ts';
import { expand, gather, scatterRows } from '../onnx/operators.ts';
import type { ModelConfig, TensorSource } from '../model.ts';
import { createSession } from '../runtime/session.ts';
import { checkLength, type Decoder, type DecoderCache, type DecoderOptions, type Prefix } from './decoder.ts';
import { rotaryTables } from './rope.ts';
import { scoring } from './teacherForcing.ts';
import { checkPrompt, logitDifference, TOLERANCE } from './selfCheck.ts';

/** Tokens a run of prefill or teacher forcing. */
const CHUNK = 256;
/**
 * The same where an adapter computes long runs wrongly. From 32 tokens on GroupQueryAttention takes another kernel, and
 * 1.30's gives wrong values on some adapters (subgroups of fewer than 8 lanes, as SwiftShader's 4; earlier releases on
 * NVIDIA's, https://github.com/microsoft/onnxruntime/pull/28520). So each adapter is asked, with the model at hand.
 */
const SHORT_CHUNK = 31;
/** The cache grows by this many positions. */
const GROWTH = 64;

const OPTIONS: ort.InferenceSession.SessionOptions = {
  executionProviders: ['webgpu'],
  graphOptimizationLevel: 'all',
  // Shape arithmetic stays on the CPU on purpose; the runtime warns of it at each session.
  logSeverityLevel: 3,
};

/** Keys and values of a prompt on the device. */
interface DevicePrefix extends Prefix {
  /** Layer 0's keys [1, kvHeads, length, headSize], its values, layer 1's keys … */
  readonly tensors: readonly ort.Tensor[];
  release(): void;
}

export class DeviceDecoder implements Decoder {
  readonly config: ModelConfig;
  readonly contextLength: number;
  readonly places: number;
  readonly weightBytes: number;
  readonly cache: DeviceCache;
  readonly #session: ort.InferenceSession;
  readonly #memory: DeviceMemory;
  #chunk = CHUNK;

  private constructor(
    config: ModelConfig,
    options: DecoderOptions,
    { session, weightBytes }: { session: ort.InferenceSession; weightBytes: number },
    memory: DeviceMemory,
  ) {
    this.config = config;
    this.contextLength = options.contextLength;
    this.places = options.places;
    this.weightBytes = weightBytes;
    this.#session = session;
    this.#memory = memory;
    this.cache = new DeviceCache(config, options.places, memory);
  }

  /**
   * @param options `threads` is not used; `blockSize`: weights in a block of 8-bit precision.
   * @throws UserError when the model's heads have a size the device has no kernel for; an Error of the runtime when there
   *   is no adapter, or too little memory on it.
   */
  static async create(
    config: ModelConfig,
    weights: TensorSource,
    options: DecoderOptions & { readonly blockSize?: number },
  ): Promise<DeviceDecoder> {
    if (config.headSize % 16 !== 0) {
      throw new UserError(
        `The model's attention heads have ${config.headSize} values; WebGPU computes multiples of 16 only. Choose another device.`,
      );
    }
    const contextLength = Math.min(options.contextLength, config.contextLength);
    const target = { precision: options.precision, blockSize: options.blockSize ?? 32, fusedMatMul: false };
    const tables = rotaryTables(config, contextLength);
    // The small sessions first: without an adapter they fail before any weight is read.
    const memory = await DeviceMemory.create(config, options.precision === 'fp16' ? 'float16' : 'float32');
    try {
      const built = await createSession(
        (external) => buildDeviceDecoder(config, weights, target, tables, external),
        OPTIONS,
      );
      const decoder = new DeviceDecoder(config, { ...options, contextLength }, built, memory);
      await decoder.#chooseChunk();
      return decoder;
    } catch (error) {
      await memory.close();
      throw error;
    }
  }

  async prefill(tokens: readonly number[], signal?: AbortSignal): Promise<DevicePrefix> {
    let logits: Float32Array = new Float32Array(0);
    const tensors = await this.#chunks(
      tokens,
      signal,
      (count, end) => (end === tokens.length ? [count - 1] : []),
      (rows) => {
        if (rows.length > 0) logits = rows;
      },
    );
    const release = (): void => {
      this.cache.after(() => {
        for (const tensor of tensors) tensor.dispose();
      });
    };
    return { length: tokens.length, logits, tensors, release };
  }

  async score(
    tokens: readonly number[],
    from: number,
    visit: (position: number, logits: Float32Array) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const { rowsOf, onLogits } = scoring(from, this.config.vocabularySize, visit);
    const tensors = await this.#chunks(tokens.slice(0, -1), signal, rowsOf, onLogits);
    for (const tensor of tensors) tensor.dispose();
  }

  async step(tokens: readonly number[], lengths: readonly number[]): Promise<Float32Array> {
    const longest = Math.max(...lengths) + 1;
    this.cache.reserve(longest, longest - 1);
    const keysValues = await this.cache.views(tokens.length);
    const rows = tokens.map((_, place) => place);
    return this.#run(tokens, [tokens.length, 1], lengths, longest, rows, keysValues);
  }

  /**
   * Token by token: GroupQueryAttention takes several new tokens of one sequence only. A place that has none left is fed one
   * that is written over by its next.
   */
  async extend(chunks: readonly (readonly number[])[], lengths: readonly number[]): Promise<Float32Array> {
    checkLength(Math.max(...chunks.map((chunk, place) => lengths[place]! + chunk.length)), this.contextLength);
    const vocabulary = this.config.vocabularySize;
    const ends = chunks.flatMap((chunk, place) => (chunk.length > 0 ? [place] : []));
    const logits = new Float32Array(ends.length * vocabulary);
    for (let i = 0; ends.some((place) => chunks[place]!.length > i); i++) {
      const rows = await this.step(
        chunks.map((chunk) => chunk[i] ?? 0),
        lengths.map((length, place) => Math.min(length + Math.min(i, chunks[place]!.length), this.contextLength - 1)),
      );
      ends.forEach((place, at) => {
        if (chunks[place]!.length !== i + 1) return;
        logits.set(rows.subarray(place * vocabulary, (place + 1) * vocabulary), at * vocabulary);
      });
    }
    return logits;
  }

  async close(): Promise<void> {
    await this.cache.close();
    await this.#session.release();
    await this.#memory.close();
  }

  async #chunks(
    tokens: readonly number[],
    signal: AbortSignal | undefined,
    rowsOf: (count: number, end: number) => number[],
    onLogits: (rows: Float32Array) => void,
  ): Promise<readonly ort.Tensor[]> {
    checkLength(tokens.length, this.contextLength);
    const tensors = await this.#memory.allocate(1, Math.max(tokens.length, 1));
    try {
      for (let start = 0; start < tokens.length; start += this.#chunk) {
        signal?.throwIfAborted();
        const end = Math.min(start + this.#chunk, tokens.length);
        const rows = rowsOf(end - start, end);
        onLogits(await this.#run(tokens.slice(start, end), [1, end - start], [end - 1], end, rows, tensors));
      }
    } catch (error) {
      for (const tensor of tensors) tensor.dispose();
      throw error;
    }
    return tensors;
  }

  /** Long runs of prefill, unless they disagree with short ones. */
  async #chooseChunk(): Promise<void> {
    const tokens = checkPrompt(this);
    const long = await this.prefill(tokens);
    this.#chunk = SHORT_CHUNK;
    const short = await this.prefill(tokens);
    if (logitDifference(short.logits, long.logits) <= TOLERANCE.int8) this.#chunk = CHUNK;
    long.release();
    short.release();
  }

  /** One run, the keys and values updated in place. Logits [rows, vocabulary]. */
  async #run(
    tokens: readonly number[],
    shape: readonly [number, number],
    lastPositions: readonly number[],
    longest: number,
    rows: readonly number[],
    keysValues: readonly ort.Tensor[],
  ): Promise<Float32Array> {
    const feeds: Record<string, ort.Tensor> = {
      [DECODER.ids]: int64(tokens, shape),
      [DECODER.lastPositions]: new ort.Tensor('int32', Int32Array.from(lastPositions), [lastPositions.length]),
      [DECODER.longest]: new ort.Tensor('int32', Int32Array.of(longest), [1]),
      [DECODER.rows]: int64(rows, [rows.length]),
    };
    const fetches: Record<string, ort.Tensor | null> = { [DECODER.logits]: null };
    keysValues.forEach((tensor, i) => {
      const [input, output] = i % 2 === 0 ? (['keys', 'updatedKeys'] as const) : (['values', 'updatedValues'] as const);
      feeds[DECODER[input](i >> 1)] = tensor;
      fetches[DECODER[output](i >> 1)] = tensor;
    });
    const output = await this.#session.run(feeds, fetches);
    return output[DECODER.logits]!.data as Float32Array;
  }
}

/**
 * The cache of a batch on the device. Its methods only queue the work, which is done in order before the next step;
 * an error of that work comes out of that step.
 */
export class DeviceCache implements DecoderCache {
  readonly #places: number;
  readonly #heads: number;
  readonly #memory: DeviceMemory;
  #work: Promise<void> = Promise.resolve();
  /** Positions a place will have room for when the queued work is done. */
  #capacity = 0;
  /** As `DevicePrefix.tensors`, for all places. */
  #tensors: readonly ort.Tensor[] = [];
  #views: readonly ort.Tensor[] = [];

  constructor(config: ModelConfig, places: number, memory: DeviceMemory) {
    this.#places = places;
    this.#heads = config.kvHeadCount;
    this.#memory = memory;
  }

  get capacity(): number {
    return this.#capacity;
  }

  reserve(length: number, used: number): void {
    const old = this.#capacity;
    const wanted = Math.ceil(length / GROWTH) * GROWTH;
    if (wanted === old || (wanted < old && wanted * 2 > old)) return;
    this.#capacity = wanted;
    this.after(async () => {
      const before = this.#tensors;
      const tensors = await this.#memory.allocate(this.#places, wanted);
      const kept = Math.min(used, wanted, old);
      if (kept > 0) {
        const from = this.#rows(0, this.#places, old, kept);
        await this.#memory.copy(before, from, tensors, this.#rows(0, this.#places, wanted, kept));
      }
      this.#tensors = tensors;
      this.#views = [];
      for (const tensor of before) tensor.dispose();
    });
  }

  load(place: number, prefix: DevicePrefix): void {
    const capacity = this.#capacity;
    this.after(() =>
      this.#memory.copy(
        prefix.tensors,
        this.#rows(0, 1, prefix.length, prefix.length),
        this.#tensors,
        this.#rows(place, 1, capacity, prefix.length),
      ),
    );
  }

  move(from: number, to: number, length: number): void {
    const capacity = this.#capacity;
    this.after(() =>
      this.#memory.copy(
        this.#tensors,
        this.#rows(from, 1, capacity, length),
        this.#tensors,
        this.#rows(to, 1, capacity, length),
      ),
    );
  }

  /** Queues work on the device. */
  after(work: () => Promise<void> | void): void {
    this.#work = this.#work.then(work);
    this.#work.catch(() => undefined); // thrown by `views`
  }

  /** The tensors of the first `places` places, once all queued work is done. */
  async views(places: number): Promise<readonly ort.Tensor[]> {
    await this.#work;
    if (this.#views[0]?.dims[0] !== places) {
      this.#views = this.#tensors.map((tensor) => view(tensor, [places, ...tensor.dims.slice(1)]));
    }
    return this.#views;
  }

  async close(): Promise<void> {
    await this.#work.catch(() => undefined);
    for (const tensor of this.#tensors) tensor.dispose();
    this.#tensors = [];
  }

  /** Indices of the first `length` positions of `count` places from `place` on, as rows of [places * kvHeads * capacity, headSize]. */
  #rows(place: number, count: number, capacity: number, length: number): BigInt64Array {
    const rows = new BigInt64Array(count * this.#heads * length);
    let i = 0;
    for (let head = place * this.#heads; head < (place + count) * this.#heads; head++) {
      for (let position = 0; position < length; position++) rows[i++] = BigInt(head * capacity + position);
    }
    return rows;
  }
}

/** Allocates keys and values on the device and copies rows between them, by two small graphs. */
class DeviceMemory {
  readonly #config: ModelConfig;
  readonly #blank: ort.InferenceSession;
  readonly #copy: ort.InferenceSession;

  private constructor(config: ModelConfig, blank: ort.InferenceSession, copy: ort.InferenceSession) {
    this.#config = config;
    this.#blank = blank;
    this.#copy = copy;
  }

  static async create(config: ModelConfig, type: 'float32' | 'float16'): Promise<DeviceMemory> {
    const blank = new Graph();
    const zero = blank.initializer('zero', type, [1], new Uint8Array(type === 'float32' ? 4 : 2));
    const shape = blank.input('shape', 'int64', [4]);
    blank.output('tensor', expand(blank, zero, shape, ['B', 'H', 'T', 'D']));

    const copy = new Graph();
    const source = copy.input('source', type, ['M', config.headSize]);
    const target = copy.input('target', type, ['N', config.headSize]);
    const from = copy.input('from', 'int64', ['R']);
    const to = copy.input('to', 'int64', ['R', 1]);
    copy.output('updated', scatterRows(copy, target, to, gather(copy, source, from)));

    const onDevice = { ...OPTIONS, preferredOutputLocation: 'gpu-buffer' as const };
    const blankSession = await ort.InferenceSession.create(blank.serialize(), onDevice);
    const copySession = await ort.InferenceSession.create(copy.serialize(), OPTIONS);
    return new DeviceMemory(config, blankSession, copySession);
  }

  /** Zeros for every layer: keys [places, kvHeads, capacity, headSize], values, the next layer's keys … */
  async allocate(places: number, capacity: number): Promise<ort.Tensor[]> {
    const { layerCount, kvHeadCount, headSize } = this.#config;
    const shape = int64([places, kvHeadCount, capacity, headSize], [4]);
    const tensors: ort.Tensor[] = [];
    for (let i = 0; i < 2 * layerCount; i++) tensors.push((await this.#blank.run({ shape }))['tensor']!);
    return tensors;
  }

  /** Copies rows of headSize values, in every tensor the same ones. Source and target may be the same tensors. */
  async copy(
    sources: readonly ort.Tensor[],
    from: BigInt64Array,
    targets: readonly ort.Tensor[],
    to: BigInt64Array,
  ): Promise<void> {
    const indices = {
      from: new ort.Tensor('int64', from, [from.length]),
      to: new ort.Tensor('int64', to, [to.length, 1]),
    };
    for (const [i, tensor] of sources.entries()) {
      const target = this.#flat(targets[i]!);
      await this.#copy.run({ source: this.#flat(tensor), target, ...indices }, { updated: target });
    }
  }

  async close(): Promise<void> {
    await this.#blank.release();
    await this.#copy.release();
  }

  #flat(tensor: ort.Tensor): ort.Tensor {
    const { headSize } = this.#config;
    return view(tensor, [tensor.size / headSize, headSize]);
  }
}

/** The beginning of a tensor's buffer with other dimensions. */
function view(tensor: ort.Tensor, dims: readonly number[]): ort.Tensor {
  return ort.Tensor.fromGpuBuffer(tensor.gpuBuffer, { dataType: tensor.type as 'float32' | 'float16', dims });
}

function int64(values: readonly number[], shape: readonly number[]): ort.Tensor {
  return new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);
}
