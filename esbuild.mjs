/**
 * Bundles what is shipped: the headless command, the extension, and the scripts of its webviews. Everything goes into the
 * bundles but onnxruntime, whose libraries must stay files, and vscode, which the editor provides.
 *
 *     node esbuild.mjs [--production] [--watch] [--outdir=FOLDER]
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { build, context } from 'esbuild';

const production = process.argv.includes('--production');
const watch = process.argv.includes('--watch');
const outdir = process.argv.find((arg) => arg.startsWith('--outdir='))?.slice('--outdir='.length) ?? 'dist';

const entries = [
  { in: 'src/cli/main.ts', out: 'midtrain', banner: '#!/usr/bin/env node' },
  { in: 'src/extension.ts', out: 'extension', banner: '' },
];

/** Panels; each has a folder in src/webviews. */
const webviews = ['results', 'run', 'abstractions', 'configForm'];

/** Python that is run as files. */
const python = 'src/evaluation/executor/python';

/** Files that web-tree-sitter and its grammar load beside the bundle. */
const wasm = ['web-tree-sitter/web-tree-sitter.wasm', 'tree-sitter-python/tree-sitter-python.wasm'];

function copyWasm() {
  mkdirSync(outdir, { recursive: true });
  const { resolve } = createRequire(import.meta.url);
  for (const file of wasm) cpSync(resolve(file), join(outdir, basename(file)));
}

function copyPython() {
  const target = join(outdir, 'python');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const name of existsSync(python) ? readdirSync(python) : []) {
    if (name.endsWith('.py')) cpSync(join(python, name), join(target, name));
  }
}

/** The JSON schema of run configs, by which editors complete, explain and check them. */
async function writeSchema() {
  const bundle = await build({
    entryPoints: ['src/midtraining/configSchema.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
  });
  const code = Buffer.from(bundle.outputFiles[0].contents).toString('base64');
  const { trainingConfigJsonSchema } = await import(`data:text/javascript;base64,${code}`);
  writeFileSync(join(outdir, 'midtrain.schema.json'), `${JSON.stringify(trainingConfigJsonSchema(), null, 2)}\n`);
}

const common = {
  minify: production,
  sourcemap: production ? false : 'linked',
  metafile: true,
  logLevel: 'warning',
  plugins: [
    {
      name: 'copy-files-and-say-sizes',
      setup(bundle) {
        bundle.onEnd(({ metafile }) => {
          copyPython();
          copyWasm();
          for (const [path, { bytes }] of Object.entries(metafile?.outputs ?? {})) {
            if (!path.endsWith('.map')) console.log(`${path}  ${(bytes / 1000).toFixed(0)} kB`);
          }
        });
      },
    },
  ],
};

const programs = entries.map((entry) => ({
  entryPoints: [{ in: entry.in, out: entry.out }],
  bundle: true,
  outdir,
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  platform: 'node',
  target: 'node20.19',
  external: ['onnxruntime-node', 'onnxruntime-common', 'vscode'],
  alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' }, // its CommonJS form cannot be bundled
  // Modules that ask where they are: `import.meta.url` does not exist in CommonJS.
  define: { 'import.meta.url': 'importMetaUrl', 'import.meta.dirname': '__dirname' },
  banner: {
    js: `${entry.banner}\nconst importMetaUrl = require('node:url').pathToFileURL(__filename).href;`.trimStart(),
  },
  ...common,
}));

const scripts = webviews.map((name) => ({
  entryPoints: [{ in: `src/webviews/${name}/main.ts`, out: name }],
  bundle: true,
  outdir: join(outdir, 'webviews'),
  format: 'esm',
  platform: 'browser',
  target: 'es2022', // decorators are not in any engine yet
  loader: { '.css': 'text' },
  ...common,
}));

const options = [...programs, ...scripts];

if (watch) {
  for (const one of options) await (await context(one)).watch();
} else {
  rmSync(outdir, { recursive: true, force: true });
  await Promise.all(options.map((one) => build(one)));
}
await writeSchema();
