/**
 * One chart of curves (uPlot): draws what is between two places of the axis, with marks and a cursor that all charts share.
 * What it holds stands right above the drawn part. What a user wishes is told as events: `cursor-move` (a place or null), `zoom-to` (from, to), `zoom-reset`, `chart-key`.
 * Knows nothing of runs or of messages; what it shows can be read from its label and its legend too.
 */
import { css, html, LitElement, svg, type TemplateResult, unsafeCSS } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import uPlot from 'uplot';
import uPlotStyles from 'uplot/dist/uPlot.min.css';
import { ink, type ThemeColour, themeColour, themeFont, themeObserver } from '../theme.ts';
import { decimated, gridOf, type Values } from './curves.ts';
import { rangeOf, ticks } from './scales.ts';

/** One line of a chart. */
export interface Curve {
  readonly label: string;
  readonly colour: ThemeColour;
  /** Lengths of line and gap; empty: drawn through. */
  readonly dash: readonly number[];
  readonly width: number;
  /** Drawn faintly, behind the others. */
  readonly faint: boolean;
  /** Where there are few values each is a dot. */
  readonly dots: boolean;
  readonly places: Float64Array;
  readonly values: Values;
  /** At the cursor, or the last one. */
  readonly shown: string;
}

/** A line across the chart at a place of the axis. `weighty`: it changed the curve or ended it. */
export interface ChartMark {
  readonly place: number;
  readonly weighty: boolean;
}

/** A part of the axis. */
export type Stretch = readonly [from: number, to: number];

/** CSS pixels to the left of the drawn part, and to its right: the same in all charts, so that they stand under each other. */
export const LEFT = 62;
export const RIGHT = 30;
const FONT = 11;
/** The types have them as enums that do not exist at run time. */
/* eslint-disable @typescript-eslint/no-unsafe-enum-assignment */
const LINEAR = 1 as uPlot.Scale.Distr;
const LOGARITHMIC = 3 as uPlot.Scale.Distr;
/* eslint-enable */

