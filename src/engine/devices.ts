/**
 * Where a model can run: what this build of onnxruntime-node offers, what works on this machine, and which is the fastest
 * that computes the same as the CPU. Knows nothing of how a decoder is made (see `deviceDecoder.ts`, `hostDecoder.ts`).
 *
 * A provider that is there but whose driver is missing or broken writes to stderr and may end the process, so each is first
 * tried in a child process, with a few matrix products. That also tells a GPU from a renderer in software.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import * as ort from 'onnxruntime-node';
import { messageOf, UserError } from '../errors.ts';
import type { Decoder } from './generation/decoder.ts';
import { logitDifference, runTrial, TOLERANCE, type Trial } from './generation/selfCheck.ts';
import type { Precision } from './graphs/weights.ts';
import { Graph } from './onnx/graph.ts';
import { matMul } from './onnx/operators.ts';

/** Fastest first, as far as one can expect; the CPU last. */
export const DEVICES = ['cuda', 'dml', 'coreml', 'webgpu', 'cpu'] as const;
export type Device = (typeof DEVICES)[number];

export interface DeviceOffer {
  readonly device: Device;
  /** The provider is in this build. Whether it works is known when it is tried. */
  readonly offered: boolean;
  /** Why not, or what it still needs; '' where nothing is to be said. */
  readonly detail: string;
}

export type DeviceVerdict = 'chosen' | 'passed, slower' | 'too slow to try' | 'failed self-check' | 'unavailable';

export interface DeviceReport {
  readonly device: Device;
  readonly verdict: DeviceVerdict;
  readonly detail: string;
}

export interface ChosenDevice {
  readonly device: Device;
  readonly decoder: Decoder;
  /** One entry for each device that was considered. */
  readonly report: readonly DeviceReport[];
}

/** What a child process found out about a device. */
export type ProbeResult = { readonly gigaflops: number } | { readonly error: string };

const CUDA_LIBRARIES =
  'its libraries are not in the npm package: "npm rebuild onnxruntime-node" with ONNXRUNTIME_NODE_INSTALL=cuda12 fetches ' +
  'them, and CUDA 12 and cuDNN 9 have to be installed';

/** Where a provider exists at all, for saying why it is not offered here. */
const PLATFORMS: Readonly<Record<Device, string>> = {
  cuda: 'Linux x64',
  dml: 'Windows',
  coreml: 'macOS on Apple silicon',
  webgpu: 'Linux x64, Windows and macOS on Apple silicon',
  cpu: 'every platform',
};

/** What to do about a device that is offered and does not work. */
const ADVICE: Readonly<Record<Device, string>> = {
  cuda: `Note that ${CUDA_LIBRARIES}.`,
  dml: 'Update the graphics driver.',
  coreml: 'Update macOS.',
  webgpu: 'Install or update the graphics driver (on Linux with Vulkan, and libvulkan1).',
  cpu: 'Run "npm ci" again.',
};

/** Every device with what this build offers. Takes no time. */
export function availableDevices(backends = ort.listSupportedBackends()): DeviceOffer[] {
  return DEVICES.map((device) => {
    const backend = backends.find(({ name }) => name === device);
    if (backend === undefined) {
      return { device, offered: false, detail: `this build has none; it exists on ${PLATFORMS[device]}` };
    }
    return { device, offered: true, detail: device === 'cuda' && !backend.bundled ? CUDA_LIBRARIES : '' };
  });
}

/** Rates below this are no GPU's: SwiftShader on two cores reaches 0.1, where integrated graphics reach tens or hundreds. */
const LEAST_GIGAFLOPS = 5;
/** The product of so many square matrices of that size. */
const PROBE_PRODUCTS = 4;
const PROBE_SIZE = 256;
const PROBE_MILLISECONDS = 30_000;

export interface ChooseOptions {
  readonly precision: Precision;
  readonly signal?: AbortSignal;
  /** For tests. */
  readonly offers?: readonly DeviceOffer[];
  readonly probe?: (device: Device) => Promise<ProbeResult>;
}

