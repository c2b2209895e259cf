/** The figures of a whole reading, and its latents with what each is worth. */
import '@vscode-elements/elements/dist/vscode-collapsible/index.js';
import { html, nothing, type TemplateResult } from 'lit';
import { gain, percent } from './figures.ts';
import type { Layout, Segment } from './layout.ts';
import type { Agreement, Summary } from './messages.ts';

/** @param go called with the first line of a segment that is gone to */
export function summaryView(layout: Layout, summary: Summary, go: (line: number) => void): TemplateResult {
  const { lines, thinks, thinkRate, tokensPerLatent, meanTau, meanDiscount, effectiveHorizon, statement, block } =
    summary;
  const governed = layout.segments.filter(({ latent }) => latent !== null);
  const worth = governed.reduce((sum, { latent }) => sum + latent!.gain, 0);
  return html`
    <dl class="figures" aria-label="Figures">
      ${figure('think rate', thinkRate, percent, `${thinks} of ${lines} lines have a latent of their own`)}
      ${figure('tokens a latent', tokensPerLatent, one)}
      ${figure('E[τ]', meanTau, one, 'Mean length in lines of what a latent governs')}
      ${figure('ḡ', meanDiscount, three, 'Mean of γ^τ at γ = 0.99')}
      ${figure('1/(1 − ḡ)', effectiveHorizon, one, 'Effective horizon in decisions; with one decision a line it is 100')}
      ${figure('gain', governed.length === 0 ? null : worth, (value) => `${gain(value)} nats`, 'Of all latents together')}
      ${agreement('at statements', statement)} ${agreement('at blocks', block)}
    </dl>
    ${
      governed.length === 0
        ? nothing
        : html`<vscode-collapsible heading="Latents (${governed.length})">
            ${latentList(layout, governed, go)}
          </vscode-collapsible>`
    }
  `;
}

function figure(name: string, value: number | null, write: (value: number) => string, words = ''): TemplateResult {
  return html`<div title=${words}>
    <dt>${name}</dt>
    <dd>${value === null ? '–' : write(value)}</dd>
  </div>`;
}

function agreement(name: string, { boundaries, hits, share, random, pValue }: Agreement): TemplateResult {
  const words = `${hits} of ${boundaries} boundaries; as many drawn at random would have ${random === null ? '–' : percent(random)} (p = ${pValue === null ? '–' : pValue.toPrecision(2)})`;
  return html`<div title=${words}>
    <dt>${name}</dt>
    <dd>
      ${share === null ? '–' : percent(share)}
      <span class="dim"
        >${random === null ? '' : `random ${percent(random)}`}${pValue === null ? '' : `, p ${pWords(pValue)}`}</span
      >
    </dd>
  </div>`;
}

function pWords(value: number): string {
  return value < 0.001 ? '< 0.001' : value.toFixed(3);
}

/** Those worth the most first. */
function latentList({ reading }: Layout, segments: readonly Segment[], go: (line: number) => void): TemplateResult {
  const sorted = [...segments].sort((a, b) => b.latent!.gain - a.latent!.gain);
  const most = Math.max(...sorted.map(({ latent }) => Math.abs(latent!.gain)), 1e-9);
  return html`<ul class="latents">
    ${sorted.map(({ latent, from, to }) => {
      const { text, gain: own } = latent!;
      return html`<li>
        <button
          class="latent-row"
          @click=${() => {
            go(from);
          }}
        >
          <span class="number">line ${reading.lines[from]!.row + 1}</span>
          <span class="latent-text">${text}</span>
          <span class="number">τ ${to - from}</span>
          <span class="number">${gain(own)}</span>
          <span class="gain ${own < 0 ? 'loss' : ''}"><i .style=${`width: ${(100 * Math.abs(own)) / most}%`}></i></span>
        </button>
      </li>`;
    })}
  </ul>`;
}

const one = (value: number): string => value.toFixed(1);
const three = (value: number): string => value.toFixed(3);
