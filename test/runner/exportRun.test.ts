/** Exports: each is opened again and gives the logits of the trained model; nothing is lost where one cannot be written. */
import { execFile, execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HostDecoder } from '../../src/engine/generation/hostDecoder.ts';
import type { ModelSource, TensorSource } from '../../src/engine/model.ts';
import { mixSeed, seededRandom } from '../../src/engine/random.ts';
import { createTokenizer } from '../../src/engine/text/tokenizer.ts';
import { trainedTensor } from '../../src/engine/training/merge.ts';
import { trainableParameters } from '../../src/engine/training/method.ts';
import { openModel } from '../../src/engine/weights/open.ts';
import { readSafetensorsHeader } from '../../src/engine/weights/safetensors.ts';
import { WeightFile } from '../../src/engine/weights/storage.ts';
import { UserError } from '../../src/errors.ts';
import { Checkpoints } from '../../src/midtraining/checkpoint.ts';
import { methodOf } from '../../src/midtraining/trainerOptions.ts';
import type { CheckpointChoice, ExportFormat } from '../../src/midtraining/exportFormats.ts';
import { type ExportOutcome, exportRun } from '../../src/runner/exportRun.ts';
import { runPaths } from '../../src/runner/runFolder.ts';
import { createRun } from '../../src/runner/store.ts';
import { tinyModels } from '../engine/generation/models.ts';
import { bundleCommand, smallRequest, temporaryFolder } from './smallRun.ts';
import { smallTraining } from './smallTraining.ts';

const home = temporaryFolder();
const store = join(home, 'runs');
const modelPath = (name: string): string => join(import.meta.dirname, '../fixtures/engine', name);
const lora = { rank: 3, alpha: 6 };

interface Kept {
  readonly folder: string;
  /** The trained values at a step. */
  readonly values: (step: number) => Map<string, Float32Array>;
}

/** A run with checkpoints of these steps and held-out losses, whose parameters are as training could have left them. */
async function keepRun(model: string, change: object, losses: Readonly<Record<number, number | null>>): Promise<Kept> {
  const request = smallTraining(model, { ...change, context: 256 });
  const { config } = request;
  const folder = await createRun(store, request);
  const source = await openModel(model);
  const parameters = trainableParameters(source.config, methodOf(config));
  const base = new Map<string, Float32Array>();
  for (const { name } of parameters) {
    if (source.weights.tensors.has(name)) base.set(name, await source.weights.readFloat32(name));
  }
  const values = (step: number): Map<string, Float32Array> =>
    new Map(
      parameters.map(({ name, shape }) => {
        const random = seededRandom(mixSeed(step, name));
        const count = shape.reduce((product, size) => product * size, 1);
        const from = base.get(name);
        return [name, Float32Array.from({ length: count }, (_, i) => (from?.[i] ?? 0) + (random.uniform() - 0.5) / 4)];
      }),
    );
  const checkpoints = await Checkpoints.open(runPaths(folder).checkpoints, 9, { model: await source.hash() });
  await source.close();
  let without = 0;
  for (const [step, heldOutLoss] of Object.entries(losses)) {
    without = heldOutLoss !== null && heldOutLoss > 2 ? without + 1 : 0;
    const moments = new Map([...values(0)].map(([name, { length }]) => [name, new Float32Array(length)]));
    await checkpoints.save(
      {
        step: Number(step),
        learningRate: null,
        parameters: values(Number(step)),
        firstMoments: moments,
        secondMoments: moments,
      },
      parameters,
      {
        position: { epoch: 0, window: 0, row: 0 },
        ...{ tokens: 0, evaluationInterval: 0, heldOutLoss, bestHeldOutLoss: heldOutLoss },
        ...{ evaluationsWithoutGain: without, smoothedLoss: null, stepsAbove: 0 },
      },
    );
  }
  return { folder, values };
}

/** The model with what was trained in it, without a file. */
function merged(source: ModelSource, change: object, values: ReadonlyMap<string, Float32Array>): TensorSource {
  const method = methodOf(smallTraining(source.path, change).config);
  return {
    ...source.weights,
    tensors: source.weights.tensors,
    readRaw: (name) => source.weights.readRaw(name),
    readFloat32: (name) => trainedTensor(name, source.weights, method, (parameter) => values.get(parameter)),
  };
}

const prompt = Array.from({ length: 24 }, (_, i) => (i * 37) % 100);

