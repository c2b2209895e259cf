/**
 * The rollouts of a group with what each line was worth: code under its latent, P(think), the reward with the latents and
 * without, and the difference, in colour and as a number. Only rows on the screen are drawn; the arrow keys go from cell to
 * cell. Knows nothing of runs.
 */
import type { VirtualItem } from '@tanstack/virtual-core';
import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { codeStyles } from '../codeStyles.ts';
import { VirtualRows } from '../virtualRows.ts';
import type { Rollout } from './messages.ts';
import { latentRows, nats, type RolloutCell, type RolloutRow, rolloutRows, signed } from './rolloutRows.ts';
import { share } from './scales.ts';

/** A gain of so many nats has the full colour. */
const FULL_GAIN = 2;

@customElement('midtrain-rollouts')
export class RolloutTable extends LitElement {
  @property({ attribute: false }) accessor rollouts: readonly Rollout[] = [];
  @property({ type: Boolean }) accessor stacked = false;
  /** Row and column with the cursor. */
  @state() accessor #at: readonly [row: number, column: number] = [0, 0];
  #table: readonly RolloutRow[] = [];
  /** Of a row of text, in CSS pixels. */
  #pixels = 20;
  /** Of a column, in characters. */
  #width = 60;
  readonly #rows = new VirtualRows(this, {
    scroller: () => this.renderRoot.querySelector<HTMLElement>('.grid'),
    count: () => this.#table.length,
    height: (row) => (this.#table[row]?.height ?? 1) * this.#pixels + 1,
    head: 2 * 20,
  });

  static override styles = [
    codeStyles,
    css`
      :host {
        display: block;
        min-height: 0;
        min-width: 0;
      }
      .grid {
        height: min(440px, var(--content));
        overflow: auto;
        contain: strict;
        background: var(--vscode-editor-background);
        color: var(--vscode-editor-foreground);
        font-family: var(--vscode-editor-font-family, monospace);
        font-size: var(--vscode-editor-font-size, 13px);
        line-height: var(--row);
        outline: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder, transparent));
        outline-offset: -1px;
      }
      .grid:focus-visible {
        outline: 1px solid var(--vscode-focusBorder);
        outline-offset: -1px;
      }
      .body {
        position: relative;
      }
      .head,
      .body,
      .row {
        min-width: max-content;
        width: 100%;
      }
      .row {
        display: grid;
        grid-template-columns: 5ch repeat(var(--columns), minmax(var(--column), 1fr));
      }
      .head {
        position: sticky;
        top: 0;
        z-index: 1;
        background: var(--vscode-editor-background);
        border-bottom: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder));
      }
      .body .row {
        position: absolute;
        left: 0;
        box-sizing: border-box;
        border-bottom: 1px solid color-mix(in srgb, var(--vscode-foreground) 9%, transparent);
      }
      .body .heading {
        background: color-mix(in srgb, var(--vscode-foreground) 7%, transparent);
      }
      .line {
        padding-right: 1.5ch;
        text-align: right;
        color: var(--vscode-editorLineNumber-foreground);
        align-self: end;
      }
      .cell {
        display: grid;
        grid-template-columns: 6ch minmax(0, 1fr) repeat(3, 7ch);
        align-content: end;
        min-width: 0;
        border-left: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder, transparent));
      }
      .cell.current {
        outline: 1px solid transparent;
        outline-offset: -1px;
      }
      .grid:focus .cell.current {
        outline-color: var(--vscode-focusBorder);
      }
      .rollout {
        font-family: var(--vscode-font-family);
        font-size: var(--vscode-font-size);
        padding: 0 8px;
        border-left: 1px solid var(--vscode-panel-border, var(--vscode-contrastBorder, transparent));
        white-space: nowrap;
        overflow: hidden;
        text-overflow: ellipsis;
        font-variant-numeric: tabular-nums;
      }
      .rollout strong {
        display: block;
      }
      .units {
        display: grid;
        grid-template-columns: 6ch minmax(0, 1fr) repeat(3, 7ch);
      }
      .code,
      .latent {
        white-space: pre;
        overflow: hidden;
        text-overflow: ellipsis;
        tab-size: 4;
      }
      .code {
        grid-column: 2;
      }
      .latent {
        grid-column: 2 / -1;
        font-style: italic;
        color: var(--mt-comment);
      }
      .latent .wrong {
        font-style: normal;
        font-family: var(--vscode-font-family);
        color: var(--vscode-editor-foreground);
        border-bottom: 2px solid var(--vscode-editorError-foreground);
      }
      .latent .none {
        text-decoration: underline wavy var(--vscode-editorError-foreground);
      }
      .number {
        text-align: right;
        padding: 0 4px;
        font-variant-numeric: tabular-nums;
        align-self: start;
      }
      .think {
        text-align: right;
        padding-right: 6px;
        align-self: start;
        color: var(--vscode-editor-foreground);
        background: linear-gradient(
          to right,
          color-mix(in srgb, var(--vscode-charts-blue) 38%, transparent) var(--p),
          transparent var(--p)
        );
      }
      .gain {
        font-weight: 600;
      }
      .up {
        background: color-mix(in srgb, var(--vscode-charts-green) var(--share), transparent);
        box-shadow: inset 3px 0 var(--vscode-charts-green);
      }
      .down {
        background: color-mix(in srgb, var(--vscode-charts-red) var(--share), transparent);
        box-shadow: inset 3px 0 var(--vscode-charts-red);
      }
      /* Read by a screen reader only. */
      .said {
        position: absolute;
        width: 1px;
        height: 1px;
        overflow: hidden;
        clip-path: inset(50%);
      }
    `,
  ];

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('rollouts') && !changed.has('stacked')) return;
    const size = Number.parseFloat(
      getComputedStyle(document.documentElement).getPropertyValue('--vscode-editor-font-size'),
    );
    this.#pixels = Math.round(1.5 * (Number.isFinite(size) ? size : 13));
    this.#table = rolloutRows(this.rollouts, this.stacked);
    // Code takes as much room as its longest line, within limits; side by side columns may go beyond the right edge.
    const longest = this.#table.reduce((most, { cells }) => Math.max(most, ...cells.map(widthOf)), 0);
    this.#width = Math.min(this.stacked ? 100 : 48, Math.max(20, longest)) + 28;
    this.#at = [0, 0];
    this.#rows.remeasure();
  }

  override render(): TemplateResult {
    const { items, height } = this.#rows;
    const columns = this.stacked ? 1 : this.rollouts.length;
    const [row, column] = this.#at;
    const isDrawn = items.some(({ index }) => index === row);
    return html`<div
      class="grid"
      role="grid"
      tabindex="0"
      aria-label="Rollouts, line by line"
      aria-rowcount=${this.#table.length + 1}
      aria-activedescendant=${isDrawn ? `cell-${row}-${column}` : ''}
      .style=${`--row: ${this.#pixels}px; --columns: ${columns}; --column: ${this.#width}ch; --content: ${height + 3 * this.#pixels}px`}
      @keydown=${this.#onKey}
    >
      <div class="head" role="rowgroup">
        <div class="row" role="row" aria-rowindex="1">
          <div role="columnheader"><span class="said">Line</span></div>
          ${
            this.stacked
              ? html`<div class="rollout" role="columnheader">${this.#units('Rollouts, one below the other')}</div>`
              : this.rollouts.map((_, i) => html`<div class="rollout" role="columnheader">${this.#headOf(i)}</div>`)
          }
        </div>
      </div>
      <div class="body" role="rowgroup" .style=${`height: ${height}px`}>${items.map((item) => this.#row(item))}</div>
    </div>`;
  }

  #headOf(place: number): TemplateResult {
    const { index, returnWith, returnNever } = this.rollouts[place]!;
    const words = `${signed(returnWith - returnNever)}: return ${nats(returnWith)}, never thinking ${nats(returnNever)}`;
    return this.#units(`Rollout ${index + 1} · ${words}`);
  }

  /** What the columns of numbers are, below a title. */
  #units(title: string): TemplateResult {
    return html`<strong title=${title}>${title}</strong>
      <span class="units"
        ><span>P(think)</span><span></span><span class="number">reward</span><span class="number">without</span
        ><span class="number">gain</span></span
      >`;
  }

  #row({ index, start, size }: VirtualItem): TemplateResult {
    const { line, cells, head } = this.#table[index]!;
    const codeHeight = Math.max(1, ...cells.map((cell) => cell?.code.length ?? 0));
    return html`<div
      class="row ${head === null ? '' : 'heading'}"
      role="row"
      aria-rowindex=${index + 2}
      .style=${`transform: translateY(${start}px); height: ${size}px`}
    >
      <div class="line" role="rowheader" .style=${`margin-bottom: ${(codeHeight - 1) * this.#pixels}px`}>
        ${line ?? nothing}
      </div>
      ${
        head === null
          ? cells.map((cell, column) => this.#cell(cell, index, column))
          : html`<div id="cell-${index}-0" class="rollout" role="gridcell">${this.#title(head)}</div>`
      }
    </div>`;
  }

  #title(place: number): TemplateResult {
    const { index, returnWith, returnNever } = this.rollouts[place]!;
    return html`<strong>Rollout ${index + 1}</strong> ${signed(returnWith - returnNever)} over never thinking: return
      ${nats(returnWith)}, never thinking ${nats(returnNever)}`;
  }

  // No white space between the tags of code: it would be shown.
  #cell(cell: RolloutCell | null, row: number, column: number): TemplateResult {
    const isCurrent = row === this.#at[0] && column === this.#at[1];
    const id = `cell-${row}-${column}`;
    if (cell === null) return html`<div id=${id} class="cell" role="gridcell"></div>`;
    const { code, latent, error, think, reward, without, gain } = cell;
    const indent = /^\s*/.exec(latent ?? '')![0];
    const above =
      latentRows(cell) === 0
        ? nothing
        : html`<span class="latent" title=${[latent?.trim(), error].filter(Boolean).join(' ')}
            >${indent}<span class=${error === '' ? '' : 'none'}>${(latent ?? '').slice(indent.length)}</span>${
              error === '' ? nothing : html` <span class="wrong">⚠ ${error}</span>`
            }</span
          >`;
    const strength = Math.round(2 + 22 * Math.min(1, Math.abs(gain) / FULL_GAIN));
    const way = signed(gain).startsWith('+') ? 'up' : signed(gain).startsWith('−') ? 'down' : '';
    return html`<div
      id=${id}
      class="cell ${isCurrent ? 'current' : ''}"
      role="gridcell"
      @click=${() => {
        this.#at = [row, column];
      }}
    >
      ${above}
      <span class="think" .style=${`grid-column: 1; --p: ${100 * (think ?? 0)}%`}
        ><span class="said">P(think) </span
        >${think === null ? html`<span class="said">none</span>` : share0(think)}</span
      ><span class="code"
        >${code.map((pieces, i) => html`${i > 0 ? '\n' : ''}${pieces.map(({ text, kind }) => html`<span class=${kind}>${text}</span>`)}`)}</span
      ><span class="number"><span class="said">reward </span>${nats(reward)}</span
      ><span class="number"><span class="said">without </span>${nats(without)}</span
      ><span class="number gain ${way}" .style=${`--share: ${strength}%`}
        ><span class="said">gain </span>${signed(gain)}</span
      >
    </div>`;
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    if (event.altKey || event.ctrlKey || event.metaKey || this.#table.length === 0) return;
    const [row, column] = this.#at;
    const last = this.#table.length - 1;
    const page = Math.max(1, Math.floor(this.clientHeight / this.#pixels / 2));
    const to: Readonly<Record<string, readonly [number, number]>> = {
      ArrowDown: [row + 1, column],
      ArrowUp: [row - 1, column],
      PageDown: [row + page, column],
      PageUp: [row - page, column],
      ArrowRight: [row, column + 1],
      ArrowLeft: [row, column - 1],
      Home: [0, column],
      End: [last, column],
    };
    const next = to[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const columns = this.stacked ? 1 : this.rollouts.length;
    this.#at = [Math.max(0, Math.min(last, next[0])), Math.max(0, Math.min(columns - 1, next[1]))];
    this.#rows.reveal(this.#at[0]);
    void this.updateComplete.then(() => {
      this.renderRoot
        .querySelector(`#cell-${this.#at[0]}-${this.#at[1]}`)
        ?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    });
  };
}

/** Characters that a cell's code and latent take. */
function widthOf(cell: RolloutCell | null): number {
  if (cell === null) return 0;
  const rows = cell.code.map((pieces) => pieces.reduce((sum, { text }) => sum + text.length, 0));
  return Math.max((cell.latent?.length ?? 0) - 24, ...rows);
}

/** A share in whole percent. */
function share0(value: number): string {
  return share(Math.round(100 * value) / 100);
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-rollouts': RolloutTable;
  }
}
