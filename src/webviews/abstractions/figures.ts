/** What is said of a token, a line, a statement or a segment: its figures, their scales, and their words. Pure. */
import type { Layout } from './layout.ts';
import type { Granularity, LineReading, Reading } from './messages.ts';

/** Lines of the reading, from the first to before the last. */
export interface Unit {
  readonly from: number;
  readonly to: number;
}

export interface Figures {
  readonly tokens: number;
  /** Of its first line; null where no latent may go. */
  readonly think: number | null;
  /** Means over its tokens, in nats; null without tokens. */
  readonly entropy: number | null;
  readonly surprise: number | null;
  /** Sums, in nats. */
  readonly logProbability: number;
  readonly without: number;
}

/** The unit that a line is in; a token's is its line. */
export function unitOf(layout: Layout, line: number, granularity: Granularity): Unit {
  switch (granularity) {
    case 'token':
    case 'line':
      return { from: line, to: line + 1 };
    case 'statement':
      return statementOf(layout.reading, line);
    case 'segment':
      return layout.segments[layout.segmentOf[line]!]!;
  }
}

/**
 * A statement with all of its block; a clause (`else:`) and what follows a decorator belong to the statement above them that
 * is indented as they are.
 */
function statementOf(reading: Reading, line: number): Unit {
  const { lines } = reading;
  const indent = indentOf(reading, lines[line]!);
  let from = line;
  while (from > 0 && (indentOf(reading, lines[from]!) > indent || !lines[from]!.statement)) from -= 1;
  let to = line + 1;
  while (to < lines.length) {
    const next = indentOf(reading, lines[to]!);
    if (next < indent || (next === indent && lines[to]!.statement)) break;
    to += 1;
  }
  return { from, to };
}

/** In columns as Python counts them. */
function indentOf({ code }: Reading, { from }: LineReading): number {
  let columns = 0;
  for (let at = from; ; at += 1) {
    if (code[at] === ' ') columns += 1;
    else if (code[at] === '\t') columns += 8 - (columns % 8);
    else if (code[at] === '\f') columns = 0;
    else return columns;
  }
}

/** Whether a unit begins with the line; there its figures are drawn. */
export function beginsUnit(layout: Layout, line: number, granularity: Granularity): boolean {
  return unitOf(layout, line, granularity).from === line;
}

export function figuresOf({ lines }: Reading, { from, to }: Unit): Figures {
  let [tokens, entropy, logProbability, without] = [0, 0, 0, 0];
  for (let i = from; i < to; i += 1) {
    const line = lines[i]!;
    const own = line.endToken - line.firstToken;
    tokens += own;
    entropy += line.entropy * own;
    logProbability += line.logProbability;
    without += line.without;
  }
  return {
    tokens,
    think: lines[from]?.thinkProbability ?? null,
    entropy: tokens === 0 ? null : entropy / tokens,
    surprise: tokens === 0 ? null : -logProbability / tokens,
    logProbability,
    without,
  };
}

/** Of the bars in nats: what 95 of 100 lines stay below, so that one odd line does not make all others small; at least 1. */
export function natsScale(reading: Reading): number {
  const values = reading.lines.flatMap((_, i) => {
    const { entropy, surprise } = figuresOf(reading, { from: i, to: i + 1 });
    return [entropy ?? 0, surprise ?? 0];
  });
  values.sort((a, b) => a - b);
  return Math.max(1, values[Math.floor(0.95 * values.length)] ?? 0);
}

/** Lines where the model would think, and those where it could. */
export function thinkers({ lines }: Reading, threshold: number): { readonly thinking: number; readonly able: number } {
  const able = lines.flatMap(({ thinkProbability }) => (thinkProbability === null ? [] : [thinkProbability]));
  return { thinking: able.filter((think) => think >= threshold).length, able: able.length };
}

/** Place of the token that was the least likely; null without tokens that something precedes. */
export function mostSurprising({ tokens }: Reading, { firstToken, endToken }: LineReading): number | null {
  let least: number | null = null;
  for (let i = firstToken; i < endToken; i += 1) {
    const own = tokens[i]!.logProbability;
    if (own !== null && (least === null || own < tokens[least]!.logProbability!)) least = i;
  }
  return least;
}

/** `−1.23`, `0.00`. */
export function nats(value: number): string {
  return (Math.abs(value) < 0.005 ? 0 : value).toFixed(2).replace('-', '−');
}

/** `+1.23`, for what was gained. */
export function gain(value: number): string {
  return value < 0.005 ? nats(value) : `+${nats(value)}`;
}

/** `34 %`. */
export function percent(value: number): string {
  const percents = 100 * value;
  return `${percents > 0 && percents < 10 ? percents.toPrecision(2) : percents.toFixed(0)} %`;
}
