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
import { Answers, goneView } from '../answers.ts';
import { onMessage, save, saved, send } from '../host.ts';
import { appStyles } from './appStyles.ts';
import './chartGroup.ts';
import type { ChartGroup, ChartGroupContent } from './chartGroup.ts';
import { chartsOf, stepCharts, updateCharts } from './charts.ts';
import type { Stretch } from './curveChart.ts';
import { RunCurves } from './curves.ts';
import { controlButtons, emptyWords, headerView } from './header.ts';
import { markTitles } from './marks.ts';
import {
  type Action,
  AXES,
  type Axis,
  type FromPanel,
  type Groups,
  type Header,
  type Mark,
  MOST_OVERLAYS,
  parseSaved,
  parseToPanel,
  type Rollout,
  type Sample,
  type Saved,
  type ToPanel,
} from './messages.ts';
import { pngOf, svgOf } from './pictures.ts';
import './rolloutGroups.ts';
import { rolloutWords, signed } from './rolloutRows.ts';
import './rolloutTable.ts';
import { stepReading, updateReading } from './readings.ts';
import { amount, span } from './scales.ts';

/** The age of a phase is shown to the second. */
const CLOCK_MILLISECONDS = 1000;
const axisTitles: Readonly<Record<Axis, string>> = { step: 'Steps', tokens: 'Tokens', time: 'Time at work' };
const axisWords: Readonly<Record<Axis, (value: number) => string>> = {
  step: (value) => String(Number(value.toPrecision(9))),
  tokens: amount,
  time: span,
};

const tell = (message: FromPanel): void => {
  send(message);
};
const act = (action: Action): void => {
  tell({ type: 'action', action });
};