@customElement('midtrain-curves')
export class CurveChart extends LitElement {
  @property() accessor heading = '';
  @property({ attribute: false }) accessor curves: readonly Curve[] = [];
  @property({ attribute: false }) accessor marks: readonly ChartMark[] = [];
  @property({ attribute: false }) accessor stretch: Stretch = [0, 1];
  @property({ attribute: false }) accessor cursor: number | null = null;
  @property({ type: Boolean }) accessor log = false;
  @property({ attribute: false }) accessor writeX: (value: number) => string = String;
  @property({ attribute: false }) accessor writeY: (value: number) => string = String;
  @property({ type: Number }) accessor height = 150;
  /** Another number: there are new values. */
  @property({ type: Number }) accessor version = 0;
  #plot: uPlot | null = null;
  /** What the plot was made for. */
  #made = '';
  #range: [number, number] = [0, 1];
  #frame: number | null = null;
  readonly #resized = new ResizeObserver(() => {
    this.#drawSoon();
  });
  readonly #themed = themeObserver(() => {
    this.#made = '';
    this.#drawSoon();
  });

  static override styles = [
    unsafeCSS(uPlotStyles),
    css`
      :host {
        display: block;
        min-width: 0;
      }
      h3 {
        font-size: 1em;
        font-weight: 600;
        margin: 0;
      }
      .head {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 14px;
        align-items: baseline;
      }
      .legend {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 14px;
        list-style: none;
        margin: 0;
        padding: 0;
      }
      .legend li {
        display: inline-flex;
        gap: 5px;
        align-items: center;
      }
      .shown {
        font-variant-numeric: tabular-nums;
        font-weight: 600;
      }
      .plot {
        overflow: hidden;
      }
      .plot:focus-visible {
        outline: 1px solid var(--vscode-focusBorder);
        outline-offset: -1px;
      }
      .u-select {
        background: color-mix(in srgb, var(--vscode-foreground) 16%, transparent);
        border: 1px solid var(--vscode-focusBorder);
        border-width: 0 1px;
      }
      .u-hz .u-cursor-x {
        border-right: 1px solid var(--vscode-foreground);
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    this.#resized.observe(this);
    this.#themed.observe();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
    this.#themed.disconnect();
    if (this.#frame !== null) cancelAnimationFrame(this.#frame);
    this.#frame = null;
    this.#plot?.destroy();
    this.#plot = null;
  }

  override render(): TemplateResult {
    const said = this.curves.map(({ label, shown }) => `${label} ${shown}`).join(', ');
    return html`
      <div class="head">
        <h3>${this.heading}</h3>
        <ul class="legend">
          ${this.curves.map(
            (curve) =>
              html`<li>${sampleLine(curve)}<span>${curve.label}</span> <span class="shown">${curve.shown}</span></li>`,
          )}
        </ul>
      </div>
      <slot></slot>
      <div
        class="plot"
        tabindex="0"
        role="group"
        aria-roledescription="chart"
        aria-label="${this.heading}: ${said}. Arrow keys read values, plus and minus zoom, 0 shows all."
        .style=${`height: ${this.height}px`}
        @keydown=${(event: KeyboardEvent) => {
          this.#emit('chart-key', event);
        }}
        @wheel=${this.#onWheel}
      ></div>
    `;
  }

  override updated(): void {
    this.#drawSoon();
  }

  /** The canvas as it is drawn, for a picture. */
  get canvas(): HTMLCanvasElement | null {
    return this.#plot?.ctx.canvas ?? null;
  }

  #drawSoon(): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#draw();
    });
  }

  #draw(): void {
    const place = this.renderRoot.querySelector<HTMLElement>('.plot');
    const width = Math.floor(this.clientWidth);
    if (place === null || width < LEFT + RIGHT + 20) return;
    const [from, to] = this.stretch;
    const columns = width - LEFT - RIGHT;
    const drawn = this.curves.map(({ places, values }) => decimated(places, values, from, to, columns, this.log));
    this.#range = rangeOf(valuesIn(drawn), this.log) ?? (this.log ? [0.1, 1] : [0, 1]);
    const data = [gridOf(from, to, columns), ...drawn] as uPlot.AlignedData;
    const made = JSON.stringify([this.log, this.curves.map(({ label, colour, dash }) => [label, colour, dash])]);
    if (this.#plot === null || made !== this.#made) {
      this.#plot?.destroy();
      this.#plot = new uPlot(this.#options(width), data, place);
      this.#made = made;
    } else {
      if (this.#plot.width !== width || this.#plot.height !== this.height) {
        this.#plot.setSize({ width, height: this.height });
      }
      this.#plot.setData(data, true);
    }
    this.#showCursor(this.#plot);
  }

  #showCursor(plot: uPlot): void {
    const [from, to] = this.stretch;
    const isShown = this.cursor !== null && this.cursor >= from && this.cursor <= to;
    const left = isShown ? plot.valToPos(this.cursor!, 'x') : -10;
    plot.setCursor({ left, top: isShown ? 0 : -10 }, false);
  }

  #options(width: number): uPlot.Options {
    const colour = themeColour(ink);
    const font = themeFont(FONT);
    const line = `color-mix(in srgb, ${colour} 14%, transparent)`;
    const axis = { stroke: colour, font, gap: 4, grid: { stroke: line, width: 1 }, ticks: { stroke: line, size: 4 } };
    return {
      width,
      height: this.height,
      padding: [8, RIGHT, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        bind: {
          dblclick: () => () => {
            this.#emit('zoom-reset', null);
            return null;
          },
        },
      },
      scales: {
        x: { time: false, range: () => [...this.stretch] as [number, number] },
        y: { distr: this.log ? LOGARITHMIC : LINEAR, range: () => this.#range },
      },
      axes: [
        {
          ...axis,
          size: 24,
          splits: (plot) => ticks(this.stretch[0], this.stretch[1], plot.width / 110),
          values: (_plot, splits) => splits.map((split) => this.writeX(split)),
        },
        {
          ...axis,
          size: LEFT,
          splits: () => ticks(this.#range[0], this.#range[1], this.height / 40, this.log),
          values: (_plot, splits) => splits.map((split) => this.writeY(split)),
          filter: (_plot, splits) => splits,
        },
      ],
      series: [{}, ...this.curves.map((curve) => seriesOf(curve))],
      hooks: {
        setCursor: [
          (plot) => {
            const { left = -1, event } = plot.cursor;
            if (!(event instanceof MouseEvent)) return; // what was drawn anew has put it where it was
            this.#emit('cursor-move', left < 0 ? null : plot.posToVal(left, 'x'));
          },
        ],
        setSelect: [
          (plot) => {
            const { left, width: wide } = plot.select;
            if (wide > 3) this.#emit('zoom-to', [plot.posToVal(left, 'x'), plot.posToVal(left + wide, 'x')]);
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
        drawClear: [
          (plot) => {
            this.#drawMarks(plot, colour);
          },
        ],
      },
    };
  }

  #drawMarks(plot: uPlot, colour: string): void {
    const { ctx, bbox } = plot;
    const [from, to] = this.stretch;
    ctx.save();
    ctx.strokeStyle = colour;
    for (const { place, weighty } of this.marks) {
      if (place < from || place > to) continue;
      const x = Math.round(plot.valToPos(place, 'x', true)) + 0.5;
      ctx.globalAlpha = weighty ? 0.9 : 0.45;
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash(weighty ? [] : [3 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** With a key held, or in the chart that has the focus: otherwise the page scrolls. */
  readonly #onWheel = (event: WheelEvent): void => {
    const isFocused = this.shadowRoot?.activeElement?.classList.contains('plot') === true;
    if (this.#plot === null || !(event.ctrlKey || event.metaKey || isFocused)) return;
    event.preventDefault();
    const { left, width } = this.#plot.over.getBoundingClientRect();
    const at = Math.max(0, Math.min(1, (event.clientX - left) / width));
    const [from, to] = this.stretch;
    const factor = Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200)));
    const place = from + at * (to - from);
    this.#emit('zoom-to', [place - (place - from) * factor, place + (to - place) * factor]);
  };

  #emit(name: 'cursor-move' | 'zoom-to' | 'zoom-reset' | 'chart-key', detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }
}

function seriesOf({ label, colour, dash, width, faint, dots }: Curve): uPlot.Series {
  const stroke = themeColour(colour);
  return {
    label,
    stroke,
    width,
    dash: [...dash],
    alpha: faint ? 0.4 : 1,
    spanGaps: true,
    points: {
      show: (plot, series) => {
        if (!dots) return false;
        const known = Array.from(plot.data[series] ?? []).filter((value) => value !== null).length;
        return known < plot.width / 8;
      },
      size: 6,
      fill: stroke,
      stroke,
    },
  };
}

function* valuesIn(drawn: readonly (readonly (number | null)[])[]): Generator<number | null> {
  for (const each of drawn) yield* each;
}

/** How a curve looks, for the legend: colour, dash, dots. */
function sampleLine({ colour: [property, otherwise], dash, width, faint, dots }: Curve): TemplateResult {
  const stroke = `var(${property}, ${otherwise})`;
  return html`<svg width="30" height="10" aria-hidden="true" .style=${`color: ${stroke}; opacity: ${faint ? 0.5 : 1}`}>
    ${svg`<line x1="0" y1="5" x2="30" y2="5" stroke="currentColor" stroke-width=${width} stroke-dasharray=${dash.join(' ')} />`}
    ${dots ? svg`<circle cx="15" cy="5" r="3" fill="currentColor" />` : ''}
  </svg>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-curves': CurveChart;
  }
}
