/**
 * Gathers what both halves of an evaluation tell, the model that samples and the programs that are judged, and passes it on
 * as events: a change of phase at once, figures at most once a second. Knows nothing of where events go.
 */
import type { GenerationProgress } from '../engine/generation/generator.ts';
import type { Verdict } from '../evaluation/types.ts';
import type { EventBody, Phase, ProgressEvent } from './events.ts';

/** Seconds over which the rate of tokens is taken. */
const RATE_WINDOW = 5;
const TELL_MILLISECONDS = 1000;

export class ProgressTeller {
  readonly #tell: (event: EventBody) => void;
  readonly #window: { time: number; tokens: number }[] = [];
  #state: ProgressEvent;
  #phase: Phase | null = null;
  #told = -Infinity;
  #timer: NodeJS.Timeout | null = null;

  constructor(tell: (event: EventBody) => void, total: number) {
    this.#tell = tell;
    const nothing = { done: 0, passed: 0, generated: 0, resumed: 0, tokens: 0, tokensPerSecond: 0 };
    this.#state = { type: 'progress', total, ...nothing };
  }

  get generated(): number {
    return this.#state.generated;
  }

  phase(phase: Phase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#tell({ type: 'phase', phase });
    this.#send();
  }

  engine(device: string): void {
    this.#tell({ type: 'engine', device });
  }

  note(text: string, level: 'info' | 'warning' = 'info'): void {
    this.#tell({ type: 'note', level, text });
  }

  generation({ generatedTokens }: GenerationProgress): void {
    const now = performance.now() / 1000;
    this.#window.push({ time: now, tokens: generatedTokens });
    while (this.#window.length > 2 && now - this.#window[0]!.time > RATE_WINDOW) this.#window.shift();
    const first = this.#window[0]!;
    const seconds = now - first.time;
    const tokensPerSecond = seconds > 0 ? (generatedTokens - first.tokens) / seconds : 0;
    this.phase('sample');
    this.update({ tokens: generatedTokens, tokensPerSecond });
  }

  judged(verdict: Verdict): void {
    const { done, passed } = this.#state;
    this.update({ done: done + 1, passed: passed + (verdict === 'passed' ? 1 : 0) });
  }

  update(change: Partial<Omit<ProgressEvent, 'type'>>): void {
    this.#state = { ...this.#state, ...change };
    const wait = this.#told + TELL_MILLISECONDS - performance.now();
    if (wait <= 0 || this.#state.done === this.#state.total) this.#send();
    else
      this.#timer ??= setTimeout(() => {
        this.#send();
      }, wait); // nothing more may come for long, as in a pause
  }

  /** Tells what was not told yet, and nothing from then on. */
  end(): void {
    if (this.#timer !== null) this.#send();
  }

  #send(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#told = performance.now();
    this.#tell(this.#state);
  }
}
