import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { findSwiftShader, swiftShaderEnvironment } from '../../tools/swiftshader.mjs';

const root = join(import.meta.dirname, '../../..');
const swiftShader = findSwiftShader();

describe.skipIf(swiftShader.icd === undefined)(`WebGPU over SwiftShader ${swiftShader.reason ?? ''}`, () => {
  it('computes the losses and gradients that the CPU computes', async () => {
    const differences = await inChild();
    expect(Object.keys(differences).length).toBeGreaterThan(60);
    for (const [name, difference] of Object.entries(differences)) expect(difference, name).toBeLessThan(1e-5);
  }, 400_000);
});

/** Runs webgpuChild.ts, bundled, where WebGPU is SwiftShader. */
async function inChild(): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-webgpu-'));
  try {
    const outfile = join(folder, 'child.cjs');
    await build({
      entryPoints: [join(import.meta.dirname, 'webgpuChild.ts')],
      bundle: true,
      platform: 'node',
      format: 'cjs',
      outfile,
      external: ['onnxruntime-node'],
      define: { 'import.meta.dirname': JSON.stringify(import.meta.dirname) },
      logLevel: 'error',
    });
    const env = { ...swiftShaderEnvironment(swiftShader.icd!), NODE_PATH: join(root, 'node_modules') };
    return await new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [outfile], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      let [text, errors] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
      child.stderr.setEncoding('utf8').on('data', (part: string) => (errors += part));
      child.on('error', reject);
      child.on('close', (code, signal) => {
        if (code === 0) resolve(JSON.parse(text) as Record<string, number>);
        else reject(new Error(`The WebGPU process ended with ${signal ?? String(code)}: ${errors.slice(-2000)}`));
      });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
