/** Whole models: the same tiny one as GGUF, split GGUF, folder and sharded folder; incomplete and damaged ones. */
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ModelSource } from '../../../src/engine/model.ts';
import { huggingFaceName } from '../../../src/engine/weights/names.ts';
import { openModel } from '../../../src/engine/weights/open.ts';
import { refusal, temporaryFolder, write } from './folder.ts';
import {
  bytesOf,
  ggmlTypeNumber,
  interleaved,
  tiny,
  tinyConfigJson,
  tinyGguf,
  tinyMetadata,
  tinySafetensors,
  tinyTensors,
  tinyTokenizerJson,
  writeGguf,
  writeSafetensors,
  type TinyTensor,
  type Typed,
} from './writers.ts';

const folder = temporaryFolder();

/** Opens, uses and closes a model. */
async function using<T>(path: string, use: (model: ModelSource) => Promise<T> | T): Promise<T> {
  const model = await openModel(path);
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}

function modelFolder(name: string, files: Record<string, Uint8Array | object>): string {
  const path = join(folder, name);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path);
  for (const [file, content] of Object.entries(files)) {
    write(path, file, content instanceof Uint8Array ? content : JSON.stringify(content));
  }
  return path;
}

function tinyFolder(name: string, tensors: readonly TinyTensor[], config: object = tinyConfigJson()): string {
  return modelFolder(name, {
    'config.json': config,
    'tokenizer.json': tinyTokenizerJson(),
    'model.safetensors': writeSafetensors(tinySafetensors(tensors)),
  });
}

async function expectValues(model: ModelSource, tensors: readonly TinyTensor[]): Promise<void> {
  const names = tensors.map(({ name }) => huggingFaceName(name)!);
  expect([...model.weights.tensors.keys()].sort()).toEqual(names.sort());
  for (const { name, shape, values } of tensors) {
    const canonical = huggingFaceName(name)!;
    expect(model.weights.tensors.get(canonical)).toEqual({
      name: canonical,
      type: 'F32',
      shape,
      byteLength: values.byteLength,
    });
    expect(await model.weights.readFloat32(canonical)).toEqual(values);
    expect(await model.weights.readRaw(canonical)).toEqual(bytesOf(values));
  }
}

