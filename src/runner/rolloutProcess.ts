/**
 * A second process that makes rollouts of q while the run updates it: it has the base model, is told q's parameters as they
 * change, and answers one request after another. Both ends of the channel are here. It ends with its parent.
 * Knows nothing of rewards, updates or how far ahead it works.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { Decoder } from '../engine/generation/decoder.ts';
import { loadDecoder } from '../engine/languageModel.ts';
import { createTokenizer } from '../engine/text/tokenizer.ts';
import { weightsWith } from '../engine/training/trainedWeights.ts';
import type { TrainingMethod } from '../engine/training/method.ts';
import { randomWeights } from '../engine/training/randomWeights.ts';
import { openModel } from '../engine/weights/open.ts';
import { messageOf, UserError } from '../errors.ts';
import { pythonParser } from '../midtraining/data/pythonGrammar.ts';
import type { NumberedText } from '../midtraining/rollouts/latentSources.ts';
import { rollOut } from '../midtraining/rollouts/rolledSnippets.ts';
import { type Rollout, ROLLOUT_PLACES, type RolloutSettings } from '../midtraining/rollouts/rollout.ts';
import { snippetTokens } from '../midtraining/rollouts/snippetTokens.ts';
import { RETURNING_MEMORY } from './memory.ts';

/** What the process works with all its life. */
export interface RolloutModel {
  readonly path: string;
  /** Of weights that are drawn; null where the model has its own. */
  readonly randomSeed: number | null;
  readonly method: TrainingMethod;
  readonly contextLength: number;
  /** Of ONNX Runtime; null: one a core. */
  readonly threads: number | null;
}

interface Request {
  readonly id: number;
  readonly texts: readonly NumberedText[];
  readonly settings: RolloutSettings;
  /** q from now on; null: as it was. */
  readonly parameters: ReadonlyMap<string, Float32Array> | null;
}

type Answer =
  | { readonly id: number; readonly rollouts: readonly Rollout[] }
  | { readonly id: number; readonly error: string; readonly isUser: boolean };

/** The parent's end. */
export class RolloutProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (rollouts: Rollout[]) => void; reject: (error: Error) => void }>();
  #count = 0;
  #ended: Error | null = null;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (message) => {
      const answer = message as Answer;
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('rollouts' in answer) waiting?.resolve([...answer.rollouts]);
      else waiting?.reject(answer.isUser ? new UserError(answer.error) : new Error(answer.error));
    });
    const end = (how: string): void => {
      this.#ended ??= new UserError(
        `The process that makes rollouts ended (${how}), perhaps for want of memory. Set abstractions.asynchronous to false, or start again: the run goes on from its last checkpoint.`,
      );
      for (const { reject } of this.#waiting.values()) reject(this.#ended);
      this.#waiting.clear();
    };
    child.on('exit', (code, signal) => {
      end(signal ?? `status ${code}`);
    });
    child.on('error', (error) => {
      end(error.message);
    });
  }

  /** @param command the bundle of the headless command */
  static start(command: string, model: RolloutModel): RolloutProcess {
    const child = fork(command, ['rollouts'], {
      serialization: 'advanced',
      env: { ...process.env, ...RETURNING_MEMORY, ELECTRON_RUN_AS_NODE: '1' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.send(model);
    return new RolloutProcess(child);
  }

  /** @throws UserError when a request makes no sense to it, or it has ended */
  request(request: Omit<Request, 'id'>): Promise<Rollout[]> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) {
        reject(this.#ended);
        return;
      }
      const id = ++this.#count;
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ ...request, id });
    });
  }

  close(): void {
    this.#waiting.clear();
    this.#child.kill('SIGKILL');
  }
}

/** The child's end: answers until its parent goes. */
export async function serveRollouts(): Promise<void> {
  const messages: unknown[] = [];
  let wake: () => void = () => undefined;
  process.on('message', (message) => {
    messages.push(message);
    wake();
  });
  process.on('disconnect', () => process.exit());
  const next = async (): Promise<unknown> => {
    while (messages.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return messages.shift();
  };
  const { path, randomSeed, method, contextLength, threads } = (await next()) as RolloutModel;
  const source = await openModel(path, { weightsOptional: randomSeed !== null });
  const base = randomSeed === null ? source.weights : randomWeights(source.config, randomSeed);
  const tokenizer = createTokenizer(source.tokenizer);
  const parser = await pythonParser();
  let decoder: Decoder | null = null;
  for (;;) {
    const { id, texts, settings, parameters } = (await next()) as Request;
    let answer: Answer;
    try {
      if (parameters !== null || decoder === null) {
        await decoder?.close();
        decoder = null;
        const weights = weightsWith(source.config, base, method, (name) => parameters?.get(name));
        const options = { device: 'cpu', precision: 'fp32', places: ROLLOUT_PLACES, threads, contextLength } as const;
        ({ decoder } = await loadDecoder({ ...source, weights }, options));
      }
      const snippets = texts.map(({ number, text }) => ({ number, snippet: snippetTokens(parser, tokenizer, text) }));
      answer = { id, rollouts: await rollOut(decoder, tokenizer, snippets, settings) };
    } catch (error) {
      answer = { id, error: messageOf(error), isUser: error instanceof UserError };
    }
    process.send!(answer);
  }
}
