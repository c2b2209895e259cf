/**
 * A reading as a picture: shapes that are the same in SVG and on a canvas, so that both exports show the same. Knows nothing
 * of the panel; colours are given to it.
 */
import { escaped } from '../xml.ts';
import { beginsUnit, figuresOf, gain, natsScale, percent, unitOf } from './figures.ts';
import { columnsOf, type Layout, piecesOf, TAB, type Row } from './layout.ts';
import type { Granularity } from './messages.ts';

/** Colours by their names; those of code as `k-keyword` and so on. */
export interface Palette {
  readonly background: string;
  readonly ink: string;
  readonly dim: string;
  readonly band: string;
  readonly rule: string;
  readonly latent: string;
  readonly think: string;
  readonly entropy: string;
  readonly surprise: string;
  readonly ofKind: (kind: string) => string;
}

export interface PictureOptions {
  readonly palette: Palette;
  /** Families of the fonts. */
  readonly codeFont: string;
  readonly textFont: string;
  readonly granularity: Granularity;
  readonly threshold: number;
  /** Rows that are drawn, of those on the screen: from the first to before the last. */
  readonly from: number;
  readonly to: number;
}

interface Run {
  readonly text: string;
  readonly colour: string;
}

type Shape =
  | {
      readonly is: 'rect';
      readonly x: number;
      readonly y: number;
      readonly width: number;
      readonly height: number;
      readonly colour: string;
    }
  | {
      readonly is: 'text';
      readonly x: number;
      /** Of the base line. */
      readonly y: number;
      readonly runs: readonly Run[];
      readonly font: 'code' | 'text';
      readonly size: number;
      readonly italic?: boolean;
      readonly bold?: boolean;
      readonly end?: boolean;
    };

export interface Picture {
  readonly title: string;
  readonly width: number;
  readonly height: number;
  readonly shapes: readonly Shape[];
  readonly fonts: Readonly<Record<'code' | 'text', string>>;
}

const ROW = 19;
const SIZE = 13;
/** Width of a digit of the usual fonts for code, of its size. */
const ADVANCE = 0.62 * SIZE;
const HEAD = 66;
const NUMBER = 48;
const BAR = 44;
const BARS = ['P(think)', 'entropy', 'surprise'] as const;
const CODE = NUMBER + BARS.length * (BAR + 8) + 12;

export function pictureOf(layout: Layout, options: PictureOptions): Picture {
  const { reading, rows, columns } = layout;
  const { palette, from, to, threshold, codeFont, textFont } = options;
  const width = Math.ceil(Math.max(640, CODE + (columns + 18) * ADVANCE));
  const height = HEAD + (to - from) * ROW + 12;
  const { name, model } = reading;
  const title = `${name}, read by ${model.name}${model.step === null ? '' : ` at step ${model.step}`}`;
  const part = to - from < rows.length ? `; rows ${from + 1} to ${to} of ${rows.length}` : '';
  const scale = natsScale(reading);
  const shapes: Shape[] = [
    { is: 'rect', x: 0, y: 0, width, height, colour: palette.background },
    line(12, 22, title, palette.ink, { size: 15, bold: true }),
    line(
      12,
      40,
      `Bars: P(think) to 100 %, entropy and surprise in nats a token to ${scale.toFixed(1)}; threshold ${percent(threshold)}${part}`,
      palette.dim,
    ),
    ...BARS.map((words, i) => line(NUMBER + i * (BAR + 8), HEAD - 8, words, palette.dim, { size: 10 })),
  ];
  rows.slice(from, to).forEach((row, i) => {
    shapes.push(...shapesOf(layout, row, HEAD + i * ROW, width, scale, options));
  });
  return { title, width, height, shapes, fonts: { code: codeFont, text: textFont } };
}

