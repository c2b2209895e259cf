/** Small things that the executor's tests share. */
import { execFileSync } from 'node:child_process';
import type { Program } from '../../../src/evaluation/types.ts';

let count = 0;

/** A program whose entry point is `f`. */
export function program(candidate: string, check: string, more: Partial<Program> = {}): Program {
  return { id: String(count++), candidate, check, entryPoint: 'f', timeLimit: 5, memoryLimit: 2 ** 30, ...more };
}

/** Command lines of the living descendants of a process, itself not counted; after a moment for the dying to be gone. */
export async function descendants(root: number, patienceSeconds = 3): Promise<string[]> {
  const until = performance.now() + patienceSeconds * 1000;
  for (;;) {
    const found = livingDescendants(root);
    if (found.length === 0 || performance.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function livingDescendants(root: number): string[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, pid, parent, state, args]) => ({ pid: Number(pid), parent: Number(parent), state: state!, args: args! }))
    .filter(({ state, args }) => !state.startsWith('Z') && !args.startsWith('ps '));
  const family = new Set([root]);
  for (let size = 0; size !== family.size;) {
    size = family.size;
    for (const { pid, parent } of rows) if (family.has(parent)) family.add(pid);
  }
  return rows
    .filter(({ pid, args }) => pid !== root && family.has(pid) && args.includes('server.py'))
    .map(({ args }) => args);
}
