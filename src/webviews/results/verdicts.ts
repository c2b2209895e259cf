/** How a verdict looks: a shape and a colour, so that nobody depends on the colour. */
import { html, svg, type SVGTemplateResult, type TemplateResult } from 'lit';
import type { ThemeColour } from '../theme.ts';
import type { VERDICTS } from './messages.ts';

export type Verdict = (typeof VERDICTS)[number];

export const verdictColours: Readonly<Record<Verdict, ThemeColour>> = {
  passed: ['--vscode-testing-iconPassed', '#3fa35f'],
  failed: ['--vscode-testing-iconFailed', '#e5534b'],
  'timed out': ['--vscode-charts-yellow', '#c69026'],
  crashed: ['--vscode-charts-purple', '#a371f7'],
  'out of memory': ['--vscode-terminal-ansiCyan', '#29b8db'],
  'harness error': ['--vscode-charts-blue', '#539bf5'],
};

const shapes: Readonly<Record<Verdict, SVGTemplateResult>> = {
  passed: svg`<path d="M3 8.5 6.5 12 13 4.5" />`,
  failed: svg`<path d="m4 4 8 8m0-8-8 8" />`,
  'timed out': svg`<circle cx="8" cy="8" r="5.5" /><path d="M8 5v3.2l2.2 1.4" />`,
  crashed: svg`<path d="M9 2 4 9h4l-1 5 5-7H8z" />`,
  'out of memory': svg`<path d="M4 4h8v8H4zM6 2v2m4-2v2M6 12v2m4-2v2M2 6h2m-2 4h2m8-4h2m-2 4h2" />`,
  'harness error': svg`<path d="M8 2.5 14 13H2zM8 6.5v3M8 11v.6" />`,
};

export function verdictIcon(verdict: Verdict): TemplateResult {
  const [property, otherwise] = verdictColours[verdict];
  return html`<svg
    class="verdict-icon"
    viewBox="0 0 16 16"
    width="16"
    height="16"
    aria-hidden="true"
    fill="none"
    stroke-width="1.75"
    stroke-linecap="round"
    stroke-linejoin="round"
    .style=${`stroke: var(${property}, ${otherwise}); flex: none`}
  >
    ${shapes[verdict]}
  </svg>`;
}
