/**
 * Charts over one axis: what they share. One cursor reads them all, one zoom holds for them, marks along the axis say what
 * was done, and the keyboard does what the mouse does. A zoom that a user wishes is told as `zoom`, to be kept and given
 * back. Knows nothing of what is drawn.
 */
import '@vscode-elements/elements/dist/vscode-button/index.js';
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { ChartSpec } from './charts.ts';
import { type ChartMark, type CurveChart, LEFT, RIGHT, type Stretch } from './curveChart.ts';
import { nearest } from './curves.ts';
import { groupsOf, groupWords, isWeighty, MARK_PIXELS, markIcon, type MarkGroup, markWords } from './marks.ts';
import type { Mark } from './messages.ts';

/** What the cursor reads is said once it has stayed. */
const SAY_MILLISECONDS = 250;
/** The narrowest part of the axis that is shown, in rows. */
const LEAST_ROWS = 2;

/** What is drawn. A `cursor` is a place of the axis; null: the last row. */
export interface ChartGroupContent {
  readonly charts: (cursor: number | null) => readonly ChartSpec[];
  /** What the panel's own run told there, as a sentence. */
  readonly reading: (cursor: number | null) => string;
  /** Of the own run's rows; they rise. */
  readonly places: Float64Array;
  /** All of the axis that any run has. */
  readonly whole: Stretch;
  readonly marks: readonly { readonly mark: Mark; readonly place: number }[];
  readonly writeX: (place: number) => string;
}

/** A group as it is on the screen, for a picture. */
export interface DrawnGroup {
  readonly charts: readonly ChartSpec[];
  readonly marks: readonly (ChartMark & { readonly words: string })[];
  readonly stretch: Stretch;
  readonly log: boolean;
  readonly writeX: (place: number) => string;
  readonly canvasOf: (chart: ChartSpec) => HTMLCanvasElement | null;
}

