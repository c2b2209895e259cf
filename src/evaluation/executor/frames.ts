/**
 * Frames on a pipe: a length (4 bytes, little endian), a kind (1 byte), a payload. The same as python/runner.py's.
 * Knows nothing of what they mean.
 */

/** No message of a server is longer; a longer length means that the other side is not one. */
const MAX_FRAME = 64 << 20;

export interface Frame {
  readonly kind: string;
  readonly payload: Buffer;
}

export function frame(kind: string, payload: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32LE(1 + payload.length);
  head.write(kind, 4, 'latin1');
  return Buffer.concat([head, payload]);
}

/** Cuts a stream of chunks into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #length = 0;

  /** Throws an Error where what comes cannot be a frame. */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      const head = this.#peek(4);
      if (head === undefined) return frames;
      const length = head.readUInt32LE();
      if (length < 1 || length > MAX_FRAME) throw new Error(`a frame of ${length} bytes`);
      const whole = this.#peek(4 + length);
      if (whole === undefined) return frames;
      this.#chunks = this.#length > 4 + length ? [this.#joined().subarray(4 + length)] : [];
      this.#length -= 4 + length;
      frames.push({ kind: whole.toString('latin1', 4, 5), payload: whole.subarray(5, 4 + length) });
    }
  }

  #peek(count: number): Buffer | undefined {
    if (this.#length < count) return undefined;
    return (this.#chunks[0]?.length ?? 0) >= count ? this.#chunks[0] : this.#joined();
  }

  #joined(): Buffer {
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}
