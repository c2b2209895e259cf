/**
 * The key-value cache of a batch, in host memory: for each layer keys and values of every place.
 * A place holds one sequence; places 0 to n - 1 are fed to the graph as one contiguous view.
 */
import * as ort from 'onnxruntime-node';
import type { ModelConfig } from '../model.ts';
import { DECODER } from '../graphs/decoder.ts';
import type { DecoderCache, Prefix } from './decoder.ts';

/** Capacity grows by this many positions: attention's cost follows capacity, copying follows growth. */
const GROWTH = 32;
/** Arrays are made larger than needed by this factor, so that most growth moves rows and touches no new memory. */
const SLACK = 1.5;

/** A prompt's keys and values in host memory. */
export interface HostPrefix extends Prefix {
  /** Layer 0's keys [kvHeads, length, headSize], its values, layer 1's keys … */
  readonly keysValues: readonly Float32Array[];
}

export class HostCache implements DecoderCache {
  readonly #heads: number;
  readonly #headSize: number;
  readonly #mostPlaces: number;
  /** Places that have room by now: as many as were loaded, since an unused one costs memory and time at every growth. */
  #places = 0;
  #capacity = 0;
  /** As `HostPrefix.keysValues`, with a leading dimension for the places and `capacity` positions; may be longer. */
  #arrays: Float32Array[];
  #views: Record<string, ort.Tensor> = {};
  #viewedFirst = 0;
  #viewedPlaces = -1;

  constructor(config: ModelConfig, places: number) {
    this.#heads = config.kvHeadCount;
    this.#headSize = config.headSize;
    this.#mostPlaces = places;
    this.#arrays = Array.from({ length: 2 * config.layerCount }, () => new Float32Array(0));
  }

  /** Positions a place has room for. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Bytes held. */
  get byteLength(): number {
    return this.#arrays.reduce((sum, array) => sum + array.byteLength, 0);
  }

  reserve(length: number, used: number): void {
    const wanted = Math.ceil(length / GROWTH) * GROWTH;
    if (wanted === this.#capacity || (wanted < this.#capacity && wanted * 2 > this.#capacity)) return;
    this.#layOut(this.#places, wanted, used);
  }

  /** Gives the arrays room for so many places and positions, keeping the first `used` positions. */
  #layOut(places: number, capacity: number, used: number): void {
    const size = this.#headSize;
    const length = places * this.#heads * capacity * size;
    const rows = Array.from({ length: this.#places * this.#heads }, (_, row) => row);
    if (capacity > this.#capacity) rows.reverse(); // each row moves away from those that are still to be moved
    const kept = Math.min(used, capacity, this.#capacity) * size;
    this.#arrays = this.#arrays.map((old) => {
      const fits = length <= old.length && length * SLACK ** 2 > old.length;
      const array = fits ? old : new Float32Array(Math.ceil(length * SLACK));
      for (const row of rows) {
        const from = row * this.#capacity * size;
        array.set(old.subarray(from, from + kept), row * capacity * size);
      }
      return array;
    });
    this.#places = places;
    this.#capacity = capacity;
    this.#viewedPlaces = -1;
  }

  load(place: number, prefix: HostPrefix): void {
    if (place >= this.#places) {
      const places = Math.min(Math.max(place + 1, 2 * this.#places), this.#mostPlaces);
      this.#layOut(places, this.#capacity, this.#capacity);
    }
    const count = prefix.length * this.#headSize;
    this.#arrays.forEach((array, i) => {
      const source = prefix.keysValues[i]!;
      for (let head = 0; head < this.#heads; head++) {
        array.set(source.subarray(head * count, (head + 1) * count), this.#offset(place, head));
      }
    });
  }

  move(from: number, to: number, length: number): void {
    const count = length * this.#headSize;
    for (const array of this.#arrays) {
      for (let head = 0; head < this.#heads; head++) {
        const start = this.#offset(from, head);
        array.copyWithin(this.#offset(to, head), start, start + count);
      }
    }
  }

  /**
   * Writes the keys and values of new tokens behind what the places from `first` on hold.
   * @param fresh the graph's [2 * layers * B, kvHeads, 1, count, headSize]
   * @param chunks the tokens of each place, `count` at most; what fills them up is left out
   * @param lengths positions of each place before it
   */
  append(
    first: number,
    fresh: Float32Array,
    chunks: readonly (readonly number[])[],
    lengths: readonly number[],
    count: number,
  ): void {
    const size = this.#headSize;
    let source = 0;
    for (const array of this.#arrays) {
      for (let place = 0; place < chunks.length; place++) {
        const used = chunks[place]!.length * size;
        for (let head = 0; head < this.#heads; head++) {
          const target = this.#offset(first + place, head) + lengths[place]! * size;
          for (let i = 0; i < used; i++) array[target + i] = fresh[source + i]!;
          source += count * size;
        }
      }
    }
  }

  /** The graph's inputs for `places` places from `first` on. */
  feeds(first: number, places: number): Record<string, ort.Tensor> {
    if (first !== this.#viewedFirst || places !== this.#viewedPlaces) {
      const shape = [places, this.#heads, 1, this.#capacity, this.#headSize];
      const count = shape.reduce((product, size) => product * size, 1);
      const start = this.#offset(first, 0);
      this.#views = keysValuesFeeds(
        this.#arrays.map((array) => array.subarray(start, start + count)),
        shape,
      );
      this.#viewedFirst = first;
      this.#viewedPlaces = places;
    }
    return this.#views;
  }

  #offset(place: number, head: number): number {
    return (place * this.#heads + head) * this.#capacity * this.#headSize;
  }
}

/** Names arrays in the order of `HostPrefix.keysValues` as the graph's cache inputs. */
export function keysValuesFeeds(arrays: readonly Float32Array[], shape: readonly number[]): Record<string, ort.Tensor> {
  return Object.fromEntries(
    arrays.map((array, i) => [
      i % 2 === 0 ? DECODER.keys(i >> 1) : DECODER.values(i >> 1),
      new ort.Tensor('float32', array, shape),
    ]),
  );
}