/**
 * Opens a decoder on the device asked for, or on the fastest that agrees with the CPU.
 * With `auto` the model is on the CPU and on one other device at a time, if there is another that works.
 * @param open makes a decoder of the model on a device; it is called once a device at most.
 * @throws UserError when the device asked for cannot be used, with the reason; whatever `open` throws for the CPU.
 */
export async function chooseDevice(
  requested: Device | 'auto',
  open: (device: Device) => Promise<Decoder>,
  options: ChooseOptions,
): Promise<ChosenDevice> {
  const { offers = availableDevices(), probe = probeDevice } = options;
  if (requested !== 'auto') return openRequested(requested, open, offers, probe);

  const others = offers.filter(({ device }) => device !== 'cpu');
  const candidates: Device[] = [];
  const report: DeviceReport[] = [];
  const probes = await Promise.all(
    others.map(({ device, offered }) => (offered ? probe(device) : Promise.resolve(null))),
  );
  for (const [i, { device, detail }] of others.entries()) {
    const found = probes[i] ?? null;
    if (found === null) report.push({ device, verdict: 'unavailable', detail });
    else if ('error' in found) report.push({ device, verdict: 'unavailable', detail: unusable(device, found.error) });
    else if (found.gigaflops < LEAST_GIGAFLOPS)
      report.push({ device, verdict: 'too slow to try', detail: slow(found) });
    else candidates.push(device);
  }
  const cpu = await open('cpu');
  if (candidates.length === 0) {
    return {
      device: 'cpu',
      decoder: cpu,
      report: [...report, { device: 'cpu', verdict: 'chosen', detail: 'no other device works' }],
    };
  }
  return race(cpu, candidates, report, open, options);
}

/** Tries every candidate against the CPU's decoder and keeps the fastest. */
async function race(
  cpu: Decoder,
  candidates: readonly Device[],
  before: readonly DeviceReport[],
  open: (device: Device) => Promise<Decoder>,
  { precision, signal }: ChooseOptions,
): Promise<ChosenDevice> {
  const report = [...before];
  let best: { device: Device; decoder: Decoder; rate: number; detail: string } | null = null;
  try {
    const expected = await runTrial(cpu);
    const rate = expected.tokensPerSecond;
    best = { device: 'cpu', decoder: cpu, rate, detail: perSecond(rate) };
    for (const device of candidates) {
      signal?.throwIfAborted();
      const tried = await tryDevice(device, open, expected, precision);
      if (!('decoder' in tried)) {
        report.push(tried);
      } else if (tried.rate > best.rate) {
        report.push({ device: best.device, verdict: 'passed, slower', detail: best.detail });
        const loser = best.decoder;
        best = tried;
        await loser.close();
      } else {
        report.push({ device, verdict: 'passed, slower', detail: tried.detail });
        await tried.decoder.close();
      }
    }
  } catch (error) {
    await (best?.decoder ?? cpu).close();
    throw error;
  }
  report.push({ device: best.device, verdict: 'chosen', detail: best.detail });
  return { device: best.device, decoder: best.decoder, report };
}

async function tryDevice(
  device: Device,
  open: (device: Device) => Promise<Decoder>,
  expected: Trial,
  precision: Precision,
): Promise<DeviceReport | { device: Device; decoder: Decoder; rate: number; detail: string }> {
  let decoder: Decoder;
  try {
    decoder = await open(device);
  } catch (error) {
    return { device, verdict: 'unavailable', detail: unusable(device, messageOf(error)) };
  }
  try {
    const actual = await runTrial(decoder);
    const differences = expected.logits.map((logits, i) => logitDifference(logits, actual.logits[i]!));
    const difference = differences.find(Number.isNaN) ?? Math.max(...differences);
    const agreement = `logits differ by ${percent(difference)} of their range, ${percent(TOLERANCE[precision])} is allowed`;
    if (difference <= TOLERANCE[precision]) {
      const rate = actual.tokensPerSecond;
      return { device, decoder, rate, detail: `${perSecond(rate)}; ${agreement}` };
    }
    await decoder.close();
    return { device, verdict: 'failed self-check', detail: agreement };
  } catch (error) {
    await decoder.close();
    return { device, verdict: 'failed self-check', detail: firstLine(messageOf(error)) };
  }
}

