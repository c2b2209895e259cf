/**
 * Safetensors reader: where each tensor lies in a file, and which file of a sharded model holds it.
 * Reads headers only. Knows nothing of model families or of what tensors mean.
 * Format: https://github.com/huggingface/safetensors#format
 */
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { messageOf, UserError } from '../../errors.ts';
import type { TensorType } from '../model.ts';
import {
  closeFiles,
  describeIssue,
  isRecord,
  located,
  quoted,
  readJson,
  storedBytes,
  WeightFile,
  type LocatedTensor,
  type StoredTensor,
} from './storage.ts';

/** About 100,000 tensors; upstream allows 100 MB. */
const maximumHeaderBytes = 1 << 24;
const maximumShards = 1024;
const maximumRank = 8;

const types: ReadonlyMap<string, TensorType> = new Map([
  ['F32', 'F32'],
  ['F16', 'F16'],
  ['BF16', 'BF16'],
]);

const natural = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const HeaderEntry = v.object({
  dtype: v.string(),
  shape: v.pipe(v.array(natural), v.maxLength(maximumRank)),
  data_offsets: v.tuple([natural, natural]),
});
const ShardIndex = v.object({ weight_map: v.custom<Record<string, unknown>>(isRecord, 'is not an object') });

/**
 * Reads the header of one file.
 * @throws UserError when it is cut or corrupt, its tensors do not tile the data exactly, or a dtype is not supported.
 */
export async function readSafetensorsHeader(file: WeightFile): Promise<ReadonlyMap<string, StoredTensor>> {
  const prefix = Buffer.alloc(8);
  if (file.size < 8) throw broken(file, `has ${file.size} bytes, too few for a safetensors file`);
  await file.read(prefix, 0);
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > BigInt(Math.min(maximumHeaderBytes, file.size - 8))) {
    throw broken(file, `claims a header of ${headerBytes.toString()} bytes, more than it may have or the file holds`);
  }
  const text = Buffer.alloc(Number(headerBytes));
  await file.read(text, 8);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (error) {
    throw broken(file, `has a header that is not JSON (${messageOf(error).slice(0, 120)})`);
  }
  if (!isRecord(header)) throw broken(file, 'has a header that is not a JSON object');
  return checkedTensors(file, header, 8 + text.length);
}

function checkedTensors(
  file: WeightFile,
  header: Record<string, unknown>,
  dataStart: number,
): ReadonlyMap<string, StoredTensor> {
  const tensors: StoredTensor[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const what = `tensor ${quoted(name)}`;
    const parsed = v.safeParse(HeaderEntry, entry, { abortEarly: true });
    if (!parsed.success) throw broken(file, `describes ${what} wrongly (${describeIssue(parsed.issues[0])})`);
    const { dtype, shape, data_offsets } = parsed.output;
    const type = types.get(dtype);
    if (!type) {
      throw new UserError(
        `${file.path}: ${what} is stored as ${quoted(dtype)}, which is not supported. ` +
          `Use a model saved as ${[...types.keys()].join(', ')}, or a GGUF file.`,
      );
    }
    const byteLength = data_offsets[1] - data_offsets[0];
    if (storedBytes(type, shape) !== byteLength) {
      throw broken(file, `gives ${what} of shape [${shape.join(', ')}] and type ${type} ${byteLength} bytes`);
    }
    tensors.push({ name, type, shape, offset: dataStart + data_offsets[0], byteLength });
  }
  // As upstream: the data is tiled without holes or overlaps, to the end of the file.
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== end) {
      const problem = offset < end ? 'overlaps the one before it' : 'leaves a hole before it';
      throw broken(file, `has tensor ${quoted(name)} at byte ${offset}, which ${problem}`);
    }
    end += byteLength;
  }
  if (end !== file.size) throw broken(file, `has ${file.size} bytes where its header describes ${end}`);
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

/**
 * Opens the files named by a `model.safetensors.index.json` and finds every tensor of its weight map.
 * The caller closes the files. Files are in order of their names.
 * @throws UserError when the index or a file is missing or corrupt, or a file name leads out of the folder.
 */
export async function openShards(
  indexPath: string,
): Promise<{ readonly files: readonly WeightFile[]; readonly tensors: ReadonlyMap<string, LocatedTensor> }> {
  const shardOf = await readShardIndex(indexPath);
  const files: WeightFile[] = [];
  try {
    const headers = new Map<string, ReadonlyMap<string, LocatedTensor>>();
    for (const shard of [...new Set(shardOf.values())].sort()) {
      const file = await openShard(indexPath, shard);
      files.push(file);
      headers.set(shard, located(file, await readSafetensorsHeader(file)));
    }
    const tensors = new Map<string, LocatedTensor>();
    for (const [name, shard] of shardOf) {
      const tensor = headers.get(shard)?.get(name);
      if (!tensor) {
        throw new UserError(
          `${indexPath} says that tensor ${quoted(name)} is in ${shard}, but it is not. ` +
            'Index and files do not belong together: download them again.',
        );
      }
      tensors.set(name, tensor);
    }
    return { files, tensors };
  } catch (error) {
    await closeFiles(files);
    throw error;
  }
}

/** Tensor name to file name. */
async function readShardIndex(path: string): Promise<ReadonlyMap<string, string>> {
  const parsed = v.safeParse(ShardIndex, await readJson(path, maximumHeaderBytes));
  if (!parsed.success) throw new UserError(`${path} has no "weight_map". Download it again.`);
  const shardOf = new Map<string, string>();
  for (const [name, shard] of Object.entries(parsed.output.weight_map)) {
    if (typeof shard !== 'string' || !/^[^/\\:\0]+$/.test(shard) || shard === '.' || shard === '..') {
      throw new UserError(
        `${path} places tensor ${quoted(name)} in ${quoted(String(shard))}, which is no file of its own folder. ` +
          'Download the index again from a source you trust.',
      );
    }
    shardOf.set(name, shard);
  }
  const count = new Set(shardOf.values()).size;
  if (count > maximumShards) {
    throw new UserError(`${path} names ${count} files; at most ${maximumShards} are supported. Merge them.`);
  }
  return shardOf;
}

async function openShard(indexPath: string, shard: string): Promise<WeightFile> {
  try {
    return await WeightFile.open(join(dirname(indexPath), shard));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${error.message} ${indexPath} names it: the model is incomplete, download the missing files.`);
  }
}

function broken(file: WeightFile, what: string): UserError {
  return new UserError(`${file.path} ${what}. The file is damaged or incomplete: download or convert it again.`);
}
