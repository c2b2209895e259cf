/**
 * The results panel: takes what the extension sends, keeps what a user has chosen, and lays the parts out. It owns no data
 * that is not in the run's files.
 */
import '@vscode-elements/elements/dist/vscode-button/index.js';
import '@vscode-elements/elements/dist/vscode-checkbox/index.js';
import '@vscode-elements/elements/dist/vscode-split-layout/index.js';
import '@vscode-elements/elements/dist/vscode-tab-header/index.js';
import '@vscode-elements/elements/dist/vscode-tab-panel/index.js';
import '@vscode-elements/elements/dist/vscode-tabs/index.js';
import '@vscode-elements/elements/dist/vscode-textfield/index.js';
import { html, LitElement, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { Answers, goneView } from '../answers.ts';
import { onMessage, save, saved, send } from '../host.ts';
import { appStyles } from './appStyles.ts';
import { type DetailEvents, detailView, type Section, SECTIONS } from './detailView.ts';
import {
  type Detail,
  type FromPanel,
  type Header,
  parseSaved,
  parseToPanel,
  type Saved,
  type ToPanel,
  VERDICTS,
} from './messages.ts';
import './rowTable.ts';
import { RowStore } from './rowStore.ts';
import { summary } from './summary.ts';
import { type Verdict, verdictIcon } from './verdicts.ts';

/** New rows are put into the table's order at most so often. */
const ORDER_MILLISECONDS = 250;
/** A selection that stays for so long is asked for: holding a key down skips many rows. */
const DETAIL_MILLISECONDS = 60;
const NARROW_PIXELS = 760;
const FIRST_ROWS = 'first rows';

const tell = (message: FromPanel): void => {
  send(message);
};

/** For measurements: when the first rows were drawn, on the page's own clock. */
function markFirstRows(): void {
  if (performance.getEntriesByName(FIRST_ROWS).length === 0) performance.mark(FIRST_ROWS);
}

@customElement('midtrain-results')
export class ResultsApp extends LitElement {
  readonly #store = new RowStore();
  @state() accessor #header: Header | null = null;
  @state() accessor #order: Uint32Array = new Uint32Array();
  @state() accessor #selected: number | null = null;
  @state() accessor #detail: Detail | null = null;
  @state() accessor #detailError = '';
  @state() accessor #gone = '';
  @state() accessor #file: Extract<ToPanel, { type: 'file' }> | null = null;
  @state() accessor #narrow = false;
  @state() accessor #kept: Saved = parseSaved(saved()) ?? {
    folder: '',
    sample: null,
    verdicts: [],
    search: '',
    sort: { by: 'task', descending: false },
    part: 'completion',
    shading: true,
  };
  #requests = 0;
  #ordered = -Infinity;
  #orderTimer: number | null = null;
  #detailTimer: number | null = null;
  readonly #answers = new Answers(this);
  readonly #resized = new ResizeObserver(([entry]) => {
    this.#narrow = (entry?.contentRect.width ?? NARROW_PIXELS) < NARROW_PIXELS;
  });

  static override styles = appStyles;

  override connectedCallback(): void {
    super.connectedCallback();
    onMessage((value) => {
      const message = parseToPanel(value);
      if (message !== null) this.#receive(message);
    });
    this.#resized.observe(this);
    this.addEventListener('keydown', this.#onKey);
    tell({ type: 'ready' });
  }

  override render(): TemplateResult {
    if (this.#gone !== '') return goneView('No results', this.#gone);
    const header = this.#header;
    if (header === null) return html`<main class="gone"><p>Opening the run…</p></main>`;
    return html`
      <main>
        ${this.#answers.view('the results from the Runs view')}
        ${summary(header, {
          act: (action) => {
            tell({ type: 'action', action });
          },
          copyFact: (name) => {
            tell({ type: 'copyFact', name });
          },
        })}
        ${this.#filters(header)}
        <vscode-split-layout
          split=${this.#narrow ? 'horizontal' : 'vertical'}
          initial-handle-position="48%"
          min-start="20%"
          min-end="20%"
        >
          <div slot="start" class="pane">
            <midtrain-rows
              .store=${this.#store}
              .order=${this.#order}
              .selected=${this.#selected}
              .sort=${this.#kept.sort}
              @select-row=${(event: CustomEvent<number>) => {
                this.#select(event.detail);
              }}
              @sort-by=${(event: CustomEvent<Saved['sort']['by']>) => {
                this.#sortBy(event.detail);
              }}
            ></midtrain-rows>
          </div>
          <div slot="end" class="pane scrolls">${this.#detailPane()}</div>
        </vscode-split-layout>
      </main>
    `;
  }

  #filters({ verdicts: counts }: Header): TemplateResult {
    const { verdicts, search } = this.#kept;
    const shown = this.#order.length;
    const all = this.#store.count;
    return html`
      <div class="filters">
        <vscode-textfield
          type="search"
          placeholder="Search problems and reasons"
          label="Search problems and reasons"
          .value=${search}
          @input=${(event: Event) => {
            this.#choose({ search: (event.target as HTMLInputElement).value });
          }}
        ></vscode-textfield>
        <div class="chips" role="group" aria-label="Show only these verdicts">
          ${VERDICTS.map((verdict, i) => {
            const pressed = verdicts.includes(verdict);
            return html`<button
              class="chip"
              aria-pressed=${pressed}
              @click=${() => {
                this.#toggle(verdict);
              }}
            >
              ${verdictIcon(verdict)} ${verdict} <span class="count">${counts[i] ?? 0}</span>
            </button>`;
          })}
        </div>
        <span class="dim" role="status"
          >${shown === all ? `${all} samples` : `${shown} of ${all} samples`}${this.#fileWords()}</span
        >
      </div>
    `;
  }

  #fileWords(): string {
    if (this.#file === null) return '';
    const { read, size, broken, cut } = this.#file;
    const parts: string[] = [];
    if (size > read + 1_000_000) parts.push(`reading, ${Math.floor((100 * read) / size)} %`);
    if (broken > 0) parts.push(`${broken} broken ${broken === 1 ? 'row' : 'rows'} left out`);
    const live = this.#header?.status === 'running' || this.#header?.status === 'paused';
    if (cut && read > 0 && !live && size <= read + 1_000_000) parts.push('a last row was cut off and is left out');
    return parts.length === 0 ? '' : ` · ${parts.join(' · ')}`;
  }

  #detailPane(): TemplateResult {
    if (this.#detailError !== '') return html`<p class="hint">${this.#detailError}</p>`;
    if (this.#detail === null) {
      return html`<p class="hint">
        ${this.#store.count === 0 ? 'Samples show here as they are judged.' : 'Choose a sample to see its prompt, its tokens and the program that ran.'}
      </p>`;
    }
    const { part, shading } = this.#kept;
    const section = SECTIONS.find((one) => one === part) ?? 'completion';
    const hasFailures = this.#store.nextFailure(this.#order, -1, 1) !== null;
    return detailView(this.#detail, { section, shading, hasFailures }, this.#detailEvents);
  }

  readonly #detailEvents: DetailEvents = {
    show: (section: Section) => {
      this.#keep({ part: section });
    },
    step: (step) => {
      this.#stepToFailure(step);
    },
    open: (part) => {
      if (this.#selected !== null) tell({ type: 'open', row: this.#selected, part });
    },
    copy: (part) => {
      if (this.#selected !== null) tell({ type: 'copy', row: this.#selected, part });
    },
    rerun: () => {
      if (this.#selected !== null) tell({ type: 'rerun', row: this.#selected });
    },
    setShading: (shading) => {
      this.#keep({ shading });
    },
  };

  #receive(message: ToPanel): void {
    this.#answers.heard();
    switch (message.type) {
      case 'run':
        this.#header = message.header;
        if (message.header.folder !== this.#kept.folder) this.#keep({ folder: message.header.folder });
        return;
      case 'rows':
        if (!this.#store.apply(message)) return;
        if (message.reset) this.#selected = null;
        if (this.#selected !== null && message.numbers.includes(this.#selected)) this.#ask();
        this.#reorderSoon();
        return;
      case 'file':
        this.#file = message;
        return;
      case 'detail':
        if (message.request !== this.#requests) return; // another one is selected by now
        this.#detail = message.detail;
        this.#detailError = message.error;
        return;
      case 'gone':
        this.#gone = message.text;
        return;
    }
  }

  #reorderSoon(): void {
    const wait = this.#ordered + ORDER_MILLISECONDS - performance.now();
    this.#orderTimer ??= window.setTimeout(
      () => {
        this.#reorder();
      },
      Math.max(0, wait),
    );
  }

  #reorder(): void {
    if (this.#orderTimer !== null) clearTimeout(this.#orderTimer);
    this.#orderTimer = null;
    this.#ordered = performance.now();
    this.#order = this.#store.select(this.#kept);
    if (this.#order.length > 0) void this.updateComplete.then(markFirstRows);
    const { sample } = this.#kept;
    if (this.#selected === null && sample !== null) {
      // After a reload: what was selected is selected again as soon as its row has come.
      const number = this.#store.find(sample.taskId, sample.sample);
      if (number !== null) this.#select(number, true);
    }
  }

  #select(number: number, reveal = false): void {
    if (number === this.#selected) return;
    this.#selected = number;
    const { taskId, sample } = this.#store.row(number);
    this.#keep({ sample: { taskId, sample } });
    this.#ask();
    if (reveal) this.#reveal(this.#order.indexOf(number));
  }

  #ask(): void {
    if (this.#detailTimer !== null) clearTimeout(this.#detailTimer);
    this.#detailTimer = window.setTimeout(() => {
      if (this.#selected === null) return;
      this.#requests += 1;
      tell({ type: 'detail', request: this.#requests, row: this.#selected });
      this.#answers.expect();
    }, DETAIL_MILLISECONDS);
  }

  #stepToFailure(step: 1 | -1): void {
    const now = this.#selected === null ? -1 : this.#order.indexOf(this.#selected);
    const place = this.#store.nextFailure(this.#order, now, step);
    if (place === null) return;
    this.#select(this.#order[place]!);
    this.#reveal(place);
  }

  #reveal(place: number): void {
    if (place < 0) return;
    void this.updateComplete.then(() => {
      this.renderRoot.querySelector('midtrain-rows')?.reveal(place);
    });
  }

  #sortBy(by: Saved['sort']['by']): void {
    const { sort } = this.#kept;
    this.#choose({ sort: { by, descending: sort.by === by && !sort.descending } });
  }

  #toggle(verdict: Verdict): void {
    const { verdicts } = this.#kept;
    this.#choose({
      verdicts: verdicts.includes(verdict) ? verdicts.filter((one) => one !== verdict) : [...verdicts, verdict],
    });
  }

  #choose(change: Partial<Saved>): void {
    this.#keep(change);
    this.#reorder();
  }

  #keep(change: Partial<Saved>): void {
    this.#kept = { ...this.#kept, ...change };
    save(this.#kept);
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === 'ArrowDown') this.#stepToFailure(1);
    else if (event.key === 'ArrowUp') this.#stepToFailure(-1);
    else return;
    event.preventDefault();
  };
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-results': ResultsApp;
  }
}
