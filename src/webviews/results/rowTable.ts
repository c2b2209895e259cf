/**
 * The table of samples: only the rows on the screen are drawn, however many there are. One row is selected; the keyboard
 * moves it, and the columns' heads sort. Knows nothing of what a selection means.
 */
import type { VirtualItem } from '@tanstack/virtual-core';
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { VirtualRows } from '../virtualRows.ts';
import type { Saved } from './messages.ts';
import { type RowStore, type SortKey } from './rowStore.ts';
import { verdictIcon } from './verdicts.ts';

const ROW_PIXELS = 24;

const COLUMNS: readonly { readonly by: SortKey; readonly title: string; readonly isNumber: boolean }[] = [
  { by: 'verdict', title: 'Verdict', isNumber: false },
  { by: 'task', title: 'Problem', isNumber: false },
  { by: 'sample', title: 'Sample', isNumber: true },
  { by: 'reason', title: 'Reason', isNumber: false },
  { by: 'wall', title: 'Wall', isNumber: true },
  { by: 'cpu', title: 'CPU', isNumber: true },
];

@customElement('midtrain-rows')
export class RowTable extends LitElement {
  @property({ attribute: false }) accessor store: RowStore | null = null;
  /** Numbers of the rows, in their order. */
  @property({ attribute: false }) accessor order: Uint32Array = new Uint32Array();
  /** Number of the selected row. */
  @property({ attribute: false }) accessor selected: number | null = null;
  @property({ attribute: false }) accessor sort: Saved['sort'] = { by: 'task', descending: false };
  readonly #rows = new VirtualRows(this, {
    scroller: () => this.renderRoot.querySelector<HTMLElement>('.grid'),
    count: () => this.order.length,
    height: () => ROW_PIXELS,
    head: ROW_PIXELS + 2,
  });

  static override styles = css`
    :host {
      display: block;
      height: 100%;
      min-height: 0;
    }
    .grid {
      height: 100%;
      overflow: auto;
      contain: strict;
    }
    .grid:focus-visible {
      outline: 1px solid var(--vscode-focusBorder);
      outline-offset: -1px;
    }
    .head {
      position: sticky;
      top: 0;
      z-index: 1;
      background: var(--vscode-editor-background);
      border-bottom: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
    }
    .row {
      display: grid;
      grid-template-columns: 118px minmax(112px, 1fr) 62px minmax(60px, 1.4fr) 62px 62px;
      align-items: center;
      height: ${ROW_PIXELS}px;
      min-width: 476px;
    }
    .one-sample .row {
      grid-template-columns: 118px minmax(112px, 1fr) minmax(60px, 1.4fr) 62px 62px;
      min-width: 414px;
    }
    .body {
      position: relative;
      min-width: 476px;
    }
    .one-sample .body {
      min-width: 414px;
    }
    .body .row {
      position: absolute;
      left: 0;
      right: 0;
      cursor: pointer;
    }
    .body .row:hover {
      background: var(--vscode-list-hoverBackground);
      outline: 1px dashed var(--vscode-contrastActiveBorder, transparent);
      outline-offset: -1px;
    }
    .body .row.selected {
      background: var(--vscode-list-inactiveSelectionBackground);
      color: var(--vscode-list-inactiveSelectionForeground, inherit);
      outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
      outline-offset: -1px;
    }
    .grid:focus .row.selected {
      background: var(--vscode-list-activeSelectionBackground);
      color: var(--vscode-list-activeSelectionForeground);
    }
    .cell {
      overflow: hidden;
      text-overflow: ellipsis;
      white-space: nowrap;
      padding: 0 6px;
    }
    .verdict {
      display: flex;
      gap: 5px;
      align-items: center;
    }
    .number {
      text-align: right;
      font-variant-numeric: tabular-nums;
    }
    button {
      all: unset;
      box-sizing: border-box;
      width: 100%;
      font-weight: 600;
      cursor: pointer;
      white-space: nowrap;
    }
    button:focus-visible {
      outline: 1px solid var(--vscode-focusBorder);
    }
  `;

  override connectedCallback(): void {
    super.connectedCallback();
    if (this.hasUpdated) this.requestUpdate();
  }

  override render(): TemplateResult {
    const { items, height } = this.#rows;
    const drawn = this.selected !== null && items.some(({ index }) => this.order[index] === this.selected);
    return html`
      <div
        class="grid ${this.#showsSamples ? '' : 'one-sample'}"
        role="grid"
        tabindex="0"
        aria-label="Samples"
        aria-rowcount=${this.order.length + 1}
        aria-activedescendant=${drawn ? `row-${this.selected}` : ''}
        @keydown=${this.#onKey}
      >
        <div class="head" role="rowgroup">
          <div class="row" role="row" aria-rowindex="1">
            ${COLUMNS.filter(({ by }) => by !== 'sample' || this.#showsSamples).map((column) => this.#head(column))}
          </div>
        </div>
        <div class="body" role="rowgroup" .style=${`height: ${height}px`}>${items.map((item) => this.#row(item))}</div>
      </div>
    `;
  }

  /** Brings a row of the order onto the screen. */
  reveal(place: number): void {
    this.#rows.reveal(place);
  }

  /** Where every problem has one, its number says nothing. */
  get #showsSamples(): boolean {
    return this.store?.hasSeveralSamples === true;
  }

  #head({ by, title, isNumber }: (typeof COLUMNS)[number]): TemplateResult {
    const { sort } = this;
    const way = sort.by !== by ? 'none' : sort.descending ? 'descending' : 'ascending';
    const arrow = way === 'none' ? '' : way === 'ascending' ? ' ▲' : ' ▼';
    return html`<div class="cell ${isNumber ? 'number' : ''}" role="columnheader" aria-sort=${way}>
      <button
        @click=${() => {
          this.#emit('sort-by', by);
        }}
        title="Sort by ${title.toLowerCase()}"
      >
        ${title}<span aria-hidden="true">${arrow}</span>
      </button>
    </div>`;
  }

  #row({ index, start }: VirtualItem): TemplateResult {
    const number = this.order[index]!;
    const { taskId, sample, verdict, reason, wallSeconds, cpuSeconds } = this.store!.row(number);
    const selected = number === this.selected;
    return html`<div
      id="row-${number}"
      class="row ${selected ? 'selected' : ''}"
      role="row"
      aria-rowindex=${index + 2}
      aria-selected=${selected}
      .style=${`transform: translateY(${start}px)`}
      @click=${() => {
        this.#emit('select-row', number);
      }}
    >
      <div class="cell verdict" role="gridcell">${verdictIcon(verdict)}${verdict}</div>
      <div class="cell" role="gridcell" title=${taskId}>${taskId}</div>
      ${this.#showsSamples ? html`<div class="cell number" role="gridcell">${sample}</div>` : nothing}
      <div class="cell" role="gridcell" title=${reason}>${reason}</div>
      <div class="cell number" role="gridcell">${seconds(wallSeconds)}</div>
      <div class="cell number" role="gridcell">${seconds(cpuSeconds)}</div>
    </div>`;
  }

  #onKey = (event: KeyboardEvent): void => {
    if (event.target !== event.currentTarget || event.altKey || event.ctrlKey || event.metaKey) return;
    const place = this.#steppedTo(event.key);
    if (place === null) return;
    event.preventDefault();
    const number = this.order[place];
    if (number === undefined) return;
    this.#emit('select-row', number);
    this.reveal(place);
  };

  #steppedTo(key: string): number | null {
    const last = this.order.length - 1;
    const now = this.selected === null ? -1 : this.order.indexOf(this.selected);
    const page = Math.max(1, Math.floor(this.clientHeight / ROW_PIXELS) - 2);
    const steps: Readonly<Record<string, number>> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    if (key === 'Home') return 0;
    if (key === 'End') return last;
    const step = steps[key];
    return step === undefined ? null : Math.max(0, Math.min(last, now + step));
  }

  #emit(name: 'select-row' | 'sort-by', detail: number | string): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function seconds(value: number): string {
  if (Number.isNaN(value)) return '';
  return value < 10 ? `${value.toFixed(3)} s` : `${value.toFixed(1)} s`;
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-rows': RowTable;
  }
}
