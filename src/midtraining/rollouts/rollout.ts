/**
 * Rollouts of q over expert code (the E-step's data): at each line q decides whether to think, writes a latent if so, and is
 * fed the expert's line. One prefill serves all rollouts of a snippet.
 *
 * No token means "think": at a line's place (`snippetTokens.ts`) P(think) is the probability of all tokens that begin a
 * comment there, and acting is the rest. One token is drawn: if it is of that set it is the latent's first token, else it is
 * put aside and the expert's line is fed. (Where no token holds white space and `#` together, the white space by itself that a
 * comment needs there is the set, and `#` is fed.) Likewise a latent ends with any token that has a newline in it; which one is put
 * aside, and newline and indentation are fed as the tokenizer has them.
 * Knows nothing of rewards, penalties or updates.
 */
import { runRows, type BatchOptions, type Row } from '../../engine/generation/batching.ts';
import type { Decoder } from '../../engine/generation/decoder.ts';
import { chooseToken, logProbabilityOf, massOf } from '../../engine/generation/sampler.ts';
import { mixSeed, seededRandom, type Random } from '../../engine/random.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import { UserError } from '../../errors.ts';
import { isLatent, type Latent } from '../abstractions/latents.ts';
import { encodeBetween, type LinePlace, type SnippetTokens } from './snippetTokens.ts';

/** Rollouts decoded together at most, where nothing else is said. */
export const ROLLOUT_PLACES = 32;

export interface RolloutSettings {
  /** Rollouts of a snippet: G. */
  readonly group: number;
  /** Of decisions and latents; 0 takes what is likeliest. */
  readonly temperature: number;
  /** Tokens of a latent, `#` among them. */
  readonly maxLatentTokens: number;
  readonly seed: number;
  /** Think exactly where P(think) reaches this, with the likeliest token of those that do; not given: that is drawn. */
  readonly threshold?: number;
}

export interface RolloutRequest {
  /** Chosen by the caller; the random streams follow from it, the seed and the rollout's number. */
  readonly id: string;
  readonly snippet: SnippetTokens;
}

/** Something q chose. Natural logarithms. */
export interface Choice {
  /** At temperature 1. */
  readonly logProbability: number;
  /** Of the distribution that was drawn from; 0 at temperature 0. */
  readonly behaviour: number;
  /** Index in `Rollout.ids` of the token that stands where it was chosen: the tokens before predict it. */
  readonly position: number;
}

/** That the next token is one of a set. */
export interface SetChoice extends Choice {
  /** Names the set, for `ActionSets.mask`. */
  readonly set: string;
}

/** Of the two, to think or to act; its probability is that of the set of tokens. */
export interface Decision extends SetChoice {
  readonly thinks: boolean;
  /** P(think) at temperature 1. */
  readonly thinkProbability: number;
}

/** A token of a latent. The first one's probability is that of thinking with this token: the decision's is part of it. */
export interface LatentToken extends Choice {
  readonly id: number;
  /** Of the whole distribution at temperature 1, in nats. */
  readonly entropy: number;
}

/**
 * `unended`: no newline within the limit, or the end of the text instead; `unreadable`: not UTF-8; `no comment`: nothing is
 * said in it, or a program would read it (`isLatent`).
 */
export type FormatError = 'unended' | 'unreadable' | 'no comment';

export interface WrittenLatent {
  /** As far as it came, where there is an error. */
  readonly text: Latent;
  readonly tokens: readonly LatentToken[];
  /** That it ends here: of all tokens with a newline that leave the same text. Null where it did not. */
  readonly end: SetChoice | null;
  readonly error: FormatError | null;
}

export interface RolloutLine {
  /** Null where no latent may go, or no room for one was left. */
  readonly decision: Decision | null;
  readonly latent: WrittenLatent | null;
}

export interface Rollout {
  readonly id: string;
  /** From 0 to G - 1. */
  readonly index: number;
  /** One for each line of the code; fewer where it was cancelled. */
  readonly lines: readonly RolloutLine[];
  /** All tokens: the prompt, the code, and the latents as q wrote them. */
  readonly ids: readonly number[];
  readonly finish: 'done' | 'cancelled';
}

