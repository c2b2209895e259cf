/**
 * Makes ONNX Runtime sessions of graphs that were built with external weights.
 * The graph lies in a folder of its own in the system's temporary folder while the session is made.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import type { ExternalData, Graph } from '../onnx/graph.ts';
import { ExternalFile } from './externalFile.ts';

export interface BuiltSession {
  readonly session: ort.InferenceSession;
  /** Bytes of the weights as the graph holds them. */
  readonly weightBytes: number;
}

/**
 * Builds a graph and opens it.
 * @throws UserError when the temporary folder has no room for the weights.
 */
export async function createSession(
  build: (external: ExternalData) => Promise<Graph>,
  options: ort.InferenceSession.SessionOptions,
): Promise<BuiltSession> {
  const folder = await mkdtemp(join(tmpdir(), 'midtrain-'));
  try {
    const external = new ExternalFile(join(folder, 'weights.bin'));
    let model: Uint8Array;
    try {
      model = (await build(external)).serialize();
    } finally {
      external.close();
    }
    const path = join(folder, 'model.onnx');
    await writeFile(path, model);
    return { session: await ort.InferenceSession.create(path, options), weightBytes: external.length };
  } finally {
    await rm(folder, { recursive: true, force: true }); // the session has read or mapped what it needs
  }
}
