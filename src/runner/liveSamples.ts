/**
 * What the model of a training run writes between two steps: shown when somebody asks, or judged and counted. Told as
 * `sample` events. Training does not end because something here cannot be done: that is a note.
 * Knows nothing of when it is due.
 */
import type { Trainer } from '../engine/training/trainer.ts';
import { UserError } from '../errors.ts';
import { protocolById } from '../evaluation/protocols.ts';
import { functionPrompts } from '../midtraining/data/prompts.ts';
import type { TokenStore } from '../midtraining/data/tokenStore.ts';
import type { EventBody, MetricEvent } from './events.ts';
import type { LiveModel, LivePrompt } from './liveModel.ts';
import type { ProgramsInLoop } from './programsInLoop.ts';

/** Answers that are shown at a time, tokens of one that is not judged, and snippets that are looked through for prompts. */
const SHOWN = { answers: 3, tokens: 128, snippets: 200 };

export class LiveSamples {
  readonly #model: LiveModel;
  readonly #programs: ProgramsInLoop | null;
  readonly #store: TokenStore;
  readonly #tell: (event: EventBody) => void;
  readonly #signal: AbortSignal;

  /**
   * @param programs null where none are judged
   * @param signal aborted, what is being written is let go of
   */
  constructor(
    model: LiveModel,
    programs: ProgramsInLoop | null,
    store: TokenStore,
    tell: (event: EventBody) => void,
    signal: AbortSignal,
  ) {
    this.#model = model;
    this.#programs = programs;
    this.#store = store;
    this.#tell = tell;
    this.#signal = signal;
  }

  get judges(): boolean {
    return this.#programs !== null;
  }

  /** Programs that were right, and tells the first ones. Undefined where they could not be judged, or a stop came. */
  async passAt1(trainer: Trainer): Promise<MetricEvent['passAt1']> {
    const programs = this.#programs;
    if (programs === null) return undefined;
    const judged = await this.#orNote('No programs were judged', () => {
      const requests = programs.prompts.map(({ request }) => request);
      return programs.judge(this.#model.complete(trainer, requests, this.#signal), this.#signal);
    });
    if (judged === undefined) return undefined;
    const step = trainer.stepCount;
    for (const program of judged.slice(0, SHOWN.answers)) this.#tell({ type: 'sample', step, ...program });
    const counted = judged.filter(({ verdict }) => verdict !== 'harness error');
    return { passed: counted.filter(({ verdict }) => verdict === 'passed').length, problems: counted.length };
  }

  /** Tells what is written to a few prompts, which are the same all along. */
  async show(trainer: Trainer): Promise<void> {
    await this.#orNote('Nothing can be shown', async () => {
      const prompts = await this.#prompts();
      if (prompts.length === 0) throw new UserError('no function of the data has a head to go on from.');
      const requests = prompts.map(({ request }) => request);
      for await (const { id, text } of this.#model.complete(trainer, requests, this.#signal)) {
        const { taskId, prompt } = prompts.find(({ request }) => request.id === id)!;
        this.#tell({ type: 'sample', step: trainer.stepCount, taskId, prompt, completion: text, verdict: null });
      }
    });
  }

  /** Problems whose programs are judged; else functions of the held-out side, or where nothing is held out of the other. */
  async #prompts(): Promise<readonly LivePrompt[]> {
    if (this.#programs !== null) return this.#programs.prompts.slice(0, SHOWN.answers);
    const { tokenizer, source } = this.#model;
    const side = this.#store.heldOut.snippets > 0 ? this.#store.heldOut : this.#store.train;
    const texts = async function* (): AsyncGenerator<string> {
      for (let i = 0; i < Math.min(side.snippets, SHOWN.snippets); i++)
        yield tokenizer.decode([...(await side.read(i))]);
    };
    const { stop } = protocolById('humaneval', 'codex');
    return (await functionPrompts(texts(), SHOWN.answers)).map((prompt, number) => {
      const ids = tokenizer.encode(prompt, { addSpecialTokens: false, parseSpecial: false }); // as it is trained
      const request = {
        ...{ id: String(number), prompt: ids, samples: [0], seed: 0, stop },
        ...{ temperature: 0, topP: 1, topK: 0, minP: 0 },
        maxTokens: Math.min(SHOWN.tokens, source.config.contextLength - ids.length),
      };
      return { taskId: null, prompt, request };
    });
  }

  async #orNote<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      if (!(error instanceof UserError)) throw error;
      this.#tell({ type: 'note', level: 'warning', text: `${what}: ${error.message}` });
      return undefined;
    }
  }
}
