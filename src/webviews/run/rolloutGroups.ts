/**
 * The list of groups of rollouts, the latest first: one is selected, by mouse or by keyboard; only those on the screen are
 * drawn. Knows nothing of what is in a rollout.
 */
import type { VirtualItem } from '@tanstack/virtual-core';
import { css, html, LitElement, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { VirtualRows } from '../virtualRows.ts';
import type { Groups } from './messages.ts';
import { rolloutWords, signed } from './rolloutRows.ts';

const ROW_PIXELS = 24;

@customElement('midtrain-groups')
export class RolloutGroups extends LitElement {
  @property({ attribute: false }) accessor groups!: Groups;
  /** Place of the selected one among the groups. */
  @property({ type: Number }) accessor selected = 0;
  readonly #rows = new VirtualRows(this, {
    scroller: () => this.renderRoot.querySelector<HTMLElement>('.list'),
    count: () => this.groups.updates.length,
    height: () => ROW_PIXELS,
  });

  static override styles = css`
    :host {
      display: block;
      min-height: 0;
    }
    .list {
      height: 100%;
      overflow: auto;
      contain: strict;
      background: var(--vscode-dropdown-background, var(--vscode-editor-background));
      outline: 1px solid var(--vscode-dropdown-border, var(--vscode-contrastBorder, transparent));
      outline-offset: -1px;
      font-variant-numeric: tabular-nums;
    }
    .list:focus-visible {
      outline: 1px solid var(--vscode-focusBorder);
      outline-offset: -1px;
    }
    .body {
      position: relative;
    }
    .group {
      position: absolute;
      left: 1px;
      right: 1px;
      box-sizing: border-box;
      height: ${ROW_PIXELS}px;
      padding: 0 8px;
      display: flex;
      gap: 10px;
      align-items: center;
      justify-content: space-between;
      white-space: nowrap;
      cursor: pointer;
    }
    .group:hover {
      background: var(--vscode-list-hoverBackground);
      outline: 1px dashed var(--vscode-contrastActiveBorder, transparent);
      outline-offset: -1px;
    }
    .group.selected {
      background: var(--vscode-list-inactiveSelectionBackground);
      color: var(--vscode-list-inactiveSelectionForeground, inherit);
      outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
      outline-offset: -1px;
    }
    .list:focus .group.selected {
      background: var(--vscode-list-activeSelectionBackground);
      color: var(--vscode-list-activeSelectionForeground);
    }
    .what {
      overflow: hidden;
      text-overflow: ellipsis;
    }
  `;

  override render(): TemplateResult {
    const { items, height } = this.#rows;
    const isDrawn = items.some(({ index }) => this.#groupAt(index) === this.selected);
    return html`<div
      class="list"
      role="listbox"
      tabindex="0"
      aria-label="Groups of rollouts, the latest first"
      aria-activedescendant=${isDrawn ? `group-${this.selected}` : ''}
      @keydown=${this.#onKey}
    >
      <div class="body" role="presentation" .style=${`height: ${height}px`}>
        ${items.map((item) => this.#row(item))}
      </div>
    </div>`;
  }

  #row({ index, start }: VirtualItem): TemplateResult {
    const { updates, snippets, gains } = this.groups;
    const group = this.#groupAt(index);
    const isSelected = group === this.selected;
    return html`<div
      id="group-${group}"
      class="group ${isSelected ? 'selected' : ''}"
      role="option"
      aria-selected=${isSelected}
      aria-setsize=${updates.length}
      aria-posinset=${index + 1}
      .style=${`transform: translateY(${start}px)`}
      @click=${() => {
        this.#select(group);
      }}
    >
      <span class="what"
        >Update ${updates[group]!} · snippet ${snippets[group]!} · ${rolloutWords(this.groups, group)}</span
      >
      <span title="Mean gain over never thinking, in nats">${signed(gains[group]!)}</span>
    </div>`;
  }

  /** The latest is the first row. */
  #groupAt(row: number): number {
    return this.groups.updates.length - 1 - row;
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const last = this.groups.updates.length - 1;
    const page = Math.max(1, Math.floor(this.clientHeight / ROW_PIXELS) - 1);
    const steps: Readonly<Record<string, number>> = {
      ...{ ArrowDown: -1, ArrowUp: 1, PageDown: -page, PageUp: page, Home: last, End: -last },
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const group = Math.max(0, Math.min(last, this.selected + step));
    this.#select(group);
    this.#rows.reveal(last - group);
  };

  #select(group: number): void {
    this.dispatchEvent(new CustomEvent('select-group', { detail: group }));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-groups': RolloutGroups;
  }
}
