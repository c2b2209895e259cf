/**
 * Joins the bytes of a stream of tokens into text. A character whose bytes are split between tokens is held back until
 * its last byte is here; invalid bytes become U+FFFD, as in the WHATWG decoder run over all bytes at once.
 * Knows nothing of tokens or models.
 */

export class Utf8Stream {
  /** A byte order mark is text here: the model wrote it. */
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** Takes the next bytes; gives the text that is certain by now. */
  push(bytes: Uint8Array): string {
    return bytes.length === 0 ? '' : this.#decoder.decode(bytes, { stream: true });
  }

  /** Ends the text: an unfinished character comes out as U+FFFD. The stream can then be used afresh. */
  flush(): string {
    return this.#decoder.decode();
  }
}