@customElement('midtrain-charts')
export class ChartGroup extends LitElement {
  @property() accessor heading = '';
  @property({ attribute: false }) accessor content!: ChartGroupContent;
  /** Shown part of the axis; null: all of it. */
  @property({ attribute: false }) accessor zoom: Stretch | null = null;
  @property({ type: Boolean }) accessor log = false;
  /** Another number: there are new values. */
  @property({ type: Number }) accessor version = 0;
  @state() accessor #cursor: number | null = null;
  @state() accessor #tip: MarkGroup | null = null;
  @state() accessor #said = '';
  @state() accessor #width = 800;
  #sayTimer: number | null = null;
  readonly #resized = new ResizeObserver(([entry]) => {
    this.#width = Math.floor(entry?.contentRect.width ?? 0);
  });

  static override styles = css`
    :host {
      display: flex;
      flex-direction: column;
      gap: 6px;
    }
    .head {
      display: flex;
      flex-wrap: wrap;
      gap: 6px 14px;
      align-items: center;
    }
    .zoom {
      display: inline-flex;
      gap: 6px;
    }
    h2 {
      font-size: 1.15em;
      font-weight: 600;
      margin: 0;
    }
    .reading {
      min-height: 1.4em;
      margin: 0;
      font-variant-numeric: tabular-nums;
    }
    .charts {
      display: grid;
      grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr));
      gap: 14px 18px;
    }
    .large {
      grid-column: 1 / -1;
    }
    .above {
      position: relative;
    }
    .marks {
      position: relative;
      height: 26px;
      overflow: hidden;
    }
    .mark {
      all: unset;
      box-sizing: border-box;
      position: absolute;
      top: 0;
      width: 24px;
      height: 24px;
      display: grid;
      place-items: center;
      cursor: pointer;
      border-radius: 3px;
      color: var(--vscode-foreground);
    }
    .mark:hover {
      background: var(--vscode-toolbar-hoverBackground);
    }
    .mark:focus-visible {
      outline: 1px solid var(--vscode-focusBorder);
      outline-offset: -1px;
    }
    .mark .many {
      box-sizing: border-box;
      min-width: 18px;
      padding: 0 3px;
      border: 1px solid;
      border-radius: 9px;
      font-size: 11px;
      font-weight: 600;
      text-align: center;
    }
    .tip {
      position: absolute;
      top: 28px;
      z-index: 10;
      max-width: 420px;
      padding: 6px 8px;
      color: var(--vscode-editorHoverWidget-foreground);
      background: var(--vscode-editorHoverWidget-background);
      border: 1px solid var(--vscode-editorHoverWidget-border, var(--vscode-contrastBorder));
      border-radius: 3px;
      box-shadow: 0 2px 8px var(--vscode-widget-shadow);
    }
    .tip p {
      margin: 0 0 2px;
    }
    /* Read by a screen reader only. */
    .said {
      position: absolute;
      width: 1px;
      height: 1px;
      overflow: hidden;
      clip-path: inset(50%);
    }
  `;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
  }

  override updated(): void {
    this.#resized.observe(this.renderRoot.querySelector('.charts')!);
  }

  override render(): TemplateResult {
    const charts = this.content.charts(this.#cursor);
    return html`
      <div class="head">
        <h2>${this.heading}</h2>
        <slot></slot>
        <div class="zoom" role="group" aria-label="Zoom: ${this.heading}">
          ${this.#button('Zoom In', () => {
            this.#zoomBy(0.5);
          })}
          ${this.#button(
            'Zoom Out',
            () => {
              this.#zoomBy(2);
            },
            this.zoom === null,
          )}
          ${this.#button(
            'Show All',
            () => {
              this.#emit(null);
            },
            this.zoom === null,
          )}
        </div>
      </div>
      <p class="reading" data-reading>${this.content.reading(this.#cursor)}</p>
      <div
        class="charts"
        @cursor-move=${(event: CustomEvent<number | null>) => {
          this.#cursor = event.detail;
        }}
        @zoom-to=${(event: CustomEvent<Stretch>) => {
          this.#zoomTo(event.detail);
        }}
        @zoom-reset=${() => {
          this.#emit(null);
        }}
        @chart-key=${(event: CustomEvent<KeyboardEvent>) => {
          this.#onKey(event.detail);
        }}
      >
        ${charts.map((chart) => this.#chart(chart))}
      </div>
      <div class="said" aria-live="polite">${this.#said}</div>
    `;
  }

  /** As it is on the screen, for a picture. */
  get drawn(): DrawnGroup {
    return {
      charts: this.content.charts(this.#cursor),
      marks: this.content.marks.map(({ mark, place }) => ({ place, weighty: isWeighty(mark), words: markWords(mark) })),
      stretch: this.#stretch,
      log: this.log,
      writeX: this.content.writeX,
      canvasOf: ({ id }) => this.renderRoot.querySelector<CurveChart>(`[data-chart=${id}]`)?.canvas ?? null,
    };
  }

  /** Takes the cursor away: the axis is another one. */
  forget(): void {
    this.#cursor = null;
  }

  get #stretch(): Stretch {
    return this.zoom ?? this.content.whole;
  }

  #button(title: string, press: () => void, isOff = false): TemplateResult {
    return html`<vscode-button secondary ?disabled=${isOff} @click=${press}>${title}</vscode-button>`;
  }

  #chart({ id, heading, curves, writeY, canBeLog, isLarge }: ChartSpec): TemplateResult {
    const drawn = html`<midtrain-curves
      data-chart=${id}
      .heading=${heading}
      .curves=${curves}
      .marks=${this.content.marks.map(({ mark, place }) => ({ place, weighty: isWeighty(mark) }))}
      .stretch=${this.#stretch}
      .cursor=${this.#cursor}
      .log=${this.log && canBeLog}
      .writeX=${this.content.writeX}
      .writeY=${writeY}
      .height=${isLarge ? 280 : 150}
      .version=${this.version}
      >${isLarge ? html`<div class="above">${this.#marksRow()} ${this.#tipView()}</div>` : nothing}</midtrain-curves
    >`;
    return isLarge ? html`<div class="large">${drawn}</div>` : drawn;
  }

  #marksRow(): TemplateResult | typeof nothing {
    const { marks } = this.content;
    if (marks.length === 0) return nothing;
    const [from, to] = this.#stretch;
    const width = this.#width - LEFT - RIGHT;
    const shown = marks
      .filter(({ place }) => place >= from && place <= to)
      .map(({ mark, place }) => ({ mark, left: ((place - from) / (to - from)) * width }));
    return html`<div class="marks" role="group" aria-label="What was done to the run">
      ${groupsOf(shown).map((group) => {
        const { left, marks: own } = group;
        const [first] = own;
        const at = Math.max(0, Math.min(this.#width - MARK_PIXELS, LEFT + left - 12));
        return html`<button
          class="mark"
          .style=${`left: ${at}px`}
          aria-label=${groupWords(group)}
          @mouseenter=${() => (this.#tip = group)}
          @mouseleave=${() => (this.#tip = null)}
          @focus=${() => (this.#tip = group)}
          @blur=${() => (this.#tip = null)}
          @keydown=${(event: KeyboardEvent) => {
            if (event.key === 'Escape') this.#tip = null;
          }}
        >
          ${own.length === 1 ? markIcon(first!.kind) : html`<span class="many">${own.length}</span>`}
        </button>`;
      })}
    </div>`;
  }

  #tipView(): TemplateResult | typeof nothing {
    if (this.#tip === null) return nothing;
    const left = Math.max(0, Math.min(LEFT + this.#tip.left, this.#width - 430));
    return html`<div class="tip" role="tooltip" .style=${`left: ${left}px`}>
      ${this.#tip.marks.slice(-8).map((mark) => html`<p>${markWords(mark)}</p>`)}
    </div>`;
  }

  #zoomBy(factor: number): void {
    const [from, to] = this.#stretch;
    const middle = this.#cursor !== null && this.#cursor > from && this.#cursor < to ? this.#cursor : (from + to) / 2;
    this.#zoomTo([middle - (middle - from) * factor, middle + (to - middle) * factor]);
  }

  /** Shows this part, as far as there is something; all of it and nothing else is no zoom. */
  #zoomTo([from, to]: Stretch): void {
    const { places, whole } = this.content;
    const perRow = places.length < 2 ? 0 : (whole[1] - whole[0]) / places.length;
    const least = Math.min(whole[1] - whole[0], LEAST_ROWS * perRow);
    const left = Math.max(whole[0], from);
    const right = Math.min(whole[1], to);
    if (right - left < least) return;
    this.#emit(left <= whole[0] && right >= whole[1] ? null : [left, right]);
  }

  #onKey(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    switch (event.key) {
      case '+':
      case '=':
        this.#zoomBy(0.5);
        break;
      case '-':
        this.#zoomBy(2);
        break;
      case '0':
        this.#emit(null);
        break;
      case 'Escape':
        this.#cursor = null;
        this.#said = '';
        break;
      default: {
        const place = this.#steppedTo(event.key, event.shiftKey);
        if (place === null) return;
        this.#moveTo(place);
      }
    }
    event.preventDefault();
  }

  /** The place that a key goes to: a row on, with shift a twentieth of what is shown; null: the key goes nowhere. */
  #steppedTo(key: string, isFar: boolean): number | null {
    const { places } = this.content;
    if (places.length === 0) return null;
    const [from, to] = this.#stretch;
    const now = this.#cursor ?? to;
    const row = nearest(places, now)!;
    const far = (to - from) / 20;
    const at = (step: number): number => places[Math.max(0, Math.min(places.length - 1, row + step))]!;
    const toward = (way: 1 | -1): number => {
      const place = places[nearest(places, now + way * far)!]!;
      return (place - now) * way > 0 ? place : at(way); // rows may lie further apart than that
    };
    switch (key) {
      case 'ArrowRight':
        return isFar ? toward(1) : at(1);
      case 'ArrowLeft':
        return isFar ? toward(-1) : at(-1);
      case 'PageDown':
        return toward(1);
      case 'PageUp':
        return toward(-1);
      case 'Home':
        return places[nearest(places, from)!]!;
      case 'End':
        return places[nearest(places, to)!]!;
      default:
        return null;
    }
  }

  /** Puts the cursor there, moves what is shown along, and says what is read. */
  #moveTo(place: number): void {
    this.#cursor = place;
    const [from, to] = this.#stretch;
    if (place < from) this.#zoomTo([place, place + to - from]);
    else if (place > to) this.#zoomTo([place - (to - from), place]);
    if (this.#sayTimer !== null) clearTimeout(this.#sayTimer);
    this.#sayTimer = window.setTimeout(() => {
      this.#said = this.content.reading(this.#cursor);
    }, SAY_MILLISECONDS);
  }

  #emit(zoom: Stretch | null): void {
    this.dispatchEvent(new CustomEvent('zoom', { detail: zoom }));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-charts': ChartGroup;
  }
}
