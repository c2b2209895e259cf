/**
 * Finds SwiftShader, Chromium's Vulkan driver in software, with which WebGPU can be tested without a GPU; on Debian it is in
 * the package chromium. As root there, with a network, it is installed if missing. Prints the path of its ICD file,
 * or on stderr why there is none (exit status 1).
 *
 *     node test/tools/swiftshader.mjs [--find]     --find: installs nothing
 *
 * The loader reads its variables once, so they go into the environment of a child process: see `swiftShaderEnvironment`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { canInstallPackages, installPackages } from './apt.mjs';

const PLACES = ['/usr/lib/chromium/vk_swiftshader_icd.json', '/usr/lib64/chromium-browser/vk_swiftshader_icd.json'];
const PACKAGES = ['libvulkan1', 'chromium'];

/** { icd } or { reason }. */
export function findSwiftShader() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return { reason: 'SwiftShader is looked for on Linux x64 only' };
  }
  const icd = PLACES.find((path) => existsSync(path));
  if (icd === undefined) return { reason: `no SwiftShader (Debian: apt-get install ${PACKAGES.join(' ')})` };
  const loader = spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '';
  if (!loader.includes('libvulkan.so.1')) return { reason: 'no Vulkan loader (Debian: apt-get install libvulkan1)' };
  return { icd };
}

/** As `findSwiftShader`, after installing what is missing where that can be done. */
export function installSwiftShader() {
  const found = findSwiftShader();
  if (found.icd || process.platform !== 'linux' || process.arch !== 'x64') return found;
  if (!canInstallPackages()) return found;
  const reason = installPackages(PACKAGES);
  if (reason) return { reason };
  return findSwiftShader();
}

/** Environment of a process whose WebGPU is SwiftShader. */
export function swiftShaderEnvironment(icd) {
  return { ...process.env, VK_ICD_FILENAMES: icd, VK_DRIVER_FILES: icd };
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { icd, reason } = process.argv.includes('--find') ? findSwiftShader() : installSwiftShader();
  if (icd) console.log(icd);
  else {
    console.error(reason);
    process.exitCode = 1;
  }
}
