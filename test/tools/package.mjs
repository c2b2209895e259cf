/**
 * `npm run package`: builds the extension and packs it for one platform, with onnxruntime's libraries of that platform
 * only; looks into the package and fails when something is in it that a user does not need, or when it is too large.
 *
 *     node test/tools/package.mjs [--target linux-x64] [--out FILE]
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { unzipSync } from 'fflate';
import { capture, root } from './setup.mjs';

const mostBytes = 31e6; // ONNX Runtime 18, the starter model 6
const targets = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64', 'win32-arm64'];

/** What must not be in a package. */
const unwanted = [
  [/\.(ts|tsx|mts|cts|map)$/, 'sources and maps'],
  [/^extension\/(src|test|docs|artifacts|\.[^/]*)\//, 'folders of the development'],
  [/^extension\/node_modules\/(?!onnxruntime-(node|common)\/)/, 'other packages than onnxruntime'],
];

const { values } = parseArgs({ options: { target: { type: 'string' }, out: { type: 'string' } } });
const target = values.target ?? `${process.platform}-${process.arch}`;
if (!targets.includes(target)) fail(`There is no target ${target}; there are ${targets.join(', ')}.`);
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const out = resolve(values.out ?? join(root, `${manifest.name}-${target}-${manifest.version}.vsix`));

await node(join(root, 'esbuild.mjs'), '--production');
await pack();
check(contents());

async function pack() {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-package-'));
  try {
    const ignore = join(folder, 'ignore');
    const binaries = `!node_modules/onnxruntime-node/bin/napi-v6/${target.replace('-', '/')}/**`;
    writeFileSync(ignore, `${readFileSync(join(root, '.vscodeignore'), 'utf8')}${binaries}\n`);
    const vsce = join(root, 'node_modules', '@vscode', 'vsce', 'vsce');
    const options = [
      '--target',
      target,
      '--out',
      out,
      '--ignoreFile',
      ignore,
      '--allow-missing-repository',
      '--no-rewrite-relative-links',
    ];
    await node(vsce, 'package', ...options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The names and sizes of the files in the package, which is not unpacked for it. */
function contents() {
  const files = [];
  unzipSync(readFileSync(out), {
    filter: ({ name, size, originalSize }) => {
      files.push({ name, packed: size, size: originalSize });
      return false;
    },
  });
  return files.sort((a, b) => b.packed - a.packed);
}

function check(files) {
  const bytes = statSync(out).size;
  console.log(`${out}  ${megabytes(bytes)} MB, ${files.length} files; the largest, packed and unpacked:`);
  for (const { name, packed, size } of files.slice(0, 8)) {
    console.log(`  ${megabytes(packed).padStart(6)} ${megabytes(size).padStart(6)} MB  ${name}`);
  }
  const library = `bin/napi-v6/${target.replace('-', '/')}/onnxruntime_binding.node`;
  if (!files.some(({ name }) => name.endsWith(library))) fail(`The package lacks onnxruntime's ${library}.`);
  for (const name of ['starter-benchmark.jsonl', 'starter-model/model.safetensors']) {
    if (!files.some((file) => file.name === `extension/media/${name}`)) fail(`The package lacks media/${name}.`);
  }
  for (const [pattern, what] of unwanted) {
    const found = files.filter(({ name }) => pattern.test(name));
    if (found.length > 0) fail(`The package holds ${what}: ${found.map(({ name }) => name).join(', ')}`);
  }
  if (bytes > mostBytes) fail(`The package is larger than ${megabytes(mostBytes)} MB.`);
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(2);
}

async function node(...args) {
  const { code, text } = await capture(process.execPath, args);
  if (code !== 0) fail(text);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
