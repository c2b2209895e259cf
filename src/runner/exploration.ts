/**
 * What the methods that write latents add to a training: q and its updates (the E-step), and rows with its latents for the
 * model's own steps (the M-step). `synthetic` has the rows alone. Rounds go: so many updates of q, so many steps of pi; the
 * first steps, before any round, are on latents of the untrained q, so that pi can use them.
 * Knows nothing of checkpoints, verbs or when a step is taken.
 */
import type { Parser } from 'web-tree-sitter';
import type { Decoder } from '../engine/generation/decoder.ts';
import { loadDecoder } from '../engine/languageModel.ts';
import type { ModelSource, TensorSource } from '../engine/model.ts';
import { mixSeed } from '../engine/random.ts';
import type { Tokenizer } from '../engine/text/tokenizer.ts';
import { trainedWeights } from '../engine/training/trainedWeights.ts';
import type { Trainer } from '../engine/training/trainer.ts';
import { UserError } from '../errors.ts';
import type { ExplorationProgress, PosteriorState } from '../midtraining/checkpoint.ts';
import type { TrainingConfig } from '../midtraining/config.ts';
import { permutation } from '../midtraining/data/permutation.ts';
import { pythonParser } from '../midtraining/data/pythonGrammar.ts';
import type { TokenSide, TokenStore } from '../midtraining/data/tokenStore.ts';
import type { RowPosition } from '../midtraining/data/trainingRows.ts';
import {
  credit,
  type JudgedSnippet,
  judge,
  type Learner,
  rolloutFigures,
  updateQ,
} from '../midtraining/rollouts/eStep.ts';
import { InfusedRows, type InfusedRow, type WindowLatents } from '../midtraining/rollouts/infusedRows.ts';
import { fits, givenLatents, type LatentSource, sampledLatents } from '../midtraining/rollouts/latentSources.ts';
import type { RewardSettings } from '../midtraining/rollouts/advantages.ts';
import {
  bySnippet,
  type NumberedSnippet,
  type RolledSnippet,
  rollOut,
} from '../midtraining/rollouts/rolledSnippets.ts';
import { ActionSets, type Rollout, ROLLOUT_PLACES, type RolloutSettings } from '../midtraining/rollouts/rollout.ts';
import { snippetTokens } from '../midtraining/rollouts/snippetTokens.ts';
import { explores, horizonOf, methodOf, posteriorSchedule, rowOptions } from '../midtraining/trainerOptions.ts';
import type { EStepEvent, EventBody, RolloutEvent, Settings } from './events.ts';
import { RolloutProcess } from './rolloutProcess.ts';
import { type MadeRollouts, RolloutsAhead } from './rolloutsAhead.ts';

/** Rollouts of an update that are told, all of one snippet. */
const SHOWN = 4;

export interface ExplorationParts {
  readonly config: TrainingConfig;
  readonly source: ModelSource;
  /** What training begins from. */
  readonly weights: TensorSource;
  readonly tokenizer: Tokenizer;
  readonly store: TokenStore;
  readonly pi: Trainer;
  /** Opens the model that writes comments; null: those in the data are taken. */
  readonly writer: { readonly open: () => Promise<Decoder>; readonly tokenizer: Tokenizer } | null;
  readonly tell: (event: EventBody) => void;
  readonly signal: AbortSignal;
  /** The bundle of the headless command, for a second process. */
  readonly command: string;
}

/** What a launch before had come to. */
export interface ExplorationState {
  readonly progress: ExplorationProgress;
  readonly q: PosteriorState;
}

export class Exploration {
  readonly #parts: ExplorationParts;
  readonly #parser: Parser;
  readonly #learner: Learner | null;
  /** Null where rollouts are made between updates. */
  #ahead: RolloutsAhead | null = null;
  #rows: InfusedRows;
  /** Of the M-step that is under way; null: none is. */
  #latents: LatentSource | null = null;
  #progress: ExplorationProgress;

  private constructor(parts: ExplorationParts, parser: Parser, learner: Learner | null) {
    this.#parts = parts;
    this.#parser = parser;
    this.#learner = learner;
    this.#rows = this.#rowsFrom(undefined, null);
    const { thinkPenalty, temperature, groupSize, eUpdates, mSteps } = parts.config.abstractions;
    const settings = { thinkPenalty, temperature, groupSize, eUpdates, mSteps };
    this.#progress = { round: 0, updates: 0, updatesInRound: 0, roundBegan: 0, settings };
  }

