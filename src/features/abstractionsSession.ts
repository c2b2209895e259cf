/**
 * Feeds one abstractions panel: opens what its sides show, has it read, adds the figures that the paper defines, and answers
 * what the panel asks. Knows nothing of VS Code, so that it can be tested without one; what needs the editor is handed in.
 */
import { messageOf, UserError } from '../errors.ts';
import type { CodeReading } from '../midtraining/abstractions/reading.ts';
import { boundaryAgreement, type BoundaryAgreement, summarize } from '../midtraining/abstractions/statistics.ts';
import {
  type Address,
  type Agreement,
  type Choice,
  MOST_SIDES,
  parseFromPanel,
  parseReading,
  type Reading,
  type Summary,
  type ToPanel,
  type Viewed,
} from '../webviews/abstractions/messages.ts';
import { type ReadingSource, titleOf } from './readingSources.ts';

/** What the editor knows. */
export interface AbstractionsActions {
  /** @throws UserError when there is nothing to read there */
  open(address: Address): Promise<ReadingSource>;
  /** Lets the user choose what a side shows; `beside`: what the other one shows. Null: it was left. */
  choose(beside: Address | null): Promise<Address | null>;
  /** Lets the user choose one of these. Null: it was left. */
  chooseItem(items: readonly string[], now: number): Promise<number | null>;
  copy(text: string): void;
  save(name: string, bytes: Uint8Array): void;
  /** What the panel shows first is called so. */
  rename(title: string): void;
  /** Something went wrong that is no user's error. */
  report(error: unknown): void;
}

/** Readings that a side keeps, so that a step slider goes back without work. */
const KEPT = 24;

/** What a reading is to be read with where nobody has said. */
const AT_FIRST: Choice = { item: 0, step: null, latents: 'text' };

interface Read {
  readonly reading: Reading;
  readonly summary: Summary;
}

interface Side {
  readonly address: Address;
  /** Null: it could not be opened. */
  source: ReadingSource | null;
  chosen: Choice;
  readonly known: Map<string, Read>;
  shown: Read | null;
  /** Why there is nothing to show; ''. */
  error: string;
  work: AbortController | null;
}

export class AbstractionsSession {
  readonly #first: Address;
  readonly #actions: AbstractionsActions;
  readonly #post: (message: ToPanel) => void;
  readonly #sides: Side[] = [];
  #listening = false;
  #closed = false;

  constructor(first: Address, post: (message: ToPanel) => void, actions: AbstractionsActions) {
    this.#first = first;
    this.#actions = actions;
    this.#post = (message) => {
      if (!this.#closed && this.#listening) post(message);
    };
  }

