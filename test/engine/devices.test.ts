import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { findSwiftShader, swiftShaderEnvironment } from '../tools/swiftshader.mjs';
import {
  availableDevices,
  chooseDevice,
  probeDevice,
  type Device,
  type DeviceOffer,
} from '../../src/engine/devices.ts';
import type { Decoder } from '../../src/engine/generation/decoder.ts';
import { openDecoder } from '../../src/engine/generation/open.ts';
import { logitDifference, runTrial, TOLERANCE } from '../../src/engine/generation/selfCheck.ts';
import { UserError } from '../../src/errors.ts';
import type { Comparison } from './generation/webgpuChild.ts';
import { openTiny } from './generation/models.ts';

const root = join(import.meta.dirname, '../..');
const options = { precision: 'fp32', places: 4, threads: 1, contextLength: 128 } as const;
const offers = (...devices: Device[]): DeviceOffer[] =>
  availableDevices([]).map((offer) =>
    devices.includes(offer.device) ? { ...offer, offered: true, detail: '' } : offer,
  );

/** A CPU decoder under another device's name. `wrong` spoils its logits, `delay` ms are added to a step. */
async function open({ wrong = 0, delay = 0 } = {}): Promise<Decoder & { closed: boolean }> {
  const { source } = await openTiny('llama3-rope');
  const inner = await openDecoder('cpu', source.config, source.weights, options);
  await source.close();
  const decoder = {
    config: inner.config,
    contextLength: inner.contextLength,
    places: inner.places,
    weightBytes: inner.weightBytes,
    cache: inner.cache,
    closed: false,
    prefill: inner.prefill.bind(inner),
    score: inner.score.bind(inner),
    extend: inner.extend.bind(inner),
    step: async (tokens: readonly number[], lengths: readonly number[]) => {
      await new Promise((resolve) => setTimeout(resolve, delay));
      const logits = await inner.step(tokens, lengths);
      logits[3]! += wrong;
      return logits;
    },
    close: async () => {
      decoder.closed = true;
      await inner.close();
    },
  };
  return decoder;
}

describe('devices that this build offers', () => {
  it('always has the CPU, and says why something is missing', () => {
    const devices = availableDevices();
    expect(devices.at(-1)).toEqual({ device: 'cpu', offered: true, detail: '' });
    for (const { offered, detail } of devices) if (!offered) expect(detail).toMatch(/exists on/);
    expect(availableDevices([{ name: 'cuda', bundled: false }])[0]).toMatchObject({
      device: 'cuda',
      offered: true,
      detail: expect.stringContaining('not in the npm package') as string,
    });
  });

  it('tries one in another process', async () => {
    const cpu = await probeDevice('cpu');
    expect('gigaflops' in cpu && cpu.gigaflops).toBeGreaterThan(0.1);
  });

  it('survives one that does not work', async () => {
    const missing = process.platform === 'win32' ? 'coreml' : 'dml';
    expect(await probeDevice(missing)).toMatchObject({ error: expect.stringContaining(missing) as string });
  });
});

