/** Where a key goes in a reading. Pure; knows nothing of browsers. */
import { beginsUnit } from './figures.ts';
import { type Layout, lineAt } from './layout.ts';
import type { Granularity } from './messages.ts';

/** A line, and where the focus is finer, one of its tokens: places in the reading. */
export interface Focus {
  readonly line: number;
  readonly token: number | null;
}

export interface Key {
  readonly key: string;
  readonly altKey: boolean;
}

/** @returns null where the key goes nowhere. @param page lines of a screen */
export function moved(
  layout: Layout,
  focus: Focus | null,
  { key, altKey }: Key,
  granularity: Granularity,
  page: number,
): Focus | null {
  const { reading, segments, segmentOf } = layout;
  const last = reading.lines.length - 1;
  if (last < 0) return null;
  if (focus === null) {
    return ['ArrowDown', 'ArrowUp', 'ArrowLeft', 'ArrowRight', 'Home', 'PageDown', 'PageUp', ']'].includes(key)
      ? at(layout, 0, granularity)
      : key === 'End' || key === '['
        ? at(layout, last, granularity)
        : null;
  }
  const { line } = focus;
  const toUnit = (step: 1 | -1): Focus => {
    for (let next = line + step; next >= 0 && next <= last; next += step) {
      if (beginsUnit(layout, next, granularity)) return at(layout, next, granularity);
    }
    return focus;
  };
  const toBoundary = (step: 1 | -1): Focus => {
    const own = segmentOf[line]!;
    const isWithin = step < 0 && segments[own]!.from < line;
    const segment = segments[isWithin ? own : own + step];
    return segment === undefined ? focus : at(layout, segment.from, granularity);
  };
  if (altKey) return key === 'ArrowDown' ? toBoundary(1) : key === 'ArrowUp' ? toBoundary(-1) : null;
  switch (key) {
    case 'ArrowDown':
      return toUnit(1);
    case 'ArrowUp':
      return toUnit(-1);
    case 'ArrowRight':
    case 'ArrowLeft':
      return toToken(layout, focus, key === 'ArrowRight' ? 1 : -1);
    case ']':
      return toBoundary(1);
    case '[':
      return toBoundary(-1);
    case 'Home':
      return at(layout, 0, granularity);
    case 'End':
      return at(layout, last, granularity);
    case 'PageDown':
      return at(layout, Math.min(last, line + page), granularity);
    case 'PageUp':
      return at(layout, Math.max(0, line - page), granularity);
    default:
      return null;
  }
}

/** A line, with its first token where tokens are looked at. */
function at({ reading }: Layout, line: number, granularity: Granularity): Focus {
  const { firstToken, endToken } = reading.lines[line]!;
  return { line, token: granularity === 'token' && firstToken < endToken ? firstToken : null };
}

/** From a line to its first token, or the last of the line before; then from token to token. */
function toToken({ reading }: Layout, { line, token }: Focus, step: 1 | -1): Focus {
  const { firstToken } = reading.lines[line]!;
  const next = token === null ? (step > 0 ? firstToken : firstToken - 1) : token + step;
  if (reading.tokens[next] === undefined) return { line, token };
  return {
    line: lineOfToken(reading.lines, next, line) ?? lineAt(reading, reading.tokens[next].from) ?? line,
    token: next,
  };
}

/** The line that has the token, `near` or beside it. */
function lineOfToken(lines: Layout['reading']['lines'], token: number, near: number): number | null {
  for (const line of [near, near + 1, near - 1]) {
    const { firstToken, endToken } = lines[line] ?? { firstToken: 0, endToken: 0 };
    if (token >= firstToken && token < endToken) return line;
  }
  return null;
}

/** The same place of a reading of the same code by another model, whose tokens may be others. */
export function sameFocus(
  from: Layout,
  to: Layout,
  focus: Focus | null,
  tokenAt: (offset: number) => number | null,
): Focus | null {
  if (focus === null || from.reading.code !== to.reading.code) return null;
  if (to.reading.lines.length !== from.reading.lines.length) return null;
  const token = focus.token === null ? null : from.reading.tokens[focus.token]!.from;
  return { line: focus.line, token: token === null ? null : tokenAt(token) };
}