/** The latents of a rollout, one for each line of the code, those with an error among them. */
export function latentsOf({ lines }: Rollout): (Latent | null)[] {
  return lines.map(({ latent }) => latent?.text ?? null);
}

/** The same without those that have an error. */
export function soundLatentsOf({ lines }: Rollout): (Latent | null)[] {
  return lines.map(({ latent }) => (latent?.error === null ? latent.text : null));
}

/**
 * Samples `group` rollouts of each snippet and yields them as they finish. A rollout depends on its snippet, settings, id
 * and number alone, not on what shares its batch.
 * @throws UserError when a setting makes no sense, or a snippet with one latent does not fit the context; nothing is sampled
 *   then.
 */
export async function* sampleRollouts(
  decoder: Decoder,
  tokenizer: Tokenizer,
  requests: readonly RolloutRequest[],
  settings: RolloutSettings,
  options: BatchOptions = {},
): AsyncGenerator<Rollout, void, undefined> {
  check(settings);
  for (const { id, snippet } of requests) {
    const length = snippet.prompt.length + snippet.ids.length + settings.maxLatentTokens;
    if (length > decoder.contextLength) {
      throw new UserError(
        `The snippet ${id} comes to ${length} tokens with one latent, and the context is ${decoder.contextLength}. ` +
          'Use shorter snippets, or a model with a longer context.',
      );
    }
  }
  const sets = ActionSets.of(tokenizer);
  const groups = requests.map((request) => {
    const { prompt, ids, lines } = request.snippet;
    const first = lines.find(({ place }) => place !== null)?.place?.at ?? ids.length;
    return {
      prompt: [...prompt, ...ids.slice(0, first)],
      count: ids.length === 0 ? 0 : settings.group,
      begin: (index: number) =>
        new RolloutRow(request, index, settings, { tokenizer, sets, contextLength: decoder.contextLength }),
    };
  });
  for await (const row of runRows(decoder, groups, options)) yield row.rollout();
}

function check({ group, temperature, maxLatentTokens }: RolloutSettings): void {
  if (!(group >= 1 && Number.isInteger(group))) throw new UserError(`The group has ${group} rollouts. Give 1 or more.`);
  if (!(temperature >= 0 && temperature < Infinity)) {
    throw new UserError(`The temperature of the rollouts is ${temperature}. Give 0 or more; 1 is usual.`);
  }
  if (!(maxLatentTokens >= 1 && Number.isInteger(maxLatentTokens))) {
    throw new UserError(`A latent may have ${maxLatentTokens} tokens. Give 1 or more.`);
  }
}

interface Context {
  readonly tokenizer: Tokenizer;
  readonly sets: ActionSets;
  readonly contextLength: number;
}

interface LatentUnderWay {
  readonly decision: Decision;
  readonly place: LinePlace;
  readonly tokens: LatentToken[];
  /** The text so far, from the line's place on. */
  readonly bytes: Uint8Array[];
}

/** One rollout under way. */
class RolloutRow implements Row {
  readonly #request: RolloutRequest;
  readonly #index: number;
  readonly #settings: RolloutSettings;
  readonly #context: Context;
  readonly #random: Random;
  readonly #ids: number[];
  readonly #lines: RolloutLine[] = [];
  /** Tokens of the code that are in `#ids`. */
  #fed: number;
  /** The latent that is being written, at the line behind the last of `#lines`. */
  #latent: LatentUnderWay | null = null;
  #done = false;

  constructor(request: RolloutRequest, index: number, settings: RolloutSettings, context: Context) {
    this.#request = request;
    this.#index = index;
    this.#settings = settings;
    this.#context = context;
    this.#random = seededRandom(mixSeed('rollout', settings.seed, request.id, index));
    const { prompt, ids, lines } = request.snippet;
    while (this.#place === null && this.#lines.length < lines.length) this.#lines.push(NOTHING);
    this.#fed = this.#place?.at ?? ids.length;
    this.#ids = [...prompt, ...ids.slice(0, this.#fed)];
  }

  /** Of the line that is next; null where no latent may go, or no line is left. */
  get #place(): LinePlace | null {
    return this.#request.snippet.lines[this.#lines.length]?.place ?? null;
  }