describe('openModel', () => {
  it('gives the same tensors and config for a GGUF and a folder of the same Llama', async () => {
    const tensors = tinyTensors();
    const gguf = write(folder, 'tiny.gguf', tinyGguf('llama', tensors));
    const directory = tinyFolder('tiny', tensors);
    const [fromGguf, fromFolder] = [await openModel(gguf), await openModel(directory)];
    expect([fromGguf.format, fromFolder.format]).toEqual(['gguf', 'huggingface']);
    expect([fromGguf.path, fromFolder.path]).toEqual([gguf, directory]);
    const { normEpsilon, ...config } = fromGguf.config;
    expect(normEpsilon).toBeCloseTo(1e-5, 10); // float32 in the file
    expect(fromFolder.config).toEqual({ ...config, normEpsilon: 1e-5 });
    await expectValues(fromGguf, tensors);
    await expectValues(fromFolder, tensors);
    expect(fromGguf.tokenizer.eosTokenIds).toEqual([5]);
    const sha = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
    expect(await fromGguf.hash()).toBe(sha(gguf));
    expect(await fromFolder.hash()).toBe(sha(join(directory, 'model.safetensors')));
    await fromGguf.close();
    await fromGguf.close(); // may be repeated
    await fromFolder.close();
    await expect(fromGguf.weights.readRaw('model.norm.weight')).rejects.toThrow();
  });

  it('opens a folder without weights for whoever draws them, known by its config', async () => {
    const files = { 'config.json': tinyConfigJson(), 'tokenizer.json': tinyTokenizerJson() };
    const directory = modelFolder('shape', files);
    await expect(openModel(directory)).rejects.toThrow(/neither model\.safetensors nor/);
    const whole = tinyFolder('with-weights', tinyTensors());
    const model = await openModel(directory, { weightsOptional: true });
    await using(whole, ({ config }) => {
      expect(model.config).toEqual(config);
    });
    expect(model.weights.tensors.size).toBe(0);
    const sha256 = createHash('sha256')
      .update(readFileSync(join(directory, 'config.json')))
      .digest('hex');
    expect(await model.hash()).toBe(sha256);
    await model.close();
    const opened = await openModel(whole, { weightsOptional: true });
    await expectValues(opened, tinyTensors());
    await opened.close();
  });

  it('reads Qwen2 with its biases and its own head, not interleaved', async () => {
    const tensors = tinyTensors({ biases: true, head: true });
    const gguf = write(folder, 'qwen.gguf', tinyGguf('qwen2', tensors));
    const directory = tinyFolder('qwen', tensors, { ...tinyConfigJson('qwen2'), tie_word_embeddings: false });
    for (const path of [gguf, directory]) {
      await using(path, async (model) => {
        expect(model.config).toMatchObject({ family: 'qwen2', qkvBias: true, tiedHead: false });
        await expectValues(model, tensors);
      });
    }
  });

  it('restores the row order of biases of a Llama GGUF', async () => {
    const tensors = tinyTensors({ biases: true });
    await using(write(folder, 'biased.gguf', tinyGguf('llama', tensors)), (model) => expectValues(model, tensors));
  });

  it('moves rows of quantised tensors whole', async () => {
    const tensors = tinyTensors().map(({ name, shape, values }): TinyTensor => {
      // Width 32, so that a row is a block.
      const wide = shape.map((length) => (length === 8 ? 32 : length));
      const count = wide.reduce((product, length) => product * length, 1);
      return { name, shape: wide, values: Float32Array.from({ length: count }, (_, i) => values[i % values.length]!) };
    });
    const changed: Record<string, Typed> = {
      'llama.embedding_length': ['u32', 32],
      'llama.attention.head_count': ['u32', 8],
      'llama.attention.key_length': ['u32', 4],
      'llama.attention.value_length': ['u32', 4],
    };
    const metadata = [...tinyMetadata('llama').filter(([key]) => !(key in changed)), ...Object.entries(changed)];
    const q = 'blk.0.attn_q.weight';
    const rows = 32;
    const block = (row: number): Uint8Array => new Uint8Array(34).fill(row + 1);
    const content = writeGguf({
      metadata,
      tensors: tensors.map((tensor) => {
        if (tensor.name !== q) {
          return { name: tensor.name, type: 0, shape: tensor.shape, bytes: bytesOf(interleaved(tensor)) };
        }
        const order = interleaved({ name: q, shape: [rows], values: Float32Array.from({ length: rows }, (_, i) => i) });
        return {
          name: q,
          type: ggmlTypeNumber.Q8_0,
          shape: [rows, 32],
          bytes: Buffer.concat([...order].map(block)),
        };
      }),
    });
    await using(write(folder, 'quantised.gguf', content), async (model) => {
      const raw = await model.weights.readRaw('model.layers.0.self_attn.q_proj.weight');
      expect(Buffer.from(raw)).toEqual(Buffer.concat(Array.from({ length: rows }, (_, row) => block(row))));
    });
  });

  it('reads position factors of Llama 3', async () => {
    const factors = { name: 'rope_freqs.weight', shape: [2], values: Float32Array.of(1, 8) };
    await using(write(folder, 'factors.gguf', tinyGguf('llama', [...tinyTensors(), factors])), (model) => {
      expect(model.config.ropeScaling).toEqual({ type: 'factors', factors: [1, 8] });
    });
  });

  it('opens a model of 12 GB without reading it', async () => {
    const path = join(folder, 'sparse.gguf');
    const [hidden, vocabulary] = [1024, 3_000_000];
    const changed: Record<string, Typed> = {
      'llama.embedding_length': ['u32', hidden],
      'llama.attention.key_length': ['u32', tiny.headSize],
    };
    const [embedding, ...others] = tinyTensors().map((tensor) => {
      const shape = tensor.shape.map((length, axis) => {
        const hiddenAxis = /attn_[qkv]|ffn_(gate|up)|token_embd/.test(tensor.name) ? 1 : 0;
        return axis === hiddenAxis ? hidden : length;
      });
      return { name: tensor.name, type: 0, shape, bytes: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)) };
    });
    const content = writeGguf({
      metadata: [...tinyMetadata('llama').filter(([key]) => !(key in changed)), ...Object.entries(changed)],
      tensors: [...others, { ...embedding!, shape: [vocabulary, hidden], bytes: new Uint8Array() }],
    });
    writeFileSync(path, content);
    truncateSync(path, content.length + vocabulary * hidden * 4);
    const before = process.memoryUsage().rss;
    await using(path, async (model) => {
      expect(model.weights.tensors.get('model.embed_tokens.weight')?.byteLength).toBe(vocabulary * hidden * 4);
      expect(await model.weights.readFloat32('model.norm.weight')).toEqual(new Float32Array(hidden));
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 26);
    rmSync(path);
  });

  it('reads a split GGUF from any of its files', async () => {
    const tensors = tinyTensors();
    const part = (no: number, of: readonly TinyTensor[], metadata: [string, Typed][]): Buffer =>
      writeGguf({
        metadata: [...metadata, ['split.no', ['u16', no]], ['split.count', ['u16', 2]]],
        tensors: of.map((tensor) => ({ ...tensor, type: 0, bytes: bytesOf(interleaved(tensor)) })),
      });
    const first = part(0, tensors.slice(0, 5), tinyMetadata('llama'));
    const second = part(1, tensors.slice(5), []);
    const paths = [
      write(folder, 'm-00001-of-00002.gguf', first),
      write(folder, 'm-00002-of-00002.gguf', second),
    ] as const;
    const hash = createHash('sha256').update(first).update(second).digest('hex');
    for (const path of paths) {
      await using(path, async (model) => {
        await expectValues(model, tensors);
        expect(await model.hash()).toBe(hash);
      });
    }
    writeFileSync(paths[1], first);
    expect(await refusal(openModel(paths[0]))).toMatch(/does not belong at place 2 of 2/);
    rmSync(paths[1]);
    expect(await refusal(openModel(paths[0]))).toMatch(/There is no .*m-00002-of-00002\.gguf/);
    renameSync(paths[0], join(folder, 'renamed.gguf'));
    expect(await refusal(openModel(join(folder, 'renamed.gguf')))).toMatch(/one of 2 files of a split GGUF/);
  });

  it('reads a sharded folder', async () => {
    const tensors = tinyTensors();
    const stored = tinySafetensors(tensors);
    const path = modelFolder('sharded', {
      'config.json': tinyConfigJson(),
      'tokenizer.json': tinyTokenizerJson(),
      'model-00001-of-00002.safetensors': writeSafetensors(stored.slice(0, 7)),
      'model-00002-of-00002.safetensors': writeSafetensors(stored.slice(7)),
      'model.safetensors.index.json': {
        weight_map: Object.fromEntries(
          stored.map(({ name }, i) => [name, `model-0000${i < 7 ? 1 : 2}-of-00002.safetensors`]),
        ),
      },
    });
    await using(path, (model) => expectValues(model, tensors));
    truncateSync(join(path, 'model-00002-of-00002.safetensors'), 500);
    expect(await refusal(openModel(path))).toMatch(/model-00002-of-00002\.safetensors/);
  });

  it('ties the head where config.json says so, or says nothing and there is none', async () => {
    const silent = tinyConfigJson();
    delete silent['tie_word_embeddings'];
    const head = tinyTensors({ head: true });
    const tied = (path: string): Promise<boolean> => using(path, (model) => model.config.tiedHead);
    expect(await tied(tinyFolder('tied', head))).toBe(true); // a saved copy of the embedding is ignored
    expect(await tied(tinyFolder('silent', tinyTensors(), silent))).toBe(true);
    expect(await tied(tinyFolder('silent-head', head, silent))).toBe(false);
    const untied = tinyFolder('untied', tinyTensors(), { ...silent, tie_word_embeddings: false });
    expect(await refusal(openModel(untied))).toMatch(/no tensor for lm_head\.weight \(its config says/);
  });

  it('ignores tensors of a folder that transformers ignores too', async () => {
    const tensors = tinyTensors();
    const extra = { name: 'model.layers.0.self_attn.rotary_emb.inv_freq', shape: [2], values: Float32Array.of(1, 2) };
    await using(tinyFolder('extra', [...tensors, extra]), (model) => expectValues(model, tensors));
  });

  it('names the first tensor that is missing, misshapen or unknown', async () => {
    const tensors = tinyTensors();
    const gguf = (changed: readonly TinyTensor[]): string => write(folder, 'changed.gguf', tinyGguf('llama', changed));
    const without = tensors.filter(({ name }) => name !== 'blk.1.ffn_up.weight');
    expect(await refusal(openModel(gguf(without)))).toMatch(/no tensor for model\.layers\.1\.mlp\.up_proj\.weight/);
    expect(await refusal(openModel(tinyFolder('without', without)))).toMatch(/up_proj/);
    const turned = tensors.map((tensor) =>
      tensor.name === 'blk.0.ffn_down.weight' ? { ...tensor, shape: [12, 8] } : tensor,
    );
    expect(await refusal(openModel(gguf(turned)))).toMatch(/down_proj\.weight has the shape \[12, 8\].*\[8, 12\]/);
    const expert = { name: 'blk.0.ffn_gate_inp.weight', shape: [2, 8], values: new Float32Array(16) };
    expect(await refusal(openModel(gguf([...tensors, expert])))).toMatch(
      /"blk\.0\.ffn_gate_inp\.weight".*not supported/,
    );
    const third = { name: 'blk.2.ffn_up.weight', shape: [12, 8], values: new Float32Array(96) };
    expect(await refusal(openModel(gguf([...tensors, third])))).toMatch(/layers\.2.*no place for/);
  });

  it('says what is wrong with a path', async () => {
    expect(await refusal(openModel(join(folder, 'nowhere')))).toMatch(/There is no .*nowhere/);
    expect(await refusal(openModel(write(folder, 'x.safetensors', writeSafetensors([]))))).toMatch(/not a GGUF file/);
    expect(await refusal(openModel(write(folder, 'empty.gguf', '')))).toMatch(/not a GGUF file/);
    expect(await refusal(openModel(modelFolder('nothing', {})))).toMatch(/no config\.json/);
    expect(await refusal(openModel(modelFolder('gguf', { 'm.gguf': new Uint8Array(4) })))).toMatch(/Give .*m\.gguf/);
    expect(await refusal(openModel(modelFolder('bare', { 'config.json': tinyConfigJson() })))).toMatch(/neither/);
    const bad = tinyFolder('bad', tinyTensors());
    write(bad, 'config.json', '{');
    expect(await refusal(openModel(bad))).toMatch(/config\.json is not valid JSON/);
    write(bad, 'config.json', ' '.repeat(2_000_000));
    expect(await refusal(openModel(bad))).toMatch(/2000000 bytes/);
    const silent = tinyMetadata('llama').filter(([key]) => !key.startsWith('tokenizer.'));
    const tensors = tinyTensors().map((tensor) => ({ ...tensor, type: 0, bytes: bytesOf(tensor.values) }));
    const mute = write(folder, 'mute.gguf', writeGguf({ metadata: silent, tensors }));
    expect(await refusal(openModel(mute))).toMatch(/mute\.gguf: .*tokenizer/);
  });

  it('opens or gives one clear sentence for any damaged GGUF', async () => {
    const whole = tinyGguf();
    const path = join(folder, 'damaged.gguf');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.oneof({ weight: 4, arbitrary: fc.constant(whole.length) }, { weight: 1, arbitrary: fc.nat(whole.length) }),
        async (flips, length) => {
          const content = Buffer.from(whole);
          for (const [at, value] of flips) content[at] = value;
          writeFileSync(path, content.subarray(0, length));
          const outcome = await using(path, async (model) => {
            for (const name of model.weights.tensors.keys()) await model.weights.readFloat32(name);
            return null;
          }).catch((error: unknown) => error);
          if (outcome instanceof Error) expect(outcome.name, outcome.stack).toBe('UserError');
        },
      ),
      { numRuns: 400 },
    );
  });

  it.skipIf(process.platform !== 'linux')('leaves no file open behind a failure', async () => {
    const broken = write(folder, 'broken.gguf', tinyGguf().subarray(0, 900));
    for (let i = 0; i < 20; i++) await refusal(openModel(broken));
    const open = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ''; // of the listing itself
      }
    });
    expect(open.filter((path) => path.startsWith(folder))).toEqual([]);
  });
});
