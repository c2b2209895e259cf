/**
 * The abstractions panel: one reading of code, or two beside each other that scroll together. Takes what the extension sends,
 * keeps what a user has chosen, and lays the parts out. It owns no data but what is chosen and typed.
 */
import '@vscode-elements/elements/dist/vscode-button/index.js';
import '@vscode-elements/elements/dist/vscode-textfield/index.js';
import { html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { Answers, goneView } from '../answers.ts';
import { onMessage, save, saved, send } from '../host.ts';
import { shadeLegend } from '../codeView.ts';
import { appStyles } from './appStyles.ts';
import { pngOf } from './canvas.ts';
import { detailsView, spoken } from './details.ts';
import { thinkers } from './figures.ts';
import { type Layout, layoutOf, lineAt, type Match, search, tokenAt } from './layout.ts';
import {
  type Choice,
  type FromPanel,
  GRANULARITIES,
  type Latents,
  LONGEST_TEXT,
  parseSaved,
  parseToPanel,
  type Saved,
  type ToPanel,
  type Viewed,
} from './messages.ts';
import { type Focus, sameFocus } from './movement.ts';
import { paletteNow } from './palette.ts';
import { pictureOf, rowsOfCanvas, svgOf } from './picture.ts';
import type { ReadingView } from './readingView.ts';
import './readingView.ts';
import { summaryView } from './summary.ts';

/** A slider that stands still for so long is read at. */
const READ_MILLISECONDS = 150;
/** What the focus is on is said once it has stayed. */
const SAY_MILLISECONDS = 250;
const latentWords: Readonly<Record<Latents, string>> = {
  text: 'of the text',
  model: 'the model’s',
  none: 'none',
};

type Source = Extract<ToPanel, { type: 'source' }>;
type Progress = Pick<Extract<ToPanel, { type: 'progress' }>, 'text' | 'share'>;
type Shown = Extract<ToPanel, { type: 'reading' }>;

/** One of the readings. */
interface Side {
  source: Source | null;
  chosen: Choice;
  shown: Shown | null;
  layout: Layout | null;
  progress: Progress | null;
  error: string;
  /** Null: what was read is what is typed. */
  typed: string | null;
  isTyping: boolean;
  focus: Focus | null;
  hover: Focus | null;
  found: readonly Match[];
  /** Lines with something that was looked for, in order. */
  foundLines: readonly number[];
}

const tell = (message: FromPanel): void => {
  send(message);
};

@customElement('midtrain-abstractions')
export class AbstractionsApp extends LitElement {
  readonly #sides: Side[] = [];
  @state() accessor #gone = '';
  @state() accessor #said = '';
  @state() accessor #active = 0;
  @state() accessor #kept: Omit<Saved, 'sides'> & { readonly sides: readonly Viewed[] } = parseSaved(saved()) ?? {
    sides: [],
    granularity: 'line',
    threshold: 0.5,
    search: '',
    top: 0,
  };
  #sayTimer: number | null = null;
  #readTimer: number | null = null;
  readonly #answers = new Answers(this);
  #saveTimer: number | null = null;
  /** The first reading after a reload is scrolled to where it was. */
  #isToScroll = true;

  static override styles = appStyles;

  override connectedCallback(): void {
    super.connectedCallback();
    onMessage((value) => {
      const message = parseToPanel(value);
      if (message !== null) this.#receive(message);
    });
    this.addEventListener('keydown', this.#onKey);
    tell({ type: 'ready', sides: [...this.#kept.sides] });
  }

  override render(): TemplateResult {
    if (this.#gone !== '') return goneView('No reading', this.#gone);
    if (this.#sides.length === 0) return html`<main class="gone"><p>Opening…</p></main>`;
    return html`
      <main>
        ${this.#answers.view('another one with Open Abstractions Panel')} ${this.#tools()}
        <div class="sides ${this.#sides.length > 1 ? 'two' : ''}">
          ${this.#sides.map((side, i) => this.#sideView(side, i))}
        </div>
        <div class="said" aria-live="polite">${this.#said}</div>
      </main>
    `;
  }

  #tools(): TemplateResult {
    const { granularity, threshold, search: words } = this.#kept;
    const found = this.#sides[this.#active]?.foundLines ?? [];
    const now = this.#foundNow();
    return html`
      <div class="tools">
        <div class="chips" role="group" aria-label="What is looked at">
          ${GRANULARITIES.map(
            (one) =>
              html`<button
                class="chip"
                aria-pressed=${one === granularity}
                @click=${() => {
                  this.#keep({ granularity: one });
                }}
              >
                ${one}
              </button>`,
          )}
        </div>
        <label
          >P(think) ≥
          <input
            type="range"
            min="0"
            max="1"
            step="0.01"
            aria-label="Threshold of P(think)"
            .value=${String(threshold)}
            @input=${(event: Event) => {
              this.#keep({ threshold: Number((event.target as HTMLInputElement).value) });
            }}
          /><span class="number">${threshold.toFixed(2)}</span></label
        >
        <span role="status" data-thinkers>${this.#thinkerWords()}</span>
        <div class="search" role="search">
          <vscode-textfield
            type="search"
            placeholder="Search code and latents"
            label="Search code and latents"
            .value=${words}
            @input=${(event: Event) => {
              this.#search((event.target as HTMLInputElement).value);
            }}
            @keydown=${(event: KeyboardEvent) => {
              if (event.key !== 'Enter') return;
              event.preventDefault();
              this.#toFound(event.shiftKey ? -1 : 1);
            }}
          ></vscode-textfield>
          ${
            words === ''
              ? nothing
              : html`<span class="number" role="status" data-found
                    >${found.length === 0 ? 'none' : `${now === null ? '' : `${now + 1} of `}${found.length} ${found.length === 1 ? 'line' : 'lines'}`}</span
                  >
                  <vscode-button
                    secondary
                    ?disabled=${found.length === 0}
                    @click=${() => {
                      this.#toFound(-1);
                    }}
                    >Previous</vscode-button
                  >
                  <vscode-button
                    secondary
                    ?disabled=${found.length === 0}
                    @click=${() => {
                      this.#toFound(1);
                    }}
                    >Next</vscode-button
                  >`
          }
        </div>
        ${granularity === 'token' ? shadeLegend() : nothing}
      </div>
    `;
  }

  #thinkerWords(): string {
    const words = this.#sides.flatMap(({ layout }) => {
      if (layout === null) return [];
      const { thinking, able } = thinkers(layout.reading, this.#kept.threshold);
      return [`${thinking} of ${able} lines`];
    });
    return words.length === 0 ? '' : `would think: ${words.join(' · ')}`;
  }

  #sideView(side: Side, number: number): TemplateResult {
    const { layout, shown, error, progress, focus, hover } = side;
    const { granularity, threshold } = this.#kept;
    return html`
      <section class="side" aria-label=${this.#sides.length > 1 ? (number === 0 ? 'Left' : 'Right') : 'Reading'}>
        ${this.#head(side, number)} ${progress === null ? nothing : this.#progressView(progress, number)}
        ${error === '' ? nothing : html`<p class="error" role="alert">${error}</p>`} ${this.#typing(side, number)}
        ${
          layout?.reading.hasError === true
            ? html`<p class="note">
                The code has errors of syntax: where its lines and statements begin is told as well as can be.
              </p>`
            : nothing
        }
        ${
          layout === null || shown === null
            ? nothing
            : html`${summaryView(layout, shown.summary, (line) => {
                  this.#focusOn(number, { line, token: null }, true);
                })}
                <midtrain-reading
                  .layout=${layout}
                  .granularity=${granularity}
                  .threshold=${threshold}
                  .current=${focus}
                  .hovered=${hover}
                  .found=${side.found}
                  .label=${`Code of ${layout.reading.name}`}
                  @focus-on=${(event: CustomEvent<Focus | null>) => {
                    this.#focusOn(number, event.detail, false);
                  }}
                  @hover-on=${(event: CustomEvent<Focus | null>) => {
                    this.#hoverOn(number, event.detail);
                  }}
                  @scrolled=${(event: CustomEvent<number>) => {
                    this.#scrolled(number, event.detail);
                  }}
                ></midtrain-reading>
                <div class="details" role="region" aria-label="Details" tabindex="0">
                  ${detailsView(layout, hover ?? focus, granularity)}
                </div>`
        }
      </section>
    `;
  }

  #head(side: Side, number: number): TemplateResult {
    const { source, chosen, shown } = side;
    const reading = shown?.reading;
    const step = reading?.model.step ?? null;
    const link = (title: string, press: () => void, isThere = true): TemplateResult | typeof nothing =>
      isThere ? html`<button class="link" @click=${press}>${title}</button>` : nothing;
    const has = reading !== undefined;
    return html`
      <header>
        <div class="title">
          <h1>
            ${reading?.name ?? source?.title ?? 'Opening…'}
            ${has ? html`<span class="dim">by ${reading.model.name}${step === null ? '' : `, step ${step}`}</span>` : nothing}
          </h1>
          <div class="links">
            ${link(
              'Read Again',
              () => {
                this.#read(number, true);
              },
              source !== null,
            )}
            ${link('Open Other…', () => {
              tell({ type: 'choose', side: number });
            })}
            ${link(
              'Compare With…',
              () => {
                tell({ type: 'choose', side: 1 });
              },
              this.#sides.length === 1 && has,
            )}
            ${link(
              'Close',
              () => {
                this.#close();
              },
              number === 1,
            )}
            ${link(
              'Copy as JSON',
              () => {
                tell({ type: 'copyJson', side: number });
              },
              has,
            )}
            ${link(
              'Save JSON…',
              () => {
                tell({ type: 'saveJson', side: number });
              },
              has,
            )}
            ${link('SVG…', () => void this.#picture(number, 'svg'), has)}
            ${link('PNG…', () => void this.#picture(number, 'png'), has)}
          </div>
        </div>
        ${source === null || !hasChoices(source) ? nothing : this.#choices(source, chosen, number)}
      </header>
    `;
  }

  #choices({ items, steps, latents }: Source, chosen: Choice, number: number): TemplateResult {
    const place = Math.max(0, steps.indexOf(chosen.step ?? NaN));
    const button = (sign: string, title: string, item: number): TemplateResult =>
      html`<vscode-button
        secondary
        aria-label=${title}
        title=${title}
        ?disabled=${item < 0 || item >= items}
        @click=${() => {
          this.#choose(number, { item });
        }}
        >${sign}</vscode-button
      >`;
    return html`<div class="choices">
      ${
        items > 1
          ? html`<div class="group" role="group" aria-label="What is shown">
              ${button('‹', 'Previous Sample', chosen.item - 1)}
              <button
                class="link first"
                @click=${() => {
                  tell({ type: 'chooseItem', side: number });
                }}
              >
                ${chosen.item + 1} of ${items}
              </button>
              ${button('›', 'Next Sample', chosen.item + 1)}
            </div>`
          : nothing
      }
      ${
        steps.length > 1
          ? html`<label
              >Step
              <input
                type="range"
                min="0"
                max=${steps.length - 1}
                step="1"
                aria-label="Step of the checkpoint"
                aria-valuetext="Step ${steps[place]}"
                .value=${String(place)}
                @input=${(event: Event) => {
                  this.#choose(number, { step: steps[Number((event.target as HTMLInputElement).value)] ?? null });
                }}
              /><span class="number"
                >${chosen.step} <span class="dim">(${place + 1} of ${steps.length})</span></span
              ></label
            >`
          : nothing
      }
      ${
        latents.length > 1
          ? html`<label
              >Latents
              <select
                @change=${(event: Event) => {
                  this.#choose(number, { latents: (event.target as HTMLSelectElement).value as Latents });
                }}
              >
                ${latents.map((one) => html`<option value=${one} ?selected=${one === chosen.latents}>${latentWords[one]}</option>`)}
              </select></label
            >`
          : nothing
      }
    </div>`;
  }

  #progressView({ text, share }: Progress, number: number): TemplateResult {
    return html`<div class="working" role="status">
      ${share === null ? html`<progress aria-label=${text}></progress>` : html`<progress aria-label=${text} max="1" .value=${share}></progress>`}
      <span class="what">${text}</span>
      <vscode-button
        secondary
        @click=${() => {
          tell({ type: 'cancel', side: number });
        }}
        >Cancel</vscode-button
      >
    </div>`;
  }

  #typing(side: Side, number: number): TemplateResult | typeof nothing {
    const { source, typed, isTyping, shown } = side;
    if (source?.address.kind !== 'text') return nothing;
    const { text } = source.address;
    if (!isTyping && shown !== null)
      return html`<div>
        <vscode-button
          secondary
          @click=${() => {
            this.#change(side, { isTyping: true });
          }}
          >Edit the Code</vscode-button
        >
      </div>`;
    return html`<div class="typing">
      <textarea
        aria-label="Code to read"
        rows="8"
        spellcheck="false"
        maxlength=${LONGEST_TEXT}
        .value=${typed ?? text}
        @input=${(event: Event) => {
          side.typed = (event.target as HTMLTextAreaElement).value;
        }}
      ></textarea>
      <vscode-button
        @click=${() => {
          this.#answers.expect();
          tell({ type: 'readText', side: number, text: side.typed ?? text });
        }}
        >Read</vscode-button
      >
    </div>`;
  }

  #receive(message: ToPanel): void {
    this.#answers.heard();
    if (message.type === 'gone') {
      this.#gone = message.text;
      return;
    }
    const number = Math.min(message.side, this.#sides.length);
    const side = (this.#sides[number] ??= newSide());
    switch (message.type) {
      case 'source': {
        const isOther = JSON.stringify(side.source?.address) !== JSON.stringify(message.address);
        // While a slider moves, what it is at now is not yet what was asked for.
        this.#change(side, {
          source: message,
          progress: null, // if there is any, it follows
          ...(this.#readTimer === null ? { chosen: message.chosen } : {}),
          ...(isOther ? { shown: null, layout: null, error: '', typed: null, focus: null, hover: null } : {}),
        });
        this.#keepSides();
        return;
      }
      case 'progress':
        this.#change(side, { progress: { text: message.text, share: message.share }, error: '' });
        return;
      case 'failed':
        this.#change(side, { progress: null, error: message.text, shown: null, layout: null });
        return;
      case 'reading':
        this.#take(side, number, message);
        return;
    }
  }

  #take(side: Side, number: number, shown: Shown): void {
    const before = side.layout;
    const layout = layoutOf(shown.reading);
    const sameCode = before?.reading.code === layout.reading.code;
    const other = this.#sides[1 - number] ?? null;
    const follow = (from: Side | null): Focus | null =>
      from?.layout == null ? null : sameFocus(from.layout, layout, from.focus, (at) => tokenAt(layout.reading, at));
    const focus = follow(side) ?? follow(other);
    this.#change(side, { shown, layout, progress: null, error: '', focus, hover: null, isTyping: false, typed: null });
    this.#find(side);
    const top = this.#isToScroll || number > 0 || sameCode ? this.#kept.top : 0;
    this.#isToScroll = false;
    void this.updateComplete.then(() => {
      const view = this.#view(number);
      void view?.updateComplete.then(() =>
        requestAnimationFrame(() => {
          view.scrollToTop(top);
        }),
      );
    });
  }

  #change(side: Side, change: Partial<Side>): void {
    Object.assign(side, change);
    this.requestUpdate();
  }

  #choose(number: number, change: Partial<Choice>): void {
    const side = this.#sides[number]!;
    this.#change(side, { chosen: { ...side.chosen, ...change } });
    if (this.#readTimer !== null) clearTimeout(this.#readTimer);
    this.#readTimer = window.setTimeout(() => {
      this.#readTimer = null;
      this.#read(number, false);
    }, READ_MILLISECONDS);
  }

  #read(number: number, again: boolean): void {
    const side = this.#sides[number];
    if (side === undefined) return;
    this.#answers.expect();
    tell({ type: 'read', side: number, ...side.chosen, again });
    this.#keepSides();
  }

  #close(): void {
    tell({ type: 'close', side: 1 });
    this.#sides.splice(1);
    this.#active = 0;
    this.requestUpdate();
    this.#keepSides();
  }

  #focusOn(number: number, focus: Focus | null, reveal: boolean): void {
    this.#active = number;
    const own = this.#sides[number]!;
    this.#sides.forEach((side, i) => {
      if (i === number) side.focus = focus;
      else if (own.layout !== null && side.layout !== null) {
        const { reading } = side.layout;
        const same = sameFocus(own.layout, side.layout, focus, (offset) => tokenAt(reading, offset));
        if (same !== null || focus === null) side.focus = same;
      }
    });
    this.requestUpdate();
    if (focus === null) return;
    if (reveal) this.#view(number)?.reveal(focus);
    if (this.#sayTimer !== null) clearTimeout(this.#sayTimer);
    this.#sayTimer = window.setTimeout(() => {
      if (own.layout !== null && own.focus !== null) this.#said = spoken(own.layout, own.focus, this.#kept.granularity);
    }, SAY_MILLISECONDS);
  }

  #hoverOn(number: number, hover: Focus | null): void {
    const own = this.#sides[number]!;
    if (hover?.line === own.hover?.line && hover?.token === own.hover?.token) return;
    this.#sides.forEach((side, i) => {
      const { layout } = side;
      if (i === number) side.hover = hover;
      else
        side.hover =
          own.layout === null || layout === null
            ? null
            : sameFocus(own.layout, layout, hover, (offset) => tokenAt(layout.reading, offset));
    });
    this.requestUpdate();
  }

  #scrolled(number: number, top: number): void {
    this.#sides.forEach((_, i) => {
      if (i !== number) this.#view(i)?.scrollToTop(top);
    });
    if (number === 0) this.#kept = { ...this.#kept, top };
    this.#saveSoon();
  }

  #search(words: string): void {
    this.#keep({ search: words });
    for (const side of this.#sides) this.#find(side);
    this.requestUpdate();
  }

  #find(side: Side): void {
    if (side.layout === null) return;
    const { layout } = side;
    const { inCode, latentRows } = search(layout, this.#kept.search);
    side.found = inCode;
    const lines = [
      ...inCode.map(({ from }) => lineAt(layout.reading, from) ?? 0),
      ...latentRows.map((place) => layout.rows[place]!.line!),
    ];
    side.foundLines = layout.reading.lines.length === 0 ? [] : [...new Set(lines)].sort((a, b) => a - b);
  }

  /** Place of the focus among the lines that were found. */
  #foundNow(): number | null {
    const { foundLines = [], focus = null } = this.#sides[this.#active] ?? {};
    const place = focus === null ? -1 : foundLines.indexOf(focus.line);
    return place < 0 ? null : place;
  }

  #toFound(step: 1 | -1): void {
    const side = this.#sides[this.#active];
    if (side === undefined || side.foundLines.length === 0) return;
    const { foundLines, focus } = side;
    const now = focus?.line ?? -1;
    const next =
      step > 0
        ? (foundLines.find((line) => line > now) ?? foundLines[0]!)
        : (foundLines.findLast((line) => line < now) ?? foundLines.at(-1)!);
    this.#focusOn(this.#active, { line: next, token: null }, true);
  }

  async #picture(number: number, format: 'png' | 'svg'): Promise<void> {
    const { layout } = this.#sides[number]!;
    if (layout === null) return;
    const all = { from: 0, to: layout.rows.length };
    const scale = devicePixelRatio;
    const room = rowsOfCanvas(scale);
    const first = Math.max(0, Math.min(this.#view(number)?.rowsOnScreen.from ?? 0, layout.rows.length - room));
    const part = format === 'svg' || all.to <= room ? all : { from: first, to: first + room };
    const { granularity, threshold } = this.#kept;
    const picture = pictureOf(layout, { ...paletteNow(), granularity, threshold, ...part });
    const bytes = format === 'svg' ? new TextEncoder().encode(svgOf(picture)) : await pngOf(picture, scale);
    tell({ type: 'picture', side: number, format, bytes });
  }

  #view(number: number): ReadingView | null {
    return this.renderRoot.querySelectorAll('midtrain-reading')[number] ?? null;
  }

  #keepSides(): void {
    const sides = this.#sides.flatMap(({ source, chosen }) =>
      source === null ? [] : [{ address: source.address, ...chosen }],
    );
    this.#keep({ sides });
  }

  #keep(change: Partial<Saved>): void {
    this.#kept = { ...this.#kept, ...change };
    if (this.#kept.sides.length > 0) save(this.#kept);
  }

  #saveSoon(): void {
    if (this.#saveTimer !== null) return;
    this.#saveTimer = window.setTimeout(() => {
      this.#saveTimer = null;
      this.#keep({});
    }, READ_MILLISECONDS);
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    const isFind = (event.ctrlKey || event.metaKey) && event.key === 'f';
    if (isFind) this.renderRoot.querySelector<HTMLElement>('vscode-textfield')?.focus();
    else if (event.key === 'F3') this.#toFound(event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
}

function hasChoices({ items, steps, latents }: Source): boolean {
  return items > 1 || steps.length > 1 || latents.length > 1;
}

function newSide(): Side {
  return {
    ...{ source: null, chosen: { item: 0, step: null, latents: 'text' as const }, shown: null, layout: null },
    ...{ progress: null, error: '', typed: null, isTyping: false, focus: null, hover: null, found: [], foundLines: [] },
  };
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-abstractions': AbstractionsApp;
  }
}
