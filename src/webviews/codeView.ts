/**
 * Code as the editor shows it: lines with numbers, syntax colours, marked lines, and where there are tokens, each shaded by
 * its probability, with what else the model might have written on hover and focus. Knows nothing of samples or runs.
 */
import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { type CodeLine, codeLines, type Piece, tokenRuns } from './codeLines.ts';
import { codeStyles } from './codeStyles.ts';
import { percentOf, SHADES, shadeOf, visible } from './probability.ts';
import { pythonStretches } from './python.ts';

/** Tokens of the text, an array for each quantity. Logarithms are natural, entropies in nats. */
export interface Tokens {
  readonly texts: readonly string[];
  readonly logProbabilities: readonly number[];
  readonly entropies: readonly number[];
  readonly alternatives: readonly (readonly (readonly [text: string, logProbability: number])[])[];
}

@customElement('midtrain-code')
export class CodeView extends LitElement {
  @property() accessor text = '';
  /** Python before the text, which it goes on from. */
  @property() accessor preceding = '';
  @property({ type: Boolean }) accessor plain = false;
  @property({ attribute: false }) accessor tokens: Tokens | null = null;
  @property({ type: Boolean }) accessor shading = true;
  /** Lines that are marked, from 1, and what for. */
  @property({ attribute: false }) accessor marks: ReadonlyMap<number, string> = new Map();
  @property() accessor label = 'Code';
  @state() accessor #current: number | null = null;
  @state() accessor #tip: { readonly token: number; readonly left: number; readonly top: number } | null = null;
  @state() accessor #said = '';
  #lines: readonly CodeLine[] = [];