function shapesOf(
  layout: Layout,
  row: Row,
  y: number,
  width: number,
  scale: number,
  { palette, granularity, threshold }: PictureOptions,
): Shape[] {
  const { reading, codeRows } = layout;
  const shapes: Shape[] = [];
  const base = y + 14;
  if (row.segment !== null && row.segment % 2 === 1) {
    shapes.push({ is: 'rect', x: 0, y, width, height: ROW, colour: palette.band });
  }
  if (row.isBoundary) shapes.push({ is: 'rect', x: 0, y, width, height: 1, colour: palette.rule });
  if (row.latent !== null) {
    const { latent } = reading.lines[row.line!]!;
    const text = expanded(row.latent);
    shapes.push({
      is: 'text',
      x: CODE,
      y: base,
      runs: [{ text, colour: palette.latent }],
      font: 'code',
      size: SIZE,
      italic: true,
    });
    if (latent !== null && row.latent.trimStart() === latent.text.split('\n')[0]) {
      const x = CODE + (columnsOf(text) + 2) * ADVANCE;
      shapes.push(line(x, base, `${gain(latent.gain)} nats`, palette.dim, { size: 11 }));
    }
    return shapes;
  }
  shapes.push(line(NUMBER - 12, base, String(row.codeRow + 1), palette.dim, { font: 'code', end: true }));
  if (row.isFirstOfLine && beginsUnit(layout, row.line!, granularity)) {
    const { think, entropy, surprise } = figuresOf(reading, unitOf(layout, row.line!, granularity));
    const bars = [think, entropy === null ? null : entropy / scale, surprise === null ? null : surprise / scale];
    const colours = [palette.think, palette.entropy, palette.surprise];
    bars.forEach((share, i) => {
      if (share === null) return;
      const x = NUMBER + i * (BAR + 8);
      const length = Math.max(1, BAR * Math.min(1, Math.max(0, share)));
      shapes.push({ is: 'rect', x, y: y + 6, width: length, height: 7, colour: colours[i]! });
    });
    if (think !== null && think >= threshold) {
      shapes.push({ is: 'rect', x: NUMBER, y: y + ROW - 3, width: BAR, height: 2, colour: palette.ink });
    }
  }
  const { pieces } = piecesOf(layout, codeRows[row.codeRow]!, []);
  let column = 0;
  const runs: Run[] = [];
  for (const { text, kind } of pieces) {
    const shown = expanded(text, column);
    column += columnsOf(shown);
    const colour = kind === '' ? palette.ink : palette.ofKind(kind);
    const last = runs.at(-1);
    if (last?.colour === colour) runs[runs.length - 1] = { text: last.text + shown, colour };
    else runs.push({ text: shown, colour });
  }
  if (runs.length > 0) shapes.push({ is: 'text', x: CODE, y: base, runs, font: 'code', size: SIZE });
  return shapes;
}

function line(
  x: number,
  y: number,
  text: string,
  colour: string,
  { font = 'text', size = 12, ...more }: { font?: 'code' | 'text'; size?: number; bold?: boolean; end?: boolean } = {},
): Shape {
  return { is: 'text', x, y, runs: [{ text, colour }], font, size, ...more };
}

/** Tabs as spaces: pictures know none. */
function expanded(text: string, from = 0): string {
  let column = from;
  return text
    .split(/(\t)/)
    .map((part) => {
      const shown = part === '\t' ? ' '.repeat(TAB - (column % TAB)) : part;
      column += columnsOf(shown);
      return shown;
    })
    .join('');
}

/** @returns an SVG document */
export function svgOf({ title, width, height, shapes, fonts }: Picture): string {
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escaped(title)}</title>`,
    '<style>text{white-space:pre}</style>',
    ...shapes.map((shape) => {
      if (shape.is === 'rect') {
        const { x, y, colour } = shape;
        return `<rect x="${short(x)}" y="${y}" width="${short(shape.width)}" height="${shape.height}" fill="${escaped(colour)}"/>`;
      }
      const { x, y, runs, font, size, italic = false, bold = false, end = false } = shape;
      const style = `${italic ? ' font-style="italic"' : ''}${bold ? ' font-weight="600"' : ''}${end ? ' text-anchor="end"' : ''}`;
      const spans = runs
        .map(({ text, colour }) => `<tspan fill="${escaped(colour)}">${escaped(text)}</tspan>`)
        .join('');
      const family = escaped(fonts[font].replaceAll('"', "'"));
      return `<text x="${short(x)}" y="${y}" xml:space="preserve" font-family="${family}" font-size="${size}"${style}>${spans}</text>`;
    }),
  ];
  return `${parts.join('\n')}\n</svg>\n`;
}

function short(value: number): string {
  return String(Number(value.toFixed(2)));
}

/** What a canvas of every browser can be wide and high. */
export const MOST_PIXELS = 16_000;

/** Rows that a canvas has room for, at this many pixels of it to one of CSS. */
export function rowsOfCanvas(scale: number): number {
  return Math.floor((MOST_PIXELS / scale - HEAD - 12) / ROW);
}
