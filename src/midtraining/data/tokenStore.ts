/**
 * A prepared corpus on the disk: the tokens of its snippets, one after another, and their lengths, for the training side and
 * for the held-out side. Any snippet can be read at once, so a shuffled pass needs no texts in memory; and the data of a run
 * stay what they were when their sources change.
 *
 *     corpus.json        what it was made from, counts, hashes; written last
 *     train.tokens       token ids, little-endian, 2 bytes each for a vocabulary up to 65,536, else 4
 *     train.lengths      tokens of each snippet, 4 bytes each
 *     held-out.tokens, held-out.lengths
 *
 * Knows nothing of Python or of rows.
 */
import { createHash } from 'node:crypto';
import { access, type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { endianness } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { messageOf, UserError, whyNotWritten } from '../../errors.ts';

export const STORE_FORMAT = 1;
/** Tokens and lengths are gathered to writes of about this size. */
const WRITE_BYTES = 1 << 18;

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Side = v.object({ snippets: Count, tokens: Count, sha256: v.string() });
const Description = v.looseObject({
  format: v.literal(STORE_FORMAT),
  /** What made the tokens: ids of one tokenizer mean nothing to another. */
  tokenizer: v.string(),
  tokenBytes: v.picklist([2, 4]),
  train: Side,
  heldOut: Side,
});
/** `corpus.json`. Whatever else the maker put there is kept. */
export type StoreDescription = v.InferOutput<typeof Description>;

type SideName = 'train' | 'heldOut';
const FILES: Readonly<Record<SideName, string>> = { train: 'train', heldOut: 'held-out' };

/** Writes a store aside; it takes its place when it is whole. */
export class TokenStoreWriter {
  readonly #folder: string;
  readonly #partial: string;
  readonly #tokenizer: string;
  readonly #tokenBytes: 2 | 4;
  readonly #sides: Readonly<Record<SideName, SideWriter>>;

  private constructor(folder: string, tokenizer: string, tokenBytes: 2 | 4, sides: Record<SideName, SideWriter>) {
    this.#folder = folder;
    this.#partial = partialOf(folder);
    this.#tokenizer = tokenizer;
    this.#tokenBytes = tokenBytes;
    this.#sides = sides;
  }

  /** @throws UserError when the folder cannot be made */
  static async create(folder: string, tokenizer: string, vocabularySize: number): Promise<TokenStoreWriter> {
    const partial = partialOf(folder);
    const tokenBytes = vocabularySize <= 65_536 ? 2 : 4;
    return explained(folder, async () => {
      await rm(partial, { recursive: true, force: true });
      await mkdir(partial, { recursive: true });
      const train = await SideWriter.create(path.join(partial, FILES.train), tokenBytes);
      const heldOut = await SideWriter.create(path.join(partial, FILES.heldOut), tokenBytes);
      return new TokenStoreWriter(folder, tokenizer, tokenBytes, { train, heldOut });
    });
  }

  /** @throws UserError when the disk is full */
  async add(tokens: readonly number[], heldOut: boolean): Promise<void> {
    await explained(this.#folder, () => this.#sides[heldOut ? 'heldOut' : 'train'].add(tokens));
  }

  /**
   * Puts the store in its place, where an older one goes. `more` is added to its description.
   * @throws UserError when the disk is full
   */
  async finish(more: object): Promise<StoreDescription> {
    return explained(this.#folder, async () => {
      const train = await this.#sides.train.finish();
      const heldOut = await this.#sides.heldOut.finish();
      const description = {
        ...more,
        ...{ format: STORE_FORMAT, tokenizer: this.#tokenizer, tokenBytes: this.#tokenBytes, train, heldOut },
      } satisfies StoreDescription;
      const file = path.join(this.#partial, 'corpus.json');
      await writeFile(file, `${JSON.stringify(description, null, 2)}\n`, { flush: true });
      await rm(this.#folder, { recursive: true, force: true });
      await rename(this.#partial, this.#folder);
      return description;
    });
  }

  /** Takes back what was written. Never throws. */
  async abandon(): Promise<void> {
    await Promise.all(Object.values(this.#sides).map((side) => side.close()));
    await rm(this.#partial, { recursive: true, force: true }).catch(() => undefined);
  }
}

class SideWriter {
  readonly #tokens: FileHandle;
  readonly #lengths: FileHandle;
  readonly #tokenBytes: 2 | 4;
  readonly #hash = createHash('sha256');
  #tokenBuffer = Buffer.alloc(WRITE_BYTES);
  #tokensPending = 0;
  #pendingLengths: number[] = [];
  #snippetCount = 0;
  #tokenCount = 0;

  private constructor(tokens: FileHandle, lengths: FileHandle, tokenBytes: 2 | 4) {
    this.#tokens = tokens;
    this.#lengths = lengths;
    this.#tokenBytes = tokenBytes;
  }

  static async create(base: string, tokenBytes: 2 | 4): Promise<SideWriter> {
    const tokens = await open(`${base}.tokens`, 'w');
    return new SideWriter(tokens, await open(`${base}.lengths`, 'w'), tokenBytes);
  }

  async add(tokens: readonly number[]): Promise<void> {
    const bytes = tokens.length * this.#tokenBytes;
    if (this.#tokensPending + bytes > this.#tokenBuffer.length) await this.#flush();
    if (bytes > this.#tokenBuffer.length) this.#tokenBuffer = Buffer.alloc(bytes);
    for (const token of tokens) {
      this.#tokensPending = this.#tokenBuffer.writeUIntLE(token, this.#tokensPending, this.#tokenBytes);
    }
    this.#pendingLengths.push(tokens.length);
    this.#snippetCount += 1;
    this.#tokenCount += tokens.length;
    if (this.#pendingLengths.length * 4 >= WRITE_BYTES) await this.#flush();
  }

  async finish(): Promise<v.InferOutput<typeof Side>> {
    await this.#flush();
    await this.#tokens.datasync();
    await this.#lengths.datasync();
    await this.close();
    return { snippets: this.#snippetCount, tokens: this.#tokenCount, sha256: this.#hash.digest('hex') };
  }

  async close(): Promise<void> {
    await Promise.all([this.#tokens.close(), this.#lengths.close()].map((closing) => closing.catch(() => undefined)));
  }

  async #flush(): Promise<void> {
    const tokens = this.#tokenBuffer.subarray(0, this.#tokensPending);
    const lengths = Buffer.alloc(this.#pendingLengths.length * 4);
    this.#pendingLengths.forEach((length, at) => lengths.writeUInt32LE(length, at * 4));
    this.#hash.update(lengths).update(tokens);
    await this.#tokens.writeFile(tokens); // goes on where the last one ended
    await this.#lengths.writeFile(lengths);
    this.#tokensPending = 0;
    this.#pendingLengths = [];
  }
}

/** One side of a store, opened. */
export class TokenSide {
  /** Tokens of each snippet. */
  readonly lengths: Uint32Array;
  readonly tokens: number;
  /** Of the longest snippet, in tokens; 0 when there are none. */
  readonly longest: number;
  readonly #file: FileHandle;
  readonly #tokenBytes: 2 | 4;
  /** Where each snippet begins, in tokens. Beyond 2^32 in a large corpus. */
  readonly #starts: Float64Array;

  constructor(file: FileHandle, lengths: Uint32Array, tokenBytes: 2 | 4) {
    this.#file = file;
    this.#tokenBytes = tokenBytes;
    this.lengths = lengths;
    this.#starts = new Float64Array(lengths.length);
    let tokens = 0;
    let longest = 0;
    lengths.forEach((length, index) => {
      this.#starts[index] = tokens;
      tokens += length;
      longest = Math.max(longest, length);
    });
    this.tokens = tokens;
    this.longest = longest;
  }

  get snippets(): number {
    return this.lengths.length;
  }

  /** The token ids of a snippet. @throws UserError when the file can no longer be read */
  async read(index: number): Promise<Uint16Array | Uint32Array> {
    const length = this.lengths[index];
    if (length === undefined) throw new RangeError(`no snippet ${index} among ${this.snippets}`);
    const tokens = this.#tokenBytes === 2 ? new Uint16Array(length) : new Uint32Array(length);
    const { bytesRead } = await this.#file.read(tokens, 0, tokens.byteLength, this.#starts[index]! * this.#tokenBytes);
    if (bytesRead !== tokens.byteLength) throw new UserError('The prepared corpus was cut while it was in use.');
    return tokens;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

export interface TokenStore {
  readonly description: StoreDescription;
  readonly train: TokenSide;
  readonly heldOut: TokenSide;
  close(): Promise<void>;
}

/** Whether a whole store is there. */
export async function hasTokenStore(folder: string): Promise<boolean> {
  return access(path.join(folder, 'corpus.json')).then(
    () => true,
    () => false,
  );
}

/**
 * Opens a store. In memory: 12 bytes a snippet.
 * @param tokenizer the one of the model; a store of another is refused
 * @throws UserError: not there, made by another version or for another tokenizer, cut
 */
export async function openTokenStore(folder: string, tokenizer: string): Promise<TokenStore> {
  if (endianness() !== 'LE') throw new UserError('Prepared corpora are little-endian; this machine is not.');
  const description = await readDescription(folder);
  if (description.tokenizer !== tokenizer) {
    throw new UserError(
      `${folder}: the corpus was prepared for the tokenizer ${description.tokenizer}, the model has ${tokenizer}. Prepare it again.`,
    );
  }
  const train = await openSide(folder, 'train', description);
  try {
    const heldOut = await openSide(folder, 'heldOut', description);
    return {
      ...{ description, train, heldOut },
      close: async () => {
        await Promise.all([train.close(), heldOut.close()]);
      },
    };
  } catch (error) {
    await train.close();
    throw error;
  }
}

async function readDescription(folder: string): Promise<StoreDescription> {
  let text;
  try {
    text = await readFile(path.join(folder, 'corpus.json'), 'utf8');
  } catch (error) {
    throw new UserError(`${folder}: no prepared corpus is there (${messageOf(error)}). Prepare the data first.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UserError(`${folder}: its corpus.json is broken. Prepare the data again.`);
  }
  const parsed = v.safeParse(Description, value);
  if (parsed.success) return parsed.output;
  const { message } = parsed.issues[0];
  throw new UserError(`${folder}: its corpus.json is not one of this version (${message}). Prepare the data again.`);
}

async function openSide(folder: string, name: SideName, description: StoreDescription): Promise<TokenSide> {
  const { [name]: side, tokenBytes } = description;
  const base = path.join(folder, FILES[name]);
  let file: FileHandle | undefined;
  try {
    file = await open(`${base}.tokens`, 'r');
    const lengthBytes = await readFile(`${base}.lengths`);
    const { size } = await file.stat();
    if (size !== side.tokens * tokenBytes || lengthBytes.length !== side.snippets * 4) {
      throw new UserError(`${base}.*: not as long as its description says; the corpus is cut. Prepare the data again.`);
    }
    const lengths = new Uint32Array(side.snippets);
    new Uint8Array(lengths.buffer).set(lengthBytes);
    const opened = new TokenSide(file, lengths, tokenBytes);
    if (opened.tokens !== side.tokens) {
      throw new UserError(`${base}.lengths does not add up to the tokens there are. Prepare the data again.`);
    }
    return opened;
  } catch (error) {
    await file?.close();
    if (error instanceof UserError) throw error;
    throw new UserError(`${base}.*: cannot be read (${messageOf(error)}). Prepare the data again.`);
  }
}

function partialOf(folder: string): string {
  return `${path.resolve(folder)}.part`;
}

async function explained<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new UserError(`The prepared corpus ${folder} cannot be written: ${whyNotWritten(error)}.`);
  }
}
