/**
 * Texts of a JSONL file, plain or gzip: rows with `text`, or with `prompt` and `code`, which are put together.
 * Read row by row; memory is bounded by the longest row.
 */
import path from 'node:path';
import * as v from 'valibot';
import { UserError } from '../../../errors.ts';
import { JsonLinesReader } from '../../../evaluation/jsonl.ts';
import type { DropLog, SourceDocument } from '../document.ts';
import { cleanText, MAX_FILE_BYTES } from './textFile.ts';

const Row = v.union([v.object({ text: v.string() }), v.object({ prompt: v.string(), code: v.string() })]);

/** Data sets are larger than benchmarks; still, a small gzip file must not unpack without end. Bytes. */
const MAX_UNPACKED_BYTES = 2 ** 40;

/**
 * The rows in the file's order. The held-out split goes by a row's text, so rows may be added or moved.
 * @throws UserError naming file and line: not there, cut, not JSON, a row without the fields, no rows
 */
export async function* readJsonl(file: string, drops: DropLog): AsyncGenerator<SourceDocument> {
  let rows = 0;
  for await (const { line, value } of new JsonLinesReader(file, { maxBytes: MAX_UNPACKED_BYTES })) {
    rows += 1;
    const name = `${path.basename(file)}:${line}`;
    const row = v.safeParse(Row, value);
    if (!row.success) {
      throw new UserError(
        `${file}, line ${line}: a row needs a field "text", or the fields "prompt" and "code", of strings${found(value)}.`,
      );
    }
    const whole = 'text' in row.output ? row.output.text : joined(row.output.prompt, row.output.code);
    if (whole.length > MAX_FILE_BYTES) {
      drops.add({ reason: 'tooLarge', where: name, detail: `${whole.length} characters` });
      continue;
    }
    const clean = cleanText(whole);
    if ('text' in clean) yield { name, splitKey: clean.text, text: clean.text };
    else drops.add({ ...clean, where: name });
  }
  if (rows === 0) throw new UserError(`${file}: no rows. A row is {"text": "…"} or {"prompt": "…", "code": "…"}.`);
}

/**
 * A prompt that is Python (a function's head, say) is continued by the code. One in words becomes comment lines above it.
 * A prompt that lacks its newline would glue its last line to the code's first.
 */
function joined(prompt: string, code: string): string {
  const isPython = /^(?:def|class|async def|import) .*|from .* import .*|^[@#]|^\s*(?:"""|''')/m.test(prompt);
  const lead = isPython
    ? prompt
    : prompt
        .trim()
        .replace(/^/gm, '# ')
        .replace(/[^\S\n]+$/gm, '');
  return lead === '' || lead.endsWith('\n') || code.startsWith('\n') ? lead + code : `${lead}\n${code}`;
}

function found(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `; this row is no object`;
  const fields = Object.keys(value).slice(0, 8);
  return fields.length === 0
    ? '; this one has none'
    : `; this one has ${fields.map((field) => `"${field}"`).join(', ')}`;
}
