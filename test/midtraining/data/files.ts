/** Folders of files for the tests, and what sources make of them. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DropLog, type SourceDocument } from '../../../src/midtraining/data/document.ts';

/** A new folder with these files; the caller removes it. */
export function folderOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-data-'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

export function git(folder: string, ...args: readonly string[]): void {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.org'];
  execFileSync('git', [...identity, ...args], { cwd: folder, stdio: 'pipe' });
}

/** Everything a source gives, and the account of what it left out. */
export async function readAll(
  read: (drops: DropLog) => AsyncIterable<SourceDocument>,
): Promise<{ documents: SourceDocument[]; names: string[]; drops: DropLog }> {
  const drops = new DropLog();
  const documents = [];
  for await (const document of read(drops)) documents.push(document);
  return { documents, names: documents.map(({ name }) => name), drops };
}

/** A tokenizer for tests: a token a word, and a token a character of anything else. */
export function words(text: string): number[] {
  return Array.from(text.matchAll(/\w+|[^\w]/g), ([word]) => {
    let hash = 0;
    for (let at = 0; at < word.length; at++) hash = (hash * 31 + word.charCodeAt(at)) % 65_521;
    return hash;
  });
}
