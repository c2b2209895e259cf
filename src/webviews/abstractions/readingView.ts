/**
 * The code of a reading: bands of segments, latents above what they govern, and at each line bars of P(think), entropy and
 * surprise. Only the rows on the screen are drawn. Tells where pointer and keys are; knows nothing of what comes of that.
 */
import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
  type VirtualItem,
} from '@tanstack/virtual-core';
import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { guard } from 'lit/directives/guard.js';
import { repeat } from 'lit/directives/repeat.js';
import { type Piece, tokenRuns } from '../codeLines.ts';
import { codeStyles } from '../codeStyles.ts';
import { shadeOf } from '../probability.ts';
import { beginsUnit, figuresOf, gain, nats, natsScale, percent, type Unit, unitOf } from './figures.ts';
import { type Layout, type Match, piecesOf, type Row, startOf } from './layout.ts';
import type { Granularity, LatentReading } from './messages.ts';
import { type Focus, moved } from './movement.ts';

/** Rows are this much higher than their letters. */
const LINE_HEIGHT = 1.5;
/** Rows above one that is gone to. */
const MARGIN = 3;

@customElement('midtrain-reading')
export class ReadingView extends LitElement {
  @property({ attribute: false }) accessor layout: Layout | null = null;
  @property() accessor granularity: Granularity = 'line';
  @property({ type: Number }) accessor threshold = 0.5;
  @property({ attribute: false }) accessor current: Focus | null = null;
  @property({ attribute: false }) accessor hovered: Focus | null = null;
  @property({ attribute: false }) accessor found: readonly Match[] = [];
  @property() accessor label = 'Code';
  #virtualizer: Virtualizer<HTMLElement, HTMLElement> | null = null;
  #unmount: () => void = () => undefined;
  #rowPixels = 20;
  #scale = 1;
  /** Where it was scrolled to by us, which is no news. */
  #expected = -1;

