/**
 * The run panel: takes what the extension sends, keeps what a user has chosen, and lays the parts out. It owns no data that is
 * not in the run's files.
 */
import '@vscode-elements/elements/dist/vscode-button/index.js';
import '@vscode-elements/elements/dist/vscode-checkbox/index.js';
import '@vscode-elements/elements/dist/vscode-collapsible/index.js';
import { html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import '../codeView.ts';
import { factsView, notesView } from '../facts.ts';
import { onMessage, save, saved, send } from '../host.ts';
import { appStyles } from './appStyles.ts';
import { type ChartSpec, chartsOf, type DrawnRun, valueAt } from './charts.ts';
import { type CurveChart, LEFT, RIGHT, type Stretch } from './curveChart.ts';
import { RunCurves } from './curves.ts';
import { emptyWords, headerView } from './header.ts';
import {
  groupsOf,
  groupWords,
  isWeighty,
  MARK_PIXELS,
  markIcon,
  type MarkGroup,
  markTitles,
  markWords,
} from './marks.ts';
import {
  AXES,
  type Axis,
  type FromPanel,
  type Header,
  type Mark,
  MOST_OVERLAYS,
  parseSaved,
  parseToPanel,
  type Sample,
  type Saved,
  type ToPanel,
} from './messages.ts';
import { type Picture, pngOf, svgOf } from './pictures.ts';
import { amount, bytes, figure, share, span } from './scales.ts';

/** The age of a phase is shown to the second. */
const CLOCK_MILLISECONDS = 1000;
/** What the cursor reads is said once it has stayed. */
const SAY_MILLISECONDS = 250;
/** An answer that has not come by then will not come. */
const ANSWER_MILLISECONDS = 10_000;
/** The narrowest part of the axis that is shown, in steps. */
const LEAST_SPAN = 2;

const axisTitles: Readonly<Record<Axis, string>> = { step: 'Steps', tokens: 'Tokens', time: 'Time at work' };
const axisWords: Readonly<Record<Axis, (value: number) => string>> = {
  step: (value) => String(Number(value.toPrecision(9))),
  tokens: amount,
  time: span,
};

const tell = (message: FromPanel): void => {
  send(message);
};

@customElement('midtrain-run')
export class RunApp extends LitElement {
  readonly #runs = new Map<string, RunCurves>();
  @state() accessor #header: Header | null = null;
  @state() accessor #marks: readonly Mark[] = [];
  @state() accessor #samples: Extract<ToPanel, { type: 'samples' }>['samples'] = [];
  @state() accessor #sample: Sample | null = null;
  @state() accessor #sampleError = '';
  @state() accessor #overlays: Extract<ToPanel, { type: 'overlays' }>['runs'] = [];
  @state() accessor #file: Extract<ToPanel, { type: 'file' }> | null = null;
  @state() accessor #gone = '';
  /** Grows with what was drawn anew. */
  @state() accessor #version = 0;
  /** A place of the axis. */
  @state() accessor #cursor: number | null = null;
  @state() accessor #tip: MarkGroup | null = null;
  @state() accessor #said = '';
  @state() accessor #now = Date.now();
  @state() accessor #width = 800;
  /** Nobody answers: the extension was ended without a word, and a later one does not know this panel. */
  @state() accessor #isLost = false;
  @state() accessor #kept: Saved = parseSaved(saved()) ?? {
    folder: '',
    overlays: [],
    axis: 'step',
    log: false,
    smoothing: 0.9,
    zoom: null,
    sample: null,
  };
  #requests = 0;
  #isToDraw = false;
  #sayTimer: number | null = null;
  #answerTimer: number | null = null;
  #clock: number | null = null;
  readonly #resized = new ResizeObserver(([entry]) => {
    this.#width = Math.floor(entry?.contentRect.width ?? 0);
  });

  static override styles = appStyles;

  override connectedCallback(): void {
    super.connectedCallback();
    onMessage((value) => {
      const message = parseToPanel(value);
      if (message !== null) this.#receive(message);
    });
    this.#clock = window.setInterval(() => {
      const { status } = this.#header ?? {};
      if (status === 'running' || status === 'paused') this.#now = Date.now();
    }, CLOCK_MILLISECONDS);
    tell({ type: 'ready', overlays: this.#kept.overlays });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    if (this.#clock !== null) clearInterval(this.#clock);
    this.#resized.disconnect();
  }

  override updated(): void {
    const main = this.renderRoot.querySelector('.charts');
    if (main !== null) this.#resized.observe(main);
  }

  override render(): TemplateResult {
    if (this.#gone !== '')
      return html`<main class="gone">
        <h1>No run</h1>
        <p>${this.#gone}</p>
      </main>`;
    const header = this.#header;
    if (header === null) return html`<main class="gone"><p>Opening the run…</p></main>`;
    const own = this.#own;
    return html`
      <main>
        ${
          this.#isLost
            ? html`<p class="error" role="alert">
                Midtrain was restarted and does not know this panel any more. Close it, and open the run from the Runs
                view.
              </p>`
            : nothing
        }
        ${headerView(header, this.#now, (action) => {
          tell({ type: 'action', action });
        })}
        ${own === undefined || own.count === 0 ? html`<p class="hint">${this.#readingWords() ?? emptyWords(header, this.#now)}</p>` : this.#curves(own)}
        ${this.#samplesView()} ${this.#eventsView()} ${factsView('Config and settings', header.facts)}
        ${notesView(header.notes)}
        <div class="said" aria-live="polite">${this.#said}</div>
      </main>
    `;
  }

  get #own(): RunCurves | undefined {
    return this.#header === null ? undefined : this.#runs.get(this.#header.folder);
  }

  /** The panel's own first. */
  get #drawn(): DrawnRun[] {
    const own = this.#own;
    if (own === undefined) return [];
    const others = this.#overlays.flatMap(({ folder }, i) => {
      const curves = this.#runs.get(folder);
      return curves === undefined ? [] : [{ curves, letter: letterOf(i) }];
    });
    return [{ curves: own, letter: '' }, ...others];
  }

  /** All of the axis that any of the runs has. */
  get #whole(): Stretch {
    const ends = this.#drawn.flatMap(({ curves }) => {
      const places = curves.places(this.#kept.axis);
      return places.length === 0 ? [] : [places[0]!, places[places.length - 1]!];
    });
    const from = Math.min(...ends, Infinity);
    const to = Math.max(...ends, -Infinity);
    if (from > to) return [0, 1];
    return from === to ? [from, from + 1] : [from, to];
  }

  get #stretch(): Stretch {
    return this.#kept.zoom ?? this.#whole;
  }

  #readingWords(): string | null {
    if (this.#file === null) return null;
    const { read, size } = this.#file;
    return size > read + 1_000_000 ? `Reading, ${Math.floor((100 * read) / size)} %` : null;
  }

  #curves(own: RunCurves): TemplateResult {
    const charts = chartsOf(this.#drawn, this.#kept.axis, this.#cursor);
    return html`
      ${this.#tools(charts)}
      <p class="reading" data-reading>${this.#reading(own)}</p>
      <div
        class="charts"
        @cursor-move=${(event: CustomEvent<number | null>) => {
          this.#cursor = event.detail;
        }}
        @zoom-to=${(event: CustomEvent<Stretch>) => {
          this.#zoomTo(event.detail);
        }}
        @zoom-reset=${() => {
          this.#keep({ zoom: null });
        }}
        @chart-key=${(event: CustomEvent<KeyboardEvent>) => {
          this.#onKey(event.detail);
        }}
      >
        ${charts.map((chart) => this.#chart(chart, own))}
      </div>
    `;
  }

  #chart(chart: ChartSpec, own: RunCurves): TemplateResult {
    const { id, heading, curves, writeY, canBeLog, isLarge } = chart;
    const { axis, log } = this.#kept;
    const drawn = html`<midtrain-curves
      data-chart=${id}
      .heading=${heading}
      .curves=${curves}
      .marks=${this.#placedMarks(own).map(({ mark, place }) => ({ place, weighty: isWeighty(mark) }))}
      .stretch=${this.#stretch}
      .cursor=${this.#cursor}
      .log=${log && canBeLog}
      .writeX=${axisWords[axis]}
      .writeY=${writeY}
      .height=${isLarge ? 280 : 150}
      .version=${this.#version}
      >${isLarge ? html`<div class="above">${this.#marksRow(own)} ${this.#tipView()}</div>` : nothing}</midtrain-curves
    >`;
    return isLarge ? html`<div class="large">${drawn}</div>` : drawn;
  }

  /** Marks with their places on the axis. */
  #placedMarks(own: RunCurves): { readonly mark: Mark; readonly place: number }[] {
    const { axis } = this.#kept;
    const places = own.places(axis);
    return this.#marks.map((mark) => ({ mark, place: places[own.nearest('step', mark.step) ?? 0] ?? 0 }));
  }

  #marksRow(own: RunCurves): TemplateResult | typeof nothing {
    if (this.#marks.length === 0) return nothing;
    const [from, to] = this.#stretch;
    const width = this.#width - LEFT - RIGHT;
    const shown = this.#placedMarks(own)
      .filter(({ place }) => place >= from && place <= to)
      .map(({ mark, place }) => ({ mark, left: ((place - from) / (to - from)) * width }));
    return html`<div class="marks" role="group" aria-label="What was done to the run">
      ${groupsOf(shown).map((group) => {
        const { left, marks } = group;
        const [first] = marks;
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
          ${marks.length === 1 ? markIcon(first!.kind) : html`<span class="many">${marks.length}</span>`}
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

  #tools(charts: readonly ChartSpec[]): TemplateResult {
    const { axis, log, smoothing, zoom } = this.#kept;
    const button = (title: string, press: () => void, isOff = false): TemplateResult =>
      html`<vscode-button secondary ?disabled=${isOff} @click=${press}>${title}</vscode-button>`;
    return html`
      <div class="tools">
        <label
          >Axis
          <select
            @change=${(event: Event) => {
              this.#chooseAxis((event.target as HTMLSelectElement).value);
            }}
          >
            ${AXES.map((one) => html`<option value=${one} ?selected=${one === axis}>${axisTitles[one]}</option>`)}
          </select>
        </label>
        <vscode-checkbox
          label="Log scale"
          ?checked=${log}
          @change=${(event: Event) => {
            this.#keep({ log: (event.target as HTMLInputElement).checked });
          }}
        ></vscode-checkbox>
        <label
          >Smoothing
          <input
            type="range"
            min="0"
            max="0.99"
            step="0.01"
            .value=${String(smoothing)}
            @input=${(event: Event) => {
              this.#keep({ smoothing: Number((event.target as HTMLInputElement).value) });
              this.#smooth();
            }}
          /><span class="weight">${smoothing.toFixed(2)}</span></label
        >
        <div class="group" role="group" aria-label="Zoom">
          ${button('Zoom In', () => {
            this.#zoomBy(0.5);
          })}
          ${button(
            'Zoom Out',
            () => {
              this.#zoomBy(2);
            },
            zoom === null,
          )}
          ${button(
            'Show All',
            () => {
              this.#keep({ zoom: null });
            },
            zoom === null,
          )}
        </div>
        <div class="group" role="group" aria-label="Export">
          ${button('CSV', () => {
            tell({ type: 'action', action: 'exportCsv' });
          })}
          ${button('TensorBoard', () => {
            tell({ type: 'action', action: 'exportTensorBoard' });
          })}
          ${button('PNG', () => {
            void this.#savePng(charts);
          })}
          ${button('SVG', () => {
            tell({ type: 'picture', format: 'svg', bytes: new TextEncoder().encode(svgOf(this.#picture(charts))) });
          })}
        </div>
        ${button('Draw Other Runs Too…', () => {
          tell({ type: 'chooseOverlays' });
        })}
        ${
          this.#overlays.length === 0
            ? nothing
            : html`<ul class="overlays" aria-label="Runs drawn too">
                ${this.#overlays.map(
                  ({ folder, title, words }, i) =>
                    html`<li>
                      <strong>${letterOf(i)}</strong> ${title}, ${words}
                      <button
                        class="link"
                        aria-label="Remove ${title}"
                        @click=${() => {
                          tell({ type: 'removeOverlay', folder });
                        }}
                      >
                        Remove
                      </button>
                    </li>`,
                )}
              </ul>`
        }
      </div>
    `;
  }

  #samplesView(): TemplateResult | typeof nothing {
    if (this.#samples.length === 0) return nothing;
    const chosen = this.#chosenSample;
    return html`<section>
      <h2 id="samples">Samples of the live weights</h2>
      <div class="samples">
        <select
          size="10"
          aria-labelledby="samples"
          @change=${(event: Event) => {
            this.#keep({ sample: Number((event.target as HTMLSelectElement).value) });
            this.#ask();
          }}
        >
          ${this.#samples.map(({ step, taskId, verdict }, i) => {
            const parts = [
              `Step ${step}`,
              ...(taskId === null ? [] : [taskId]),
              ...(verdict === null ? [] : [verdict]),
            ];
            return html`<option value=${i} ?selected=${i === chosen}>${parts.join(' · ')}</option>`;
          })}
        </select>
        ${this.#sampleView()}
      </div>
    </section>`;
  }

  #sampleView(): TemplateResult {
    if (this.#sampleError !== '') return html`<p class="hint">${this.#sampleError}</p>`;
    const sample = this.#sample;
    if (sample === null) return html`<p class="hint">Choose a sample to see what was written.</p>`;
    const { step, taskId, verdict, prompt, completion } = sample;
    const words = [`After step ${step}`, ...(taskId === null ? [] : [taskId]), verdict ?? 'not judged'].join(', ');
    return html`<div>
      <p>${words}. What was written stands behind the line “${WRITTEN}”.</p>
      <midtrain-code
        .text=${prompt + completion}
        .marks=${new Map([[prompt.split('\n').length, WRITTEN]])}
        label="Sample: prompt and what was written"
      ></midtrain-code>
    </div>`;
  }

  /** The last one, until another is chosen. */
  get #chosenSample(): number {
    const { sample } = this.#kept;
    return sample !== null && sample < this.#samples.length ? sample : this.#samples.length - 1;
  }

  #eventsView(): TemplateResult | typeof nothing {
    if (this.#marks.length === 0) return nothing;
    return html`<vscode-collapsible heading="Events (${this.#marks.length})">
      <div class="scrolls" tabindex="0" role="group" aria-label="Events">
        <table class="events">
          <thead>
            <tr>
              <th class="number">Step</th>
              <th>Event</th>
              <th>When</th>
              <th>What</th>
            </tr>
          </thead>
          <tbody>
            ${this.#marks.slice(-200).map(
              ({ step, kind, time, text }) =>
                html`<tr>
                  <td class="number">${step}</td>
                  <td>${markTitles[kind]}</td>
                  <td>${new Date(time).toLocaleString()}</td>
                  <td>${text}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </vscode-collapsible>`;
  }

  /** What the run told at the cursor, or last. */
  #reading(own: RunCurves): string {
    const { axis } = this.#kept;
    const row = this.#cursor === null ? own.count - 1 : own.nearest(axis, this.#cursor);
    if (row === null) return '';
    const value = (name: Parameters<typeof valueAt>[1]): number => valueAt(own, name, axis, this.#cursor);
    const part = (name: string, words: string, at: number): string[] => (Number.isNaN(at) ? [] : [`${name} ${words}`]);
    const parts = [
      `Step ${own.places('step')[row]!}`,
      `${amount(own.places('tokens')[row]!)} tokens`,
      span(own.places('time')[row]!),
      ...part('loss', figure(value('loss')), value('loss')),
      ...part('smoothed', figure(value('smoothed')), value('smoothed')),
      ...part('held out', figure(value('heldOutLoss')), value('heldOutLoss')),
      ...part('pass@1', share(value('passAt1')), value('passAt1')),
      ...part('learning rate', figure(value('learningRate')), value('learningRate')),
      ...part('gradient norm', figure(value('gradientNorm')), value('gradientNorm')),
      ...part('tokens a second', amount(value('tokensPerSecond')), value('tokensPerSecond')),
      ...part('memory', bytes(value('memory')), value('memory')),
    ];
    return `${this.#cursor === null ? 'Last: ' : ''}${parts.join(', ')}`;
  }

  #receive(message: ToPanel): void {
    if (this.#answerTimer !== null) clearTimeout(this.#answerTimer);
    this.#answerTimer = null;
    this.#isLost = false;
    switch (message.type) {
      case 'run':
        this.#header = message.header;
        this.#now = Date.now();
        if (message.header.folder !== this.#kept.folder) this.#keep({ folder: message.header.folder });
        return;
      case 'metrics': {
        const curves = this.#runs.get(message.run) ?? new RunCurves();
        if (!curves.apply(message)) return;
        this.#runs.set(message.run, curves);
        this.#drawSoon();
        return;
      }
      case 'marks':
        this.#marks = message.marks;
        return;
      case 'samples':
        this.#samples = message.samples;
        if (message.samples.length > 0) this.#ask();
        return;
      case 'sample':
        if (message.request !== this.#requests) return; // another one is chosen by now
        this.#sample = message.sample;
        this.#sampleError = message.error;
        return;
      case 'overlays': {
        this.#overlays = message.runs;
        const folders = message.runs.map(({ folder }) => folder);
        for (const folder of this.#runs.keys()) {
          if (folder !== this.#kept.folder && !folders.includes(folder)) this.#runs.delete(folder);
        }
        this.#keep({ overlays: folders.slice(0, MOST_OVERLAYS) });
        return;
      }
      case 'file':
        this.#file = message;
        return;
      case 'gone':
        this.#gone = message.text;
        return;
    }
  }

  /** Once a frame at most, whatever comes. */
  #drawSoon(): void {
    if (this.#isToDraw) return;
    this.#isToDraw = true;
    requestAnimationFrame(() => {
      this.#isToDraw = false;
      this.#smooth();
    });
  }

  #smooth(): void {
    for (const curves of this.#runs.values()) curves.smooth(this.#kept.smoothing);
    this.#version += 1;
  }

  #ask(): void {
    this.#requests += 1;
    tell({ type: 'sample', request: this.#requests, number: this.#chosenSample });
    this.#answerTimer ??= window.setTimeout(() => {
      this.#isLost = true;
    }, ANSWER_MILLISECONDS);
  }

  #chooseAxis(value: string): void {
    const axis = AXES.find((one) => one === value);
    if (axis === undefined) return;
    this.#cursor = null;
    this.#keep({ axis, zoom: null });
  }

  #zoomBy(factor: number): void {
    const [from, to] = this.#stretch;
    const middle = this.#cursor !== null && this.#cursor > from && this.#cursor < to ? this.#cursor : (from + to) / 2;
    this.#zoomTo([middle - (middle - from) * factor, middle + (to - middle) * factor]);
  }

  /** Shows this part, as far as there is something; all of it and nothing else is no zoom. */
  #zoomTo([from, to]: Stretch): void {
    const whole = this.#whole;
    const own = this.#own;
    const perStep = own === undefined || own.count < 2 ? 0 : (whole[1] - whole[0]) / own.count;
    const least = Math.min(whole[1] - whole[0], LEAST_SPAN * perStep);
    const left = Math.max(whole[0], from);
    const right = Math.min(whole[1], to);
    if (right - left < least) return;
    this.#keep({ zoom: left <= whole[0] && right >= whole[1] ? null : [left, right] });
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
        this.#keep({ zoom: null });
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

  /** The place that a key goes to: a step on, with shift a twentieth of what is shown; null: the key goes nowhere. */
  #steppedTo(key: string, isFar: boolean): number | null {
    const own = this.#own;
    if (own === undefined || own.count === 0) return null;
    const places = own.places(this.#kept.axis);
    const [from, to] = this.#stretch;
    const now = this.#cursor ?? to;
    const row = own.nearest(this.#kept.axis, now)!;
    const far = (to - from) / 20;
    const at = (step: number): number => places[Math.max(0, Math.min(own.count - 1, row + step))]!;
    const toward = (way: 1 | -1): number => {
      const place = places[own.nearest(this.#kept.axis, now + way * far)!]!;
      return (place - now) * way > 0 ? place : at(way); // steps may lie further apart than that
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
        return places[own.nearest(this.#kept.axis, from)!]!;
      case 'End':
        return places[own.nearest(this.#kept.axis, to)!]!;
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
      const own = this.#own;
      if (own !== undefined) this.#said = this.#reading(own);
    }, SAY_MILLISECONDS);
  }

  async #savePng(charts: readonly ChartSpec[]): Promise<void> {
    const drawn = charts.flatMap(({ id, heading, curves }) => {
      const canvas = this.renderRoot.querySelector<CurveChart>(`[data-chart=${id}]`)?.canvas;
      return canvas === null || canvas === undefined ? [] : [{ heading, curves, canvas }];
    });
    tell({ type: 'picture', format: 'png', bytes: await pngOf(this.#header?.title ?? '', drawn) });
  }

  #picture(charts: readonly ChartSpec[]): Picture {
    const { log, axis } = this.#kept;
    const own = this.#own!;
    return {
      title: this.#header?.title ?? '',
      charts,
      marks: this.#placedMarks(own).map(({ mark, place }) => ({
        place,
        weighty: isWeighty(mark),
        words: markWords(mark),
      })),
      stretch: this.#stretch,
      log,
      writeX: axisWords[axis],
    };
  }

  #keep(change: Partial<Saved>): void {
    this.#kept = { ...this.#kept, ...change };
    save(this.#kept);
  }
}

/** Stands at the line where a sample goes on from its prompt. */
const WRITTEN = '◀ written from here on';

/** B, C, …: the panel's own run would be A. */
function letterOf(place: number): string {
  return String.fromCharCode(66 + place);
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-run': RunApp;
  }
}
