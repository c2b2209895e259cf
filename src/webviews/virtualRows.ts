/**
 * Draws of a long list only the rows on the screen. The element that has one asks which rows to draw, and where; heights are
 * known before anything is drawn. Knows nothing of what is in a row.
 */
import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
  type VirtualItem,
} from '@tanstack/virtual-core';
import type { ReactiveController, ReactiveControllerHost } from 'lit';

export interface VirtualList {
  /** What scrolls; null before it is drawn. */
  readonly scroller: () => HTMLElement | null;
  readonly count: () => number;
  /** Of a row, in CSS pixels. */
  readonly height: (row: number) => number;
  /** Of what stays above the rows. */
  readonly head?: number;
}

export class VirtualRows implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  readonly #list: VirtualList;
  #virtualizer: Virtualizer<HTMLElement, HTMLElement> | null = null;
  #unmount: () => void = () => undefined;

  constructor(host: ReactiveControllerHost, list: VirtualList) {
    this.#host = host;
    this.#list = list;
    host.addController(this);
  }

  /** Rows to draw, with their place from the top (`start`) and their height (`size`). */
  get items(): readonly VirtualItem[] {
    return this.#virtualizer?.getVirtualItems() ?? [];
  }

  /** Of all rows, in CSS pixels. */
  get height(): number {
    return this.#virtualizer?.getTotalSize() ?? 0;
  }

  /** Brings a row onto the screen. */
  reveal(row: number): void {
    void this.#host.updateComplete.then(() => {
      this.#virtualizer?.scrollToIndex(row, { align: 'auto' });
    });
  }

  /** To be called before an update in which heights are others. */
  remeasure(): void {
    if (this.#virtualizer === null) return;
    this.#virtualizer.setOptions(this.#options(this.#list.scroller()!));
    this.#virtualizer.measure();
  }

  hostUpdated(): void {
    const scroller = this.#list.scroller();
    if (scroller === null) {
      this.hostDisconnected();
      return;
    }
    if (this.#virtualizer === null) {
      this.#virtualizer = new Virtualizer<HTMLElement, HTMLElement>(this.#options(scroller));
      this.#unmount = this.#virtualizer._didMount();
      this.#host.requestUpdate();
    } else if (this.#virtualizer.options.count !== this.#list.count()) {
      this.#virtualizer.setOptions(this.#options(scroller));
      this.#host.requestUpdate();
    }
    this.#virtualizer._willUpdate();
  }

  hostDisconnected(): void {
    this.#unmount();
    this.#unmount = () => undefined;
    this.#virtualizer = null;
  }

  #options(scroller: HTMLElement) {
    const { count, height, head = 0 } = this.#list;
    return {
      count: count(),
      getScrollElement: () => scroller,
      estimateSize: height,
      overscan: 12,
      paddingStart: 0,
      scrollPaddingStart: head,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      onChange: () => {
        this.#host.requestUpdate();
      },
    };
  }
}