@customElement('midtrain-run')
export class RunApp extends LitElement {
  readonly #runs = new Map<string, RunCurves>();
  @state() accessor #header: Header | null = null;
  @state() accessor #marks: readonly Mark[] = [];
  @state() accessor #samples: Extract<ToPanel, { type: 'samples' }>['samples'] = [];
  @state() accessor #sample: Sample | null = null;
  @state() accessor #sampleError = '';
  @state() accessor #groups: Groups | null = null;
  @state() accessor #rollouts: readonly Rollout[] = [];
  @state() accessor #rolloutsError = '';
  @state() accessor #overlays: Extract<ToPanel, { type: 'overlays' }>['runs'] = [];
  @state() accessor #file: Extract<ToPanel, { type: 'file' }> | null = null;
  @state() accessor #gone = '';
  /** Grows with what was drawn anew. */
  @state() accessor #version = 0;
  @state() accessor #now = Date.now();
  @state() accessor #kept: Saved = parseSaved(saved()) ?? {
    folder: '',
    overlays: [],
    axis: 'step',
    log: false,
    smoothing: 0.9,
    zoom: null,
    updateZoom: null,
    sample: null,
    group: null,
    stacked: false,
  };
  #sampleRequests = 0;
  #rolloutRequests = 0;
  /** Group whose rollouts were asked for last, and how many it had then. */
  #askedGroup = '';
  #isToDraw = false;
  #clock: number | null = null;
  readonly #answers = new Answers(this);

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
  }

  override render(): TemplateResult {
    if (this.#gone !== '') return goneView('No run', this.#gone);
    const header = this.#header;
    if (header === null) return html`<main class="gone"><p>Opening the run…</p></main>`;
    const own = this.#own;
    return html`
      <main>
        ${this.#answers.view('the run from the Runs view')} ${headerView(header, this.#now, act)}
        ${own === undefined || own.steps.count + own.updates.count === 0 ? html`<p class="hint">${this.#readingWords() ?? emptyWords(header, this.#now)}</p>` : this.#curves(own)}
        ${this.#rolloutsView()} ${this.#samplesView()} ${this.#eventsView()}
        ${factsView('Config and settings', header.facts)} ${notesView(header.notes)}
      </main>
    `;
  }

  get #own(): RunCurves | undefined {
    return this.#header === null ? undefined : this.#runs.get(this.#header.folder);
  }

  /** The panel's own first. */
  get #drawn(): { readonly curves: RunCurves; readonly letter: string }[] {
    const own = this.#own;
    if (own === undefined) return [];
    const others = this.#overlays.flatMap(({ folder }, i) => {
      const curves = this.#runs.get(folder);
      return curves === undefined ? [] : [{ curves, letter: letterOf(i) }];
    });
    return [{ curves: own, letter: '' }, ...others];
  }

  #readingWords(): string | null {
    if (this.#file === null) return null;
    const { read, size } = this.#file;
    return size > read + 1_000_000 ? `Reading, ${Math.floor((100 * read) / size)} %` : null;
  }

  #curves({ steps, updates }: RunCurves): TemplateResult {
    const { axis, log, zoom, updateZoom } = this.#kept;
    return html`
      ${this.#tools()}
      ${
        steps.count === 0
          ? nothing
          : html`<midtrain-charts
              class="steps"
              heading=${updates.count === 0 ? 'Training' : 'M-step: training of the model'}
              .content=${this.#stepsContent(steps)}
              .zoom=${zoom}
              .log=${log}
              .version=${this.#version}
              @zoom=${({ detail }: CustomEvent<Saved['zoom']>) => {
                this.#keep({ zoom: detail });
              }}
              >${this.#axisView(axis)}</midtrain-charts
            >`
      }
      ${
        updates.count === 0
          ? nothing
          : html`<midtrain-charts
              class="updates"
              heading="E-step: updates of q"
              .content=${this.#updatesContent(updates)}
              .zoom=${updateZoom}
              .log=${log}
              .version=${this.#version}
              @zoom=${({ detail }: CustomEvent<Saved['zoom']>) => {
                this.#keep({ updateZoom: detail });
              }}
              >${this.#eStepTools()}</midtrain-charts
            >`
      }
    `;
  }

  #stepsContent(own: RunCurves['steps']): ChartGroupContent {
    const { axis } = this.#kept;
    const runs = this.#drawn.map(({ curves, letter }) => ({ curves: curves.steps, letter }));
    const places = own.places(axis);
    return {
      charts: (cursor) => chartsOf(stepCharts, runs, axis, cursor),
      reading: (cursor) => stepReading(own, axis, cursor),
      places,
      whole: wholeOf(runs.map(({ curves }) => curves.places(axis))),
      marks: this.#marks.map((mark) => ({ mark, place: places[own.nearest('step', mark.step) ?? 0] ?? 0 })),
      writeX: axisWords[axis],
    };
  }

  #updatesContent(own: RunCurves['updates']): ChartGroupContent {
    const runs = this.#drawn.map(({ curves, letter }) => ({ curves: curves.updates, letter }));
    return {
      charts: (cursor) => chartsOf(updateCharts, runs, 'update', cursor),
      reading: (cursor) => updateReading(own, cursor),
      places: own.places('update'),
      whole: wholeOf(runs.map(({ curves }) => curves.places('update'))),
      marks: this.#marks.map((mark) => ({ mark, place: mark.update })),
      writeX: axisWords.step,
    };
  }

  #axisView(axis: Axis): TemplateResult {
    return html`<label
      >Axis
      <select
        @change=${(event: Event) => {
          this.#chooseAxis((event.target as HTMLSelectElement).value);
        }}
      >
        ${AXES.map((one) => html`<option value=${one} ?selected=${one === axis}>${axisTitles[one]}</option>`)}
      </select>
    </label>`;
  }

  #eStepTools(): TemplateResult {
    const actions = this.#header?.actions ?? [];
    return html`<div class="group" role="group" aria-label="Control of the E-step">
      ${controlButtons('eStep', actions, act)}
      ${
        actions.includes('exportEStepCsv')
          ? html`<vscode-button
              secondary
              @click=${() => {
                act('exportEStepCsv');
              }}
              >CSV</vscode-button
            >`
          : nothing
      }
    </div>`;
  }

  #tools(): TemplateResult {
    const { log, smoothing } = this.#kept;
    const button = (title: string, press: () => void): TemplateResult =>
      html`<vscode-button secondary @click=${press}>${title}</vscode-button>`;
    return html`
      <div class="tools">
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
        <div class="group" role="group" aria-label="Export">
          ${button('CSV', () => {
            act('exportCsv');
          })}
          ${button('TensorBoard', () => {
            act('exportTensorBoard');
          })}
          ${button('PNG', () => {
            void this.#savePng();
          })}
          ${button('SVG', () => {
            const svg = svgOf(
              this.#header?.title ?? '',
              this.#chartGroups.map(({ drawn }) => drawn),
            );
            tell({ type: 'picture', format: 'svg', bytes: new TextEncoder().encode(svg) });
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

  #rolloutsView(): TemplateResult | typeof nothing {
    const groups = this.#groups;
    if (groups === null || groups.updates.length === 0) return nothing;
    const chosen = this.#chosenGroup;
    const { stacked } = this.#kept;
    const words = `Update ${groups.updates[chosen]!}, snippet ${groups.snippets[chosen]!}: ${rolloutWords(groups, chosen)}, on average ${signed(groups.gains[chosen]!)} nats over never thinking`;
    return html`<section>
      <h2>Rollouts of q</h2>
      <div class="rollouts">
        <div class="picker">
          <midtrain-groups
            .groups=${groups}
            .selected=${chosen}
            @select-group=${({ detail }: CustomEvent<number>) => {
              this.#keep({ group: { update: groups.updates[detail]!, snippet: groups.snippets[detail]! } });
              this.#askRollouts();
            }}
          ></midtrain-groups>
          <vscode-button
            secondary
            ?disabled=${this.#kept.group === null}
            @click=${() => {
              this.#keep({ group: null });
              this.#askRollouts();
            }}
            >Follow the Latest</vscode-button
          >
        </div>
        <div class="shown">
          <div class="above">
            <p>${words}.</p>
            <vscode-checkbox
              label="Stacked"
              ?checked=${stacked}
              @change=${(event: Event) => {
                this.#keep({ stacked: (event.target as HTMLInputElement).checked });
              }}
            ></vscode-checkbox>
          </div>
          ${
            this.#rolloutsError === ''
              ? html`<midtrain-rollouts .rollouts=${this.#rollouts} .stacked=${stacked}></midtrain-rollouts>`
              : html`<p class="hint">${this.#rolloutsError}</p>`
          }
        </div>
      </div>
    </section>`;
  }

  /** Place of the one that is shown: the chosen one as long as it is there, else the latest. */
  get #chosenGroup(): number {
    const { group } = this.#kept;
    const { updates, snippets } = this.#groups!;
    for (let place = updates.length - 1; place >= 0 && group !== null; place -= 1) {
      if (updates[place] === group.update && snippets[place] === group.snippet) return place;
    }
    return updates.length - 1;
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

  #receive(message: ToPanel): void {
    this.#answers.heard();
    switch (message.type) {
      case 'run':
        this.#header = message.header;
        this.#now = Date.now();
        if (message.header.folder !== this.#kept.folder) this.#keep({ folder: message.header.folder });
        return;
      case 'metrics':
      case 'updates': {
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
        if (message.request !== this.#sampleRequests) return; // another one is chosen by now
        this.#sample = message.sample;
        this.#sampleError = message.error;
        return;
      case 'groups':
        this.#groups = message;
        if (message.updates.length > 0) this.#askRollouts();
        return;
      case 'rollouts':
        if (message.request !== this.#rolloutRequests) return;
        this.#rollouts = message.rollouts;
        this.#rolloutsError = message.error;
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
    this.#sampleRequests += 1;
    tell({ type: 'sample', request: this.#sampleRequests, number: this.#chosenSample });
    this.#answers.expect();
  }

  /** Asks for the rollouts of the chosen group, where they are not those that were asked for last. */
  #askRollouts(): void {
    const { updates, snippets, sizes } = this.#groups!;
    const chosen = this.#chosenGroup;
    const asked = JSON.stringify([updates[chosen], snippets[chosen], sizes[chosen]]);
    if (asked === this.#askedGroup) return;
    this.#askedGroup = asked;
    this.#rolloutRequests += 1;
    const [update, snippet] = [updates[chosen]!, snippets[chosen]!];
    tell({ type: 'rollouts', request: this.#rolloutRequests, update, snippet });
    this.#answers.expect();
  }

  #chooseAxis(value: string): void {
    const axis = AXES.find((one) => one === value);
    if (axis === undefined) return;
    this.renderRoot.querySelector<ChartGroup>('.steps')?.forget();
    this.#keep({ axis, zoom: null });
  }

  get #chartGroups(): ChartGroup[] {
    return [...this.renderRoot.querySelectorAll('midtrain-charts')];
  }

  async #savePng(): Promise<void> {
    const drawn = this.#chartGroups.flatMap(({ drawn: { charts, canvasOf } }) =>
      charts.flatMap((chart) => {
        const canvas = canvasOf(chart);
        return canvas === null ? [] : [{ ...chart, canvas }];
      }),
    );
    tell({ type: 'picture', format: 'png', bytes: await pngOf(this.#header?.title ?? '', drawn) });
  }

  #keep(change: Partial<Saved>): void {
    this.#kept = { ...this.#kept, ...change };
    save(this.#kept);
  }
}

/** Stands at the line where a sample goes on from its prompt. */
const WRITTEN = '◀ written from here on';

/** From the first to the last place of any run. */
function wholeOf(places: readonly Float64Array[]): Stretch {
  const ends = places.flatMap((each) => (each.length === 0 ? [] : [each[0]!, each[each.length - 1]!]));
  const from = Math.min(...ends, Infinity);
  const to = Math.max(...ends, -Infinity);
  if (from > to) return [0, 1];
  return from === to ? [from, from + 1] : [from, to];
}

/** B, C, …: the panel's own run would be A. */
function letterOf(place: number): string {
  return String.fromCharCode(66 + place);
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-run': RunApp;
  }
}