  /** Takes a message of the panel. One that is none of ours does nothing. */
  receive(value: unknown): void {
    const message = parseFromPanel(value);
    if (message === null || this.#closed) return;
    if (message.type === 'ready') {
      this.#listening = true;
      this.#show(message.sides);
      return;
    }
    if (message.type === 'choose') {
      void this.#choose(message.side);
      return;
    }
    const side = this.#sides[message.side];
    if (side === undefined) return;
    switch (message.type) {
      case 'read': {
        const { item, step, latents, again } = message;
        const chosen = { item, step, latents };
        if (again || side.source === null) {
          side.known.clear();
          side.chosen = chosen;
          void this.#open(side);
        } else void this.#read(side, chosen);
        return;
      }
      case 'readText':
        if (side.address.kind !== 'text') return;
        this.#put(message.side, { ...side.address, text: message.text }, side.chosen);
        return;
      case 'cancel':
        side.work?.abort(new UserError('It was cancelled. Read it again with Read.'));
        return;
      case 'chooseItem':
        void this.#chooseItem(side);
        return;
      case 'close':
        for (const one of this.#sides.splice(message.side)) end(one);
        return;
      case 'copyJson':
        if (side.shown !== null) this.#actions.copy(jsonOf(side.shown));
        return;
      case 'picture':
        if (side.shown === null) return;
        this.#actions.save(`${fileName(side.shown.reading.name)}.${message.format}`, message.bytes);
        return;
      case 'saveJson':
        if (side.shown === null) return;
        this.#actions.save(
          `${fileName(side.shown.reading.name)}.reading.json`,
          new TextEncoder().encode(jsonOf(side.shown)),
        );
        return;
    }
  }

  /** Goes back to what the panel was opened for, where it shows something else. */
  showAgain(): void {
    const [side] = this.#sides;
    if (side !== undefined && !isSame(side.address, this.#first)) this.#put(0, this.#first, AT_FIRST);
  }

  close(): void {
    this.#closed = true;
    for (const side of this.#sides) end(side);
  }

  /** A panel that was hidden knows nothing and is told what is known; one that was reloaded says what it had shown. */
  #show(saved: readonly Viewed[]): void {
    const wanted = saved.length === 0 && this.#sides.length === 0 ? [{ address: this.#first, ...AT_FIRST }] : saved;
    wanted.forEach(({ address, item, step, latents }, i) => {
      const there = this.#sides[i];
      if (there === undefined || !isSame(there.address, address)) {
        this.#put(i, address, { item, step, latents });
      }
    });
    this.#sides.forEach((side) => {
      this.#tell(side);
    });
  }

  /** Everything there is to say of a side. */
  #tell(side: Side): void {
    const number = this.#sides.indexOf(side);
    if (number < 0) return;
    const { address, source, chosen, shown, error, work } = side;
    // Before it is open there is nothing to choose from, but it has a name, and the panel knows what to ask for again.
    const { title, items, steps, latents } = source ?? {
      ...{ title: titleOf(address), items: [''], steps: [], latents: [chosen.latents] },
    };
    this.#post({
      ...{ type: 'source', side: number, address, title, items: items.length },
      ...{ steps: [...steps], latents: [...latents], chosen },
    });
    if (work !== null) this.#post({ type: 'progress', side: number, text: 'reading…', share: null });
    else if (error !== '') this.#post({ type: 'failed', side: number, text: error });
    else if (shown !== null) this.#post({ type: 'reading', side: number, ...shown });
  }

  #put(number: number, address: Address, chosen: Choice): void {
    const there = this.#sides[number];
    if (there !== undefined) end(there);
    const side: Side = { address, source: null, chosen, known: new Map(), shown: null, error: '', work: null };
    this.#sides[Math.min(number, this.#sides.length)] = side;
    void this.#open(side);
  }

  async #open(side: Side): Promise<void> {
    const work = begin(side);
    this.#tell(side);
    try {
      const source = await this.#actions.open(side.address);
      if (side.work !== work) return;
      side.source = source;
      if (this.#sides[0] === side) this.#actions.rename(source.title);
    } catch (error) {
      this.#fail(side, work, error);
      return;
    }
    await this.#read(side, side.chosen);
  }

  /** Reads what is chosen, as near to it as the source has it. What was at work on the side is ended. */
  async #read(side: Side, wanted: Choice): Promise<void> {
    const source = side.source!;
    const { items, steps, latents } = source;
    const chosen: Choice = {
      item: Math.min(wanted.item, items.length - 1),
      step: steps.includes(wanted.step ?? NaN) ? wanted.step : (steps.at(-1) ?? null),
      latents: latents.includes(wanted.latents) ? wanted.latents : latents[0]!,
    };
    side.chosen = chosen;
    const key = JSON.stringify(chosen);
    const work = begin(side);
    const known = side.known.get(key);
    if (known !== undefined) {
      side.work = null;
      side.shown = known;
      this.#tell(side);
      return;
    }
    this.#tell(side);
    if (side.address.kind === 'text' && side.address.text.trim() === '') {
      side.work = null; // nothing was typed yet
      side.shown = null;
      this.#tell(side);
      return;
    }
    try {
      const reading = await source.read({ ...chosen, signal: work.signal }, (text, share) => {
        if (side.work !== work || work.signal.aborted) return;
        this.#post({ type: 'progress', side: this.#sides.indexOf(side), text, share });
      });
      work.signal.throwIfAborted();
      const checked = parseReading(reading);
      if (checked === null) {
        throw new UserError('What the model said of the code is no reading: it may have no numbers where they belong.');
      }
      if (side.work !== work) return;
      side.shown = { reading: checked, summary: summaryOf(checked) };
      side.known.set(key, side.shown);
      for (const oldest of side.known.keys()) {
        if (side.known.size <= KEPT) break;
        side.known.delete(oldest);
      }
      side.work = null;
      this.#tell(side);
    } catch (error) {
      this.#fail(side, work, work.signal.aborted ? work.signal.reason : error);
    }
  }

  #fail(side: Side, work: AbortController, error: unknown): void {
    if (side.work !== work) return; // another one is at work by now
    side.work = null;
    side.shown = null;
    side.error = messageOf(error);
    if (!(error instanceof UserError)) this.#actions.report(error);
    this.#tell(side);
  }

  async #choose(number: number): Promise<void> {
    const other = this.#sides[1 - number] ?? null;
    const address = await this.#actions.choose(other?.address ?? null).catch((error: unknown) => {
      this.#actions.report(error);
      return null;
    });
    if (address === null || this.#closed || number > this.#sides.length || number >= MOST_SIDES) return;
    this.#put(number, address, other !== null && isSame(other.address, address) ? other.chosen : AT_FIRST);
  }

  async #chooseItem(side: Side): Promise<void> {
    if (side.source === null) return;
    const item = await this.#actions.chooseItem(side.source.items, side.chosen.item);
    if (item !== null && this.#sides.includes(side)) void this.#read(side, { ...side.chosen, item });
  }
}

function isSame(one: Address, other: Address): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function begin(side: Side): AbortController {
  end(side);
  side.error = '';
  side.work = new AbortController();
  return side.work;
}

function end(side: Side): void {
  const { work } = side;
  side.work = null;
  work?.abort(new UserError('Something else is read now.'));
}

/** The figures of the paper, of one reading. */
export function summaryOf({ lines }: CodeReading): Summary {
  const latents = lines.map(({ latent }) => latent?.text ?? null);
  const { thinks, ...figures } = summarize([{ latents }]);
  const tokens = lines.reduce((sum, { latent }) => sum + (latent?.tokens ?? 0), 0);
  const agreement = (start: 'statement' | 'block'): Agreement =>
    withoutNaN(boundaryAgreement([{ lines, latents }], start));
  return {
    lines: figures.lines,
    thinks,
    thinkRate: known(figures.thinkRate),
    tokensPerLatent: known(tokens / thinks),
    meanTau: known(figures.meanTau),
    meanDiscount: known(figures.meanDiscount),
    effectiveHorizon: known(figures.effectiveHorizon),
    statement: agreement('statement'),
    block: agreement('block'),
  };
}

function withoutNaN({ boundaries, hits, share, random, pValue }: BoundaryAgreement): Agreement {
  return {
    boundaries,
    hits,
    share: known(share),
    random: known(random),
    pValue: boundaries === 0 ? null : known(pValue),
  };
}

/** Messages cannot hold what is no number. */
function known(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function jsonOf({ reading }: Read): string {
  return `${JSON.stringify(reading)}\n`;
}

/** A name as every file system takes it. */
function fileName(name: string): string {
  return name.replace(/[^\p{L}\p{N}._-]+/gu, '-').slice(0, 80) || 'abstractions';
}
