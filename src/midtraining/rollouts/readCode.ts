/**
 * Reads a piece of code with a model: where q would think, what pi makes of each token with the latents in force and without
 * any, and so what each latent is worth. The tokens of the code are the same both ways and have the same lines of context, so
 * a gain is the latents' alone. Time grows with the length of the text (`windows.ts`).
 * Knows nothing of files, processes or of how a reading is shown.
 */
import type { Parser } from 'web-tree-sitter';
import type { Decoder } from '../../engine/generation/decoder.ts';
import { chooseToken, logProbabilityOf, massOf } from '../../engine/generation/sampler.ts';
import { seededRandom } from '../../engine/random.ts';
import type { Tokenizer } from '../../engine/text/tokenizer.ts';
import { UserError } from '../../errors.ts';
import { newlineAt, parseLatents, segmentsOf, type Latent } from '../abstractions/latents.ts';
import type { Alternative, CodeReading, LatentReading, LineReading, TokenReading } from '../abstractions/reading.ts';
import { forceTokens, type ForcedToken } from './rewards.ts';
import { ActionSets, sampleRollouts } from './rollout.ts';
import { bordersOf, latentIds, type SnippetTokens, snippetTokens } from './snippetTokens.ts';
import { type Window, Windows } from './windows.ts';

/** What reads. pi and q may be one decoder; then it is fed once for both. */
export interface CodeReader {
  readonly pi: Decoder;
  readonly q: Decoder;
  readonly tokenizer: Tokenizer;
  readonly parser: Parser;
}

export interface ReadRequest extends Pick<CodeReading, 'name' | 'model' | 'latents'> {
  readonly text: string;
  /** Of latents by the model: it thinks where P(think) is at least this, and writes what is likeliest. */
  readonly threshold: number;
}

/** Tokens of the code that were gone over, each as often as it has to be: written around, read with latents, without. */
export interface ReadProgress {
  readonly done: number;
  readonly total: number;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ReadProgress) => void;
}

/** Tokens of a latent that the model writes, `#` among them. One that has not ended by then is not kept. */
const MOST_LATENT_TOKENS = 32;
const LIKELIEST = { temperature: 0, topP: 1, topK: 0, minP: 0 } as const;
/** Tokens between two reports of progress. */
const REPORTED = 64;

/**
 * Reads any text as Python, one with syntax errors too. Latents of a line that has no place for one are not fed.
 * A latent that the model does not end, or that is no comment, is not kept, although it went on with it in sight.
 * @throws UserError when the tokenizer does not give the text back or the threshold makes no sense; the signal's reason when
 *   aborted
 */
export async function readCode(
  reader: CodeReader,
  request: ReadRequest,
  { signal, onProgress }: ReadOptions = {},
): Promise<CodeReading> {
  const { pi, q, tokenizer, parser } = reader;
  const { text, latents: whose, threshold } = request;
  if (!(threshold >= 0 && threshold <= 1)) {
    throw new UserError(`The threshold on P(think) is ${threshold}. Give a number from 0 to 1.`);
  }
  signal?.throwIfAborted();
  const parsed = parseLatents(parser, text);
  const own = whose === 'text' ? parsed.latents : parsed.latents.map(() => null);
  const snippet = withFirstPlace(snippetTokens(parser, tokenizer, text), own[0] ?? null);
  const contextLength = Math.min(pi.contextLength, q.contextLength);
  const writes = whose === 'model';
  const maxLatentTokens = Math.max(1, Math.min(MOST_LATENT_TOKENS, Math.floor(contextLength / 8)));
  const reserve = writes ? Math.floor(contextLength / 4) : 0;
  const windows = new Windows(tokenizer, snippet, contextLength, reserve, own);
  const pass = new Pass(reader, snippet);
  const passes = (writes ? 1 : 0) + (pi === q ? 1 : 2) + (writes || own.some((latent) => latent !== null) ? 1 : 0);
  const report = (passesOver: number, tokens: number, from: number): void => {
    const done = from * passes + passesOver * tokens;
    onProgress?.({ done, total: snippet.ids.length * passes });
  };

  for (let from = 0; from < snippet.ids.length;) {
    let window = windows.at(from);
    if (writes) {
      window = await write(window);
      report(1, window.to - from, from);
    }
    const tell = (over: number) => (index: number) => {
      if (index % REPORTED === 0) report(over, window.to - from, from);
      signal?.throwIfAborted();
    };
    await pass.read(windows, window, tell(writes ? 1 : 0), signal);
    from = window.to;
    report(passes, 0, from);
  }
  return pass.reading(request, own, windows.latents, parsed.hasError);

  /** Has q write the latents of a window, which ends where it left no room for more. */
  async function write(window: Window): Promise<Window> {
    const part = windows.snippet(window, true);
    if (!part.lines.some(({ place }) => place !== null)) return window;
    const settings = { group: 1, temperature: 0, seed: 0, maxLatentTokens, threshold };
    const rollouts = sampleRollouts(q, tokenizer, [{ id: request.name, snippet: part }], settings, {
      ...(signal === undefined ? {} : { signal }),
    });
    const { value: rollout } = await rollouts.next();
    signal?.throwIfAborted();
    const [first] = windows.linesIn(window);
    let { to } = window;
    for (const [i, { decision, latent }] of rollout!.lines.entries()) {
      const place = part.lines[i]!.place;
      if (place === null) continue;
      if (decision === null && place.at > 0) {
        to = window.from + place.at;
        break;
      }
      windows.setLatent(first + i, latent?.error === null ? latent.text : null);
    }
    return windows.fitted({ ...window, to });
  }
}