  static override styles = [
    codeStyles,
    css`
      :host {
        display: block;
        position: relative;
      }
      .code {
        font-family: var(--vscode-editor-font-family, monospace);
        font-size: var(--vscode-editor-font-size, 13px);
        line-height: 1.5;
        color: var(--vscode-editor-foreground);
        background: var(--vscode-editor-background);
        overflow: auto;
        padding: 4px 0;
        tab-size: 4;
        counter-reset: line;
      }
      .code:focus-visible {
        outline: 1px solid var(--vscode-focusBorder);
        outline-offset: -1px;
      }
      .line {
        display: block;
        white-space: pre;
        min-width: max-content;
        padding-right: 12px;
        border-left: 3px solid transparent;
      }
      .line::before {
        counter-increment: line;
        content: counter(line);
        display: inline-block;
        box-sizing: border-box;
        width: 4.5ch;
        padding-right: 1.5ch;
        text-align: right;
        color: var(--vscode-editorLineNumber-foreground);
        user-select: none;
      }
      .marked {
        border-left-color: var(--vscode-testing-iconFailed, var(--vscode-errorForeground));
        background: color-mix(in srgb, var(--vscode-testing-iconFailed, red) 15%, transparent);
      }
      .marked::after {
        content: attr(data-mark);
        margin-left: 3ch;
        font-family: var(--vscode-font-family);
        color: var(--vscode-editor-foreground);
        font-weight: 600;
      }
      .token {
        border-radius: 2px;
      }
      .token:hover {
        outline: 1px solid var(--vscode-focusBorder);
      }
      .current {
        outline: 2px solid var(--vscode-focusBorder);
      }
      .end::after {
        content: '↵';
        user-select: none;
        color: var(--vscode-editor-foreground);
        opacity: 0.75;
      }
      .tip {
        position: fixed;
        z-index: 10;
        max-width: 360px;
        padding: 6px 8px;
        font-size: var(--vscode-font-size);
        color: var(--vscode-editorHoverWidget-foreground);
        background: var(--vscode-editorHoverWidget-background);
        border: 1px solid var(--vscode-editorHoverWidget-border, var(--vscode-contrastBorder));
        border-radius: 3px;
        box-shadow: 0 2px 8px var(--vscode-widget-shadow);
      }
      .tip table {
        border-collapse: collapse;
        margin-top: 4px;
      }
      .tip td {
        padding: 0 8px 0 0;
      }
      .tip td:first-child,
      .tip .name {
        font-family: var(--vscode-editor-font-family, monospace);
      }
      .tip td.number {
        text-align: right;
        font-variant-numeric: tabular-nums;
      }
      .chosen {
        font-weight: 700;
      }
      meter {
        width: 80px;
        height: 8px;
      }
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
    if (!changed.has('text') && !changed.has('preceding') && !changed.has('tokens') && !changed.has('plain')) return;
    this.#current = null;
    this.#tip = null;
    this.#said = '';
    const from = this.preceding.length;
    const stretches = this.plain
      ? []
      : pythonStretches(this.preceding + this.text)
          .filter(({ to }) => to > from)
          .map(({ from: start, to, kind }) => ({ from: Math.max(0, start - from), to: to - from, kind }));
    this.#lines = codeLines(this.text, stretches, this.tokens?.texts);
  }

  override render(): TemplateResult {
    const { tokens } = this;
    return html`
      <div
        class="code ${tokens !== null && this.shading ? 'shaded' : ''}"
        tabindex="0"
        role="group"
        aria-label=${tokens === null ? this.label : `${this.label}. The arrow keys step through its tokens.`}
        @keydown=${this.#onKey}
        @mouseover=${this.#onHover}
        @mouseleave=${() => (this.#tip = null)}
        @blur=${() => (this.#tip = null)}
        @scroll=${() => (this.#tip = null)}
      >
        ${this.#lines.map((line, i) => this.#line(line, i + 1))}
      </div>
      <div class="said" aria-live="polite">${this.#said}</div>
      ${this.#tip === null ? nothing : this.#tipOf(this.#tip)}
    `;
  }

  // No white space between the tags of a line: it would be shown.
  #line({ pieces, endToken }: CodeLine, number: number): TemplateResult {
    const mark = this.marks.get(number);
    const parts = tokenRuns(pieces).map((run) => this.#run(run));
    const end = endToken === null || this.tokens === null ? nothing : this.#end(endToken);
    return html`<span class="line ${mark === undefined ? '' : 'marked'}" data-mark=${mark ?? nothing}
      >${parts}${end}</span
    >`;
  }

  #run(pieces: readonly Piece[]): TemplateResult {
    const { token } = pieces[0]!;
    const spans = pieces.map(({ text, kind }) =>
      kind === '' ? html`<span>${text}</span>` : html`<span class=${kind}>${text}</span>`,
    );
    return token === null
      ? html`${spans}`
      : html`<span class=${this.#classOf(token)} data-token=${token}>${spans}</span>`;
  }

  #end(token: number): TemplateResult {
    return html`<span class="${this.#classOf(token)} end" data-token=${token}></span>`;
  }

  #classOf(token: number): string {
    const shade = this.shading ? `p${shadeOf(this.tokens?.logProbabilities[token] ?? 0)}` : '';
    return `token ${shade} ${token === this.#current ? 'current' : ''}`;
  }

  #tipOf({ token, left, top }: { token: number; left: number; top: number }): TemplateResult {
    const { texts, logProbabilities, entropies, alternatives } = this.tokens!;
    const logProbability = logProbabilities[token]!;
    return html`
      <div class="tip" role="tooltip" .style=${`left: ${left}px; top: ${top}px`}>
        <div>
          <span class="name chosen">${visible(texts[token]!)}</span> ${percentOf(logProbability)}
          (${nats(logProbability)} nats), entropy ${nats(entropies[token]!)} nats
        </div>
        <table>
          ${alternatives[token]!.map(
            ([text, each]) => html`
              <tr class=${text === texts[token] ? 'chosen' : ''}>
                <td>${visible(text)}</td>
                <td class="number">${percentOf(each)}</td>
                <td><meter min="0" max="1" .value=${Math.exp(each)} aria-label=${percentOf(each)}></meter></td>
              </tr>
            `,
          )}
        </table>
      </div>
    `;
  }

  #onHover = (event: MouseEvent): void => {
    const span = (event.target as Element).closest('[data-token]');
    if (span === null) this.#tip = null;
    else this.#showTip(span);
  };

  #showTip(span: Element): void {
    const { left, bottom, top } = span.getBoundingClientRect();
    const height = 150;
    this.#tip = {
      token: Number(span.getAttribute('data-token')),
      left: Math.max(4, Math.min(left, window.innerWidth - 370)),
      top: bottom + height > window.innerHeight ? Math.max(4, top - height) : bottom + 2,
    };
  }

  #onKey = (event: KeyboardEvent): void => {
    const { tokens } = this;
    if (event.key === 'Escape' && this.#tip !== null) {
      this.#tip = null;
      event.stopPropagation();
      return;
    }
    if (tokens === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = this.#stepped(event.key, tokens.texts.length);
    if (next === null) return;
    event.preventDefault();
    this.#current = next;
    const shown = tokens.alternatives[next]!.slice(0, 3).map(([text, each]) => `${visible(text)} ${percentOf(each)}`);
    this.#said = `${visible(tokens.texts[next]!)}, ${percentOf(tokens.logProbabilities[next]!)}. Likeliest: ${shown.join(', ')}`;
    void this.updateComplete.then(() => {
      const span = this.renderRoot.querySelector(`[data-token="${next}"]`);
      span?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
      if (span !== null) this.#showTip(span);
    });
  };

  /** Token that a key goes to; null where it goes nowhere. */
  #stepped(key: string, count: number): number | null {
    const last = Math.min(count, 1 + lastToken(this.#lines)) - 1;
    if (last < 0) return null;
    const now = this.#current;
    switch (key) {
      case 'ArrowRight':
        return now === null ? 0 : Math.min(last, now + 1);
      case 'ArrowLeft':
        return now === null ? 0 : Math.max(0, now - 1);
      case 'Home':
        return 0;
      case 'End':
        return last;
      case 'ArrowDown':
      case 'ArrowUp': {
        if (now === null) return 0;
        const firsts = this.#lines.map(firstToken);
        const line = this.#lines.findIndex((one) => holds(one, now));
        const step = key === 'ArrowDown' ? 1 : -1;
        for (let at = line + step; at >= 0 && at < firsts.length; at += step) {
          const first = firsts[at];
          if (first !== null && first !== undefined && first !== now) return first;
        }
        return now;
      }
      default:
        return null;
    }
  }
}

/** What the shades mean. */
export function shadeLegend(): TemplateResult {
  return html`<ul class="legend" aria-label="Shades of a token's probability">
    ${SHADES.map(({ words }, i) => html`<li><span class="swatch p${i}">ab</span> ${words}</li>`)}
  </ul>`;
}

/** Two digits, and no minus before a zero. */
function nats(value: number): string {
  return (Math.abs(value) < 0.005 ? 0 : value).toFixed(2);
}

function firstToken({ pieces, endToken }: CodeLine): number | null {
  return pieces[0]?.token ?? endToken;
}

function lastToken(lines: readonly CodeLine[]): number {
  const all = lines.flatMap(({ pieces, endToken }) => [...pieces.map(({ token }) => token), endToken]);
  return all.reduce<number>((most, token) => Math.max(most, token ?? -1), -1);
}

function holds({ pieces, endToken }: CodeLine, token: number): boolean {
  return endToken === token || pieces.some((piece) => piece.token === token);
}

declare global {
  interface HTMLElementTagNameMap {
    'midtrain-code': CodeView;
  }
}
