/**
 * The charts as a picture: SVG drawn anew from the curves, PNG from the canvases that are on the screen. Knows nothing of
 * runs.
 */
import { ink, type ThemeColour, themeColour, themeFont } from '../theme.ts';
import { escaped } from '../xml.ts';
import { LEFT, RIGHT } from './curveChart.ts';
import type { DrawnGroup } from './chartGroup.ts';
import type { ChartSpec } from './charts.ts';
import { decimated, gridOf } from './curves.ts';
import { rangeOf, ticks } from './scales.ts';

const WIDTH = 960;
const LARGE = 280;
const SMALL = 160;
const HEAD = 44;
const FOOT = 26;

const background: ThemeColour = ['--vscode-editor-background', '#ffffff'];

/** Charts that are drawn over one axis. */
type Group = Omit<DrawnGroup, 'canvasOf'>;

/** @returns an SVG document */
export function svgOf(title: string, groups: readonly Group[]): string {
  const charts = groups.flatMap((group) => group.charts.map((chart) => ({ chart, group })));
  const heights = charts.map(({ chart: { isLarge } }) => HEAD + (isLarge ? LARGE : SMALL) + FOOT);
  const height = 40 + heights.reduce((sum, each) => sum + each, 0);
  const family = themeFont(12).slice('12px '.length).replaceAll('"', "'");
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="${escaped(family)}" font-size="12" fill="${themeColour(ink)}">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="${themeColour(background)}"/>`,
    `<text x="12" y="26" font-size="16" font-weight="600">${escaped(title)}</text>`,
  ];
  let top = 40;
  charts.forEach(({ chart, group }, i) => {
    parts.push(`<g transform="translate(0 ${top})">${chartGroup(chart, group)}</g>`);
    top += heights[i]!;
  });
  return `${parts.join('\n')}\n</svg>\n`;
}

function chartGroup(
  { heading, curves, isLarge, canBeLog, writeY }: ChartSpec,
  { marks, stretch: [from, to], log: isLog, writeX }: Group,
): string {
  const log = isLog && canBeLog;
  const width = WIDTH - LEFT - RIGHT;
  const height = isLarge ? LARGE : SMALL;
  const drawn = curves.map(({ places, values }) => decimated(places, values, from, to, width, log));
  const [low, high] = rangeOf(drawn.flat(), log) ?? [0, 1];
  const x = (value: number): number => LEFT + ((value - from) / (to - from)) * width;
  const y = (value: number): number => {
    const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return HEAD + (1 - share) * height;
  };
  const colour = themeColour(ink);
  const parts = [`<text x="${LEFT}" y="14" font-weight="600">${escaped(heading)}</text>`];
  let left = LEFT;
  for (const { label, colour: own, dash, width: thick, faint } of curves) {
    parts.push(
      `<path d="M${left} 29h30" ${lineStyle(own, dash, thick, faint)}/><text x="${left + 36}" y="33">${escaped(label)}</text>`,
    );
    left += 52 + 7 * label.length;
  }
  for (const tick of ticks(low, high, height / 40, log)) {
    const at = y(tick).toFixed(1);
    parts.push(`<path d="M${LEFT} ${at}h${width}" stroke="${colour}" stroke-opacity="0.15"/>`);
    parts.push(
      `<text x="${LEFT - 6}" y="${at}" text-anchor="end" dominant-baseline="middle">${escaped(writeY(tick))}</text>`,
    );
  }
  for (const tick of ticks(from, to, width / 110)) {
    const at = x(tick).toFixed(1);
    parts.push(`<path d="M${at} ${HEAD}v${height}" stroke="${colour}" stroke-opacity="0.15"/>`);
    parts.push(`<text x="${at}" y="${HEAD + height + 16}" text-anchor="middle">${escaped(writeX(tick))}</text>`);
  }
  for (const { place, weighty, words } of marks) {
    if (place < from || place > to) continue;
    const dash = weighty ? '' : ' stroke-dasharray="3 3" stroke-opacity="0.5"';
    parts.push(
      `<path d="M${x(place).toFixed(1)} ${HEAD}v${height}" stroke="${colour}"${dash}><title>${escaped(words)}</title></path>`,
    );
  }
  const grid = gridOf(from, to, width);
  curves.forEach(({ colour: own, dash, width: thick, faint }, i) => {
    const points = drawn[i]!.flatMap((value, slot) =>
      value === null ? [] : [`${x(grid[slot]!).toFixed(1)},${y(value).toFixed(1)}`],
    );
    if (points.length === 1) {
      const [cx, cy] = points[0]!.split(',');
      parts.push(`<circle cx="${cx}" cy="${cy}" r="3" fill="${themeColour(own)}"/>`);
    } else parts.push(`<polyline points="${points.join(' ')}" ${lineStyle(own, dash, thick, faint)}/>`);
  });
  return parts.join('\n');
}

function lineStyle(colour: ThemeColour, dash: readonly number[], width: number, faint: boolean): string {
  const dashes = dash.length === 0 ? '' : ` stroke-dasharray="${dash.join(' ')}"`;
  return `fill="none" stroke="${themeColour(colour)}" stroke-width="${width}"${dashes}${faint ? ' stroke-opacity="0.4"' : ''}`;
}

/** The charts one below the other, as they are on the screen. @throws Error when the browser makes no picture */
export async function pngOf(
  title: string,
  charts: readonly (Pick<ChartSpec, 'heading' | 'curves'> & { readonly canvas: HTMLCanvasElement })[],
): Promise<Uint8Array<ArrayBuffer>> {
  const scale = devicePixelRatio;
  const head = 26 * scale;
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(...charts.map((chart) => chart.canvas.width));
  canvas.height = 2 * head + charts.reduce((sum, chart) => sum + head + chart.canvas.height, 0);
  const context = canvas.getContext('2d')!;
  context.fillStyle = themeColour(background);
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = themeColour(ink);
  const write = (text: string, y: number, size: number): void => {
    context.font = `600 ${themeFont(Math.round(size * scale))}`;
    context.fillText(text, 10 * scale, y + 17 * scale);
  };
  write(title, 0, 15);
  let top = head;
  for (const { heading, curves, canvas: drawn } of charts) {
    write(heading, top, 12);
    let left = 20 * scale + context.measureText(heading).width;
    for (const { label, colour, dash, width, faint } of curves) {
      context.save();
      context.strokeStyle = themeColour(colour);
      context.lineWidth = width * scale;
      context.globalAlpha = faint ? 0.4 : 1;
      context.setLineDash(dash.map((length) => length * scale));
      context.beginPath();
      context.moveTo(left, top + 13 * scale);
      context.lineTo(left + 30 * scale, top + 13 * scale);
      context.stroke();
      context.restore();
      context.font = themeFont(Math.round(12 * scale));
      context.fillText(label, left + 36 * scale, top + 17 * scale);
      left += 52 * scale + context.measureText(label).width;
    }
    context.drawImage(drawn, 0, top + head);
    top += head + drawn.height;
  }
  const blob = await new Promise<Blob | null>((resolve) => {
    canvas.toBlob(resolve, 'image/png');
  });
  if (blob === null) throw new Error('The browser makes no picture of this size.');
  return new Uint8Array(await blob.arrayBuffer());
}
