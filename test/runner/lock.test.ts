/** One writer a run, whoever is killed when. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Holder, holderOf, lockRun, RunBusyError } from '../../src/runner/lock.ts';
import { processIdentity } from '../../src/runner/processes.ts';
import { temporaryFolder } from './smallRun.ts';

const home = temporaryFolder();
const newFolder = (): string => mkdtempSync(join(home, 'run-'));
const address = { socket: join(home, 'none.sock'), token: 'x' };

function leaveLock(folder: string, holder: Partial<Holder>, generation = 1): void {
  const whole = { pid: process.pid, identity: 'another', host: hostname(), ...address, ...holder };
  writeFileSync(join(folder, `lock.${generation}`), JSON.stringify(whole));
}

describe('the identity of a process', () => {
  it('stays the same, differs from every other, and is gone with it', async () => {
    const own = await processIdentity(process.pid);
    expect(own).toBe(await processIdentity(process.pid));
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(child, 'spawn');
    const other = await processIdentity(child.pid!);
    expect(other).not.toBeNull();
    expect(other).not.toBe(own);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await processIdentity(child.pid!)).toBeNull();
  });
});

describe('the lock', () => {
  it('is held once, and free again when it is given back', async () => {
    const folder = newFolder();
    expect(await holderOf(folder)).toBeNull();
    const lock = await lockRun(folder, address);
    expect(await holderOf(folder)).toEqual(lock.holder);
    await expect(lockRun(folder, address)).rejects.toThrow(RunBusyError);
    await lock.release();
    expect(await holderOf(folder)).toBeNull();
    expect(readdirSync(folder)).toEqual([]);
    await (await lockRun(folder, address)).release();
  });

  it('of a process that is gone, or whose number another one has now, counts for nothing', async () => {
    for (const gone of [{ pid: 2 ** 22 - 1 }, { pid: process.pid }, { pid: 1 }]) {
      const folder = newFolder();
      leaveLock(folder, gone, 7);
      expect(await holderOf(folder)).toBeNull();
      const lock = await lockRun(folder, address);
      expect(readdirSync(folder)).toEqual(['lock.8']);
      await lock.release();
    }
  });

  it('that is broken counts for nothing, and of another machine is left alone', async () => {
    const broken = newFolder();
    writeFileSync(join(broken, 'lock.1'), '{"pid":');
    await (await lockRun(broken, address)).release();
    const elsewhere = newFolder();
    leaveLock(elsewhere, { host: 'elsewhere' });
    await expect(lockRun(elsewhere, address)).rejects.toThrow(/on elsewhere is working/);
  });

  it('takes away a socket left behind, and nothing else that a lock may name', async () => {
    const socket = join(home, 'left.sock');
    const server = createServer().listen(socket);
    await once(server, 'listening');
    const file = join(home, 'precious.txt');
    writeFileSync(file, 'mine');
    const first = newFolder();
    leaveLock(first, { socket });
    await (await lockRun(first, address)).release();
    expect(readdirSync(home)).not.toContain('left.sock');
    server.close();
    const second = newFolder();
    leaveLock(second, { socket: file });
    await (await lockRun(second, address)).release();
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  it('goes to one of many that want it at once', async () => {
    for (let round = 0; round < 20; round++) {
      const folder = newFolder();
      if (round % 2 === 0) leaveLock(folder, {}, 1 + round);
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockRun(folder, address)));
      const won = tries.filter((one) => one.status === 'fulfilled');
      expect(won.length).toBeLessThanOrEqual(1);
      for (const { value } of won) await value.release();
    }
  });
});
