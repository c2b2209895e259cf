/**
 * The form of a run config: draws what the extension sends and says what a user changes. It owns nothing that is not in the
 * file.
 */
import '@vscode-elements/elements/dist/vscode-button/index.js';
import { html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { onMessage, send } from '../host.ts';
import { appStyles } from './appStyles.ts';
import { nameOf, valueAt } from './fieldValue.ts';
import { fieldView, type FormState } from './fieldView.ts';
import { type Action, type FromPanel, parseToPanel, type PlacedField, type ToPanel } from './messages.ts';

type Config = Extract<ToPanel, { type: 'config' }>;

const WORDS: Readonly<Record<Action, string>> = {
  run: 'Run',
  resume: 'Resume',
  estimate: 'Estimate',
  openText: 'Open as JSON',
};

const tell = (message: FromPanel): void => {
  send(message);
};

@customElement('midtrain-configform')
export class ConfigFormApp extends LitElement {
  @state() accessor #sections: Extract<ToPanel, { type: 'form' }>['sections'] = [];
  @state() accessor #config: Config | null = null;
  @state() accessor #estimate: Extract<ToPanel, { type: 'estimate' }> | null = null;

  static override styles = appStyles;

  override connectedCallback(): void {
    super.connectedCallback();
    onMessage((value) => {
      const message = parseToPanel(value);
      if (message?.type === 'form') this.#sections = message.sections;
      if (message?.type === 'config') this.#config = message;
      if (message?.type === 'estimate') this.#estimate = message;
    });
    tell({ type: 'ready' });
  }

  override render(): TemplateResult {
    const config = this.#config;
    if (config === null) return html`<main><p>Opening the config…</p></main>`;
    const form: FormState = {
      values: config.values,
      problems: config.problems,
      set: (path, value) => {
        tell({ type: 'set', path: [...path], ...(value === undefined ? {} : { value }) });
      },
    };
    return html`<main>
      <header>
        <h1>${config.name}</h1>
        <div class="actions">${config.actions.map((action) => this.#button(action))}</div>
        ${this.#elsewhere(config)} ${this.#estimateView()}
      </header>
      ${this.#sections.map(
        ({ title, fields }) =>
          html`<section aria-labelledby=${title}>
            <h2 id=${title}>${title}</h2>
            ${groupsOf(fields.filter((field) => this.#counts(field, config))).map(
              ([group, inner]) =>
                html`<div
                  class=${group === '' ? '' : 'group'}
                  role=${group === '' ? nothing : 'group'}
                  aria-label=${group === '' ? nothing : group}
                >
                  ${group === '' ? nothing : html`<h3>${group}</h3>`}
                  ${inner.map(({ field, path }) => fieldView(field, path, form))}
                </div>`,
            )}
          </section>`,
      )}
    </main>`;
  }

  /** Whether a field is shown: where it does something, where the file has it, and where something is wrong with it. */
  #counts({ path, needs }: PlacedField, { values, problems }: Config): boolean {
    if (needs === null || valueAt(values, path) !== undefined) return true;
    const fields = this.#sections.flatMap((section) => section.fields);
    const other = fields.find((one) => nameOf(one.path) === needs.key);
    const value = valueAt(values, [needs.key]) ?? other?.field.otherwise;
    return needs.values.includes(String(value)) || problems.some((problem) => nameOf(problem.path) === nameOf(path));
  }

  #button(action: Action): TemplateResult {
    const isWrong = (this.#config?.problems.length ?? 0) > 0;
    const working = action === 'estimate' && this.#estimate?.working === true;
    return html`<vscode-button
      ?secondary=${action !== 'run'}
      ?disabled=${working || (isWrong && action !== 'openText')}
      @click=${() => {
        tell({ type: 'action', action });
      }}
      >${WORDS[action]}</vscode-button
    >`;
  }

  /** What is wrong at no field: the text itself, or a key that there is not. */
  #elsewhere({ problems }: Config): TemplateResult | typeof nothing {
    const hasField = (name: string): boolean =>
      this.#sections.some(({ fields }) => fields.some((field) => isOf(field, name)));
    const rest = problems.filter(({ path }) => !hasField(nameOf(path)));
    if (rest.length === 0) return nothing;
    return html`<div class="error" role="alert">${rest.map(({ sentence }) => html`<p>${sentence}</p>`)}</div>`;
  }

  #estimateView(): TemplateResult | typeof nothing {
    if (this.#estimate === null) return nothing;
    const { working, lines, error } = this.#estimate;
    if (working) return html`<p role="status">Estimating: some steps are taken…</p>`;
    if (error !== '') return html`<p class="error" role="alert">${error}</p>`;
    return html`<pre class="estimate" role="status" tabindex="0" aria-label="Estimate">${lines.join('\n')}</pre>`;
  }
}

/** Neighbours of one group together. */
function groupsOf(fields: readonly PlacedField[]): [group: string, fields: PlacedField[]][] {
  const groups: [string, PlacedField[]][] = [];
  for (const field of fields) {
    const last = groups.at(-1);
    if (last?.[0] === field.group) last[1].push(field);
    else groups.push([field.group, [field]]);
  }
  return groups;
}

/** Whether a problem at `name` is shown at this field. */
function isOf({ path, field }: PlacedField, name: string): boolean {
  const own = nameOf(path);
  if (name === own) return true;
  if (field.kind !== 'list') return false;
  const [place, key, ...more] = name.startsWith(`${own}.`) ? name.slice(own.length + 1).split('.') : [];
  if (place === undefined || key === undefined || more.length > 0) return false;
  return key === 'kind' || field.variants.some(({ fields }) => fields.some((inner) => inner.key === key));
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-configform': ConfigFormApp;
  }
}