  /** @throws UserError when there is no memory for q */
  static async open(parts: ExplorationParts): Promise<Exploration> {
    const { config, pi, weights, tokenizer } = parts;
    const parser = await pythonParser();
    if (!explores(config)) return new Exploration(parts, parser, null);
    const q = await pi.sibling(weights, { schedule: posteriorSchedule(config), clip: config.clip });
    const base = config.abstractions.kl === 0 ? null : await pi.sibling(weights, q.options);
    return new Exploration(parts, parser, { q, base, sets: new ActionSets(tokenizer) });
  }

  async close(): Promise<void> {
    this.#ahead?.close();
    await this.#endSteps();
    await this.#learner?.q.close();
    await this.#learner?.base?.close();
    this.#parser.delete();
  }

  /** Of the row that comes next. */
  get position(): RowPosition {
    return this.#rows.position;
  }

  /** Undefined where there is no q. */
  get progress(): ExplorationProgress | undefined {
    return this.#learner === null ? undefined : this.#progress;
  }

  /** Updates of q, all rounds together. */
  get updates(): number {
    return this.#progress.updates;
  }

  /** To be written at once: it changes with the next update. Null where there is no q. */
  async viewState(): Promise<PosteriorState | null> {
    if (this.#learner === null) return null;
    const rollouts = (await this.#ahead?.pending(this.updates)) ?? [];
    const buffer: Buffered = { rollouts, latents: this.#rows.latents };
    return { trainer: await this.#learner.q.viewState(), buffer };
  }

  /** Goes on from there. */
  async resume(position: RowPosition, state: ExplorationState | null): Promise<void> {
    const { rollouts, latents } = (state?.q.buffer ?? { rollouts: [], latents: null }) as Buffered;
    this.#rows = this.#rowsFrom(position, latents);
    if (state === null || this.#learner === null) return;
    this.#progress = state.progress;
    await this.#learner.q.importState(state.q.trainer);
    if (rollouts.length > 0) this.#openAhead().restore(rollouts);
  }

  set({ thinkPenalty, temperature, groupSize, eUpdates, mSteps }: Settings): void {
    const { settings } = this.#progress;
    this.#progress = {
      ...this.#progress,
      settings: {
        thinkPenalty: thinkPenalty ?? settings.thinkPenalty,
        temperature: temperature ?? settings.temperature,
        groupSize: groupSize ?? settings.groupSize,
        eUpdates: eUpdates ?? settings.eUpdates,
        mSteps: mSteps ?? settings.mSteps,
      },
    };
  }

  // --- M-step ---

  /** The next row of the model's own step. */
  nextRow(): Promise<InfusedRow> {
    this.#latents ??= this.#openLatents();
    return this.#rows.next(this.#latents);
  }

  #openLatents(): LatentSource {
    const { config, tokenizer, writer } = this.#parts;
    const { maxLatentTokens, latentTemperature: temperature, candidates } = config.abstractions;
    const settings = { temperature, maxLatentTokens };
    if (this.#learner !== null) {
      const seed = mixSeed('round', config.seed, this.#progress.round);
      const asked = { ...settings, group: candidates, seed };
      return sampledLatents(
        this.#parser,
        tokenizer,
        () => this.#openQ(),
        asked,
        (rolled) => this.#best(rolled),
      );
    }
    if (writer === null) return givenLatents(this.#parser);
    return sampledLatents(this.#parser, writer.tokenizer, writer.open, { ...settings, group: 1, seed: config.seed });
  }

  /** Of each snippet's rollouts the one with the highest return, by pi as it is. */
  async #best(rolled: readonly RolledSnippet[]): Promise<Rollout[]> {
    if (this.#parts.config.abstractions.candidates === 1) return rolled.map(({ rollouts }) => rollouts[0]!);
    const { pi, tokenizer, config } = this.#parts;
    const { thinkPenalty } = this.#progress.settings;
    const { formatPenalty } = config.abstractions;
    const judgedSnippets = await judge(pi, tokenizer, rolled, { thinkPenalty, formatPenalty });
    return judgedSnippets.map(({ outcomes }) => {
      const returns = outcomes.map(({ rewards }) => rewards.reduce((sum, value) => sum + value, 0));
      return outcomes[returns.indexOf(Math.max(...returns))]!.rollout;
    });
  }

  async #endSteps(): Promise<void> {
    await this.#latents?.close();
    this.#latents = null;
  }

  // --- E-step ---

  /** Whether an update of q comes before the step after so many. */
  isDue(steps: number): boolean {
    if (this.#learner === null) return false;
    const { round, roundBegan, updatesInRound, settings } = this.#progress;
    if (round > 0 && steps === roundBegan && updatesInRound > 0) return updatesInRound < settings.eUpdates;
    const ended = round === 0 ? steps >= this.#parts.config.abstractions.warmup : steps - roundBegan >= settings.mSteps;
    return ended && settings.eUpdates > 0;
  }

  /** One update of q. A stop meanwhile leaves it as it was. @throws UserError when it diverges */
  async update(steps: number): Promise<void> {
    if (this.#progress.updatesInRound >= this.#progress.settings.eUpdates || steps !== this.#progress.roundBegan) {
      this.#progress = { ...this.#progress, updatesInRound: 0 };
    }
    const { round, updates, updatesInRound, settings } = this.#progress;
    const { config, tell, signal } = this.#parts;
    const { abstractions } = config;
    if (updatesInRound === 0) {
      await this.#endSteps();
      this.#rows.renew();
    }
    const began = performance.now();
    const thinkPenalty = settings.thinkPenalty * Math.min(1, (updates + 1) / Math.max(1, abstractions.penaltyWarmup));
    const penalties = { thinkPenalty, formatPenalty: abstractions.formatPenalty };
    const snippets = await this.#snippetsOf(updates);
    if (snippets.length === 0) {
      throw new UserError(
        `None of the ${abstractions.snippets} snippets of an update fits a row of ${config.context} tokens with a latent. Raise context, or lower abstractions.maxLatentTokens.`,
      );
    }
    const made = abstractions.asynchronous
      ? await this.#openAhead().take(updates, updates + settings.eUpdates - updatesInRound)
      : { version: updates, rollouts: await this.#rollOut(snippets, this.#settings(updates)) };
    if (signal.aborted) return;
    const judgedSnippets = await this.#judge(snippets, made.rollouts, penalties);
    const { baseline, normalise } = abstractions;
    const { rollouts, groupsWithoutSpread } = credit(judgedSnippets, {
      baseline,
      normalise,
      horizon: horizonOf(config),
    });
    const learned = await updateQ(this.#learner!, rollouts);
    this.#progress = {
      round: updatesInRound === 0 ? round + 1 : round,
      updates: updates + 1,
      updatesInRound: updatesInRound + 1,
      roundBegan: steps,
      settings,
    };
    const figures = rolloutFigures(judgedSnippets);
    const { kl, entropy, clipped, learningRate, gradientNorm } = learned ?? NOTHING_LEARNED;
    const seconds = (performance.now() - began) / 1000;
    const heldOut = updatesInRound + 1 === settings.eUpdates ? await this.#evaluate(penalties) : undefined;
    const event: EStepEvent = {
      ...{ type: 'e-step', update: updates + 1, step: steps, round: this.#progress.round },
      ...figures,
      ...{ thinkPenalty, groupsWithoutSpread, kl, entropy, clipped, staleness: updates - made.version },
      ...{ rolloutsPerSecond: figures.rollouts / seconds, learningRate, gradientNorm },
      ...(heldOut === undefined ? {} : { heldOut }),
    };
    tell(event);
    for (const example of examplesOf(judgedSnippets[0], updates + 1)) tell(example);
  }

  /** What is rolled out for the update after so many. */
  #snippetsOf(update: number): Promise<NumberedSnippet[]> {
    const { store, config } = this.#parts;
    const count = config.abstractions.snippets;
    return this.#draw(store.train, count, update * count);
  }

  #settings(update: number, group = this.#progress.settings.groupSize): RolloutSettings {
    const { config } = this.#parts;
    const { temperature } = this.#progress.settings;
    const { maxLatentTokens } = config.abstractions;
    return { group, temperature, maxLatentTokens, seed: mixSeed('explore', config.seed, update) };
  }

  /** Rollouts of q as it is. */
  async #rollOut(snippets: readonly NumberedSnippet[], settings: RolloutSettings): Promise<Rollout[]> {
    const decoder = await this.#openQ();
    try {
      return await rollOut(decoder, this.#parts.tokenizer, snippets, settings, this.#parts.signal);
    } finally {
      await decoder.close();
    }
  }

  /** By pi as it is. */
  #judge(
    snippets: readonly NumberedSnippet[],
    rollouts: readonly Rollout[],
    penalties: RewardSettings,
  ): Promise<JudgedSnippet[]> {
    const { pi, tokenizer } = this.#parts;
    return judge(pi, tokenizer, bySnippet(snippets, rollouts), penalties);
  }

  #openAhead(): RolloutsAhead {
    if (this.#ahead !== null) return this.#ahead;
    const { config, source, command } = this.#parts;
    const { context, threads } = config;
    const model = {
      path: source.path,
      randomSeed: config.initialWeights === 'random' ? config.seed : null,
      method: methodOf(config),
      contextLength: context,
      threads: threads === 0 ? null : threads,
    };
    const plan = {
      texts: async (update: number) =>
        (await this.#snippetsOf(update)).map(({ number, snippet }) => ({ number, text: snippet.code })),
      settings: (update: number) => this.#settings(update),
      parameters: async () => (await this.#learner!.q.viewState()).parameters, // copied as they are sent,
    };
    const most = config.abstractions.maxStaleness;
    return (this.#ahead = new RolloutsAhead(RolloutProcess.start(command, model), plan, most));
  }

  /** What q is worth on held-out snippets, always the same; undefined where there are none, or it is to stop. */
  async #evaluate(penalties: RewardSettings): Promise<EStepEvent['heldOut']> {
    const { config, store, signal } = this.#parts;
    const count = Math.min(config.abstractions.evaluationSnippets, store.heldOut.snippets);
    if (count === 0) return undefined;
    const snippets = await this.#draw(store.heldOut, count, 0);
    const rollouts = await this.#rollOut(snippets, this.#settings(-1, 1));
    if (signal.aborted || snippets.length === 0) return undefined;
    const { returnWithout, returnWith, returnNever, thinkRate } = rolloutFigures(
      await this.#judge(snippets, rollouts, penalties),
    );
    return { returnWithout, returnWith, returnNever, thinkRate };
  }

  /** `count` snippets of a side in a seeded order, those that fit with a latent. */
  async #draw(side: TokenSide, count: number, from: number): Promise<NumberedSnippet[]> {
    const { config, tokenizer } = this.#parts;
    const { maxLatentTokens } = config.abstractions;
    const drawn: NumberedSnippet[] = [];
    for (let at = from; at < from + count; at++) {
      const order = permutation(side.snippets, config.seed, 'explore', Math.floor(at / side.snippets));
      const number = order(at % side.snippets);
      if (drawn.some((one) => one.number === number)) continue;
      const snippet = snippetTokens(this.#parser, tokenizer, tokenizer.decode([...(await side.read(number))]));
      if (fits(snippet, maxLatentTokens, config.context)) drawn.push({ number, snippet });
    }
    return drawn;
  }

  async #openQ(): Promise<Decoder> {
    const { config, source, weights } = this.#parts;
    const q = trainedWeights(this.#learner!.q, weights);
    const { decoder } = await loadDecoder(
      { ...source, weights: q },
      {
        ...{ device: 'cpu', precision: 'fp32', places: ROLLOUT_PLACES },
        threads: config.threads === 0 ? null : config.threads,
        contextLength: config.context,
      },
    );
    return decoder;
  }

  #rowsFrom(position: RowPosition | undefined, latents: WindowLatents | null): InfusedRows {
    const { config, store, tokenizer } = this.#parts;
    return new InfusedRows(store.train, rowOptions(config, tokenizer), this.#parser, tokenizer, position, latents);
  }
}

/** What waits in a checkpoint. */
interface Buffered {
  readonly rollouts: readonly MadeRollouts[];
  readonly latents: WindowLatents | null;
}

const NOTHING_LEARNED = { kl: 0, entropy: 0, clipped: 0, learningRate: 0, gradientNorm: null };

/** The first rollouts of a snippet, line by line. */
function examplesOf(judgedSnippet: JudgedSnippet | undefined, update: number): RolloutEvent[] {
  if (judgedSnippet === undefined) return [];
  const { number, snippet, never, outcomes } = judgedSnippet;
  const returnNever = never.reduce((sum, value) => sum + value, 0);
  return outcomes.slice(0, SHOWN).map(({ rollout, rewards }) => ({
    ...{ type: 'rollout', update, snippet: number, index: rollout.index, returnNever },
    returnWith: rewards.reduce((sum, value) => sum + value, 0),
    lines: snippet.codeLines.map(({ start, end }, t) => {
      const { decision, latent } = rollout.lines[t]!;
      return {
        code: snippet.code.slice(start, end).replace(/\s+$/, ''),
        latent: latent?.text ?? null,
        thinkProbability: decision?.thinkProbability ?? null,
        reward: rewards[t]!,
        without: never[t]!,
        error: latent?.error ?? null,
      };
    }),
  }));
}
