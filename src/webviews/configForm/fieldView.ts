/**
 * One field of the form: what it is called and is for, its control, and what is wrong with it. Knows only what it is given.
 */
import '@vscode-elements/elements/dist/vscode-button/index.js';
import '@vscode-elements/elements/dist/vscode-checkbox/index.js';
import '@vscode-elements/elements/dist/vscode-option/index.js';
import '@vscode-elements/elements/dist/vscode-single-select/index.js';
import '@vscode-elements/elements/dist/vscode-textfield/index.js';
import { html, nothing, type TemplateResult } from 'lit';
import { live } from 'lit/directives/live.js';
import { nameOf, shown, typed, valueAt, written } from './fieldValue.ts';
import type { ListField, Path, PlainField } from './messages.ts';

export interface FormState {
  readonly values: unknown;
  readonly problems: readonly { readonly path: Path; readonly sentence: string }[];
  /** Writes what is given; undefined takes the key away. */
  readonly set: (path: Path, value: unknown) => void;
}

export function fieldView(field: PlainField | ListField, path: Path, form: FormState): TemplateResult {
  return field.kind === 'list' ? listView(field, path, form) : plainView(field, path, form);
}

function plainView(field: PlainField, path: Path, form: FormState): TemplateResult {
  const { key, label, description, kind, otherwise } = field;
  const value = valueAt(form.values, path);
  const isChanged = value !== undefined && otherwise !== undefined;
  return html`<div class="field ${isChanged ? 'changed' : ''}" data-key=${nameOf(path)}>
    <div class="head">
      <span class="label">${label}</span>
      <code>${key}</code>
      ${
        isChanged
          ? html`<button
              class="reset"
              aria-label="Reset ${label} to ${shown(otherwise) || 'its default'}"
              title="Reset to ${shown(otherwise) || 'its default'}"
              @click=${() => {
                form.set(path, undefined);
              }}
            >
              Reset
            </button>`
          : nothing
      }
    </div>
    ${kind === 'boolean' ? nothing : html`<p class="description">${prose(description)}</p>`}
    ${control(field, path, value, form)} ${problemView(form, path)}
  </div>`;
}

function control(field: PlainField, path: Path, value: unknown, form: FormState): TemplateResult {
  const { label, description, kind, options, otherwise } = field;
  const set = (next: unknown): void => {
    form.set(path, written(next, field));
  };
  const now = value ?? otherwise;
  switch (kind) {
    case 'choice':
      return html`<vscode-single-select
        .label=${label}
        .value=${live(shown(now))}
        @change=${(event: Event) => {
          set((event.target as HTMLInputElement).value);
        }}
      >
        ${options.map(
          (option) =>
            html`<vscode-option .value=${option} ?selected=${option === now}
              >${option}${option === otherwise ? ' (default)' : ''}</vscode-option
            >`,
        )}
      </vscode-single-select>`;
    case 'choices': {
      const chosen = Array.isArray(now) ? now : [];
      return html`<div class="choices" role="group" aria-label=${label}>
        ${options.map(
          (option) =>
            html`<vscode-checkbox
              label=${option}
              .checked=${live(chosen.includes(option))}
              @change=${(event: Event) => {
                const isOn = (event.target as HTMLInputElement).checked;
                set(options.filter((one) => (one === option ? isOn : chosen.includes(one))));
              }}
            ></vscode-checkbox>`,
        )}
      </div>`;
    }
    case 'boolean':
      return html`<vscode-checkbox
        label=${description}
        .checked=${live(now === true)}
        @change=${(event: Event) => {
          set((event.target as HTMLInputElement).checked);
        }}
      ></vscode-checkbox>`;
    case 'number':
    case 'text':
      return html`<vscode-textfield
        class=${kind}
        label=${label}
        placeholder=${otherwise === undefined ? 'needed' : shown(otherwise)}
        .value=${live(shown(value))}
        ?invalid=${problemsOf(form, path).length > 0}
        @change=${(event: Event) => {
          set(typed((event.target as HTMLInputElement).value, field));
        }}
      ></vscode-textfield>`;
  }
}

function listView(field: ListField, path: Path, form: FormState): TemplateResult {
  const { label, description, variants, otherwise } = field;
  const value = valueAt(form.values, path);
  const items = (Array.isArray(value) ? value : otherwise) as Readonly<Record<string, unknown>>[];
  /** The list is in the file from the first change on. */
  const inFile: FormState = {
    ...form,
    set: (at, next) => {
      if (Array.isArray(value)) form.set(at, next);
      else
        form.set(
          path,
          items.map((item, i) => (i === at[path.length] ? { ...item, [at.at(-1)!]: next } : item)),
        );
    },
    values: Array.isArray(value) ? form.values : { [path[0]!]: items },
  };
  const replace = (next: readonly unknown[]): void => {
    form.set(path, JSON.stringify(next) === JSON.stringify(otherwise) ? undefined : next);
  };
  return html`<div class="field ${value === undefined ? '' : 'changed'}" data-key=${nameOf(path)}>
    <div class="head"><span class="label">${label}</span> <code>${field.key}</code></div>
    <p class="description">${prose(description)}</p>
    ${items.map((item, i) => {
      const variant = variants.find(({ name }) => name === item['kind']);
      const number = `${label} ${i + 1}`;
      return html`<fieldset>
        <legend>${number}</legend>
        <div class="kind">
          <vscode-single-select
            .label=${`Kind of ${number}`}
            .value=${live(shown(item['kind']))}
            @change=${(event: Event) => {
              const kind = (event.target as HTMLInputElement).value;
              replace(items.map((one, j) => (j === i ? { kind } : one)));
            }}
          >
            ${variants.map(
              ({ name }) =>
                html`<vscode-option .value=${name} ?selected=${name === item['kind']}>${name}</vscode-option>`,
            )}
          </vscode-single-select>
          <button
            class="reset"
            aria-label="Remove ${number}"
            ?disabled=${items.length === 1}
            @click=${() => {
              replace(items.filter((_, j) => j !== i));
            }}
          >
            Remove
          </button>
        </div>
        <p class="description">${prose(variant?.description ?? '')}</p>
        ${problemView(form, [...path, i, 'kind'])}
        ${variant?.fields.map((inner) => plainView(inner, [...path, i, inner.key], inFile)) ?? nothing}
      </fieldset>`;
    })}
    ${problemView(form, path)}
    <vscode-button
      secondary
      @click=${() => {
        replace([...items, { kind: variants[0]!.name }]);
      }}
      >Add ${label}</vscode-button
    >
  </div>`;
}

/** What is wrong with the value at `path`, or with a key in it that no field is for. */
function problemView(form: FormState, path: Path): TemplateResult {
  const sentences = problemsOf(form, path);
  return html`<div class="problems" aria-live="polite">
    ${sentences.map((sentence) => html`<p class="problem">${sentence}</p>`)}
  </div>`;
}

function problemsOf({ problems }: FormState, path: Path): string[] {
  const name = nameOf(path);
  return problems.filter((problem) => nameOf(problem.path) === name).map(({ sentence }) => sentence);
}

/** Words between backticks are code. */
function prose(text: string): (string | TemplateResult)[] {
  return text.split('`').map((part, i) => (i % 2 === 0 ? part : html`<code>${part}</code>`));
}
