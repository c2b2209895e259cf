/**
 * Installs Debian packages that tests need, where that can be done without asking anybody: as root, with apt-get. Knows
 * nothing of what the packages are for.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import process from 'node:process';

export function canInstallPackages() {
  return process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
}

/** @returns {string | null} why it failed, or null. */
export function installPackages(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [['update'], ['install', '--yes', '--no-install-recommends', ...packages]]) {
    const { status, stderr } = spawnSync('apt-get', ['--quiet=2', ...args], { env, encoding: 'utf8' });
    if (status !== 0) return `apt-get ${args[0]} failed: ${(stderr ?? '').trim().split('\n').at(-1)}`;
  }
  return null;
}
