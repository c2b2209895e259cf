/** The head of the results: score with its interval, verdicts, how the run stands, its facts and what can be done to it. */
import { html, nothing, type TemplateResult } from 'lit';
import { factsView, notesView } from '../facts.ts';
import type { Action, Header } from './messages.ts';
import './verdictChart.ts';

const actionTitles: Readonly<Record<Action, string>> = {
  pause: 'Pause',
  resume: 'Resume',
  stop: 'Stop',
  runAgain: 'Run Again',
  openFolder: 'Open Folder',
};

export interface SummaryEvents {
  readonly act: (action: Action) => void;
  readonly copyFact: (name: string) => void;
}

export function summary(header: Header, { act, copyFact }: SummaryEvents): TemplateResult {
  const { title, actions, error, notes, passAtK, verdicts } = header;
  return html`
    <header>
      <div class="title">
        <h1>${title}</h1>
        <div class="actions">
          ${actions.map(
            (action) =>
              html`<vscode-button
                secondary
                @click=${() => {
                  act(action);
                }}
                >${actionTitles[action]}</vscode-button
              >`,
          )}
        </div>
      </div>
      <p class="state" role="status">${header.words}</p>
      ${
        header.progress !== null && ['running', 'paused'].includes(header.status)
          ? html`<progress
              aria-label="Samples judged"
              max=${Math.max(1, header.progress.total)}
              .value=${header.progress.done}
            ></progress>`
          : nothing
      }
      ${error === '' ? nothing : html`<pre class="error" role="alert">${error}</pre>`}
      <div class="figures">
        <div class="score">
          ${
            passAtK.length === 0
              ? html`<p>Nothing is judged yet.</p>`
              : passAtK.map(
                  ({ k, value, low, high }) => html`
                    <div class="pass">
                      <span class="name">pass@${k}</span> <span class="value">${percent(value)}</span>
                      <span class="interval">95 % interval ${percent(low)} to ${percent(high)}</span>
                    </div>
                  `,
                )
          }
          <p>${problemWords(header)}</p>
        </div>
        <midtrain-verdict-chart .counts=${verdicts}></midtrain-verdict-chart>
      </div>
      ${factsView('Protocol, hashes and settings', header.facts, copyFact)} ${notesView(notes)}
    </header>
  `;
}

function problemWords({ problems, final, whyNotFinal, status }: Header): string {
  const { solved, judged, asked, benchmark } = problems;
  const partial = asked < benchmark ? ` (partial: ${asked} of ${benchmark})` : '';
  const tally = `${solved} solved of ${judged} ${judged === 1 ? 'problem' : 'problems'}${partial}.`;
  if (final) return tally;
  const live = status === 'running' || status === 'paused' || status === 'asked';
  return live
    ? `${tally} So far: the run is not over.`
    : `${tally} Not final: ${whyNotFinal || 'the run did not finish'}.`;
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}