async function logitsOf({ config }: Pick<ModelSource, 'config'>, weights: TensorSource): Promise<number[]> {
  const decoder = await HostDecoder.create(config, weights, {
    precision: 'fp32',
    places: 1,
    threads: 1,
    contextLength: 64,
  });
  const logits: number[] = [];
  await decoder.score([...prompt, 0], 0, (_, row) => logits.push(...row));
  await decoder.close();
  return logits;
}

const exported = (
  { folder }: Kept,
  format: ExportFormat,
  checkpoint: CheckpointChoice = 'final',
  out: string | null = null,
  overwrite = false,
): Promise<ExportOutcome> => exportRun(folder, { format, checkpoint, out, overwrite });

/** Root mean square of the difference, as a part of that of `b`. */
function apart(a: readonly number[], b: readonly number[]): number {
  expect(a).toHaveLength(b.length);
  const square = (sum: number, value: number): number => sum + value ** 2;
  return Math.sqrt(a.map((value, i) => value - b[i]!).reduce(square, 0) / b.reduce(square, 0));
}

const text = 'def f(x):\n    return  x1 + 23  # don\'t "λ" <|end|>\n';

/** How far the logits may be apart: random weights make the most of every rounding. */
const allowed: readonly [ExportFormat, number][] = [
  ['hf', 0],
  ['hf-f16', 0.003],
  ['hf-bf16', 0.03],
  ['gguf-f16', 0.003],
  ['gguf-q8_0', 0.05],
];

describe.each(tinyModels)('a run on %s', (name) => {
  const change = { train: 'lora', lora };

  it('is exported in every form, and each gives the logits of the trained model and the same tokens', async () => {
    const run = await keepRun(modelPath(name), change, { 4: 1 });
    const source = await openModel(modelPath(name));
    const trained = await logitsOf(source, merged(source, change, run.values(4)));
    expect(apart(trained, await logitsOf(source, source.weights))).toBeGreaterThan(0.2);
    const tokens = createTokenizer(source.tokenizer).encode(text);
    for (const [format, most] of allowed) {
      const { path, step, bytes } = await exported(run, format);
      expect(step).toBe(4);
      const read = await openModel(path);
      expect(bytes).toBeGreaterThan([...read.weights.tensors.values()].reduce((sum, one) => sum + one.byteLength, 0));
      const { contextLength, ropeScaling, ...config } = read.config;
      expect(config).toEqual({
        ...source.config,
        contextLength: undefined,
        ropeScaling: undefined,
        normEpsilon: config.normEpsilon,
      });
      expect(config.normEpsilon).toBeCloseTo(source.config.normEpsilon, 10);
      const difference = apart(await logitsOf(read, read.weights), trained);
      if (most === 0) expect(difference).toBe(0);
      else expect(difference).toBeLessThan(most);
      const tokenizer = createTokenizer(read.tokenizer);
      expect(tokenizer.encode(text)).toEqual(tokens);
      expect(tokenizer.eosTokenIds).toEqual(source.tokenizer.eosTokenIds);
      await read.close();
    }
    await source.close();
  });
});

const llama = modelPath('llama-gqa-tied');
const adapters = { train: 'lora', lora: { ...lora, targets: ['q_proj', 'down_proj'] } };

