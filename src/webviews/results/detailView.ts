/** One sample: what the model was given and wrote, the program that ran, and where and why it failed. */
import { html, nothing, type TemplateResult } from 'lit';
import '../codeView.ts';
import { shadeLegend } from '../codeView.ts';
import type { Detail, Part } from './messages.ts';
import { failingLines } from './traceback.ts';
import { type Verdict, verdictIcon } from './verdicts.ts';

export const SECTIONS = ['completion', 'program', 'prompt', 'traceback'] as const;
export type Section = (typeof SECTIONS)[number];

const sectionTitles: Readonly<Record<Section, string>> = {
  completion: 'Completion',
  program: 'Program',
  prompt: 'Prompt',
  traceback: 'Outcome',
};

export interface DetailEvents {
  readonly show: (section: Section) => void;
  readonly step: (step: 1 | -1) => void;
  readonly open: (part: Part) => void;
  readonly copy: (part: Part) => void;
  readonly rerun: () => void;
  readonly setShading: (on: boolean) => void;
}

export interface DetailState {
  readonly section: Section;
  readonly shading: boolean;
  readonly hasFailures: boolean;
}

export function detailView(detail: Detail, state: DetailState, events: DetailEvents): TemplateResult {
  const { taskId, sample, verdict, notes } = detail;
  const { section, hasFailures } = state;
  return html`
    <section class="detail" aria-label="Sample ${sample} of ${taskId}">
      <div class="title">
        <h2>${taskId} <span class="dim">sample ${sample}</span></h2>
        <div class="actions">
          <vscode-button
            secondary
            ?disabled=${!hasFailures}
            title="Previous failure (Alt+Up)"
            @click=${() => {
              events.step(-1);
            }}
          >
            Previous Failure
          </vscode-button>
          <vscode-button
            secondary
            ?disabled=${!hasFailures}
            title="Next failure (Alt+Down)"
            @click=${() => {
              events.step(1);
            }}
          >
            Next Failure
          </vscode-button>
        </div>
      </div>
      <p class="verdict">${verdictIcon(verdict as Verdict)}<strong>${verdict}</strong> ${outcomeWords(detail)}</p>
      <p class="dim">${timing(detail)}</p>
      ${notes.map((note) => html`<p class="note">${note}</p>`)}
      <div class="actions">
        <vscode-button
          @click=${() => {
            events.open(section);
          }}
          >Open as File</vscode-button
        >
        <vscode-button
          secondary
          @click=${() => {
            events.copy(section);
          }}
          >Copy</vscode-button
        >
        <vscode-button secondary @click=${events.rerun}>Re-run This Problem</vscode-button>
      </div>
      <vscode-tabs
        selected-index=${SECTIONS.indexOf(section)}
        @vsc-tabs-select=${(event: CustomEvent<{ selectedIndex: number }>) => {
          events.show(SECTIONS[event.detail.selectedIndex] ?? 'completion');
        }}
      >
        ${SECTIONS.map(
          (one) => html`
            <vscode-tab-header slot="header">${sectionTitles[one]}</vscode-tab-header>
            <vscode-tab-panel>${one === section ? sectionView(one, detail, state, events) : nothing}</vscode-tab-panel>
          `,
        )}
      </vscode-tabs>
    </section>
  `;
}

function sectionView(section: Section, detail: Detail, { shading }: DetailState, events: DetailEvents): TemplateResult {
  switch (section) {
    case 'completion':
      return completion(detail, shading, events);
    case 'program':
      return program(detail);
    case 'prompt':
      return detail.prompt === ''
        ? html`<p>The prompt is not known.</p>`
        : html`<midtrain-code .text=${detail.prompt} label="Prompt"></midtrain-code>`;
    case 'traceback':
      return outcome(detail);
  }
}

function completion(detail: Detail, shading: boolean, events: DetailEvents): TemplateResult {
  const { tokens, before, finish } = detail;
  // Tokens may go on behind what counts: into the stop string, which is cut off.
  const fits = tokens === null || tokens.texts.join('').startsWith(detail.completion);
  return html`
    ${
      tokens === null
        ? nothing
        : html`<div class="shading">
            <vscode-checkbox
              label="Shade tokens by probability"
              ?checked=${shading}
              @change=${(event: Event) => {
                events.setShading((event.target as HTMLInputElement).checked);
              }}
            ></vscode-checkbox>
            ${shading ? shadeLegend() : nothing}
          </div>`
    }
    ${fits ? nothing : html`<p class="note">The tokens do not make up this text, so they are not shown.</p>`}
    <midtrain-code
      .text=${detail.completion}
      .preceding=${before}
      .tokens=${fits ? tokens : null}
      .shading=${shading}
      label="Completion"
    ></midtrain-code>
    <p class="dim">${completionWords(finish, tokens?.texts.length ?? null)}</p>
  `;
}

function completionWords(finish: string, tokens: number | null): string {
  const count = tokens === null ? '' : `${tokens} tokens`;
  const end = finish === '' ? '' : `ended by ${finish}`;
  return [count, end].filter((part) => part !== '').join(', ');
}

function program({ program: ran, traceback }: Detail): TemplateResult {
  if (ran === null) return html`<p>The program cannot be shown; the note above says why.</p>`;
  const failing = failingLines(traceback);
  const marks = (which: 'candidate' | 'check'): Map<number, string> => {
    const line = failing[which];
    return new Map(
      line === null ? [] : [[line, failing.innermost === which ? '◀ failed here' : '◀ failed in a call here']],
    );
  };
  return html`
    <h3>Candidate</h3>
    <midtrain-code .text=${ran.candidate.trimEnd()} .marks=${marks('candidate')} label="Candidate"></midtrain-code>
    <h3>Check</h3>
    <midtrain-code .text=${ran.check.trimEnd()} .marks=${marks('check')} label="Check"></midtrain-code>
  `;
}

function outcome({ result, traceback, output }: Detail): TemplateResult {
  return html`
    <h3>Result</h3>
    <pre>${result}</pre>
    ${
      traceback === ''
        ? nothing
        : html`<h3>Traceback</h3>
            <pre tabindex="0" aria-label="Traceback">${tracebackLines(traceback)}</pre>`
    }
    ${
      output === ''
        ? nothing
        : html`<h3>Output</h3>
            <pre tabindex="0" aria-label="Output">${output}</pre>`
    }
  `;
}

/** The innermost frame's line, and what Python shows of it, marked. */
function tracebackLines(traceback: string): TemplateResult[] {
  const lines = traceback.split('\n');
  const last = lines.findLastIndex((line) => /^\s*File "<(candidate|check)>"/.test(line));
  return lines.map((line, i) => {
    const end = i + 1 < lines.length ? '\n' : '';
    return last >= 0 && (i === last || i === last + 1) ? html`<mark>${line}</mark>${end}` : html`${line}${end}`;
  });
}

function outcomeWords({ verdict, result }: Detail): string {
  const said = result.replace(/^(?:failed|harness error): ?/, '');
  return said === verdict || said === '' ? '' : said;
}

function timing({ wallSeconds, cpuSeconds, timeLimit, retried }: Detail): string {
  const parts = [
    ...(wallSeconds === null ? [] : [`${wallSeconds.toFixed(3)} s wall`]),
    ...(cpuSeconds === null ? [] : [`${cpuSeconds.toFixed(3)} s CPU`]),
    ...(timeLimit === null ? [] : [`limit ${timeLimit} s`]),
    ...(retried ? ['run a second time alone, after it had timed out under load'] : []),
  ];
  return parts.join(', ');
}
