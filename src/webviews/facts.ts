/** Facts and notes of a run, folded away. */
import '@vscode-elements/elements/dist/vscode-collapsible/index.js';
import { html, nothing, type TemplateResult } from 'lit';

/** Shorter facts are typed sooner than copied. */
const WORTH_COPYING = 16;

/** @param copy called with the name of a fact that is to be copied; null: none can be */
export function factsView(
  heading: string,
  facts: readonly { readonly name: string; readonly value: string }[],
  copy: ((name: string) => void) | null = null,
): TemplateResult {
  return html`
    <vscode-collapsible heading=${heading}>
      <dl class="facts">
        ${facts.map(
          ({ name, value }) => html`
            <dt>${name}</dt>
            <dd>
              <span class="fact">${value}</span>
              ${
                copy === null || value.length < WORTH_COPYING
                  ? nothing
                  : html`<button
                      class="link"
                      @click=${() => {
                        copy(name);
                      }}
                      aria-label="Copy ${name}"
                    >
                      Copy
                    </button>`
              }
            </dd>
          `,
        )}
      </dl>
    </vscode-collapsible>
  `;
}

export function notesView(
  notes: readonly { readonly level: 'info' | 'warning'; readonly text: string }[],
): TemplateResult | typeof nothing {
  if (notes.length === 0) return nothing;
  return html`<vscode-collapsible heading="Notes (${notes.length})">
    <ul class="notes">
      ${notes.map(({ level, text }) => html`<li>${level === 'warning' ? html`<strong>Warning:</strong> ` : ''}${text}</li>`)}
    </ul>
  </vscode-collapsible>`;
}
