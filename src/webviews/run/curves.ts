/**
 * The curves of a run in columns, and what of them is drawn: of a million points at most two for each column of pixels, the
 * least and the greatest there. Pure; knows nothing of browsers or of what draws.
 */
import {
  AXES,
  type Axis,
  type MetricsMessage,
  QUANTITIES,
  type Quantity,
  UPDATE_QUANTITIES,
  type UpdateQuantity,
  type UpdatesMessage,
} from './messages.ts';

const BLOCK = 32;

/** A quantity by row; NaN where it was not told. Knows the extremes of each block, so that those of many rows are found fast. */
export class Values {
  #count = 0;
  #data = new Float32Array(1024);
  #lows = new Float32Array(1024 / BLOCK);
  #highs = new Float32Array(1024 / BLOCK);
  #known = 0;
  /** What `extremes` found last. */
  low = Infinity;
  high = -Infinity;

  get count(): number {
    return this.#count;
  }

  /** Whether anything was told at all. */
  get some(): boolean {
    return this.#known > 0;
  }

  at(row: number): number {
    return row < this.#count ? this.#data[row]! : NaN;
  }

  /** Puts these values behind the first `from`; what was there is void. */
  put(from: number, values: Float32Array): void {
    const count = from + values.length;
    if (count > this.#data.length) {
      const length = Math.max(count, 2 * this.#data.length);
      this.#data = grown(this.#data, length);
      this.#lows = grown(this.#lows, Math.ceil(length / BLOCK));
      this.#highs = grown(this.#highs, Math.ceil(length / BLOCK));
    }
    for (let row = from; row < this.#count; row += 1) if (!Number.isNaN(this.#data[row]!)) this.#known -= 1;
    this.#data.set(values, from);
    for (let row = from; row < count; row += 1) if (!Number.isNaN(this.#data[row]!)) this.#known += 1;
    this.#count = count;
    for (let block = Math.floor(from / BLOCK); block * BLOCK < count; block += 1) {
      this.#scan(block * BLOCK, Math.min(count, (block + 1) * BLOCK), Infinity, -Infinity);
      this.#lows[block] = this.low;
      this.#highs[block] = this.high;
    }
  }

  /** Finds the least and the greatest of the rows from `from` to before `to`, into `low` and `high`; low > high: none was told. */
  extremes(from: number, to: number): void {
    const first = Math.ceil(from / BLOCK);
    const last = Math.floor(to / BLOCK);
    if (first >= last) {
      this.#scan(from, to, Infinity, -Infinity);
      return;
    }
    let low = Infinity;
    let high = -Infinity;
    for (let block = first; block < last; block += 1) {
      if (this.#lows[block]! < low) low = this.#lows[block]!;
      if (this.#highs[block]! > high) high = this.#highs[block]!;
    }
    this.#scan(from, first * BLOCK, low, high);
    this.#scan(last * BLOCK, to, this.low, this.high);
  }

  /** The next row from `row` on, in steps of 1 or -1, that was told; null: none. */
  next(row: number, step: 1 | -1): number | null {
    if (!this.some) return null;
    for (let at = row; at >= 0 && at < this.#count; at += step) if (!Number.isNaN(this.#data[at]!)) return at;
    return null;
  }

  #scan(from: number, to: number, low: number, high: number): void {
    const data = this.#data;
    for (let row = from; row < to; row += 1) {
      const value = data[row]!; // NaN is neither less nor greater
      if (value < low) low = value;
      if (value > high) high = value;
    }
    this.low = low;
    this.high = high;
  }
}

/** What rows of a run are drawn over, and what of them is drawn: the quantities that it tells, and what follows from them. */
interface CurvesKind<Place extends string, Told extends string, Extra extends string> {
  /** The first tells rows apart: it rises from row to row. */
  readonly axes: readonly Place[];
  readonly told: readonly Told[];
  /** Of a row's own quantities. */
  readonly derived: Readonly<Partial<Record<Extra, (at: (name: Told) => number) => number>>>;
  readonly smoothed: { readonly name: Extra; readonly of: Told | Extra };
}

type OfSteps = 'passAt1' | 'smoothed';
type OfUpdates = 'gain' | 'heldGain' | 'smoothed';
export type StepCurve = Quantity | OfSteps;
export type UpdateCurve = UpdateQuantity | OfUpdates;

/** Steps of the model. */
const STEPS: CurvesKind<Axis, Quantity, OfSteps> = {
  axes: AXES,
  told: QUANTITIES,
  derived: { passAt1: (at) => at('passed') / at('problems') },
  smoothed: { name: 'smoothed', of: 'loss' },
};

/** Updates of q. A gain is a return, penalties paid, over that of never thinking on the same snippets. */
const UPDATES: CurvesKind<'update', UpdateQuantity, OfUpdates> = {
  axes: ['update'],
  told: UPDATE_QUANTITIES,
  derived: {
    gain: (at) => at('returnWith') - at('returnNever'),
    heldGain: (at) => at('heldReturnWith') - at('heldReturnNever'),
  },
  smoothed: { name: 'smoothed', of: 'gain' },
};

/** Curves of one kind of one run. */
export class Curves<Place extends string, Told extends string, Extra extends string> {
  readonly #kind: CurvesKind<Place, Told, Extra>;
  #count = 0;
  readonly #places: Record<Place, Float64Array<ArrayBuffer>>;
  readonly #values: Readonly<Record<Told | Extra, Values>>;
  /** Of the first `rows`, and what the next one goes on from. */
  #smoothing = { weight: 0, rows: 0, sum: 0, total: 0 };

  constructor(kind: CurvesKind<Place, Told, Extra>) {
    const { axes, told, derived, smoothed } = kind;
    this.#kind = kind;
    this.#places = Object.fromEntries(axes.map((axis) => [axis, new Float64Array(1024)])) as Record<
      Place,
      Float64Array<ArrayBuffer>
    >;
    const names = [...told, ...Object.keys(derived), smoothed.name];
    this.#values = Object.fromEntries(names.map((name) => [name, new Values()])) as Record<Told | Extra, Values>;
  }

  get count(): number {
    return this.#count;
  }

  of(name: Told | Extra): Values {
    return this.#values[name];
  }

  /** Places of the rows on an axis. They rise. A view, void after the next `apply`. */
  places(axis: Place): Float64Array {
    return this.#places[axis].subarray(0, this.#count);
  }

  /** Takes rows over. A message that does not fit in itself or behind the others is passed over. @returns whether it was taken */
  apply({ from, places, values }: RowsMessage<Place, Told>): boolean {
    const { axes, told, derived } = this.#kind;
    const steps = places[axes[0]!];
    const { length } = steps;
    const columns = [...axes.map((axis) => places[axis]), ...told.map((name) => values[name])];
    if (from > this.#count || columns.some((column) => column.length !== length)) return false;
    for (let i = 0; i < length; i += 1) {
      const before = i > 0 ? steps[i - 1]! : from > 0 ? this.#places[axes[0]!][from - 1]! : -1;
      if (!(steps[i]! > before)) return false;
    }
    for (const axis of axes) {
      const { length: size } = this.#places[axis];
      if (from + length > size) this.#places[axis] = grown64(this.#places[axis], Math.max(from + length, 2 * size));
      this.#places[axis].set(places[axis], from);
    }
    this.#count = from + length;
    if (from < this.#smoothing.rows) this.#smoothing = { ...this.#smoothing, rows: 0, sum: 0, total: 0 };
    for (const name of told) this.#values[name].put(from, values[name]);
    for (const name of Object.keys(derived) as Extra[]) {
      const of = derived[name]!;
      this.#values[name].put(
        from,
        Float32Array.from({ length }, (_, i) => of((quantity) => values[quantity][i]!)),
      );
    }
    return true;
  }

  /**
   * Smooths what is new, or with another weight all of it: an exponential moving average in which the past weighs `weight`,
   * without the bias of its beginning.
   */
  smooth(weight = this.#smoothing.weight): void {
    if (weight !== this.#smoothing.weight) this.#smoothing = { weight, rows: 0, sum: 0, total: 0 };
    const { name, of } = this.#kind.smoothed;
    const raw = this.#values[of];
    const from = this.#smoothing.rows;
    let { sum, total } = this.#smoothing;
    const smoothed = new Float32Array(this.#count - from).fill(NaN);
    for (let row = from; row < this.#count; row += 1) {
      const value = raw.at(row);
      if (!Number.isFinite(value)) continue;
      sum = weight * sum + (1 - weight) * value;
      total = weight * total + (1 - weight);
      smoothed[row - from] = sum / total;
    }
    this.#smoothing = { weight, rows: this.#count, sum, total };
    this.#values[name].put(from, smoothed);
  }

  /** The row whose place is nearest; null where there are none. */
  nearest(axis: Place, place: number): number | null {
    return nearest(this.places(axis), place);
  }
}

interface RowsMessage<Place extends string, Told extends string> {
  readonly from: number;
  readonly places: Readonly<Record<Place, Float64Array>>;
  readonly values: Readonly<Record<Told, Float32Array>>;
}

/** The curves of a run: of its steps, and where it has an E-step of its updates. */
export class RunCurves {
  readonly steps = new Curves(STEPS);
  readonly updates = new Curves(UPDATES);

  /** @returns whether the message was taken */
  apply(message: MetricsMessage | UpdatesMessage): boolean {
    return message.type === 'metrics' ? this.steps.apply(message) : this.updates.apply(message);
  }

  smooth(weight: number): void {
    this.steps.smooth(weight);
    this.updates.smooth(weight);
  }
}

/** The row of rising places that is nearest; null where there are none. */
export function nearest(places: Float64Array, place: number): number | null {
  if (places.length === 0) return null;
  const at = Math.min(places.length - 1, lowerBound(places, place));
  return at > 0 && place - places[at - 1]! < places[at]! - place ? at - 1 : at;
}

/** The first place of a rising list, from `from` on, whose number is at least `wanted`; its length: none. */
export function lowerBound(rising: ArrayLike<number>, wanted: number, from = 0): number {
  let low = from;
  let high = rising.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (rising[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Where `decimated` has its points between `from` and `to`: both ends, and two in each column. */
export function gridOf(from: number, to: number, columns: number): number[] {
  const width = (to - from) / columns;
  const inner = Array.from({ length: 2 * columns }, (_, slot) => from + (slot / 2 + 0.25) * width);
  return [from, ...inner, to];
}

/**
 * What is drawn between `from` and `to`: for each point of `gridOf` a value or null. A column has the least and the greatest
 * value in it, in the order in which the curve goes. At both ends is where the curve enters and leaves.
 * @param onlyPositive for a logarithmic scale
 */
export function decimated(
  places: Float64Array,
  values: Values,
  from: number,
  to: number,
  columns: number,
  onlyPositive = false,
): (number | null)[] {
  const drawn = new Array<number | null>(2 * columns + 2).fill(null);
  if (!values.some || !(to > from)) return drawn;
  const kept = (value: number): number | null =>
    Number.isFinite(value) && (!onlyPositive || value > 0) ? value : null;
  const first = lowerBound(places, from);
  let row = first;
  for (let column = 0; column < columns && row < places.length; column += 1) {
    const isLast = column === columns - 1;
    const edge = isLast ? to : from + ((column + 1) * (to - from)) / columns;
    let end = lowerBound(places, edge, row);
    while (isLast && places[end] === to) end += 1; // the last column holds its right edge too
    if (end === row) continue;
    values.extremes(row, end);
    const { low, high } = values;
    if (low <= high) {
      const rises = values.at(end - 1) >= values.at(row);
      drawn[1 + 2 * column] = kept(rises ? low : high);
      if (low !== high) drawn[2 + 2 * column] = kept(rises ? high : low);
    }
    row = end;
  }
  drawn[0] = crossing(places, values, values.next(first - 1, -1), values.next(first, 1), from, kept);
  drawn[drawn.length - 1] = crossing(places, values, values.next(row - 1, -1), values.next(row, 1), to, kept);
  return drawn;
}

/** Value of the straight line between two rows at a place; null where there is none. */
function crossing(
  places: Float64Array,
  values: Values,
  before: number | null,
  after: number | null,
  place: number,
  kept: (value: number) => number | null,
): number | null {
  if (before === null || after === null) return null;
  const share = (place - places[before]!) / (places[after]! - places[before]!);
  return kept(values.at(before) + share * (values.at(after) - values.at(before)));
}

function grown(data: Float32Array<ArrayBuffer>, length: number): Float32Array<ArrayBuffer> {
  const larger = new Float32Array(length);
  larger.set(data);
  return larger;
}

function grown64(data: Float64Array<ArrayBuffer>, length: number): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(length);
  larger.set(data);
  return larger;
}