  rollout(): Rollout {
    const finish = this.#done ? 'done' : 'cancelled';
    return { id: this.#request.id, index: this.#index, lines: this.#lines, ids: this.#ids, finish };
  }

  next(logits: Float32Array): readonly number[] | null {
    const given = this.#latent === null ? this.#decide(logits) : this.#write(logits);
    this.#ids.push(...given);
    this.#done = this.#latent === null && this.#lines.length === this.#request.snippet.lines.length;
    return this.#done ? null : given;
  }

  #decide(logits: Float32Array): number[] {
    const place = this.#place;
    if (place === null) return []; // no line takes a latent
    const { snippet } = this.#request;
    const { sets } = this.#context;
    const left = snippet.ids.length - this.#fed + place.rest.length + sets.longestHead + place.tail.length;
    if (this.#ids.length + this.#settings.maxLatentTokens + left > this.#context.contextLength) {
      return this.#act({ decision: null, latent: null });
    }
    const { set, forced } = sets.think(place.rest);
    const { id: drawn, entropy } = this.#draw(logits);
    const thinkProbability = Math.exp(massOf(logits, set).inside);
    const { threshold } = this.#settings;
    const thinks = threshold === undefined ? set.has(drawn) : thinkProbability >= threshold;
    const id = thinks && !set.has(drawn) ? likeliestOf(logits, set) : drawn;
    const choice = this.#choiceOf(logits, set, thinks);
    const decision = { ...choice, set: `${thinks ? 'think' : 'act'}:${place.rest}`, thinks, thinkProbability };
    if (!thinks) return this.#act({ decision, latent: null });
    const given = [id, ...forced];
    const bytes = given.map((token) => this.#context.tokenizer.tokenBytes(token));
    this.#latent = { decision, place, tokens: [this.#tokenOf(logits, id, entropy)], bytes };
    return given;
  }

  #write(logits: Float32Array): number[] {
    const latent = this.#latent!;
    const { sets } = this.#context;
    const { id, entropy } = this.#draw(logits);
    const end = sets.endOf(id);
    if (end !== undefined) {
      const name = `end:${Buffer.from(end.head).toString('hex')}`;
      return this.#finish(end.head, { ...this.#choiceOf(logits, end.set, true), set: name });
    }
    const { tokens } = latent;
    const bytes = this.#context.tokenizer.tokenBytes(id);
    if (bytes.length === 0 || tokens.length >= this.#settings.maxLatentTokens) return this.#finish(NO_BYTES, null);
    tokens.push(this.#tokenOf(logits, id, entropy));
    latent.bytes.push(bytes);
    return [id];
  }

  /** @param head what the last token had before its newline */
  #finish(head: Uint8Array, end: SetChoice | null): number[] {
    const { decision, place, tokens, bytes } = this.#latent!;
    this.#latent = null;
    const written = Buffer.concat(bytes).toString();
    const whole = Buffer.concat([...bytes, head]).toString();
    const text = whole.slice(place.rest.length);
    const unreadable = text.includes('\uFFFD');
    const error = end === null ? 'unended' : unreadable ? 'unreadable' : isLatent(text) ? null : 'no comment';
    const border = encodeBetween(
      this.#context.tokenizer,
      written,
      whole.slice(written.length) + place.tail,
      place.follow,
    );
    return [...border, ...this.#act({ decision, latent: { text, tokens, end, error } })];
  }

  /** The expert's tokens up to the next place. */
  #act(line: RolloutLine): number[] {
    const { ids, lines } = this.#request.snippet;
    this.#lines.push(line);
    while (this.#place === null && this.#lines.length < lines.length) this.#lines.push(NOTHING);
    const from = this.#fed;
    this.#fed = this.#place?.at ?? ids.length;
    return ids.slice(from, this.#fed);
  }

  #draw(logits: Float32Array): ReturnType<typeof chooseToken> {
    return chooseToken(logits, { temperature: this.#settings.temperature, topP: 1, topK: 0, minP: 0 }, this.#random);
  }

  #choiceOf(logits: Float32Array, set: Iterable<number>, inside: boolean): Choice {
    const side = inside ? 'inside' : 'outside';
    return this.#choice((temperature) => massOf(logits, set, temperature)[side]);
  }

  #tokenOf(logits: Float32Array, id: number, entropy: number): LatentToken {
    return { ...this.#choice((temperature) => logProbabilityOf(logits, id, temperature)), id, entropy };
  }

  #choice(at: (temperature: number) => number): Choice {
    const { temperature } = this.#settings;
    const logProbability = at(1);
    const behaviour = temperature === 0 ? 0 : temperature === 1 ? logProbability : at(temperature);
    return { logProbability, behaviour, position: this.#ids.length };
  }
}

function likeliestOf(logits: Float32Array, set: Iterable<number>): number {
  let best = -1;
  for (const id of set) if (best < 0 || logits[id]! > logits[best]!) best = id;
  return best;
}

const NO_BYTES = new Uint8Array(0);
const NOTHING: RolloutLine = { decision: null, latent: null };

/** Tokens with which a latent begins. */
export interface ThinkSet {
  readonly set: ReadonlySet<number>;
  /** What is fed after the one that was drawn, up to `#`; not empty only where no token of the tokenizer reaches that far. */
  readonly forced: readonly number[];
}

/** Tokens with which a latent ends. */
export interface EndSet {
  /** What each of them has before its newline, without white space at the end. */
  readonly head: Uint8Array;
  readonly set: ReadonlySet<number>;
}

/** The sets of tokens that are actions, for one tokenizer. */
export class ActionSets {
  /** Bytes of the longest `EndSet.head`. */
  readonly longestHead: number;
  readonly #tokenizer: Tokenizer;
  readonly #think = new Map<string, ThinkSet>();
  readonly #ends = new Map<string, { readonly head: Uint8Array; readonly set: Set<number> }>();
  readonly #endOf = new Map<number, EndSet>();
  static readonly #known = new WeakMap<Tokenizer, ActionSets>();

  /** Made once for a tokenizer: it looks at every token. */
  static of(tokenizer: Tokenizer): ActionSets {
    const sets = ActionSets.#known.get(tokenizer) ?? new ActionSets(tokenizer);
    ActionSets.#known.set(tokenizer, sets);
    return sets;
  }

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    const ends = this.#ends;
    for (let id = 0; id < tokenizer.vocabularySize; id++) {
      const bytes = tokenizer.tokenBytes(id);
      let newline = bytes.findIndex(isNewline);
      if (newline < 0) continue;
      while (newline > 0 && (bytes[newline - 1] === 0x20 || bytes[newline - 1] === 0x09)) newline--;
      const head = bytes.slice(0, newline);
      const key = Buffer.from(head).toString('hex');
      const end = ends.get(key) ?? { head, set: new Set() };
      ends.set(key, end);
      end.set.add(id);
      this.#endOf.set(id, end);
    }
    this.longestHead = Math.max(0, ...[...ends.values()].map(({ head }) => head.length));
  }

  /** Tokens that begin a comment where `rest` is still to come. */
  think(rest: string): ThinkSet {
    const known = this.#think.get(rest);
    if (known !== undefined) return known;
    const start = Buffer.from(`${rest}#`);
    const set = new Set<number>();
    for (let id = 0; id < this.#tokenizer.vocabularySize; id++) {
      const bytes = this.#tokenizer.tokenBytes(id);
      if (bytes.length < start.length || start.compare(bytes, 0, start.length) !== 0) continue;
      if (!bytes.subarray(start.length).some(isNewline)) set.add(id);
    }
    let forced: number[] = [];
    if (set.size === 0) {
      const [first, ...more] = encodeBetween(this.#tokenizer, '\n', `${rest}#`, '');
      set.add(first!);
      forced = more;
    }
    this.#think.set(rest, { set, forced });
    return { set, forced };
  }

  /** Puts 1 at each token of a `SetChoice`'s set, and leaves the others. @param into [vocabulary], zeros */
  mask(set: string, into: Float32Array): void {
    const colon = set.indexOf(':');
    const [kind, which] = [set.slice(0, colon), set.slice(colon + 1)];
    const ids = kind === 'end' ? this.#ends.get(which)!.set : this.think(which).set;
    if (kind === 'act') into.fill(1);
    for (const id of ids) into[id] = kind === 'act' ? 0 : 1;
  }

  /** Of a token that ends a latent; undefined of any other. */
  endOf(id: number): EndSet | undefined {
    return this.#endOf.get(id);
  }
}

function isNewline(byte: number): boolean {
  return byte === 0x0a || byte === 0x0d;
}
