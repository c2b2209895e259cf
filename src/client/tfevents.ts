/**
 * Records of TensorBoard's event files: scalars of a step as an `Event` message (tensorflow/core/util/event.proto and
 * framework/summary.proto) in the framing of a TFRecord file (tensorflow/core/lib/io/record_writer.h). Knows nothing of runs.
 */
import { MessageWriter } from '../engine/onnx/protobuf.ts';

export interface ScalarsOfStep {
  /** Seconds since 1970. */
  readonly time: number;
  readonly step: number;
  readonly scalars: readonly { readonly tag: string; readonly value: number }[];
}

/** The record with which a file begins. @param time seconds since 1970 */
export function firstRecord(time: number): Uint8Array {
  return framed(new MessageWriter().double(1, time).string(3, 'brain.Event:2').finish());
}

export function recordOf({ time, step, scalars }: ScalarsOfStep): Uint8Array {
  const summary = new MessageWriter();
  for (const { tag, value } of scalars) summary.message(1, new MessageWriter().string(1, tag).float(2, value));
  return framed(new MessageWriter().double(1, time).int(2, step).message(5, summary).finish());
}

/** Length, its checksum, the message, its checksum; all little-endian. */
function framed(message: Uint8Array): Uint8Array {
  const record = new Uint8Array(message.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(message.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(message, 12);
  view.setUint32(12 + message.length, maskedCrc(message), true);
  return record;
}

/** CRC-32C (Castagnoli), rotated and shifted as TFRecord files have it. */
export function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Of the reversed polynomial 0x82f63b78. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});