async function openRequested(
  device: Device,
  open: (device: Device) => Promise<Decoder>,
  offers: readonly DeviceOffer[],
  probe: (device: Device) => Promise<ProbeResult>,
): Promise<ChosenDevice> {
  const detail = 'as asked for';
  if (device !== 'cpu') {
    const offer = offers.find((one) => one.device === device);
    if (offer?.offered !== true) {
      throw new UserError(`${device} cannot be used: ${offer?.detail ?? 'unknown'}. ${choices(device, offers)}`);
    }
    const found = await probe(device);
    if ('error' in found) throw refusal(device, found.error, offers);
  }
  try {
    return { device, decoder: await open(device), report: [{ device, verdict: 'chosen', detail }] };
  } catch (error) {
    if (device === 'cpu' || error instanceof UserError) throw error;
    throw refusal(device, messageOf(error), offers);
  }
}

function refusal(device: Device, reason: string, offers: readonly DeviceOffer[]): UserError {
  return new UserError(`${device} cannot be used: ${firstLine(reason)}. ${ADVICE[device]} ${choices(device, offers)}`);
}

function choices(refused: Device, offers: readonly DeviceOffer[]): string {
  const names = offers.filter(({ device, offered }) => offered && device !== refused).map(({ device }) => device);
  return `Other choices here: auto, ${names.join(', ')}.`;
}

function unusable(device: Device, error: string): string {
  return `${firstLine(error)}. ${ADVICE[device]}`;
}

function slow({ gigaflops }: { readonly gigaflops: number }): string {
  return `${gigaflops.toFixed(1)} GFLOP/s in a matrix product, so a renderer in software and no GPU; ask for it by name to use it`;
}

/** The first line, without where in its source the runtime threw it and without a full stop. */
function firstLine(message: string): string {
  const line = message.trim().split('\n')[0] ?? '';
  return line.replace(/^\/\S+:\d+ .* was false\. /, '').replace(/[.\s]+$/, '');
}

function perSecond(rate: number): string {
  return `${rate.toFixed(0)} tokens a second`;
}

function percent(part: number): string {
  return `${(100 * part).toPrecision(2)} %`;
}

/** Arguments: onnxruntime-node's path, device, base64 of the model. Answers one line of JSON, `ProbeResult`. */
const PROBE = `
const [path, device, model, size, work] = process.argv.slice(1);
const answer = (value) => process.stdout.write(JSON.stringify(value) + '\\n');
(async () => {
  const ort = require(path);
  const session = await ort.InferenceSession.create(Buffer.from(model, 'base64'), { executionProviders: [device], logSeverityLevel: 4 });
  const x = new ort.Tensor('float32', new Float32Array(size * size), [Number(size), Number(size)]);
  await session.run({ x });
  const start = performance.now();
  await session.run({ x });
  answer({ gigaflops: work / 1e6 / (performance.now() - start) });
  process.exit(0);
})().catch((error) => { answer({ error: String(error.message ?? error) }); process.exit(0); });
`;

/** Whether a device works, and how fast, found out in a child process. Never throws. */
export async function probeDevice(device: Device): Promise<ProbeResult> {
  const graph = new Graph();
  const x = graph.input('x', 'float32', [PROBE_SIZE, PROBE_SIZE]);
  let y = x;
  for (let i = 0; i < PROBE_PRODUCTS; i++) y = matMul(graph, y, x);
  graph.output('y', y);
  const model = Buffer.from(graph.serialize()).toString('base64');
  const work = 2 * PROBE_SIZE ** 3 * PROBE_PRODUCTS;
  const runtime = createRequire(import.meta.url).resolve('onnxruntime-node');
  const args = ['-e', PROBE, runtime, device, model, String(PROBE_SIZE), String(work)];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' }, // the editor's executable is its Node
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: PROBE_MILLISECONDS,
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
    child.on('error', (error) => {
      resolve({ error: error.message });
    });
    child.on('close', (code, signal) => {
      resolve(parseProbe(text) ?? { error: `the trial process ended with ${signal ?? `status ${String(code)}`}` });
    });
  });
}

function parseProbe(text: string): ProbeResult | null {
  try {
    return JSON.parse(text.trim().split('\n').at(-1) ?? '') as ProbeResult;
  } catch {
    return null;
  }
}