describe('choosing a device', () => {
  const fast = () => Promise.resolve({ gigaflops: 1000 });

  it('takes the CPU at once when nothing else works, and says why', async () => {
    const probe = () => Promise.resolve({ error: 'No adapter.\nat somewhere' });
    const { device, decoder, report } = await chooseDevice('auto', () => open(), {
      precision: 'fp32',
      offers: offers('webgpu', 'cpu'),
      probe,
    });
    await decoder.close();
    expect(device).toBe('cpu');
    expect(report.find((one) => one.device === 'webgpu')).toMatchObject({
      verdict: 'unavailable',
      detail: expect.stringMatching(/^No adapter\. Install or update the graphics driver/) as string,
    });
    expect(report.find((one) => one.device === 'dml')).toMatchObject({ verdict: 'unavailable' });
    expect(report.at(-1)).toMatchObject({ device: 'cpu', verdict: 'chosen' });
  });

  it('takes the fastest that agrees with the CPU, and closes the others', async () => {
    const opened = new Map<Device, Awaited<ReturnType<typeof open>>>();
    const settings: Partial<Record<Device, Parameters<typeof open>[0]>> = {
      cpu: { delay: 40 },
      cuda: { wrong: 1 },
      dml: { delay: 80 },
      webgpu: {},
    };
    const { device, report } = await chooseDevice(
      'auto',
      async (name) => {
        if (name === 'coreml') throw new Error('out of device memory');
        const decoder = await open(settings[name]);
        opened.set(name, decoder);
        return decoder;
      },
      { precision: 'fp32', offers: offers('cuda', 'dml', 'coreml', 'webgpu', 'cpu'), probe: fast },
    );
    expect(device).toBe('webgpu');
    expect(Object.fromEntries(report.map((one) => [one.device, one.verdict]))).toEqual({
      cuda: 'failed self-check',
      dml: 'passed, slower',
      coreml: 'unavailable',
      webgpu: 'chosen',
      cpu: 'passed, slower',
    });
    expect([...opened].filter(([, { closed }]) => !closed).map(([name]) => name)).toEqual(['webgpu']);
    await opened.get('webgpu')!.close();
  });

  it('does not load the model on a renderer in software', async () => {
    const opened: Device[] = [];
    const { device, decoder, report } = await chooseDevice(
      'auto',
      (name) => {
        opened.push(name);
        return open();
      },
      { precision: 'fp32', offers: offers('webgpu', 'cpu'), probe: () => Promise.resolve({ gigaflops: 0.1 }) },
    );
    await decoder.close();
    expect(device).toBe('cpu');
    expect(opened).toEqual(['cpu']);
    expect(report.find((one) => one.device === 'webgpu')?.verdict).toBe('too slow to try');
  });

  it('refuses by name what cannot be used, with the reason and the choice there is', async () => {
    const choice = { precision: 'fp32', offers: offers('webgpu', 'cpu') } as const;
    const refused = async (device: Device, probe: () => Promise<{ error: string }>): Promise<unknown> =>
      chooseDevice(device, () => open(), { ...choice, probe }).catch((error: unknown) => error);
    const broken = () => Promise.resolve({ error: 'No adapter' });
    const [missing, unusable] = [await refused('cuda', broken), await refused('webgpu', broken)];
    for (const error of [missing, unusable]) expect(error).toBeInstanceOf(UserError);
    expect(String(missing)).toMatch(/it exists on Linux x64\. Other choices here: auto, webgpu, cpu\.$/);
    expect(String(unusable)).toMatch(/No adapter\. Install or update .* Other choices here: auto, cpu\.$/);
  });

  it('opens the CPU by name without trying anything', async () => {
    const probe = () => Promise.reject(new Error('tried'));
    const { device, decoder } = await chooseDevice('cpu', () => open(), { precision: 'fp32', probe });
    await decoder.close();
    expect(device).toBe('cpu');
  });
});

describe('the self-check', () => {
  it('agrees with itself and finds a wrong logit, NaN too', async () => {
    const decoder = await open();
    const [first, second] = [await runTrial(decoder), await runTrial(decoder)];
    await decoder.close();
    for (const [i, logits] of first.logits.entries()) {
      expect(logitDifference(logits, second.logits[i]!)).toBeLessThan(1e-6);
    }
    expect(first.logits.map(({ length }) => length)).toEqual([104, 416, 416]);
    const spoilt = first.logits[1]!.slice();
    spoilt[100]! += 0.1;
    expect(logitDifference(first.logits[1]!, spoilt)).toBeGreaterThan(TOLERANCE.fp32);
    spoilt[100] = NaN;
    expect(logitDifference(first.logits[1]!, spoilt)).toBeNaN();
  });
});

const swiftShader = findSwiftShader();

describe.skipIf(swiftShader.icd === undefined)(`WebGPU over SwiftShader ${swiftShader.reason ?? ''}`, () => {
  it('computes what the CPU computes: prompts, ragged batches, growth, moves, teacher forcing', async () => {
    const [fp32, int8] = await inChild(['llama3-rope=fp32', 'llama-bias-linear=int8']);
    for (const [name, difference] of Object.entries(fp32!.differences)) expect(difference, name).toBeLessThan(1e-5);
    // On random weights and narrow layers what the CPU rounds in its activations counts most.
    for (const [name, difference] of Object.entries(int8!.differences)) expect(difference, name).toBeLessThan(0.08);
  }, 400_000); // half a minute on two idle cores
});

/** Runs webgpuChild.ts, bundled, where WebGPU is SwiftShader. */
async function inChild(models: readonly string[]): Promise<Comparison[]> {
  const folder = mkdtempSync(join(tmpdir(), 'midtrain-webgpu-'));
  try {
    const outfile = join(folder, 'child.cjs');
    await build({
      entryPoints: [join(root, 'test/engine/generation/webgpuChild.ts')],
      bundle: true,
      platform: 'node',
      format: 'cjs',
      outfile,
      external: ['onnxruntime-node'],
      logLevel: 'error',
    });
    const args = [outfile, ...models.map((model) => join(root, 'test/fixtures/engine', model))];
    const env = { ...swiftShaderEnvironment(swiftShader.icd!), NODE_PATH: join(root, 'node_modules') };
    return await new Promise((resolve, reject) => {
      const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      let [text, errors] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
      child.stderr.setEncoding('utf8').on('data', (part: string) => (errors += part));
      child.on('error', reject);
      child.on('close', (code, signal) => {
        if (code === 0) resolve(JSON.parse(text) as Comparison[]);
        else reject(new Error(`The WebGPU process ended with ${signal ?? String(code)}: ${errors.slice(-2000)}`));
      });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
