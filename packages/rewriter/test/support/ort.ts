/** Running models on stock onnxruntime-node: no operator library, so function bodies are what runs. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeModel, encodeModel, type ModelProto } from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';

export type Feeds = Readonly<Record<string, ort.Tensor>>;

export async function runModel(
  model: ModelProto | Uint8Array | string,
  feeds: Feeds,
  options: ort.InferenceSession.SessionOptions = {},
) {
  const source = typeof model === 'string' || model instanceof Uint8Array ? model : encodeModel(model);
  const session = await (typeof source === 'string'
    ? ort.InferenceSession.create(source, { ...QUIET, ...options })
    : ort.InferenceSession.create(source, { ...QUIET, ...options }));
  try {
    return await session.run(feeds, { logSeverityLevel: 4 });
  } finally {
    await session.release();
  }
}

/** The operators of the main graph that are left after ONNX Runtime has inlined functions and optimised. */
export async function optimizedOperators(model: ModelProto | Uint8Array): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'ort-dora-'));
  try {
    const path = join(folder, 'optimized.onnx');
    const bytes = model instanceof Uint8Array ? model : encodeModel(model);
    const session = await ort.InferenceSession.create(bytes, { ...QUIET, optimizedModelFilePath: path });
    await session.release();
    const counts: Record<string, number> = {};
    for (const { opType = '' } of decodeModel(await readFile(path)).graph?.node ?? []) {
      counts[opType] = (counts[opType] ?? 0) + 1;
    }
    return counts;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const QUIET: ort.InferenceSession.SessionOptions = {
  logSeverityLevel: 4,
  graphOptimizationLevel: 'all',
  intraOpNumThreads: 1,
};
