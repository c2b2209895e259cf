import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Utf8Stream } from '../../../src/engine/text/utf8Stream.ts';

/** Bytes that meet the decoder's rules often: whole characters, cut ones, strays, overlong forms, surrogates. */
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 6 }),
  fc.string({ unit: 'binary', maxLength: 3 }).map((text) => new Uint8Array(Buffer.from(text))),
  fc.constantFrom(
    ...[[0xf0, 0x9f], [0x98], [0x80], [0xe2, 0x82], [0xac], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf4, 0x90]].map(
      (bytes) => Uint8Array.from(bytes),
    ),
    Uint8Array.of(0xef, 0xbb, 0xbf),
  ),
);

describe('Utf8Stream', () => {
  it('gives what decoding all bytes at once gives, however they are cut', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const stream = new Utf8Stream();
        const text = pieces.map((bytes) => stream.push(bytes)).join('') + stream.flush();
        expect(text).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(pieces)));
      }),
      { numRuns: 2000 },
    );
  });

  it('holds a character back until its last byte, and gives it at once then', () => {
    const stream = new Utf8Stream();
    const pieces = [...Buffer.from('a😀')].map((byte) => stream.push(Uint8Array.of(byte)));
    expect(pieces).toEqual(['a', '', '', '', '😀']);
    expect(stream.flush()).toBe('');
  });

  it('ends an unfinished character with U+FFFD and starts afresh', () => {
    const stream = new Utf8Stream();
    expect(stream.push(Uint8Array.of(0xf0, 0x9f))).toBe('');
    expect(stream.flush()).toBe('\ufffd');
    expect(stream.push(Buffer.from('b'))).toBe('b');
  });
});
