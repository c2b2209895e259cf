/**
 * One file as text: read whole, within a limit, as UTF-8. Knows nothing of Python.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { constants } from 'node:fs';
import { messageOf } from '../../../errors.ts';
import type { DropReason } from '../document.ts';

/** Python sources beyond this are tables or generated. Bytes. */
export const MAX_FILE_BYTES = 1 << 20;

export type TextFile = { readonly text: string } | { readonly reason: DropReason; readonly detail?: string };

/** Never follows a symbolic link, waits on a pipe, or throws: what cannot be used says why. */
export async function readTextFile(path: string): Promise<TextFile> {
  let file: FileHandle | undefined;
  try {
    // O_NONBLOCK: opening a named pipe would wait for its writer. Neither flag is there on Windows.
    const flags = constants.O_RDONLY | ((constants.O_NOFOLLOW as number | undefined) ?? 0);
    file = await open(path, flags | ((constants.O_NONBLOCK as number | undefined) ?? 0));
    const status = await file.stat();
    if (!status.isFile()) return { reason: 'link' };
    if (status.size > MAX_FILE_BYTES) return { reason: 'tooLarge', detail: `${status.size} bytes` };
    return textOf(await file.readFile());
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ELOOP' ? { reason: 'link' } : { reason: 'unreadable', detail: messageOf(error) };
  } finally {
    await file?.close();
  }
}

/** UTF-8 only, though Python allows other declared encodings: a model's text is UTF-8. */
function textOf(bytes: Buffer): TextFile {
  try {
    return cleanText(new TextDecoder('utf-8', { fatal: true }).decode(bytes)); // drops a byte order mark
  } catch {
    return { reason: 'notText' };
  }
}

/** With Python's universal newlines. Text with a NUL or half a surrogate pair is no source. */
export function cleanText(text: string): TextFile {
  if (text.includes('\0') || /\p{Surrogate}/u.test(text)) return { reason: 'notText' };
  return { text: text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text };
}
