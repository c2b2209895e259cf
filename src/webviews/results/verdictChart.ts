/** The verdicts as bars (uPlot). What it shows can be read from its label too. */
import { css, html, LitElement, unsafeCSS, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import uPlot from 'uplot';
import uPlotStyles from 'uplot/dist/uPlot.min.css';
import { ink, themeColour, themeFont, themeObserver } from '../theme.ts';
import { VERDICTS } from './messages.ts';
import { verdictColours } from './verdicts.ts';

const HEIGHT = 112;
const BARS = uPlot.paths.bars!;
/** A colour for each bar. The types have it as an enum that does not exist at run time. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
const COLOUR_EACH = 3 as uPlot.Series.BarsPathBuilderFacetUnit;

@customElement('midtrain-verdict-chart')
export class VerdictChart extends LitElement {
  /** By place in VERDICTS. */
  @property({ attribute: false }) accessor counts: readonly number[] = [];
  #plot: uPlot | null = null;
  readonly #resized = new ResizeObserver(() => {
    this.#draw();
  });
  readonly #themed = themeObserver(() => {
    this.#draw();
  });

  static override styles = [
    unsafeCSS(uPlotStyles),
    css`
      :host {
        display: block;
        min-width: 300px;
        height: ${HEIGHT}px;
      }
      .plot {
        height: ${HEIGHT}px;
        overflow: hidden;
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
    this.#plot?.destroy();
    this.#plot = null;
  }

  override render(): TemplateResult {
    const words = VERDICTS.map((verdict, i) => `${this.counts[i] ?? 0} ${verdict}`).join(', ');
    return html`<div class="plot" role="img" aria-label="Verdicts: ${words}"></div>`;
  }

  override updated(changed: PropertyValues<this>): void {
    if (changed.has('counts')) this.#draw();
  }

  /** Made anew each time: six bars cost less than telling the old plot of a changed theme. */
  #draw(): void {
    const place = this.renderRoot.querySelector<HTMLElement>('.plot');
    const width = Math.floor(this.clientWidth);
    if (place === null || width === 0) return;
    this.#plot?.destroy();
    const colour = themeColour(ink);
    const colours = VERDICTS.map((verdict) => themeColour(verdictColours[verdict]));
    const counts = VERDICTS.map((_, i) => this.counts[i] ?? 0);
    const most = Math.max(1, ...counts);
    const options: uPlot.Options = {
      width,
      height: HEIGHT,
      padding: [18, 4, 0, 4],
      cursor: { show: false },
      legend: { show: false },
      scales: { x: { time: false, range: [-0.6, VERDICTS.length - 0.4] }, y: { range: [0, most] } },
      axes: [
        {
          stroke: colour,
          font: themeFont(11),
          size: 26,
          gap: 4,
          grid: { show: false },
          ticks: { show: false },
          splits: () => VERDICTS.map((_, i) => i),
          values: () => [...VERDICTS],
        },
        { show: false },
      ],
      series: [
        {},
        {
          points: { show: false },
          paths: BARS({
            size: [0.7, 64],
            disp: {
              fill: { unit: COLOUR_EACH, values: () => colours },
              stroke: { unit: COLOUR_EACH, values: () => colours },
            },
          }),
        },
      ],
      hooks: {
        draw: [
          (plot) => {
            const { ctx } = plot;
            ctx.save();
            ctx.font = themeFont(Math.round(11 * devicePixelRatio));
            ctx.fillStyle = colour;
            ctx.textAlign = 'center';
            ctx.textBaseline = 'bottom';
            counts.forEach((count, i) => {
              const x = plot.valToPos(i, 'x', true);
              const y = plot.valToPos(count, 'y', true);
              ctx.fillText(String(count), x, y - 3 * devicePixelRatio);
            });
            ctx.restore();
          },
        ],
      },
    };
    this.#plot = new uPlot(options, [VERDICTS.map((_, i) => i), counts], place);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-verdict-chart': VerdictChart;
  }
}
