import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { trainableParameters } from '../../../src/engine/training/method.ts';
import { findSwiftShader, swiftShaderEnvironment } from '../../tools/swiftshader.mjs';
import { batchOf, openRun, trainingRuns } from './fixtures.ts';
import type { WebGpuResult } from './webgpuChild.ts';

const root = join(import.meta.dirname, '../../..');
const swiftShader = findSwiftShader();

const result: Promise<WebGpuResult> = swiftShader.icd === undefined ? Promise.reject(new Error('none')) : inChild();
result.catch(() => undefined); // the tests tell

describe.skipIf(swiftShader.icd === undefined)(`WebGPU over SwiftShader ${swiftShader.reason ?? ''}`, () => {
  it('computes the losses and gradients that the CPU computes', async () => {
    const { gradients } = await result;
    expect(Object.keys(gradients).length).toBeGreaterThan(60);
    for (const [name, difference] of Object.entries(gradients)) expect(difference, name).toBeLessThan(1e-5);
  }, 400_000);

  it.each(trainingRuns)('takes the steps of the CPU, %s, and no state crosses between them', async (name) => {
    const trainer = (await result).trainers[name]!;
    console.log(`${name}: ${JSON.stringify(trainer)}`);
    expect(trainer.apart).toBeLessThan(1e-5);
    expect(trainer.evaluationApart).toBeLessThan(1e-5);
    expect(trainer.parametersApart).toBeLessThan(1e-4);
    expect(trainer.resumed).toBe(true);
    // Ids, targets, weights, segments, positions, losses; normalizer and loss; the optimizer's numbers; the norm.
    const run = openRun(name);
    const rows = Math.max(...[0, 1, 2, 3].map((step) => batchOf(run, step).rows));
    const numbers = rows * (6 * run.options.length + 2) + 4 * trainableParameters(run.config, run.method).length + 1;
    expect(trainer.bytesMoved).toBe(4 * numbers);
    expect(trainer.bytesMoved).toBeLessThan(trainer.stateBytes / 4);
  });
});

/** Runs webgpuChild.ts, bundled, where WebGPU is SwiftShader. */
async function inChild(): Promise<WebGpuResult> {
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
        if (code === 0) resolve(JSON.parse(text) as WebGpuResult);
        else reject(new Error(`The WebGPU process ended with ${signal ?? String(code)}: ${errors.slice(-2000)}`));
      });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
