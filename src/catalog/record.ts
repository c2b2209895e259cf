/**
 * What is kept beside a fetched model or data set: where it came from, its licence, its files and their hashes.
 * A folder without a readable record counts as unfinished.
 */
import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

export const recordName = 'midtrain.json';

const schema = v.object({
  version: v.literal(1),
  kind: v.picklist(['model', 'benchmark']),
  /** What a user writes to get it: `starter:smollm2`, `owner/name@commit`. */
  spec: v.string(),
  label: v.string(),
  from: v.string(),
  licence: v.nullable(v.string()),
  /** File inside the folder that is the model, or '' where the folder itself is. */
  main: v.string(),
  files: v.array(v.object({ path: v.string(), bytes: v.number(), checksum: v.string() })),
});

export type CatalogRecord = v.InferOutput<typeof schema>;

/** Null when there is none, it cannot be read, or a file it names is missing or of another size. */
export async function readRecord(folder: string): Promise<CatalogRecord | null> {
  try {
    const record = v.parse(schema, JSON.parse(await readFile(join(folder, recordName), 'utf8')));
    for (const file of record.files) {
      if ((await stat(join(folder, file.path))).size !== file.bytes) return null;
    }
    return record;
  } catch {
    return null;
  }
}

/** Written last and whole: its being there says that the files are. */
export async function writeRecord(folder: string, record: CatalogRecord): Promise<void> {
  await writeWhole(join(folder, recordName), `${JSON.stringify(record, null, 2)}\n`);
}

/** Writes a small file aside and renames it, so that a reader sees the old or the new one. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const aside = `${path}.${process.pid}.new`;
  const handle = await open(aside, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(aside, path);
}