describe('an export', () => {
  it('of a run that trains all weights has those weights, and of its base the base', async () => {
    const run = await keepRun(llama, { train: 'full' }, { 2: null, 5: null });
    const source = await openModel(llama);
    for (const [choice, values] of [
      ['final', run.values(5)],
      [2, run.values(2)],
      ['base', new Map<string, Float32Array>()],
    ] as const) {
      const { path } = await exported(run, 'hf', choice);
      const read = await openModel(path);
      for (const name of read.weights.tensors.keys()) {
        expect(await read.weights.readFloat32(name)).toEqual(
          values.get(name) ?? (await source.weights.readFloat32(name)),
        );
      }
      await read.close();
    }
    await source.close();
    expect(readdirSync(runPaths(run.folder).exports).sort()).toEqual([
      'small-base-hf',
      'small-step-2-hf',
      'small-step-5-hf',
    ]);
    await expect(exported(run, 'peft')).rejects.toThrow(/trains all weights, so it has no adapter/);
  });

  it('as a PEFT adapter has its names, shapes, values and configuration', async () => {
    const run = await keepRun(llama, adapters, { 3: 1 });
    const { path } = await exported(run, 'peft');
    const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({
      ...{ peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 3, lora_alpha: 6, lora_dropout: 0, bias: 'none' },
      ...{ target_modules: ['q_proj', 'down_proj'], base_model_name_or_path: llama, revision: null },
      ...{ use_rslora: false, use_dora: false, fan_in_fan_out: false, modules_to_save: null },
    });
    const file = await WeightFile.open(join(path, 'adapter_model.safetensors'));
    const tensors = await readSafetensorsHeader(file);
    const trained = run.values(3);
    expect([...tensors.keys()].sort()).toEqual([...trained.keys()].map((name) => `base_model.model.${name}`).sort());
    expect(tensors.get('base_model.model.model.layers.1.mlp.down_proj.lora_B.weight')!.shape).toEqual([32, 3]);
    for (const [name, values] of trained) {
      const raw = new Float32Array(values.length);
      await file.read(new Uint8Array(raw.buffer), tensors.get(`base_model.model.${name}`)!.offset);
      expect(raw).toEqual(values);
    }
    await file.close();
    expect(readFileSync(join(path, 'README.md'), 'utf8')).toContain(`base_model: ${JSON.stringify(llama)}`);
    await expect(exported(run, 'peft', 'base')).rejects.toThrow(/The base has no adapter/);
  });

  it('names no base where there is none that PEFT could load', async () => {
    const run = await keepRun(llama, { ...adapters, initialWeights: 'random' }, { 3: 1 });
    const { path } = await exported(run, 'peft');
    expect(JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8'))).toMatchObject({
      base_model_name_or_path: null,
    });
    expect(readFileSync(join(path, 'README.md'), 'utf8')).toMatch(/random weights.*--checkpoint base/s);
  });

  it('is of the checkpoint that is asked for', async () => {
    const run = await keepRun(llama, { ...adapters, patience: 2 }, { 1: 2, 2: 1, 3: 2.5, 4: 3, 5: null });
    const stepOf = async (choice: CheckpointChoice): Promise<number | null> =>
      (await exported(run, 'peft', choice)).step;
    expect([await stepOf('latest'), await stepOf('best'), await stepOf('final'), await stepOf(3)]).toEqual([
      5, 2, 5, 3,
    ]);
    rmSync(join(runPaths(run.folder).checkpoints, 'step-00000005'), { recursive: true });
    expect([await stepOf('latest'), await stepOf('final')]).toEqual([4, 2]); // it ended early, with its best
    await expect(stepOf(5)).rejects.toThrow(
      /no checkpoint of step 5: .*let go of it\. There are those of 4, 3, 2, 1\./,
    );
    truncateSync(join(runPaths(run.folder).checkpoints, 'step-00000004', 'model.safetensors'), 99);
    await expect(stepOf('latest')).rejects.toThrow(/step 4 is cut: .* Choose another one: 3, 2, 1\./);
    rmSync(runPaths(run.folder).checkpoints, { recursive: true });
    await expect(stepOf('final')).rejects.toThrow(/has no checkpoint yet/);
  });

  it('goes on when the run lets go of its checkpoint meanwhile', async ({ skip }) => {
    skip(process.platform === 'win32', 'there a file that is open is not removed');
    const run = await keepRun(llama, adapters, { 1: 1 });
    const outcome = await exportRun(run.folder, {
      ...{ format: 'peft', checkpoint: 'final', out: null, overwrite: false },
      onProgress: () => {
        rmSync(runPaths(run.folder).checkpoints, { recursive: true, force: true });
      },
    });
    expect(outcome.bytes).toBeGreaterThan(1000);
  });

  it('is refused for an evaluation, and where the model is another one now', async () => {
    const evaluation = await createRun(store, smallRequest(join(home, 'none.jsonl')));
    await expect(exported({ folder: evaluation, values: () => new Map() }, 'hf')).rejects.toThrow(
      /holds an evaluation/,
    );
    const run = await keepRun(llama, adapters, { 1: 1 });
    const description = readFileSync(runPaths(run.folder).description, 'utf8');
    const other = description.replaceAll('llama-gqa-tied', 'qwen2-tied');
    writeFileSync(runPaths(run.folder).description, other);
    await expect(exported(run, 'hf')).rejects.toThrow(/qwen2-tied is not the model that this run has trained/);
  });

  it('replaces nothing that was not agreed to go, and never the model that was trained from', async () => {
    const model = join(home, 'base');
    mkdirSync(model);
    for (const name of readdirSync(llama)) writeFileSync(join(model, name), readFileSync(join(llama, name)));
    const run = await keepRun(model, adapters, { 1: 1 });
    const out = join(home, 'out.gguf');
    writeFileSync(out, 'a file of the user');
    await expect(exported(run, 'gguf-f16', 1, out)).rejects.toThrow(/is there already/);
    expect(readFileSync(out, 'utf8')).toBe('a file of the user');
    for (const place of [model, home]) {
      await expect(exported(run, 'hf', 1, place, true)).rejects.toThrow(/holds the model that was trained from/);
    }
    await exported(run, 'gguf-f16', 1, out, true);
    expect(readFileSync(out).subarray(0, 4).toString()).toBe('GGUF');
    const folder = join(home, 'deep/er/folder');
    await exported(run, 'peft', 1, folder);
    await expect(exported(run, 'peft', 1, folder)).rejects.toThrow(UserError);
    await exported(run, 'hf', 1, folder, true);
    expect(existsSync(join(folder, 'adapter_config.json'))).toBe(false);
    expect(readdirSync(home).filter((name) => /\.(new|old)$/.test(name))).toEqual([]);
  });

  it('by the command says how far it is and where it wrote, or what is wrong', async () => {
    const run = await keepRun(llama, adapters, { 1: 1 });
    const command = bundleCommand();
    const call = (...args: string[]): Promise<{ code: number; rows: Record<string, unknown>[] }> =>
      new Promise((resolve) => {
        execFile(process.execPath, [command, 'export', ...args, '--json'], (error, stdout) => {
          const rows =
            stdout.trim() === ''
              ? []
              : stdout
                  .trim()
                  .split('\n')
                  .map((line) => JSON.parse(line) as Record<string, unknown>);
          resolve({ code: error === null ? 0 : Number(error.code), rows });
        });
      });
    const out = join(home, 'by-command.gguf');
    const { code, rows } = await call(run.folder, '--format', 'gguf-q8_0', '--checkpoint', '1', '--out', out);
    expect(code).toBe(0);
    expect(rows.at(-1)).toMatchObject({ type: 'export', path: out, step: 1, format: 'gguf-q8_0' });
    expect(rows.at(-2)).toMatchObject({ type: 'progress', unit: 'tensors', done: 20, total: 20 });
    const again = await call(run.folder, '--format', 'gguf-q8_0', '--out', out);
    expect(again).toMatchObject({
      code: 1,
      rows: [{ type: 'error', message: expect.stringMatching(/is there already/) as string }],
    });
    expect((await call(run.folder, '--format', 'onnx')).code).toBe(2);
    expect((await call(run.folder, '--format', 'hf', '--checkpoint', 'first')).code).toBe(2);
    expect((await call(join(home, 'nowhere'), '--format', 'hf')).rows[0]!['message']).toMatch(/There is no run/);
  });

  it('that is stopped leaves nothing', async () => {
    const run = await keepRun(llama, adapters, { 1: 1 });
    const stop = new AbortController();
    const work = exportRun(run.folder, {
      ...{ format: 'hf', checkpoint: 1, out: null, overwrite: false },
      signal: stop.signal,
      onProgress: (done) => {
        if (done === 3) stop.abort(new Error('enough'));
      },
    });
    await expect(work).rejects.toThrow('enough');
    expect(readdirSync(runPaths(run.folder).exports)).toEqual([]);
  });
});

const disk = join(home, 'disk');
const isMounted = (() => {
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
afterAll(() => {
  if (isMounted) execFileSync('umount', [disk]);
});

describe('an export to a full disk', () => {
  it('says so and leaves what was there', async ({ skip }) => {
    skip(!isMounted, 'no file system of 256 KiB can be mounted here');
    const run = await keepRun(llama, adapters, { 1: 1 });
    for (const [format, name] of [
      ['gguf-f16', 'model.gguf'],
      ['hf', 'model'],
    ] as const) {
      const out = join(disk, name);
      await exported(run, format, 'base', out);
      const { bavail, bsize } = statfsSync(disk);
      const filler = join(disk, 'filler');
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - 16_384)));
      const before = readdirSync(disk, { recursive: true }).sort();
      await expect(exported(run, format, 1, out, true)).rejects.toThrow(
        /cannot be written to .*: no space is left on the disk\. Make room and start again/,
      );
      expect(readdirSync(disk, { recursive: true }).sort()).toEqual(before);
      await (await openModel(out)).close();
      rmSync(out, { recursive: true });
      rmSync(filler);
    }
  });
});
