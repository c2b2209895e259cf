/**
 * What benchmarks share: our side as one file that Node runs, servers that measure in turns, and the median of rounds.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';

/** @param entry a `.ts` file of this folder; @param external packages to leave out beside ONNX Runtime @returns the bundle's path */
export async function bundle(entry, external = []) {
  const outfile = join(import.meta.dirname, '../../.cache/bench', `${basename(entry, '.ts')}.mjs`);
  await build({
    entryPoints: [join(import.meta.dirname, entry)],
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['onnxruntime-node', ...external],
    outfile,
    logLevel: 'error',
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
    },
  });
  return outfile;
}

/**
 * Starts a server and gives a function that sends a command and waits for the answer.
 * @param stderr where its other words go: `ignore` or `inherit`
 */
export async function start(name, stderr, command, ...args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', stderr] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${name} ended early; run it by hand: ${[command, ...args].join(' ')}`);
    return JSON.parse(value);
  };
  console.log(`${name}: ${JSON.stringify((await next()).hello)}`);
  return {
    name,
    ask: async (request) => {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const answer = await next();
      if (answer.error) throw new Error(`${name}: ${answer.error}`);
      return answer;
    },
    stop: async () => {
      child.stdin.end(`${JSON.stringify({ op: 'quit' })}\n`);
      await once(child, 'close');
    },
  };
}

export function median(list) {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
}
