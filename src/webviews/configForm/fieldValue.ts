/**
 * Between what a field shows and what the file says. Pure; knows nothing of the page.
 */
import type { Path, PlainField } from './messages.ts';

/** What is at `path`, or undefined. */
export function valueAt(values: unknown, path: Path): unknown {
  let at = values;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string | number, unknown>)[key];
  }
  return at;
}

/** As a text field shows it; '' where the default holds. */
export function shown(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What was typed: the parser says what is wrong with it. Empty takes the key away. */
export function typed(text: string, { kind }: Pick<PlainField, 'kind'>): unknown {
  const trimmed = text.trim();
  if (trimmed === '') return undefined;
  if (kind !== 'number') return trimmed;
  if (trimmed === 'null') return null;
  const number = Number(trimmed);
  return Number.isFinite(number) ? number : trimmed;
}

/** The value to be written: none where it is the default. */
export function written(value: unknown, { otherwise }: Pick<PlainField, 'otherwise'>): unknown {
  return isSame(value, otherwise) ? undefined : value;
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A path as one word, for ids and names. */
export function nameOf(path: Path): string {
  return path.join('.');
}
