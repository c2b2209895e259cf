/** The head of the run panel: how the run stands, how long it will take, and what can be done. */
import { html, nothing, type TemplateResult } from 'lit';
import { duration } from '../duration.ts';
import type { Action, Header } from './messages.ts';

type Button = readonly [action: Action, title: string, what: string];

/** In the order of the buttons. What holds for the E-step stands at its charts; exports have a place of their own. */
const buttons: Readonly<Record<'run' | 'eStep', readonly Button[]>> = {
  run: [
    ['pause', 'Pause', 'Hold before the next step; the model stays in memory'],
    ['resume', 'Resume', 'Go on'],
    ['release', 'Pause and Release Memory', 'Keep a checkpoint, give the memory back and hold'],
    ['stop', 'Stop', 'Stop before the next step; resumed, it goes on from its last checkpoint'],
    ['stopAndSave', 'Stop and Save', 'Save a checkpoint before the next step and stop'],
    ['checkpoint', 'Checkpoint Now', 'Save a checkpoint before the next step'],
    ['sample', 'Sample Now', 'Show what the live weights write'],
    ['setLearningRate', 'Set Learning Rate…', 'For the steps to come'],
    ['setEvaluationInterval', 'Set Evaluation Interval…', 'Steps between evaluations'],
    ['openFolder', 'Open Folder', "Open the run's folder"],
  ],
  eStep: [
    ['setThinkPenalty', 'Set Think Penalty…', 'What a thought costs (c), in nats'],
    ['setTemperature', 'Set Temperature…', 'Of the rollouts to come'],
    ['setGroupSize', 'Set Group Size…', 'Rollouts of a snippet'],
    ['setUpdates', 'Set Updates a Round…', 'Of q, in the rounds to come'],
    ['setSteps', 'Set Steps a Round…', 'Of the model, in the rounds to come'],
  ],
};

/** Those of the buttons that can be pressed. */
export function controlButtons(
  part: keyof typeof buttons,
  actions: readonly Action[],
  act: (action: Action) => void,
): TemplateResult[] {
  return buttons[part]
    .filter(([action]) => actions.includes(action))
    .map(
      ([action, name, what], place) =>
        html`<vscode-button
          ?secondary=${part !== 'run' || place > 0}
          title=${what}
          @click=${() => {
            act(action);
          }}
          >${name}</vscode-button
        >`,
    );
}

/** @param now milliseconds since 1970 */
export function headerView(header: Header, now: number, act: (action: Action) => void): TemplateResult {
  const { title, words, phase, step, steps, left, device, error, status, actions } = header;
  const age = phase?.since == null ? '' : ` for ${duration(now - phase.since)}`;
  const parts = [
    words,
    ...(phase === null ? [] : [`${phase.words}${age}`]),
    `step ${step}${steps === null ? '' : ` of ${steps}`}`,
    ...(left === null ? [] : [`about ${duration(left)} left`]),
    ...(device === '' ? [] : [device]),
  ];
  const isLive = status === 'running' || status === 'paused';
  return html`
    <header>
      <h1>${title}</h1>
      <p class="state">${parts.join(' · ')}</p>
      ${
        isLive && steps !== null
          ? html`<progress aria-label="Steps" max=${Math.max(1, steps)} .value=${step}></progress>`
          : nothing
      }
      ${error === '' ? nothing : html`<pre class="error" role="alert">${error}</pre>`}
      <div class="actions" role="group" aria-label="Control of the run">${controlButtons('run', actions, act)}</div>
    </header>
  `;
}

/** Why there is no curve yet, and what will come. */
export function emptyWords({ status, phase }: Header, now: number): string {
  switch (status) {
    case 'asked':
      return 'No process has taken this run yet. Resume starts it.';
    case 'running': {
      if (phase === null) return 'Its process is starting.';
      const age = phase.since === null ? '' : ` for ${duration(now - phase.since)}`;
      return `It is ${phase.words}${age}. Curves show here from the first step on.`;
    }
    case 'paused':
      return 'It is paused before its first step.';
    case 'finished':
      return 'It finished without telling of any step.';
    case 'stopped':
      return 'It was stopped before its first step. Resume starts it again.';
    case 'failed':
    case 'crashed':
      return `It ${status} before its first step: the message above says why. Mend that, then Resume starts it again.`;
  }
}