/**
 * A latent above the first line has no place where no token precedes it, since nothing would predict it. To be read it needs
 * none that does.
 */
function withFirstPlace(snippet: SnippetTokens, latent: Latent | null): SnippetTokens {
  const [line, ...lines] = snippet.lines;
  const first = snippet.codeLines[0];
  if (latent === null || line === undefined || first === undefined || line.place !== null) return snippet;
  if (first.start > 0 || first.indent !== '' || snippet.prompt.length > 0) return snippet;
  const place = { at: 0, rest: '', tail: newlineAt(snippet.code, first), follow: snippet.code.slice(0, 16) };
  return { ...snippet, lines: [{ ...line, place }, ...lines] };
}

/** What is found out of the tokens and lines of a snippet, window by window. */
class Pass {
  readonly #reader: CodeReader;
  readonly #snippet: SnippetTokens;
  readonly #sets: ActionSets;
  readonly #with: Float64Array;
  readonly #without: Float64Array;
  readonly #entropy: Float64Array;
  readonly #alternatives: (readonly Alternative[])[];
  readonly #think: Float64Array;
  /** Of the latents. */
  readonly #logQ: Float64Array;
  readonly #contextFrom: Float64Array;
  readonly #texts = new Map<number, string>();

  constructor(reader: CodeReader, snippet: SnippetTokens) {
    this.#reader = reader;
    this.#snippet = snippet;
    this.#sets = ActionSets.of(reader.tokenizer);
    const unknown = (length: number): Float64Array => new Float64Array(length).fill(NaN);
    const { ids, lines } = snippet;
    [this.#with, this.#without, this.#entropy] = [unknown(ids.length), unknown(ids.length), unknown(ids.length)];
    this.#alternatives = ids.map(() => []);
    [this.#think, this.#logQ] = [unknown(lines.length), unknown(lines.length)];
    this.#contextFrom = new Float64Array(ids.length);
  }

  /** @param tell called with the number of tokens that a pass has come to */
  async read(windows: Windows, window: Window, tell: (index: number) => void, signal?: AbortSignal): Promise<void> {
    const { pi, q, tokenizer } = this.#reader;
    const { from, to, contextFrom } = window;
    this.#contextFrom.fill(contextFrom, from, to);
    const latents = windows.latentsIn(window);
    const infused = windows.snippet(window, true);
    const ofQ = this.#visitOfQ(windows, window, infused, latents);
    let tokens = 0;
    await forceTokens(
      pi,
      tokenizer,
      infused,
      latents,
      (token, logits) => {
        tell(tokens++);
        if (token.latentOf === null) this.#visitOfPi(from + token.index, token.id, logits);
        if (pi === q) ofQ(token, logits);
      },
      signal,
    );
    if (pi !== q) await forceTokens(q, tokenizer, infused, latents, ofQ, signal);
    if (windows.latentsIn({ from: contextFrom, to }).every((latent) => latent === null)) {
      this.#without.set(this.#with.subarray(from, to), from);
      return;
    }
    await forceTokens(
      pi,
      tokenizer,
      windows.snippet(window, false),
      [],
      ({ index, id }, logits) => {
        this.#without[from + index] = logProbabilityOf(logits, id);
      },
      signal,
    );
  }

  #visitOfPi(index: number, id: number, logits: Float32Array): void {
    const { top, entropy } = chooseToken(logits, LIKELIEST, NO_RANDOM);
    this.#with[index] = logProbabilityOf(logits, id);
    this.#entropy[index] = entropy;
    this.#alternatives[index] = top.map((one) => ({
      text: this.#textOf(one.id),
      logProbability: one.logProbability,
    }));
  }

  /** P(think) where a line begins, and log q of the latents. */
  #visitOfQ(windows: Windows, window: Window, part: SnippetTokens, latents: readonly (Latent | null)[]) {
    const [first] = windows.linesIn(window);
    /** Lines that have a place, by the token that stands there; those with a latent are met there. */
    const acting = new Map<number, number>();
    part.lines.forEach(({ place }, i) => {
      if (place !== null && (latents[i] ?? null) === null) acting.set(place.at, i);
    });
    let end = 0; // bytes of the latent, then bytes seen
    let seen = 0;
    return ({ id, index, latentOf }: ForcedToken, logits: Float32Array): void => {
      const i = latentOf ?? acting.get(index);
      if (i === undefined) return;
      const { place } = part.lines[i]!;
      const line = first + i;
      const { set, forced } = this.#sets.think(place!.rest);
      if (latentOf === null || index === 0) this.#think[line] = massOf(logits, set).inside;
      if (latentOf === null) return;
      if (index === 0) {
        end = Buffer.byteLength(place!.rest + latents[i]!);
        seen = 0;
        this.#logQ[line] = set.has(id) ? -this.#think[line]! : NaN;
      }
      const length = this.#reader.tokenizer.tokenBytes(id).length;
      if (seen <= end && (index === 0 || index > forced.length)) {
        const ends = seen + length > end ? this.#sets.endOf(id)?.set : undefined;
        this.#logQ[line]! += ends === undefined ? logProbabilityOf(logits, id) : massOf(logits, ends).inside;
      }
      seen += length;
    };
  }

  #textOf(id: number): string {
    const text = this.#texts.get(id) ?? this.#reader.tokenizer.tokenText(id);
    this.#texts.set(id, text);
    return text;
  }

  /** @param own latents of the text @param fed those that were fed */
  reading(
    { name, model, latents: whose }: ReadRequest,
    own: readonly (Latent | null)[],
    fed: readonly (Latent | null)[],
    hasError: boolean,
  ): CodeReading {
    const { code, codeLines, lines, ids } = this.#snippet;
    const { tokenizer } = this.#reader;
    const borders = unitsOf(bordersOf(tokenizer, ids, code), code);
    const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
    const tokens = ids.map((_, i): TokenReading => {
      const without = orNull(this.#without[i]!);
      return {
        from: borders[i]!,
        to: borders[i + 1]!,
        // Both or none, so that their difference is that of the same tokens.
        logProbability: without === null ? null : orNull(this.#with[i]!),
        without,
        entropy: orNull(this.#entropy[i]!),
        alternatives: this.#alternatives[i]!,
      };
    });
    const sums = lines.map(({ from, to }) => {
      const known = tokens.slice(from, to).filter(({ without }) => without !== null);
      const sum = (of: (token: TokenReading) => number | null): number =>
        known.reduce((total, token) => total + of(token)!, 0);
      return {
        logProbability: sum((token) => token.logProbability),
        without: sum((token) => token.without),
        entropy: known.length === 0 ? 0 : sum((token) => token.entropy) / known.length,
      };
    });
    const kept = fed.map((latent, i) => latent ?? own[i] ?? null);
    const readings = new Map<number, LatentReading>();
    for (const { latent, from, to } of segmentsOf(kept)) {
      if (latent === null) continue;
      const gain = sums.slice(from, to).reduce((sum, line) => sum + line.logProbability - line.without, 0);
      const origin = whose === 'model' ? 'model' : 'text';
      const logProbability = orNull(this.#logQ[from]!);
      readings.set(from, { text: latent, origin, tokens: this.#sizeOf(from, latent), logProbability, gain });
    }
    const read = lines.map(({ from, to, place }, i): LineReading => {
      const { start, end, row, rows, statement, block } = codeLines[i]!;
      const think = orNull(this.#think[i]!);
      return {
        ...{ from: start, to: end, row, rows, firstToken: from, endToken: to, statement, block },
        thinkProbability: place === null || think === null ? null : Math.exp(think),
        ...sums[i]!,
        latent: readings.get(i) ?? null,
        contextTokens: from - (this.#contextFrom[from] ?? from),
      };
    });
    return { code, name, model, latents: whose, lines: read, tokens, hasError };
  }

  /** Tokens of a latent without the newline and indentation behind it. */
  #sizeOf(line: number, latent: Latent): number {
    const { tokenizer } = this.#reader;
    const one = this.#snippet.lines[line]!;
    if (one.place === null) return tokenizer.encode(latent, { addSpecialTokens: false, parseSpecial: false }).length;
    const ids = latentIds(tokenizer, one.place, latent);
    let left = Buffer.byteLength(one.place.rest + latent);
    return ids.filter((id) => {
      const inside = left > 0;
      left -= tokenizer.tokenBytes(id).length;
      return inside;
    }).length;
  }
}

/** Without temperature nothing is drawn. */
const NO_RANDOM = seededRandom(0);

/** Offsets in UTF-8 as offsets in UTF-16. A character that several tokens share is the first one's. */
function unitsOf(borders: readonly number[], text: string): number[] {
  let [unit, byte] = [0, 0];
  return borders.map((border) => {
    while (byte < border) {
      const point = text.codePointAt(unit)!;
      byte += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
      unit += point < 0x10000 ? 1 : 2;
    }
    return unit;
  });
}
