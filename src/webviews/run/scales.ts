/** Round numbers along an axis, and how quantities are written. Pure; knows nothing of what draws. */
import { duration } from '../duration.ts';

/** Round numbers from `low` to `high`, about `count` of them; on a logarithmic axis 1, 2 and 5 times powers of ten. */
export function ticks(low: number, high: number, count: number, log = false): number[] {
  if (!(high > low) || !Number.isFinite(high - low)) return Number.isFinite(low) ? [low] : [];
  if (log && low > 0 && high / low > 5) return logTicks(low, high, count);
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const found: number[] = [];
  // As many as there are: where numbers lie close, adding one to a count may change nothing.
  for (let i = 0; i <= Math.round((high - low) / step); i += 1) {
    const tick = Number(((first + i) * step).toPrecision(12));
    if (tick <= high + step * 1e-9) found.push(tick);
  }
  return found;
}

function logTicks(low: number, high: number, count: number): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const decades = last - first;
  const factors = decades > count ? [1] : [1, 2, 5];
  const every = Math.max(1, Math.ceil(decades / (2 * count)));
  const found: number[] = [];
  for (let power = first; power <= last; power += every) {
    for (const factor of factors) {
      const tick = Number(`${factor}e${power}`);
      if (tick >= low * 0.999 && tick <= high * 1.001) found.push(tick);
    }
  }
  return found;
}

/** A range that holds all of these with some room; null without any. */
export function rangeOf(values: Iterable<number | null>, log: boolean): [low: number, high: number] | null {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return null;
  if (log) {
    const room = high === low ? 1.5 : (high / low) ** 0.06;
    return [low / room, high * room];
  }
  const room = high === low ? Math.max(Math.abs(high) * 0.1, 1e-9) : 0.06 * (high - low);
  return [low - room, high + room];
}

/** Four digits, without zeros that say nothing. */
export function figure(value: number): string {
  if (Number.isNaN(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  return size < 1e-2 || size >= 1e7 ? shortExponent(value) : String(Number(value.toPrecision(size >= 1e4 ? 6 : 4)));
}

function shortExponent(value: number): string {
  const [mantissa, exponent] = value.toExponential(3).split('e');
  return `${Number(mantissa)}e${Number(exponent)}`;
}

/** `1.23 M`. */
export function amount(value: number): string {
  if (Number.isNaN(value)) return '–';
  if (value < 1e4) return String(Number(value.toPrecision(4)));
  const [divisor, unit] = value < 1e6 ? [1e3, 'k'] : value < 1e9 ? [1e6, 'M'] : [1e9, 'G'];
  return `${Number((value / divisor).toPrecision(3))} ${unit}`;
}

export function bytes(value: number): string {
  if (Number.isNaN(value)) return '–';
  return value >= 1e9 ? `${Number((value / 1e9).toPrecision(3))} GB` : `${Number((value / 1e6).toPrecision(3))} MB`;
}

export function share(value: number): string {
  return Number.isNaN(value) ? '–' : `${Number((100 * value).toFixed(1))} %`;
}

/** Of seconds. */
export function span(seconds: number): string {
  return seconds > 0 && seconds < 10 ? `${Number(seconds.toFixed(1))} s` : duration(1000 * seconds);
}
