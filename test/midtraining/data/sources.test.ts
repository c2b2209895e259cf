import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { UserError } from '../../../src/errors.ts';
import { readFolder } from '../../../src/midtraining/data/sources/folder.ts';
import { readJsonl } from '../../../src/midtraining/data/sources/jsonl.ts';
import { readSources } from '../../../src/midtraining/data/sources/source.ts';
import { readWorkspace } from '../../../src/midtraining/data/sources/workspace.ts';
import { folderOf, git, readAll } from './files.ts';

const folders: string[] = [];
function files(content: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = folderOf(content);
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

async function userError(read: Parameters<typeof readAll>[0]): Promise<string> {
  const error: unknown = await readAll(read).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}

describe('a folder', () => {
  it('gives its Python in a fixed order, without hidden and vendored folders and virtual environments', async () => {
    const folder = files({
      'b.py': 'b = 1\n',
      'a/z.py': 'z = 1\n',
      'a/é.py': 'e = 1\n',
      'readme.md': '#',
      '.hidden/x.py': '',
      '.x.py': '',
      'node_modules/p/x.py': '',
      'a/site-packages/x.py': '',
      'my-env/pyvenv.cfg': '',
      'my-env/lib/x.py': '',
    });
    const { names, drops } = await readAll((log) => readFolder(folder, log));
    expect(names).toEqual(['a/z.py', 'a/é.py', 'b.py']);
    expect(drops.counts()).toEqual([]);
  });

  it('makes every line end a newline and drops a byte order mark', async () => {
    const folder = files({ 'a.py': '\ufeffa = 1\r\nb = 2\rc = 3\n' });
    const { documents } = await readAll((log) => readFolder(folder, log));
    expect(documents).toEqual([{ name: 'a.py', splitKey: 'a.py', text: 'a = 1\nb = 2\nc = 3\n' }]);
  });

  it('follows no link, so that loops end, and says what it left out', async () => {
    const folder = files({ 'a/b.py': 'x = 1\n', 'big.py': 'x'.repeat((1 << 20) + 1) });
    symlinkSync('..', join(folder, 'a/loop'));
    symlinkSync('self.py', join(folder, 'self.py'));
    symlinkSync(join(folder, 'a/b.py'), join(folder, 'link.py'));
    writeFileSync(join(folder, 'latin.py'), Buffer.from('# caf\xe9\n', 'latin1'));
    writeFileSync(join(folder, 'zero.py'), 'x = "\0"\n');
    const { names, drops } = await readAll((log) => readFolder(folder, log));
    expect(names).toEqual(['a/b.py']);
    const left = drops.counts().map(({ reason, examples }) => [reason, ...examples.map(({ where }) => where)]);
    expect(left).toEqual([
      ['link', 'a/loop', 'link.py', 'self.py'],
      ['notText', 'latin.py', 'zero.py'],
      ['tooLarge', 'big.py'],
    ]);
  });

  it('respects .gitignore in a git work tree, and takes files that are new', async () => {
    const folder = files({ '.gitignore': 'out/\nsecret*.py\n', 'a.py': '', 'out/b.py': '', 'secret1.py': '' });
    git(folder, 'init', '-q');
    git(folder, 'add', 'a.py');
    writeFileSync(join(folder, 'new.py'), '');
    mkdirSync(join(folder, 'venv'));
    writeFileSync(join(folder, 'venv/x.py'), '');
    const { names } = await readAll((log) => readFolder(folder, log));
    expect(names.sort()).toEqual(['a.py', 'new.py']);
    // The user chose an ignored folder in spite of that.
    expect((await readAll((log) => readFolder(join(folder, 'out'), log))).names).toEqual(['b.py']);
  });

  it('says what to do when there is no Python, no folder, or a file in its place', async () => {
    const folder = files({ 'a.js': '' });
    expect(await userError((log) => readFolder(folder, log))).toMatch(/no Python files .* Name a folder that holds/);
    expect(await userError((log) => readFolder(files({}), log))).toMatch(/no Python files/);
    expect(await userError((log) => readFolder(join(folder, 'no'), log))).toMatch(/no such folder/);
    expect(await userError((log) => readFolder(join(folder, 'a.js'), log))).toMatch(/is a file/);
  });
});

describe('a workspace', () => {
  it('gives what git tracks, without files that are gone', async () => {
    const folder = files({ 'a.py': 'a = 1\n', 'b c\n.py': 'b = 1\n', 'gone.py': '', 'new.py': '' });
    git(folder, 'init', '-q');
    git(folder, 'add', 'a.py', 'b c\n.py', 'gone.py');
    rmSync(join(folder, 'gone.py'));
    const { names, drops } = await readAll((log) => readWorkspace(folder, log));
    expect(names).toEqual(['a.py', 'b c\n.py']);
    expect(drops.count('unreadable')).toBe(1);
  });

  it('does not start the program that a repository names as its file watcher', async () => {
    const folder = files({ 'a.py': 'a = 1\n', 'watch.sh': '#!/bin/sh\ntouch "$(dirname "$0")/started"\n' });
    git(folder, 'init', '-q');
    git(folder, 'add', 'a.py');
    git(folder, 'config', 'core.fsmonitor', `sh ${join(folder, 'watch.sh')}`);
    await readAll((log) => readWorkspace(folder, log));
    await readAll((log) => readFolder(folder, log));
    expect(() => {
      rmSync(join(folder, 'started'));
    }).toThrow(/ENOENT/);
  });

  it('says what to do without git and without tracked Python', async () => {
    expect(await userError((log) => readWorkspace(files({ 'a.py': '' }), log))).toMatch(/Commit its files to a git/);
    const folder = files({ 'a.py': '' });
    git(folder, 'init', '-q');
    expect(await userError((log) => readWorkspace(folder, log))).toMatch(/git tracks no Python files/);
  });
});

describe('JSONL', () => {
  const rows = '{"text": "a = 1\\r\\n"}\n\n{"prompt": "def f():", "code": "    return 1\\n", "more": 3}\n';

  it('reads `text`, and `prompt` with `code`, plain and gzip', async () => {
    const folder = files({ 'a.jsonl': rows, 'b.jsonl.gz': gzipSync(rows) });
    const expected = ['a = 1\n', 'def f():\n    return 1\n'];
    for (const name of ['a.jsonl', 'b.jsonl.gz']) {
      const { documents, names } = await readAll((log) => readJsonl(join(folder, name), log));
      expect(documents.map(({ text }) => text)).toEqual(expected);
      expect(names).toEqual([`${name}:1`, `${name}:3`]);
    }
  });

  it('makes a prompt in words comment lines', async () => {
    const path = join(
      files({ 'a.jsonl': '{"prompt": "Add two numbers.\\n\\nFast.", "code": "x = a + b"}' }),
      'a.jsonl',
    );
    const { documents } = await readAll((log) => readJsonl(path, log));
    expect(documents[0]!.text).toBe('# Add two numbers.\n#\n# Fast.\nx = a + b');
  });

  it('leaves out rows that are no text and goes on', async () => {
    const path = join(files({ 'a.jsonl': '{"text": "\\ud800"}\n{"text": "\\u0000"}\n{"text": "ok"}' }), 'a.jsonl');
    const { names, drops } = await readAll((log) => readJsonl(path, log));
    expect(names).toEqual(['a.jsonl:3']);
    expect(drops.count('notText')).toBe(2);
  });

  it('names file and line of what is broken', async () => {
    const folder = files({
      'cut.jsonl': '{"text": "a"}\n{"text": "b',
      'cut.jsonl.gz': gzipSync(rows.repeat(1000)).subarray(0, 100),
      'field.jsonl': '{"text": "a"}\n{"content": "b", "lang": 1}',
      'type.jsonl': '{"text": 3}',
      'list.jsonl': '[1]',
      'null.jsonl': 'null',
      'empty.jsonl': '\n',
      'latin.jsonl': Buffer.from('{"text": "\xe9"}\n', 'latin1'),
    });
    const told = (name: string): Promise<string> => userError((log) => readJsonl(join(folder, name), log));
    expect(await told('cut.jsonl')).toMatch(/cut\.jsonl, line 2: .*cut or broken/);
    expect(await told('cut.jsonl.gz')).toMatch(/cut; get it again/);
    expect(await told('field.jsonl')).toMatch(/field\.jsonl, line 2: a row needs .*; this one has "content", "lang"/);
    expect(await told('type.jsonl')).toMatch(/line 1: a row needs/);
    expect(await told('list.jsonl')).toMatch(/line 1: a row needs/);
    expect(await told('null.jsonl')).toMatch(/no object/);
    expect(await told('empty.jsonl')).toMatch(/no rows/);
    expect(await told('latin.jsonl')).toMatch(/not UTF-8/);
    expect(await told('none.jsonl')).toMatch(/no such file/);
  });
});

it('reads several sources one after another', async () => {
  const folder = files({ 'a.py': 'a = 1\n', 'b.jsonl': '{"text": "b = 1"}' });
  const sources = [
    { kind: 'jsonl', path: join(folder, 'b.jsonl') },
    { kind: 'folder', path: folder },
  ] as const;
  expect((await readAll((log) => readSources(sources, log))).names).toEqual(['b.jsonl:1', 'a.py']);
});
