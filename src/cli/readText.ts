/**
 * Reads the text that a command is about: a file, or stdin.
 */
import { readFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { messageOf, UserError } from '../errors.ts';
import type { Context } from './context.ts';

/** @param file undefined or `-`: stdin @throws UserError when it cannot be read; the signal's reason when interrupted */
export async function readText(file: string | undefined, { output, signal }: Context): Promise<string> {
  if (file === undefined || file === '-') {
    if (process.stdin.isTTY) output.note('Write the text, then Ctrl-D on a line of its own.');
    try {
      return await readAll(addAbortSignal(signal, process.stdin));
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UserError(`The text cannot be read: ${messageOf(error)}.`);
  }
}
