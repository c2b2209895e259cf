/**
 * Python's syntax trees by tree-sitter (web-tree-sitter with the grammar of tree-sitter-python, both WebAssembly).
 * Finds the two .wasm files beside the bundle, or in the packages when run from the sources.
 * Knows nothing of what the trees are for.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Language, Parser } from 'web-tree-sitter';

let loading: Promise<Language> | undefined;

/**
 * A parser of Python. It accepts Python 2's `print` and `exec` statements too. Trees live in WebAssembly's memory until
 * their `delete()` is called.
 */
export async function pythonParser(): Promise<Parser> {
  const language = await (loading ??= load());
  return new Parser().setLanguage(language);
}

async function load(): Promise<Language> {
  const wasmBinary = await readFile(wasmFile('web-tree-sitter'));
  await Parser.init({ wasmBinary });
  return await Language.load(await readFile(wasmFile('tree-sitter-python')));
}

/** `dist/NAME.wasm` (esbuild.mjs copies it there), or the one in the package. */
function wasmFile(name: string): string {
  const here = typeof __dirname === 'string' ? __dirname : import.meta.dirname;
  const beside = path.join(here, `${name}.wasm`);
  return existsSync(beside) ? beside : createRequire(import.meta.url).resolve(`${name}/${name}.wasm`);
}
