import { resolve } from 'node:path';
import { type ModelFile, writeModel } from '@ort-dora/onnx';
import { stageExternalData } from './external-data.js';
import { Staging } from './staging.js';

export interface WriteOptions {
  readonly compact?: boolean;
  readonly signal?: AbortSignal;
  /** Stages further files that the model refers to, after its own data and before the model itself. */
  readonly stageMore?: (staging: Staging) => Promise<void>;
}

/**
 * Writes an opened model and what it refers to, all or nothing. Data first, the model last: whoever sees the model finds
 * its data.
 *
 * @throws OnnxError `io`; RewriteError `exists`
 */
export async function writeWithData(file: ModelFile, outputPath: string, options: WriteOptions): Promise<void> {
  const staging = new Staging();
  try {
    await stageExternalData(file, outputPath, staging, options);
    await options.stageMore?.(staging);
    options.signal?.throwIfAborted();
    await writeModel(file.model, await staging.stage(resolve(outputPath)));
    options.signal?.throwIfAborted();
    await staging.commit();
  } finally {
    await staging.discard();
  }
}
