/**
 * Whether anybody answers a panel: an extension host that was ended without a word leaves panels on the screen that no later
 * one knows. What a panel says then, and what it says where its run is gone. Knows nothing of what is asked.
 */
import { html, nothing, type ReactiveController, type ReactiveControllerHost, type TemplateResult } from 'lit';

/** An answer that has not come by then will not come. */
const ANSWER_MILLISECONDS = 10_000;

export class Answers implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  #timer: number | null = null;
  #isLost = false;

  constructor(host: ReactiveControllerHost) {
    this.#host = host;
    host.addController(this);
  }

  /** Something was asked. */
  expect(): void {
    this.#timer ??= window.setTimeout(() => {
      this.#set(true);
    }, ANSWER_MILLISECONDS);
  }

  /** Something has come, whatever it was. */
  heard(): void {
    this.hostDisconnected();
    this.#set(false);
  }

  hostDisconnected(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** @param what to open again, and where */
  view(what: string): TemplateResult | typeof nothing {
    return this.#isLost
      ? html`<p class="error" role="alert">
          Midtrain was restarted and does not know this panel any more. Close it, and open ${what}.
        </p>`
      : nothing;
  }

  #set(isLost: boolean): void {
    if (isLost === this.#isLost) return;
    this.#isLost = isLost;
    this.#host.requestUpdate();
  }
}

/** A panel without anything to show. */
export function goneView(title: string, why: string): TemplateResult {
  return html`<main class="gone">
    <h1>${title}</h1>
    <p>${why}</p>
  </main>`;
}
