/** The process that reads code for an editor: one model at a time, cancelled, unloaded, begun anew, and gone with its parent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReaderProcess } from '../../src/client/readerProcess.ts';
import { UserError } from '../../src/errors.ts';
import type { ReaderProgress, ReadParams } from '../../src/runner/readerProtocol.ts';
import { bundleCommand, temporaryFolder } from '../runner/smallRun.ts';
import { writeTinyModel } from '../runner/smallTraining.ts';

const home = temporaryFolder();
const starter = { path: join(import.meta.dirname, '../../media/starter-model'), label: 'starter' };
const CODE = '# one\nx = 1\n\n# two\n# more\ny = [\n    2]\nz = 3\n';

let command: string;
let other: ReadParams['model'];
beforeAll(async () => {
  command = bundleCommand();
  other = { path: await writeTinyModel(home), label: 'tiny' };
});
const readers: ReaderProcess[] = [];
afterAll(() => {
  for (const reader of readers) reader.close();
});

function newReader(idle?: number): ReaderProcess {
  const reader = new ReaderProcess({ command, ...(idle === undefined ? {} : { idle }) });
  readers.push(reader);
  return reader;
}

const asked = (change: Partial<ReadParams> = {}): Omit<ReadParams, 'id'> => ({
  ...{ model: starter, name: 'code.py', text: CODE, latents: 'text', threshold: 0.5, device: 'cpu', threads: 1 },
  ...change,
});
const long = CODE.repeat(400);

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('the process that reads code', () => {
  it('is started when it is asked, tells how far it is, and keeps the model', async () => {
    const reader = newReader();
    expect([reader.pid, await reader.memory()]).toEqual([null, null]);
    const told: ReaderProgress[] = [];
    const onProgress = (progress: ReaderProgress): void => {
      told.push(progress);
    };
    const { reading, rows } = await reader.read(asked(), { onProgress });
    expect(reading).toMatchObject({ code: 'x = 1\n\ny = [\n    2]\nz = 3\n', name: 'code.py', hasError: false });
    expect(reading.model).toEqual({ name: 'starter', step: null });
    expect(rows).toEqual([1, 5, 7]);
    expect(told.map(({ phase }) => phase)).toEqual(['load', ...told.slice(1).map(() => 'read')]);
    expect(told.at(-1)!.done).toBe(told.at(-1)!.total);
    const { pid } = reader;
    told.length = 0;
    await reader.read(asked({ latents: 'none' }), { onProgress });
    expect(told.some(({ phase }) => phase === 'load')).toBe(false);

    // Another model takes the place of the first, in the same process.
    const [a, b] = await Promise.all([reader.read(asked({ model: other })), reader.read(asked())]);
    expect([a.reading.model.name, b.reading.model.name]).toEqual(['tiny', 'starter']);
    expect(a.reading.tokens.length).toBe(CODE.replace(/#.*\n/g, '').length); // its tokens are bytes
    expect(b.reading).toEqual(reading);
    expect(reader.pid).toBe(pid);
    expect(await reader.memory()).toMatchObject({ model: 'starter', resident: expect.any(Number) as number });
  });

  it('stops reading when it is told to, and goes on with the next', async () => {
    const reader = newReader();
    const stop = new AbortController();
    const reason = new Error('enough');
    const onProgress = ({ phase, done }: ReaderProgress): void => {
      if (phase === 'read' && done > 0) stop.abort(reason);
    };
    const first = reader.read(asked({ text: long }), { signal: stop.signal, onProgress });
    const second = reader.read(asked());
    await expect(first).rejects.toBe(reason);
    expect((await second).reading.lines).toHaveLength(3);
    await expect(reader.read(asked(), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('gives the memory back when nobody asks, and loads again', async () => {
    const reader = newReader(0.2);
    await reader.read(asked());
    await expect.poll(async () => (await reader.memory())?.model, { timeout: 20_000 }).toBeNull();
    expect((await reader.read(asked())).reading.lines).toHaveLength(3);
  });

  it('says in words what it cannot read, and why it has ended', async () => {
    const reader = newReader();
    await expect(reader.read(asked({ model: { path: join(home, 'none'), label: 'none' } }))).rejects.toThrow(UserError);
    await expect(reader.read(asked({ model: { run: home, step: 4 } }))).rejects.toThrow(/holds no run/);
    await expect(reader.read(asked({ threshold: 2 }))).rejects.toThrow(/The threshold on P\(think\) is 2/);
    await expect(reader.read(asked({ threads: -1 }))).rejects.toThrow(/threads: /);
    const under = reader.read(asked({ text: long }));
    await expect.poll(() => reader.pid).not.toBeNull();
    reader.close();
    await expect(under).rejects.toThrow(/The process that reads code has ended: .*Ask again to start another/s);
    expect((await reader.read(asked())).reading.lines).toHaveLength(3);

    const broken = new ReaderProcess({ command: join(home, 'no-command.cjs') });
    await expect(broken.read(asked())).rejects.toThrow(/has ended: .*no-command/s);
    const nothing = new ReaderProcess({ command, node: join(home, 'no-node') });
    await expect(nothing.read(asked())).rejects.toThrow(/has ended: .*ENOENT/);
  });

  it('ends with its parent, even one that is killed', async () => {
    const script = join(home, 'parent.mjs');
    writeFileSync(
      script,
      `import { spawn } from 'node:child_process';
       const child = spawn(process.execPath, [${JSON.stringify(command)}, 'reader'], { stdio: ['pipe', 'pipe', 'ignore'] });
       console.log(child.pid);
       setInterval(() => {}, 1000);`,
    );
    const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  });
});