  static override styles = [
    codeStyles,
    css`
      :host {
        display: block;
        min-height: 0;
        container-type: inline-size;
      }
      .code {
        height: 100%;
        box-sizing: border-box;
        overflow: auto;
        contain: strict;
        font-family: var(--vscode-editor-font-family, monospace);
        font-size: var(--vscode-editor-font-size, 13px);
        color: var(--vscode-editor-foreground);
        background: var(--vscode-editor-background);
        tab-size: 4;
      }
      .code:focus-visible {
        outline: 1px solid var(--vscode-focusBorder);
        outline-offset: -1px;
      }
      .head,
      .row {
        display: flex;
        align-items: stretch;
        min-width: max-content;
      }
      .head {
        position: sticky;
        top: 0;
        z-index: 3;
        height: 22px;
        font-family: var(--vscode-font-family);
        font-size: 11px;
        background: var(--vscode-editor-background);
        color: var(--vscode-editor-foreground);
        border-bottom: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
      }
      .body {
        position: relative;
      }
      .row {
        position: absolute;
        left: 0;
        right: 0;
        white-space: pre;
        cursor: text;
        background: var(--vscode-editor-background);
      }
      .row.odd {
        background: color-mix(in srgb, var(--vscode-editor-foreground) 7%, var(--vscode-editor-background));
      }
      .row.boundary {
        box-shadow: inset 0 1px var(--mt-rule);
      }
      .row.over {
        background: color-mix(in srgb, var(--vscode-focusBorder) 8%, var(--vscode-editor-background));
      }
      .row.unit {
        background: color-mix(in srgb, var(--vscode-focusBorder) 14%, var(--vscode-editor-background));
      }
      .row.unit .gutter {
        box-shadow: inset 3px 0 var(--vscode-focusBorder);
      }
      .row.boundary.unit .gutter {
        box-shadow:
          inset 3px 0 var(--vscode-focusBorder),
          inset 0 1px var(--mt-rule);
      }
      .gutter {
        position: sticky;
        left: 0;
        z-index: 2;
        display: flex;
        gap: 6px;
        align-items: center;
        flex: none;
        width: 232px;
        box-sizing: border-box;
        padding-right: 10px;
        background: inherit;
      }
      .row.boundary .gutter {
        box-shadow: inset 0 1px var(--mt-rule);
      }
      .number {
        box-sizing: border-box;
        width: 46px;
        padding-left: 4px;
        text-align: right;
        /* Readable on a band too. */
        color: color-mix(in srgb, var(--vscode-editorLineNumber-foreground) 50%, var(--vscode-editor-foreground));
        user-select: none;
      }
      .thinks {
        width: 12px;
        color: var(--vscode-editor-foreground);
        user-select: none;
      }
      .bar {
        position: relative;
        width: 46px;
        height: 8px;
        flex: none;
        border-bottom: 1px solid color-mix(in srgb, var(--vscode-editor-foreground) 25%, transparent);
      }
      .head .bar {
        height: auto;
        border: none;
      }
      .bar i {
        position: absolute;
        left: 0;
        top: 0;
        bottom: 0;
      }
      .think i {
        background: var(--mt-think);
      }
      .entropy i {
        background: var(--mt-entropy);
      }
      .surprise i {
        background: var(--mt-surprise);
      }
      .bar u {
        position: absolute;
        top: -2px;
        bottom: -2px;
        width: 1px;
        background: var(--vscode-editor-foreground);
        opacity: 0.7;
      }
      .text {
        padding-right: 24px;
      }
      .latent {
        font-style: italic;
        color: var(--mt-latent);
      }
      .latent .mark {
        font-style: normal;
        user-select: none;
      }
      .worth {
        margin-left: 2ch;
        font-family: var(--vscode-font-family);
        font-size: 0.85em;
        color: var(--vscode-editor-foreground);
        user-select: none;
      }
      .token {
        border-radius: 2px;
      }
      .token:hover {
        outline: 1px solid var(--vscode-focusBorder);
      }
      .current {
        outline: 2px solid var(--vscode-focusBorder);
      }
      .end::after {
        content: '↵';
        user-select: none;
        opacity: 0.6;
      }
      .short {
        display: none;
      }
      @container (max-width: 640px) {
        .gutter {
          width: 150px;
          gap: 4px;
        }
        .bar {
          width: 22px;
        }
        .short {
          display: inline;
        }
        .long {
          display: none;
        }
      }
      .found {
        background: var(--vscode-editor-findMatchHighlightBackground, rgb(234 92 0 / 33%));
        outline: 1px dashed var(--vscode-editor-foreground);
        outline-offset: -1px;
        color: var(--vscode-editor-foreground);
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    const size = parseFloat(getComputedStyle(document.body).getPropertyValue('--vscode-editor-font-size'));
    this.#rowPixels = Math.round(LINE_HEIGHT * (Number.isFinite(size) ? size : 13));
    if (this.hasUpdated) this.requestUpdate();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#unmount();
    this.#virtualizer = null;
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('layout') && this.layout !== null) this.#scale = natsScale(this.layout.reading);
  }

  override render(): TemplateResult {
    const { layout } = this;
    // Until it was told, the virtualizer still counts the rows of the reading before.
    const count = layout?.rows.length ?? 0;
    const items = this.#virtualizer?.getVirtualItems().filter(({ index }) => index < count) ?? [];
    const height = this.#virtualizer?.getTotalSize() ?? 0;
    const scale = this.#scale.toFixed(1);
    return html`
      <div
        class="code ${this.granularity === 'token' ? 'shaded' : ''}"
        tabindex="0"
        role="group"
        aria-label="${this.label}. Up and down step by ${this.granularity === 'token' ? 'line' : this.granularity}, left and right by token, [ and ] go to the boundary before and behind."
        @keydown=${this.#onKey}
        @mouseover=${this.#onHover}
        @mouseleave=${() => {
          this.#tell('hover-on', null);
        }}
        @click=${this.#onClick}
        @scroll=${this.#onScroll}
      >
        <div class="head" aria-hidden="true">
          <span class="gutter"
            ><span class="number"></span><span class="thinks"></span
            ><span class="bar think" title="Probability that the model begins a comment here, to 100 %"
              ><span class="long">P(think)</span><span class="short">P</span></span
            ><span class="bar entropy" title="Mean of its tokens, to ${scale} nats"
              ><span class="long">entropy</span><span class="short">H</span></span
            ><span class="bar surprise" title="Mean of −log pi of its tokens, to ${scale} nats"
              ><span class="long">surprise</span><span class="short">S</span></span
            ></span
          >
        </div>
        <div class="body" .style=${`height: ${height}px; min-width: calc(240px + ${(layout?.columns ?? 0) + 24}ch)`}>
          ${
            layout === null
              ? nothing
              : repeat(
                  items,
                  ({ index }) => index,
                  (item) => this.#row(layout, item),
                )
          }
        </div>
      </div>
    `;
  }

  override updated(changed: PropertyValues<this>): void {
    const scroller = this.#scroller;
    if (scroller === null) return;
    const options = {
      count: this.layout?.rows.length ?? 0,
      getScrollElement: () => scroller,
      estimateSize: () => this.#rowPixels,
      overscan: 10,
      scrollPaddingStart: 22 + MARGIN * this.#rowPixels, // below the head
      scrollPaddingEnd: MARGIN * this.#rowPixels,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      onChange: () => {
        this.requestUpdate();
      },
    };
    if (this.#virtualizer === null) {
      this.#virtualizer = new Virtualizer<HTMLElement, HTMLElement>(options);
      this.#unmount = this.#virtualizer._didMount();
      this.requestUpdate();
    } else if (changed.has('layout')) {
      this.#virtualizer.setOptions(options);
      this.#virtualizer.measure();
      this.requestUpdate();
    }
    this.#virtualizer._willUpdate();
  }

  /** Brings a line onto the screen, and a token of it. */
  reveal({ line, token }: Focus): void {
    const { layout } = this;
    if (layout === null) return;
    const { rows } = layout.reading.lines[line]!;
    const place = startOf(layout, line);
    const row = token === null ? place : (this.#placeOfToken(layout, token) ?? place);
    void this.updateComplete.then(async () => {
      if (rows < 20 && token === null) {
        this.#virtualizer?.scrollToIndex(layout.placeOf[layout.reading.lines[line]!.row + rows - 1] ?? row);
      }
      this.#virtualizer?.scrollToIndex(row, { align: 'auto' });
      if (token === null) return;
      await this.updateComplete;
      this.renderRoot.querySelector(`[data-token="${token}"]`)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    });
  }

  /** The row of code at the top, with how much of it is above. */
  get top(): number {
    const scroller = this.#scroller;
    const { rows } = this.layout ?? { rows: [] };
    if (scroller === null || rows.length === 0) return 0;
    const place = scroller.scrollTop / this.#rowPixels;
    const row = rows[Math.min(rows.length - 1, Math.floor(place))]!;
    return row.latent === null ? row.codeRow + (place % 1) : row.codeRow;
  }

  /** Scrolls so that this row of code is at the top; tells nobody. */
  scrollToTop(top: number): void {
    const scroller = this.#scroller;
    if (scroller === null || this.layout === null) return;
    const { placeOf } = this.layout;
    const place = placeOf[Math.min(placeOf.length - 1, Math.floor(top))] ?? 0;
    scroller.scrollTop = (place + (top % 1)) * this.#rowPixels;
    this.#expected = scroller.scrollTop;
  }

  /** Rows that are on the screen: the first, and the one behind the last. */
  get rowsOnScreen(): { readonly from: number; readonly to: number } {
    const scroller = this.#scroller;
    const from = Math.floor((scroller?.scrollTop ?? 0) / this.#rowPixels);
    return { from, to: from + Math.ceil((scroller?.clientHeight ?? 0) / this.#rowPixels) };
  }

  override focus(): void {
    this.#scroller?.focus();
  }

  get #scroller(): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>('.code');
  }

  #row(layout: Layout, { index, start }: VirtualItem): unknown {
    const row = layout.rows[index]!;
    const { granularity, threshold, current, hovered, found } = this;
    const isIn = (focus: Focus | null): boolean =>
      focus !== null && row.line !== null && holds(unitOf(layout, focus.line, granularity), row.line);
    const kinds = [
      'row',
      row.segment !== null && row.segment % 2 === 1 ? 'odd' : '',
      row.isBoundary ? 'boundary' : '',
      isIn(current) ? 'unit' : isIn(hovered) ? 'over' : '',
    ].join(' ');
    const token = current !== null && row.line === current.line ? current.token : null;
    return html`<div
      class=${kinds}
      data-place=${index}
      .style=${`top: ${start}px; height: ${this.#rowPixels}px; line-height: ${this.#rowPixels}px`}
    >
      ${guard([layout, index, granularity, threshold, token, found], () =>
        row.latent === null ? this.#codeRow(layout, row, token) : this.#latentRow(layout, row.latent, row),
      )}
    </div>`;
  }

  // No white space between the tags of a row: it would be shown.
  #latentRow({ reading }: Layout, text: string, { line, codeRow }: Row): TemplateResult {
    const { latent } = reading.lines[line!]!;
    const isFirst = latent !== null && text.trimStart() === latent.text.split('\n')[0];
    const worth = isFirst ? html`<span class="worth">${worthOf(latent)}</span>` : nothing;
    return html`<span class="gutter"><span class="number"></span><span class="thinks"></span></span
      ><span class="text latent" data-latent-of=${codeRow}>${text}${worth}</span>`;
  }

  #codeRow(layout: Layout, row: Row, focused: number | null): TemplateResult {
    const { pieces, endToken } = piecesOf(layout, layout.codeRows[row.codeRow]!, this.found);
    const runs = tokenRuns(pieces).map((run) => this.#run(layout, run, focused));
    const end =
      endToken === null
        ? nothing
        : html`<span
            class=${`${this.#classOf(layout, endToken, focused)} ${this.granularity === 'token' || endToken === focused ? 'end' : ''}`}
            data-token=${endToken}
          ></span>`;
    return html`<span class="gutter"><span class="number">${row.codeRow + 1}</span>${this.#bars(layout, row)}</span
      ><span class="text">${runs}${end}</span>`;
  }

  #bars(layout: Layout, { isFirstOfLine, line }: Row): TemplateResult {
    if (!isFirstOfLine || !beginsUnit(layout, line!, this.granularity)) return html`<span class="thinks"></span>`;
    const { think, entropy, surprise } = figuresOf(layout.reading, unitOf(layout, line!, this.granularity));
    const bar = (kind: string, share: number | null, words: string): TemplateResult =>
      html`<span class="bar ${kind}" title=${words}
        >${
          share === null ? nothing : html`<i .style=${`width: ${100 * Math.min(1, Math.max(0, share))}%`}></i>`
        }${kind === 'think' && share !== null ? html`<u .style=${`left: ${100 * this.threshold}%`}></u>` : nothing}</span
      >`;
    const thinks = think !== null && think >= this.threshold;
    return html`<span class="thinks" title=${thinks ? 'The model would think here' : ''}>${thinks ? '◆' : ''}</span
      >${bar('think', think, think === null ? 'No latent may go here' : `P(think) ${percent(think)}`)}${bar(
        'entropy',
        entropy === null ? null : entropy / this.#scale,
        entropy === null ? '' : `Entropy ${nats(entropy)} nats a token`,
      )}${bar(
        'surprise',
        surprise === null ? null : surprise / this.#scale,
        surprise === null ? '' : `Surprise ${nats(surprise)} nats a token`,
      )}`;
  }

  #run(layout: Layout, pieces: readonly Piece[], focused: number | null): TemplateResult {
    const { token } = pieces[0]!;
    const spans = pieces.map(({ text, kind }) =>
      kind === '' ? html`<span>${text}</span>` : html`<span class=${kind}>${text}</span>`,
    );
    return token === null
      ? html`${spans}`
      : html`<span class=${this.#classOf(layout, token, focused)} data-token=${token}>${spans}</span>`;
  }

  #classOf({ reading }: Layout, token: number, focused: number | null): string {
    const { logProbability } = reading.tokens[token]!;
    const shade = this.granularity === 'token' ? `p${shadeOf(logProbability ?? 0)}` : '';
    return `token ${shade} ${token === focused ? 'current' : ''}`;
  }

  #placeOfToken({ reading, codeRows, placeOf }: Layout, token: number): number | null {
    const { from } = reading.tokens[token]!;
    const row = codeRows.findIndex(({ end }) => end > from);
    return row < 0 ? null : placeOf[row]!;
  }

  /** What the pointer is on. */
  #under(event: Event): Focus | null {
    const target = event.target as Element;
    const place = target.closest('[data-place]')?.getAttribute('data-place') ?? null;
    const line = place === null ? null : (this.layout?.rows[Number(place)]?.line ?? null);
    if (line === null) return null;
    const token = target.closest('[data-token]')?.getAttribute('data-token') ?? null;
    return { line, token: token === null ? null : Number(token) };
  }

  #onHover = (event: MouseEvent): void => {
    this.#tell('hover-on', this.#under(event));
  };

  #onClick = (event: MouseEvent): void => {
    const under = this.#under(event);
    if (under === null) return;
    this.#tell('focus-on', this.granularity === 'token' ? under : { line: under.line, token: null });
  };

  #onScroll = (): void => {
    const scroller = this.#scroller;
    if (scroller === null || Math.abs(scroller.scrollTop - this.#expected) < 1) return;
    this.#expected = -1;
    this.dispatchEvent(new CustomEvent('scrolled', { detail: this.top }));
  };

  #onKey = (event: KeyboardEvent): void => {
    const { layout, current, granularity } = this;
    if (layout === null || event.ctrlKey || event.metaKey) return;
    if (event.key === 'Escape' && current !== null) {
      event.preventDefault();
      this.#tell('focus-on', null);
      return;
    }
    const page = Math.max(1, Math.floor(this.clientHeight / this.#rowPixels) - 3);
    const next = moved(layout, current, event, granularity, page);
    if (next === null) return;
    event.preventDefault();
    this.#tell('focus-on', next);
    this.reveal(next);
  };

  #tell(name: 'focus-on' | 'hover-on', detail: Focus | null): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function holds({ from, to }: Unit, line: number): boolean {
  return line >= from && line < to;
}

function worthOf({ gain: worth, tokens, origin }: LatentReading): string {
  return `${gain(worth)} nats, ${tokens} tokens, ${origin === 'model' ? 'the model’s' : 'in the text'}`;
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-reading': ReadingView;
  }
}
